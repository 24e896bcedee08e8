"""Records in a structure file, each with its documents or the reason why it was refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from wqmaster.campaign.models import MoleculeFields
from wqmaster.jobs.molecule import Document

# The maximum size of a record. Larger ones are refused; no molecule needs as much.
MAX_RECORD_BYTES = 64 << 20


class Note(StrEnum):
    """An assumption or omission in the import of a record, counted in the import's summary."""

    NO_CHARGE = "no charge given: assumed 0"
    NO_MULTIPLICITY = "no multiplicity given: assumed 1"
    # codespell:ignore-next-line
    HIGH_SPIN = "several radical centres and no multiplicity given: assumed high spin"
    SEVERAL_FRAGMENTS = "several fragments in one record: kept together, in contact"
    OPEN_STEREO = "stereochemistry not fully specified: one stereoisomer was built"
    CHARGE_OF_ATOMS = "charge is the sum of the charges of the atoms"
    SPIN_OF_ATOMS = "multiplicity is from the sum of the magnetic moments of the atoms"
    HYDROGENS_ADDED = "missing hydrogens were added"
    EMBEDDED = "2D structure (no z coordinates): a geometry was built"
    NO_LABELS = "results of a calculator (energies, forces, ...) were not imported"
    NO_CELL = "cells and constraints were not imported"
    ISOTOPES = "isotopes or masses were imported, but calculations use natural masses"
    METAL_SPIN = "a metal of the d or f block and no multiplicity given: assumed the lowest one"
    LOOKALIKE = "a field that may be a charge or multiplicity was not taken for one"
    HAS_RESULTS = "values below the campaign's output key were imported: they count as results"
    NO_COLUMNS = "columns after x, y, z of plain XYZ frames were not imported"
    OWN_ID = "the record has its own _id: --prefix was not used"
    REPEATED = "the same molecule as another record: its title and fields were not imported"

    @property
    def words(self) -> str:
        """The note as people read it; the value itself is a key of the import's JSON."""
        return _REWORDED.get(self, self.value)


_REWORDED = {
    Note.HIGH_SPIN: "several radical centers and no multiplicity given: assumed high spin",
    Note.SEVERAL_FRAGMENTS: "several fragments in one record: placed in contact",
    Note.LOOKALIKE: "a field that may be a charge or multiplicity was not used as one",
    Note.HAS_RESULTS: "the field of the campaign's results was imported with the document",
}


# The names of results in data sets, which are not imported.
LABELS = frozenset(
    (
        *("energy", "energies", "formation_energy", "dft_total_energy", "forces", "gradient"),
        *("dft_total_gradient", "charges", "atomic_charges", "mbis_charges", "spins", "magmoms"),
        *("spin_charges", "atomic_spins", "dipole", "dipoles", "scf_dipole", "quadrupole"),
        *("quadrupoles", "scf_quadrupole"),
    )
)


class IdFault(StrEnum):
    """What is wrong with the `_id` of a refused record."""

    TAKEN = "another document has it"
    OWN_TAKEN = "another document has the one that the record states"
    MISSING = "the record has nothing of the name that --id-from states, or nothing usable"
    OWN = "the record has its own, and --id-from asks for another"


class Refused(Exception):
    """A record cannot be imported; the message gives the reason.

    `id_fault` is set if the reason is the `_id`, not what the record holds. `option` is the option
    of the command line that accepts such records, as the message explains.
    """

    def __init__(
        self, reason: object, id_fault: IdFault | None = None, option: str | None = None
    ) -> None:
        super().__init__(reason)
        self.id_fault = id_fault
        self.option = option


@dataclass(frozen=True)
class Options:
    """Settings for an import, from the command line and the campaign file."""

    fields: MoleculeFields = field(default_factory=MoleculeFields)
    # The key that the campaign's results are stored under, so no imported field may have this name.
    output_key: str = "results"
    charge: int | None = None  # the charge of every record (e)
    multiplicity: int | None = None  # the multiplicity of every record
    # If a molfile lacks hydrogens: refuse it, use it as it is, or add the hydrogens.
    hydrogens: Literal["refuse", "keep", "add"] = "refuse"
    # If a molfile is a flat drawing: refuse it, use it as it is, or build a geometry.
    flat: Literal["refuse", "keep", "embed"] = "refuse"
    conformers: int = 1  # number of geometries to build from each SMILES
    optimize: Literal["mmff", "gfnff", "none"] = "mmff"
    smiles_column: str | None = None  # column with the SMILES in a CSV or TSV file


@dataclass
class Record:
    """One record in a file: a molecule with one or more conformers, or the reason for refusal."""

    number: int  # counted from 1
    line: int | None = None  # the record's first line, counted from 1; None if the file is not text
    title: str = ""
    raw: bytes = b""  # the text in the file; b"" if it cannot be written to another file
    documents: list[Document] = field(default_factory=list)
    notes: set[Note] = field(default_factory=set)
    why: str | None = None  # reason for refusal
    multiplicity_from: str = ""  # source of the multiplicity; "" if nothing states it
    # What is wrong with its `_id`, if that is the reason, and not what the record holds.
    id_fault: IdFault | None = None
    option: str | None = None  # the option that would accept it, if there is one
    states_id: bool = False  # whether the file states the `_id`

    def refuse(self, why: object, id_fault: IdFault | None = None) -> "Record":
        """Mark the record as refused, and return it."""
        self.documents, self.notes = [], set()
        self.why = " ".join(str(why).split())
        self.id_fault = id_fault
        self.option = why.option if isinstance(why, Refused) else None
        return self

    @property
    def place(self) -> str:
        """The record's number, line and title, for messages."""
        line = f", line {self.line}" if self.line is not None else ""
        title = f" ({self.title[:60]!r})" if self.title else ""
        return f"record {self.number}{line}{title}"


def put(document: Document, name: str, value: Any) -> None:
    """Set the field `name` of a document; dots in the name denote nested fields."""
    *above, last = name.split(".")
    for part in above:
        document = document.setdefault(part, {})
    document[last] = value


def add_fields(document: Document, given: Mapping[str, Any], options: Options) -> None:
    """Add a record's other fields to its document, under names that MongoDB and the campaign allow.

    Dots and a leading `$` become `_`. The prefix `imported_` is added to `_id`, to names that the
    campaign uses for the molecule or the results, and to names that are already in the document.

    Raises:
        Refused: two fields would be stored under the same name.
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
