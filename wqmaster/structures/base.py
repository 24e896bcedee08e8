"""What a reader makes of a structure file: records, each with its document or why it has none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from wqmaster.campaign.models import MoleculeFields
from wqmaster.jobs.molecule import Document

# A record that is larger than this is refused: none of a molecule is.
MAX_RECORD_BYTES = 64 << 20


class Note(StrEnum):
    """What was assumed about a record, or left out of it; counted in the summary of an import."""

    NO_CHARGE = "no charge given: assumed 0"
    NO_MULTIPLICITY = "no multiplicity given: assumed 1"
    HIGH_SPIN = "several radical centres and no multiplicity given: assumed high spin"
    SEVERAL_FRAGMENTS = "several fragments in one record: kept together, in contact"
    OPEN_STEREO = "stereochemistry not fully specified: one stereoisomer was built"
    CHARGE_OF_ATOMS = "charge is the sum of the charges of the atoms"
    SPIN_OF_ATOMS = "multiplicity is from the sum of the magnetic moments of the atoms"
    HYDROGENS_ADDED = "missing hydrogens were added"
    EMBEDDED = "flat drawing: a geometry was built"
    NO_LABELS = "results of a calculator (energies, forces, ...) were not imported"
    NO_CELL = "cells and constraints were not imported"
    ISOTOPES = "isotopes or masses were imported, but calculations use natural masses"
    METAL_SPIN = "a metal of the d or f block and no multiplicity given: assumed the lowest one"
    LOOKALIKE = "a field that may be a charge or multiplicity was not taken for one"
    HAS_RESULTS = "values below the campaign's output key were imported: they count as results"
    NO_COLUMNS = "columns after x, y, z of plain XYZ frames were not imported"
    REPEATED = "the same molecule as another record: its title and fields were not imported"


class Refused(Exception):
    """A record cannot be imported; says why."""


@dataclass(frozen=True)
class Options:
    """What an import may say beside the campaign file."""

    fields: MoleculeFields = field(default_factory=MoleculeFields)
    # The field below which the campaign's results are, which no imported field may take.
    output_key: str = "results"
    charge: int | None = None  # of all records
    multiplicity: int | None = None
    # A molfile without its hydrogens: refuse it, take it as it is, or add them.
    hydrogens: Literal["refuse", "keep", "add"] = "refuse"
    # A molfile that is a flat drawing: refuse it, take it as it is, or build a geometry.
    flat: Literal["refuse", "keep", "embed"] = "refuse"
    conformers: int = 1  # of each SMILES
    optimize: Literal["mmff", "gfnff", "none"] = "mmff"
    smiles_column: str | None = None  # of a CSV file


@dataclass
class Record:
    """One record of a file: a molecule, or several conformers of it, or the reason why not."""

    number: int  # counted from 1
    line: int | None = None  # where it begins, counted from 1; None: the file is not text
    title: str = ""
    raw: bytes = b""  # as it is in the file; b"" where that cannot be written elsewhere
    documents: list[Document] = field(default_factory=list)
    notes: set[Note] = field(default_factory=set)
    why: str | None = None  # it was refused
    multiplicity_from: str = ""  # what states it; "": nothing does

    def refuse(self, why: object) -> "Record":
        """The record, refused."""
        self.documents, self.notes = [], set()
        self.why = " ".join(str(why).split())
        return self

    @property
    def place(self) -> str:
        """Number, line and title, for a message."""
        line = f", line {self.line}" if self.line is not None else ""
        title = f" ({self.title[:60]!r})" if self.title else ""
        return f"record {self.number}{line}{title}"


def put(document: Document, name: str, value: Any) -> None:
    """Set the field `name` of a document; dots are for fields within fields."""
    *above, last = name.split(".")
    for part in above:
        document = document.setdefault(part, {})
    document[last] = value


def add_fields(document: Document, given: Mapping[str, Any], options: Options) -> None:
    """Add what a record says beside its molecule, under names that MongoDB and the campaign allow.

    A dot and a leading `$` become `_`; a name that the molecule, the results or `_id` has, or that
    the document has already, gets the prefix `imported_`.

    Raises:
        Refused: two fields would have the same name.
    """
    taken = {name.split(".")[0] for name in options.fields.names}
    taken |= {"_id", options.output_key.split(".")[0]}
    for name, value in given.items():
        plain = name.strip().replace(".", "_").replace("\0", "_") or "unnamed"
        plain = f"_{plain[1:]}" if plain.startswith("$") else plain
        if plain in taken or (plain in document and document[plain] != value):
            plain = f"imported_{plain}"
        if plain in document and document[plain] != value:
            raise Refused(f"two of its fields would be stored as '{plain}'")
        document[plain] = value
