"""What the parts of `wqmaster adopt` exchange: a found output, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import Failure


class Reason(StrEnum):
    """Why an output is refused, if no failure class of a job fits."""

    UNREADABLE = "unreadable"  # the file or folder cannot be read or decompressed
    TOO_LARGE = "too_large"  # larger than --max-size
    DUPLICATE = "duplicate"  # the same content as an output that was adopted earlier
    ID_TAKEN = "id_taken"  # another document has this _id, or the file has changed since
    RECIPE_UNKNOWN = "recipe_unknown"  # the output does not show what was asked for
    OTHER_RECIPE = "other_recipe"  # other settings or another version than those to adopt
    EXTERNAL_TERMS = "external_terms"  # the energy has terms that a document cannot hold
    MOLECULE_UNKNOWN = "molecule_unknown"  # the output does not state the whole molecule


class Unfit(Exception):
    """An output cannot become a document; `reason` is a `Reason` or a failure class's label."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

    @classmethod
    def of(cls, failure: Failure) -> "Unfit":
        """The refusal for a failure that the diagnosis or the judgement found."""
        return cls(failure.kind.label, failure.message)


def unknown_molecule(error: ParseError) -> Unfit:
    """The refusal if a parser cannot read a part of the molecule."""
    return Unfit(Reason.MOLECULE_UNKNOWN, error.message)


@dataclass(frozen=True)
class Found:
    """A recognized output in the folder."""

    path: str  # as the operating system takes it; Python has escaped bytes that are not UTF-8
    relative: str  # the path below the folder, as it can be stored and printed
    # Whether no other output of the program is in the same folder, so that files with fixed names
    # beside it are its own.
    alone: bool = True


@dataclass(frozen=True)
class Stated:
    """What an output states about its molecule and its run."""

    numbers: tuple[int, ...]  # atomic numbers, shape (n,)
    coordinates: tuple[tuple[float, float, float], ...]  # the first geometry, Angstrom, (n, 3)
    final: tuple[tuple[float, float, float], ...]  # the geometry of the values, Angstrom, (n, 3)
    charge: int  # units of e
    multiplicity: int  # 2 S + 1
    host: str | None = None
    wall_time: float | None = None  # seconds
    # Where the coordinates come from: the output itself (`stdout`), or a file beside it.
    source: str = "stdout"


@dataclass(frozen=True)
class Taken:
    """What became of one output: a document (as BSON), or a refusal; plain data only."""

    relative: str
    document: bytes | None = None
    there: bool = False  # adopted earlier, and unchanged since
    exists: bool = False  # whether a document with this _id exists, without a result of the step
    reason: str = ""
    message: str = ""
    recipe: str = ""  # the hash of the recipe that the output states; "" if it was not read
    asked: Mapping[str, Any] = field(default_factory=dict)  # that recipe in full
    content: bytes = b""  # SHA-256 of the decompressed content
    lacking: tuple[str, ...] = ()  # parsers without a value, with --lenient
