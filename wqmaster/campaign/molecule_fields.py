"""`molecule:`, the fields of a document that describe its molecule."""

from pydantic import Field

from wqmaster.campaign.base import FIELD, Model

# The keys of `molecule:` that name document fields and so determine what is computed.
GEOMETRY_FIELDS = ("atomic_numbers", "coordinates", "charge", "multiplicity")
# The field with the name of the campaign that a reference atom belongs to. Queries leave out
# documents that have it, so no user's document should have a field of this name by chance.
REFERENCE_ATOM = "wqmaster_reference_atom"


class MoleculeFields(Model):
    """`molecule`: the fields of a document that describe its molecule."""

    # The field with atomic numbers or element symbols.
    atomic_numbers: str = Field(default="atomic_numbers", pattern=FIELD)
    # The field with coordinates in Angstrom, as [[x, y, z], ...] or as a flat list.
    coordinates: str = Field(default="coordinates", pattern=FIELD)
    # The field with the charge in units of e. A document without it has a charge of 0.
    charge: str = Field(default="charge", pattern=FIELD)
    # The field with the multiplicity, 2 S + 1. A document without it has a multiplicity of 1.
    multiplicity: str = Field(default="multiplicity", pattern=FIELD)
    # Whether a document without atoms is refused. Some task functions need no atoms (docking).
    required: bool = True

    @property
    def names(self) -> set[str]:
        """The document fields that describe the molecule."""
        return {self.atomic_numbers, self.coordinates, self.charge, self.multiplicity}
