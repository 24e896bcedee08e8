"""Reading molecules from documents: which fields are read, and which documents are refused."""

import math
from typing import Any

import pytest
from bson import Decimal128, Int64

from wqmaster.campaign.models import MoleculeFields
from wqmaster.errors import BadDocument, Defect
from wqmaster.jobs.molecule import (
    SYMBOLS,
    Molecule,
    closest,
    from_document,
    lookup,
    refuse_coincident,
)

FIELDS = MoleculeFields()
OXYGEN = [0.0, 0.0, 0.0]


def water(**changes: Any) -> dict[str, Any]:
    """A valid document with `changes`; a field that is set to `...` is left out."""
    document = {
        "_id": 1,
        "atomic_numbers": [8, 1, 1],
        "coordinates": [[0.0, 0.0, 0.0], [0.0, 0.0, 0.96], [0.93, 0.0, -0.24]],
        **changes,
    }
    return {name: value for name, value in document.items() if value is not ...}


def refused(document: dict[str, Any], fields: MoleculeFields = FIELDS) -> str:
    with pytest.raises(BadDocument) as caught:
        from_document(document, fields)
    return caught.value.message


def test_a_valid_document_becomes_a_neutral_singlet_by_default() -> None:
    molecule = from_document(water(name="water"), FIELDS)
    assert molecule.id == 1
    assert molecule.numbers == (8, 1, 1)
    assert molecule.coordinates[2] == (0.93, 0.0, -0.24)
    assert (molecule.charge, molecule.multiplicity, molecule.unpaired) == (0, 1, 0)
    assert molecule.document["name"] == "water"


def test_charge_and_multiplicity_come_from_the_document() -> None:
    molecule = from_document(water(charge=1, multiplicity=2), FIELDS)
    assert (molecule.charge, molecule.multiplicity, molecule.unpaired) == (1, 2, 1)


def test_null_stands_for_the_default_charge_and_multiplicity() -> None:
    molecule = from_document(water(charge=None, multiplicity=None), FIELDS)
    assert (molecule.charge, molecule.multiplicity) == (0, 1)


def test_whole_numbers_of_every_mongodb_type_are_accepted() -> None:
    molecule = from_document(
        water(atomic_numbers=[8.0, Int64(1), 1], charge=Int64(-1), multiplicity=2.0), FIELDS
    )
    assert molecule.numbers == (8, 1, 1)
    assert (molecule.charge, molecule.multiplicity) == (-1, 2)
    assert all(type(number) is int for number in (*molecule.numbers, molecule.multiplicity))


def test_integer_coordinates_become_floats() -> None:
    molecule = from_document(water(coordinates=[[0, 0, 0], [0, 0, 1], [1, 0, 0]]), FIELDS)
    assert all(type(value) is float for row in molecule.coordinates for value in row)


def test_symbols_may_replace_atomic_numbers() -> None:
    molecule = from_document(water(atomic_numbers=["O", " h", "H "]), FIELDS)
    assert molecule.numbers == (8, 1, 1)


def test_two_letter_symbols_are_read_in_any_case() -> None:
    document = water(atomic_numbers=["CL", "na"], coordinates=[OXYGEN, [0, 0, 2.4]])
    assert from_document(document, FIELDS).numbers == (17, 11)


def test_every_symbol_has_its_atomic_number() -> None:
    known = {1: "H", 6: "C", 10: "Ne", 18: "Ar", 36: "Kr", 54: "Xe", 57: "La", 86: "Rn", 118: "Og"}
    assert {number: SYMBOLS[number] for number in known} == known
    assert len(SYMBOLS) == len(set(SYMBOLS)) == 119


def test_flat_coordinates_are_read_in_threes() -> None:
    flat = [0.0, 0.0, 0.0, 0.0, 0.0, 0.96, 0.93, 0.0, -0.24]
    assert from_document(water(coordinates=flat), FIELDS).coordinates == (
        (0.0, 0.0, 0.0),
        (0.0, 0.0, 0.96),
        (0.93, 0.0, -0.24),
    )


def test_nested_fields_are_found_by_dotted_names() -> None:
    fields = MoleculeFields(
        atomic_numbers="geometry.start.z", coordinates="geometry.start.xyz", charge="state.q"
    )
    document = {
        "_id": "a",
        "geometry": {"start": {"z": [1], "xyz": [[1, 2, 3]]}},
        "state": {"q": 1},
        "charge": 5,
    }
    molecule = from_document(document, fields)
    assert (molecule.numbers, molecule.coordinates, molecule.charge) == ((1,), ((1, 2, 3),), 1)


