"""The contract for the kinds of files that a data set can be written to."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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

    The export leaves such a frame out and counts it under the reason, which therefore must not name
    the frame.
    """


class Writer(Protocol):
    """Writes one file. Memory does not grow with the number of frames."""

    @property
    def labels(self) -> frozenset[str]:
        """The labels that the file has if its frames have them (all of them, if it is uniform)."""

    def add(self, frame: Frame) -> None:
        """Write a frame.

        Raises:
            Unfit: the target cannot express it; the file is unchanged.
        """

    def close(self) -> None:
        """Write what is left, and close the file."""

    def abandon(self) -> None:
        """Close the file without completing it; the caller removes it."""


class Create(Protocol):
    """Makes a writer."""

    def __call__(self, path: Path, level: Level, labels: Collection[str] | None = None) -> Writer:
        """A writer for a new file at `path`.

        `labels` says which of `LABELS` to write, if a frame has them and the target carries them.
        None means all of them; for a `uniform` target, it means those that the first frame has,
        without the dipole and quadrupole moments, which ions lack.
        """


@dataclass(frozen=True)
class Target:
    """A kind of file: one for each value of `--for`."""

    name: str
    about: str  # one line for the help: trainer and format
    suffix: str  # of the file's name
    modules: tuple[str, ...]  # the Python modules that writing and reading need
    create: Create
    # Reads a file back, for the proof: yields its rows as frames, in the order of the file and in
    # the units of `Frame`. It shares no code with `create`.
    read: Callable[[Path], Iterator[Frame]]
    # The labels that a file of this kind can carry, by the names in `Frame`.
    carries: frozenset[str] = frozenset(LABELS)
    # The labels that the trainer cannot do without.
    requires: frozenset[str] = frozenset()
    # Whether all frames of a file must have the same labels, since the trainer refuses a file whose
    # frames differ in them.
    uniform: bool = False
    # What is stored in single precision, by the names in `Frame`.
    single: frozenset[str] = frozenset()
    # Whether the file states charge and multiplicity. If not, all frames are neutral singlets.
    states: bool = True
    # For coordinates, energy, charge, multiplicity and each label: the unit, and the key in the
    # file.
    units: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    # Whether the file has only the traceless part of the quadrupole moment.
    traceless: bool = False
    # For a trainer that does not want reference atoms as frames: writes their energies into the
    # closed file at this path, or into a new file beside it, and returns the path of the file with
    # the energies. None: reference atoms are added to the writer like any other frame.
    atoms: Callable[[Path, Sequence[Frame]], Path] | None = None
    # The suffix of the file that `atoms` writes beside the data; "": it writes none.
    atoms_suffix: str = ""
    # The module of the trainer, and the script in `trainers/` that calls its reader; "": none.
    trainer: str = ""
    script: str = ""
