"""The records that an import refuses: what is known of them, and the files that keep them."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import StructureError
from wqmaster.structures.base import IdFault, Record
from wqmaster.structures.formats import stem


@dataclass(frozen=True)
class RefusedRecord:
    """A record that was not imported."""

    number: int  # counted from 1
    # The record's first line, counted from 1; None if the file has no lines of text.
    line: int | None
    title: str
    why: str
    place: str  # number, line and title, for messages
    # What is wrong with its `_id`, if that is the reason, and not what the record holds.
    id_fault: IdFault | None
    option: str | None  # the option that would accept it, if there is one

    @classmethod
    def of(cls, record: Record, why: str) -> "RefusedRecord":
        """A refused record without its text, which can be large."""
        return cls(
            number=record.number,
            line=record.line,
            title=record.title,
            why=why,
            place=record.place,
            id_fault=record.id_fault,
            option=record.option,
        )


class RefusedFile:
    """Writes refused records to new files in the working folder; never overwrites a file."""

    def __init__(self, source: Path, folder: Path) -> None:
        self._source = source
        self._folder = folder
        self._records: IO[bytes] | None = None
        self._reasons: IO[str] | None = None
        self._paths: tuple[Path | None, Path | None] = (None, None)

    def add(self, record: Record, refused: RefusedRecord) -> None:
        """Write a record as it stands in its file, and the reason for refusing it."""
        if self._reasons is None:
            path = _free(self._folder, f"{stem(self._source)}.refused", ".txt")
            self._reasons = path.open("x", encoding="utf-8")
            self._paths = (None, path)
        self._reasons.write(f"{refused.place}: {refused.why}\n")
        if not record.raw:
            return
        if self._records is None:
            ending = self._source.name.removeprefix(stem(self._source))
            ending = ending.removesuffix(".gz").removesuffix(".bz2").removesuffix(".xz")
            path = _free(self._folder, f"{stem(self._source)}.refused", ending)
            self._records = path.open("xb")
            self._paths = (path, self._paths[1])
        self._records.write(record.raw)

    def close(self) -> tuple[Path | None, Path | None]:
        """Close the files, and return the paths of the records and of the reasons."""
        for file in (self._records, self._reasons):
            if file is not None:
                file.close()
        return self._paths


def _free(folder: Path, name: str, ending: str) -> Path:
    """An unused path in `folder`."""
    for count in itertools.count(1):
        path = folder / f"{name}{'' if count == 1 else f'-{count}'}{ending}"
        if not path.exists():
            return path
    raise StructureError(
        f"every file name like {name}{ending} is in use", code=ErrorCode.FOLDER_UNUSABLE
    )