@pytest.mark.parametrize(
    ("name", "value"), [("a.b", 1), ("a.c", None), ("a.b.c", None), ("x", None), ("a", {"b": 1})]
)
def test_a_lookup_follows_dots_and_finds_none_where_the_path_ends(name: str, value: Any) -> None:
    assert lookup({"a": {"b": 1}}, name) == value


def test_a_missing_field_is_named_with_the_key_that_renames_it() -> None:
    message = refused(water(atomic_numbers=..., elements=[8, 1, 1]))
    assert "no 'atomic_numbers'" in message
    assert "'molecule: {atomic_numbers: NAME}'" in message


def test_a_document_with_only_an_id_is_refused() -> None:
    assert "no 'atomic_numbers'" in refused({"_id": 1})


def test_a_missing_nested_field_is_named_as_in_the_campaign() -> None:
    fields = MoleculeFields(coordinates="geometry.xyz")
    assert "no 'geometry.xyz'" in refused(water(geometry={"abc": 1}), fields)


@pytest.mark.parametrize("value", [[], (), "H2O", 8, {"0": 8}])
def test_atoms_that_are_not_a_list_are_refused(value: Any) -> None:
    assert "'atomic_numbers' is not a non-empty list" in refused(water(atomic_numbers=value))


@pytest.mark.parametrize(
    "value",
    [0, -1, 119, 8.5, True, None, [8], 10**400, Decimal128("8"), math.nan, math.inf],
)
def test_an_unknown_atomic_number_is_refused_with_its_position(value: Any) -> None:
    message = refused(water(atomic_numbers=[8, value, 1]))
    assert message.startswith("atom 2 (of 3) has an unknown element: ")


@pytest.mark.parametrize("value", ["Xx", "X", "", "8", "H2", "D"])
def test_an_unknown_element_symbol_is_refused_with_its_position(value: str) -> None:
    message = refused(water(atomic_numbers=["O", "H", value]))
    assert message == f"atom 3 (of 3) has an unknown element: {value!r}"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_coordinate_that_is_not_finite_is_refused(value: float) -> None:
    message = refused(water(coordinates=[OXYGEN, [0.0, value, 0.96], [0.93, 0.0, -0.24]]))
    assert message == f"a coordinate of atom 2 (of 3) is not finite: {value!r}"


@pytest.mark.parametrize("value", [True, False, "0.5", None, [0.5], {}, Decimal128("0.5")])
def test_a_coordinate_that_is_not_a_number_is_refused(value: Any) -> None:
    message = refused(water(coordinates=[OXYGEN, [0.0, 0.0, 0.96], [0.93, 0.0, value]]))
    assert message.startswith("a coordinate of atom 3 (of 3) is not a number: ")


@pytest.mark.parametrize("value", [math.nan, True, "1"])
def test_a_flat_coordinate_that_is_not_a_finite_number_is_refused(value: Any) -> None:
    message = refused(water(coordinates=[0, 0, 0, 0, value, 0.96, 0.93, 0, -0.24]))
    assert message.startswith("a coordinate of atom 2 (of 3) is not ")


