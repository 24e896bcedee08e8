"""The contract for the kinds of files that a data set can be written to."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from wqmaster.datasets.frame import Frame

# The labels of a frame that a file can carry besides the energy, by the names in `Frame`.
LABELS = ("gradient", "charges", "spins", "dipole", "quadrupole")


@dataclass(frozen=True)
class Level:
    """The level of theory of a data set, which is written into files that have a place for it."""

    name: str  # short, such as "wB97X-D3BJ/def2-SVP"; used as a key by formats that need one
    program: str  # name and version
    options: Mapping[str, Any] = field(default_factory=dict)  # of the step, as plain data
    recipe: str = ""  # the recipe's hash


class Unfit(Exception):
    """The target cannot express this frame; the message gives the reason, in a few words.

    Such a frame is left out and counted by the reason, which therefore must not name the frame.
    """


class Writer(Protocol):
    """Writes one file (or folder). Memory does not grow with the number of frames."""

    def add(self, frame: Frame) -> None:
        """Write a frame.

        Raises:
            Unfit: the target cannot express it; the file is unchanged.
        """

    def close(self) -> None:
        """Write what is left, and close the file."""

    def abandon(self) -> None:
        """Close the file without completing it; the caller removes it."""


@dataclass(frozen=True)
class Target:
    """A kind of file: one for each value of `--for`."""

    name: str
    about: str  # one line for the help: trainer and format
    suffix: str  # of the file's name
    modules: tuple[str, ...]  # the Python modules that writing needs
    # Makes a writer for a new file at this path.
    create: Callable[[Path, Level], Writer]
    # The frames that a file must provide in this kind of file, by the names in `Frame`.
    carries: frozenset[str] = frozenset(LABELS)
    # The labels that the trainer cannot do without.
    requires: frozenset[str] = frozenset()
    # The unit of each label and of coordinates in the file, and the key it is stored under.
    units: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    # Writes the energies of reference atoms beside the file, if the trainer wants them in a file
    # of their own; returns its path. None: they are frames of the data set.
    atoms: Callable[[Path, Sequence[Frame]], Path] | None = None
    # Reads a file back, for the proof: yields what it says, in the file's own order. It must not
    # share code with `create`.
    read: Callable[[Path], Iterable[Frame]] | None = None
