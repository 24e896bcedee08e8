"""Reference atoms: documents with one isolated atom each, which a campaign computes as well."""

from collections.abc import Iterator

from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from wqmaster.campaign.models import Campaign, MoleculeFields, ReferenceAtoms
from wqmaster.campaign.molecule_fields import REFERENCE_ATOM
from wqmaster.jobs.ground_states import GROUND_STATES
from wqmaster.jobs.molecule import NUMBER_OF, SYMBOLS, Document

_DUPLICATE_KEY_CODE = 11000


def elements_of(
    documents: Collection[Document], fields: MoleculeFields, query: Document, seconds: float
) -> list[str]:
    """The symbols of all elements in the documents that `query` selects, by atomic number.

    Raises:
        ExecutionTimeout: this took more than `seconds` (an error of pymongo).
    """
    found = documents.distinct(fields.atomic_numbers, query, maxTimeMS=int(seconds * 1000))
    numbers = set()
    for value in found:
        if isinstance(value, str):
            numbers.add(NUMBER_OF.get(value.strip().capitalize(), 0))
        elif isinstance(value, (int, float)) and value == int(value) and 0 < value < len(SYMBOLS):
            numbers.add(int(value))
    return [SYMBOLS[number] for number in sorted(numbers - {0})]


def multiplicity_of(asked: ReferenceAtoms, symbol: str) -> int | None:
    """The multiplicity of an element's atom; None if its ground state is not known."""
    return asked.multiplicities.get(symbol, GROUND_STATES.get(symbol))


def is_asked_for(asked: ReferenceAtoms, symbol: str, multiplicity: int) -> bool:
    """Whether this atom is among those that a campaign asks for.

    Atoms that it asked for before stay in the database when the campaign file changes.
    """
    is_listed = asked.elements is None or symbol in asked.elements
    return is_listed and multiplicity_of(asked, symbol) == multiplicity


def documents_of(
    campaign: Campaign, asked: ReferenceAtoms, elements: list[str]
) -> Iterator[Document]:
    """Yield the document of each reference atom.

    The multiplicity is part of the `_id`, so another multiplicity makes another document.

    Raises:
        ValueError: the ground state of an element is not known, and no multiplicity is stated.
    """
    fields = campaign.molecule
    for symbol in asked.elements or elements:
        known = multiplicity_of(asked, symbol)
        if known is None:
            raise ValueError(
                f"the ground state of {symbol} is not known; state its multiplicity: "
                f"'multiplicities: {{{symbol}: ...}}'"
            )
        document: Document = {"_id": f"{campaign.campaign}-atom-{symbol}-{known}"}
        for name, value in (
            (fields.atomic_numbers, [NUMBER_OF[symbol]]),
            (fields.coordinates, [[0.0, 0.0, 0.0]]),
            (fields.charge, 0),
            (fields.multiplicity, known),
        ):
            put(document, name, value)
        yield {**document, REFERENCE_ATOM: campaign.campaign}


def put(document: Document, name: str, value: object) -> None:
    """Set the field `name` (dots separate nested fields) of a document."""
    *parents, last = name.split(".")
    for parent in parents:
        document = document.setdefault(parent, {})
    document[last] = value


def insert(documents: Collection[Document], atoms: list[Document]) -> int:
    """Insert the atoms that are not there yet; returns how many were inserted.

    Raises:
        BulkWriteError: an atom could not be inserted for another reason (an error of pymongo).
    """
    if not atoms:
        return 0
    try:
        return len(documents.insert_many(atoms, ordered=False).inserted_ids)
    except BulkWriteError as error:
        if any(found["code"] != _DUPLICATE_KEY_CODE for found in error.details["writeErrors"]):
            raise
        return int(error.details["nInserted"])