@pytest.mark.parametrize("row", [[0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [], 0.0, None, "xyz"])
def test_an_atom_without_three_coordinates_is_refused(row: Any) -> None:
    message = refused(water(coordinates=[OXYGEN, OXYGEN, row]))
    assert message.startswith("'coordinates' of atom 3 (of 3) is not three numbers: ")


def test_flat_coordinates_whose_number_is_not_a_multiple_of_three_are_refused() -> None:
    assert refused(water(coordinates=[0.0] * 8)) == (
        "'coordinates' has length 8, which is not a multiple of 3"
    )


@pytest.mark.parametrize("coordinates", [[OXYGEN, OXYGEN], [0.0] * 12])
def test_different_numbers_of_atoms_and_coordinates_are_refused(coordinates: Any) -> None:
    has = 2 if len(coordinates) == 2 else 4
    assert refused(water(coordinates=coordinates)) == (
        f"the number of atoms is 3 in 'atomic_numbers', but {has} in 'coordinates'"
    )


@pytest.mark.parametrize(
    ("charge", "multiplicity", "electrons"),
    [(0, 2, 10), (1, 1, 9), (-1, 3, 11), (0, 0, 10), (0, -1, 10), (0, 13, 10), (9, 4, 1)],
)
def test_a_multiplicity_that_the_electrons_cannot_have_is_refused(
    charge: int, multiplicity: int, electrons: int
) -> None:
    message = refused(water(charge=charge, multiplicity=multiplicity))
    assert f"multiplicity {multiplicity} is impossible" in message
    count = "is 1 electron" if electrons == 1 else f"are {electrons} electrons"
    assert f"there {count}, so" in message


def test_the_highest_multiplicity_leaves_no_electron_paired() -> None:
    assert from_document(water(multiplicity=11), FIELDS).unpaired == 10


def test_a_charge_beyond_all_electrons_is_refused() -> None:
    message = refused(water(charge=11))
    assert "charge +11" in message
    assert "10 electrons" in message


def test_all_electrons_can_be_removed() -> None:
    proton = {"_id": 1, "atomic_numbers": [1], "coordinates": [OXYGEN], "charge": 1}
    assert from_document(proton, FIELDS).charge == 1


@pytest.mark.parametrize("name", ["charge", "multiplicity"])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.5, "is not a whole number"),
        (math.nan, "is not finite"),
        (math.inf, "is not finite"),
        (True, "is not a number"),
        ("1", "is not a number"),
        ([1], "is not a number"),
    ],
)
def test_a_charge_or_multiplicity_that_is_not_a_whole_number_is_refused(
    name: str, value: Any, words: str
) -> None:
    assert refused(water(**{name: value})).startswith(f"'{name}' {words}")


def test_a_long_wrong_value_does_not_fill_the_message() -> None:
    assert len(refused(water(coordinates="x" * 100_000))) < 200


def test_xyz_text_keeps_coordinates_to_twelve_decimals() -> None:
    values = (1 / 3, -123.456789012345, 1e-12)
    text = Molecule(1, (17,), (values,)).xyz()
    count, comment, atom = text.splitlines()
    assert (count, comment) == ("1", "")
    assert atom.split() == ["Cl", "0.333333333333", "-123.456789012345", "0.000000000001"]
    assert text.endswith("\n")


def test_xyz_columns_stay_separate_for_distant_atoms() -> None:
    text = Molecule(1, (1,), ((-1e12, -1e12, -1e12),)).xyz()
    assert [float(word) for word in text.splitlines()[2].split()[1:]] == [-1e12] * 3


def test_xyz_text_has_the_atoms_in_the_order_of_the_document() -> None:
    text = from_document(water(), FIELDS).xyz()
    assert [line.split()[0] for line in text.splitlines()[2:]] == ["O", "H", "H"]
    assert float(text.splitlines()[4].split()[1]) == 0.93


def test_the_closest_points_are_found_in_any_direction() -> None:
    line = [(1.5 * place, 0.0, 0.0) for place in range(200)]
    assert closest(line, 0.1) is None
    for far in ((0.09, 0.0, 0.0), (0.0, -0.09, 0.0), (0.05, 0.05, -0.05)):
        near = tuple(x + d for x, d in zip(line[70], far, strict=True))
        assert closest([*line, near], 0.1) == (70, 200)
    beside = (line[70][0] + 0.08, 0.08, 0.0)
    assert closest([*line, beside], 0.1) is None
    assert closest([(math.nan, 0.0, 0.0), (0.0, 0.0, 0.0)], 0.1) is None


def test_a_default_multiplicity_that_is_impossible_is_called_the_default() -> None:
    document = {"_id": 1, "atomic_numbers": [8, 1], "coordinates": [[0, 0, 0], [0, 0, 1]]}
    with pytest.raises(BadDocument, match=r"no multiplicity is given, and the default, 1, is"):
        from_document(document, MoleculeFields())
    with pytest.raises(BadDocument, match=r"^multiplicity 1 is impossible"):
        from_document({**document, "multiplicity": 1}, MoleculeFields())


def test_two_atoms_at_the_same_position_are_a_defect() -> None:
    molecule = Molecule(1, (1, 1), ((0.0, 0.0, 0.0), (0.0, 0.0, 1e-5)))
    with pytest.raises(
        BadDocument,
        match=r"atoms 1 and 2 \(of \d+\) are in the same place: they are 0\.00 Angstrom apart",
    ) as caught:
        refuse_coincident(molecule)
    assert caught.value.defect is Defect.COINCIDENT_ATOMS
