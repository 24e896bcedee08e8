"""The folder of kept files, and their names, which contain the document's `_id`."""

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from bson import ObjectId, json_util

# With a pattern of at most 60 characters, a file's name stays below the usual limit of 255 bytes.
_MAX_NAME_CHARACTERS = 180
# Strings that look like a printed number or object id.
_LIKE_OTHERS = re.compile(r"-?[0-9]+|[0-9a-f]{24}")


def safe_name(document_id: Any) -> str:
    """A document's `_id` as part of a file name; different ids have different names.

    Strings, integers and object ids appear as printed. The names of all other ids, and of strings
    that look like a number or object id, contain something that the name of no other string has:
    %00, or a letter or digit written as %XX.
    """
    if isinstance(document_id, str):
        # The byte C0, which is not valid in UTF-8, keeps %00 for the names of other ids.
        name = quote(document_id, safe=" ,=+@()[]").replace("%00", "%C0%80")
        if _LIKE_OTHERS.fullmatch(name) or name.startswith("."):
            name = f"%{ord(name[0]):02X}{name[1:]}"
    elif isinstance(document_id, (int, ObjectId)) and not isinstance(document_id, bool):
        name = str(document_id)
    else:
        name = "%00" + quote(json_util.dumps(document_id), safe="")
    if len(name) > _MAX_NAME_CHARACTERS:
        return "%00" + hashlib.sha256(name.encode()).hexdigest()
    return name or "%00"


class KeptFiles:
    """Writes files into the folder `folder`, and nowhere else.

    Neither a name nor a link in the folder leads out of it, because a file is made anew, in the
    folder that is open, and then takes the place of an earlier one or of a link.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def replacing(self, name: str) -> Iterator[IO[bytes]]:
        """Yield a new file to write to, which replaces the file `name` when the block ends.

        Raises:
            OSError: the file cannot be written.
            ValueError: `name` is not the name of a file in the folder.
        """
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise ValueError(f"{name!r} is not the name of a file")
        part = f".{os.getpid()}:part"  # no kept file has a colon in its name
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part, dir_fd=folder)
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW
            with os.fdopen(os.open(part, flags, 0o666, dir_fd=folder), "wb") as file:
                yield file
            os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(part, dir_fd=folder)
            raise
        finally:
            os.close(folder)
