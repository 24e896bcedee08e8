"""The format of the data card, as it is stored in `.card.json`."""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from wqmaster.datasets import units
from wqmaster.system.version import __version__


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CampaignPart(_Part):
    """A campaign, and what it asks for."""

    name: str
    step: str
    recipe: str  # hash
    asked: dict[str, Any]  # the recipe in full: task function, options, hashes of files
    frames: int = 0


class LabelPart(_Part):
    """A quantity in the file."""

    name: str
    key: str | None  # in the file
    unit: str | None  # in the file
    meaning: str  # such as "Mulliken charges (ORCA)"
    frames: int  # number of frames that have it


class LeftOut(_Part):
    """What was left out for one reason."""

    reason: str
    count: int
    ids: list[str]  # of the first ones


class Distribution(_Part):
    """The distribution of a number; each bin is 1.33 times as wide as the one before."""

    count: int
    not_finite: int
    least: float | None
    median: float | None
    percentile_95: float | None
    largest: float | None
    bins: list[tuple[float, float, int]]  # lower end, upper end, number of values


class CheckPart(_Part):
    """A check: its limits, and the values of the frames that are in the data set."""

    name: str
    unit: str | None = None
    warn: float | None = None
    refuse: float | None = None
    source: str | None = None
    warned: int = 0
    values: Distribution


class SplitPart(_Part):
    """A part of the data set."""

    name: str
    fraction: float  # as requested with --splits
    share: float | None  # the actual fraction of the frames
    frames: int
    documents: int
    graphs: int


class ConflictPart(_Part):
    """Two frames of the same structure whose energies differ, so that one is wrong."""

    earlier: str
    later: str
    difference_eh: float


class DuplicatesPart(_Part):
    """Frames with the same structure as an earlier one."""

    bound_angstrom: float
    found: int
    of_one_document: int
    were_dropped: bool
    limited: int  # number of frames that were compared with the nearest candidates only
    examples: list[tuple[str, str, float]]  # earlier id, later id, RMSD in Angstrom
    energy_tolerance_eh: float
    conflicts: int
    largest_conflicts: list[ConflictPart]


class ReferenceAtom(_Part):
    """The energy of an isolated atom."""

    charge: int
    multiplicity: int
    energy_eh: float
    energy_ev: float


class FilePart(_Part):
    """A file of the data set."""

    name: str
    split: str | None
    frames: int
    bytes: int
    sha256: str
    # What read the file back, and how many rows agreed with the database; None: not verified.
    reader: str | None = None
    verified: int | None = None


class Counts(_Part):
    """The number of frames, documents, graphs and atoms, and their distributions."""

    frames: int
    documents: int
    graphs: int
    atoms: int
    elements: dict[str, int]  # number of atoms
    element_frames: dict[str, int]
    sizes: dict[int, int]  # number of frames, by number of atoms
    charges: dict[int, int]
    multiplicities: dict[int, int]
    programs: dict[str, int]
    energy_per_atom_ev: Distribution
    largest_force_ev_per_angstrom: Distribution


class Constants(_Part):
    """The constants that converted the units."""

    ev_per_eh: float = units.EV_PER_EH
    angstrom_per_bohr: float = units.ANGSTROM_PER_BOHR
    source: str = "CODATA 2014, as in ASE"


class Card(_Part):
    """The data card."""

    format: Literal[1] = 1
    name: str
    created: datetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    wqmaster: str = __version__
    command: list[str]
    target: str
    about: str
    levels: list[dict[str, Any]]
    campaigns: list[CampaignPart]
    counts: Counts
    labels: list[LabelPart]
    constants: Constants = Field(default_factory=Constants)
    left_out: list[LeftOut]
    checks: list[CheckPart]
    noise: dict[str, Any] | None = None  # what the audit measured
    duplicates: DuplicatesPart | None = None
    seed: int | None = None
    splits: list[SplitPart] = Field(default_factory=list)
    divided_graphs: int = 0  # in more than one part, because of the user's groups
    reference_atoms: dict[str, ReferenceAtom]
    files: list[FilePart]
    cite: list[str]
