"""Read the files of one run, within a limit of size."""

import gzip
import hashlib
import os
import zlib
from dataclasses import dataclass

from wqmaster.offline.adopting.base import Reason, Unfit

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Content:
    """A file: its text as bytes with Unix line ends, and what identifies it on disk."""

    data: bytes
    sha256: str  # of the file on disk, as sha256sum prints it
    size: int  # of the file on disk, in bytes
    modified: float  # seconds since 1970
    digest: bytes  # SHA-256 of the decompressed content


def content_of(path: str, most_bytes: int) -> Content:
    """The content of the file at `path`, decompressed if it ends in .gz.

    Raises:
        Unfit: it cannot be read, or is larger than `most_bytes` before or after decompression.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123  # a Path of a million names is slower
            status = os.fstat(file.fileno())
            if status.st_size > most_bytes:
                raise _too_large(most_bytes)
            raw = file.read(most_bytes + 1)
        data = raw
        if path.endswith(".gz"):
            with gzip.open(path, "rb") as unpacked:
                data = unpacked.read(most_bytes + 1)
    except OSError as error:
        why = f"it cannot be read: {error.strerror or error}"
        raise Unfit(Reason.UNREADABLE, why) from error
    except (EOFError, zlib.error) as error:
        raise Unfit(Reason.UNREADABLE, f"it cannot be decompressed: {error}") from error
    if len(data) > most_bytes or len(raw) > most_bytes:
        raise _too_large(most_bytes)
    digest = hashlib.sha256(data).digest()
    sha256 = digest.hex() if data is raw else hashlib.sha256(raw).hexdigest()
    return Content(_plain(data), sha256, len(raw), status.st_mtime, digest)


def _plain(data: bytes) -> bytes:
    """`data` with Unix line ends, and in UTF-8 if it was in UTF-16."""
    if data.startswith(_UTF_16):
        data = data.decode("utf-16", errors="replace").encode()
    return data.replace(b"\r\n", b"\n") if b"\r\n" in data else data


def _too_large(most_bytes: int) -> Unfit:
    return Unfit(
        Reason.TOO_LARGE,
        f"it is larger than {most_bytes >> 20} MB; --max-size sets the limit",
    )
