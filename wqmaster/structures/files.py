"""Functions that open structure files, compressed or not, and read numbered lines of bytes."""

import bz2
import codecs
import gzip
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from wqmaster.errors import StructureError
from wqmaster.structures.base import MAX_RECORD_BYTES

_COMPRESSED = (".gz", ".bz2", ".xz")


def is_compressed(path: Path) -> bool:
    """Whether the file is compressed, according to its name."""
    return path.suffix.lower() in _COMPRESSED


def opened(path: Path) -> IO[bytes]:
    """The file, opened and decompressed according to its name."""
    match path.suffix.lower():
        case ".gz":
            return cast("IO[bytes]", gzip.open(path, "rb"))
        case ".bz2":
            return cast("IO[bytes]", bz2.open(path, "rb"))
        case ".xz":
            return cast("IO[bytes]", lzma.open(path, "rb"))
    return path.open("rb")


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The number, counted from 1, and content of each line in a file, without newlines.

    Lines are split at the maximum size of a record, to limit memory.

    Raises:
        StructureError: lines end with CR alone, as on old Macs, so that all would be one line.
    """
    with opened(path) as file:
        number = 0
        while line := file.readline(MAX_RECORD_BYTES):
            number += 1
            text = line.rstrip(b"\r\n")
            if number == 1:
                text = text.removeprefix(codecs.BOM_UTF8)
                if b"\r" in text:
                    raise StructureError(
                        f"{path}: its lines end with CR alone; replace each CR with LF first (with "
                        "tr '\\r' '\\n')"
                    )
            yield number, text


def text_of(raw: bytes) -> str:
    """The text of a record, decoded as UTF-8 or, if that fails, as Latin-1."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
