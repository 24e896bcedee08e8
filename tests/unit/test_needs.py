"""What jobs need before any has run: basis functions, and OMol25's rule for ORCA."""

from types import SimpleNamespace

import pytest

from wqmaster.jobs.molecule import Molecule
from wqmaster.tasks.basis_sets import basis_functions
from wqmaster.tasks.needs import Needs
from wqmaster.tasks.orca.needs import needs

METHANE = Molecule(1, (6, 1, 1, 1, 1), tuple((float(x), 0.0, 0.0) for x in range(5)))
METHYL = Molecule(2, METHANE.numbers[:4], METHANE.coordinates[:4], multiplicity=2)


def of(route: str, molecule: Molecule = METHANE, cores: int = 1) -> Needs | None:
    return needs(molecule, SimpleNamespace(route=route), cores)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        # Methane: ORCA and PySCF print these numbers of contracted functions.
        ("def2-SVP", 34),
        ("def2-TZVP", 55),
        ("def2-TZVPD", 73),
        ("cc-pVTZ", 86),
        ("6-31G*", 22),
        ("6-31G(d)", 22),
        ("6-31G(d,p)", 34),
    ],
)
def test_basis_functions_are_counted(name: str, count: int) -> None:
    assert basis_functions(METHANE.numbers, lambda number: name) == count
    found = of(f"! PBE {name} def2/J EnGrad")
    assert found is not None
    assert found.size == count


def test_an_unknown_basis_or_element_has_no_count() -> None:
    assert basis_functions((6,), lambda number: "my-basis") is None
    assert basis_functions((103,), lambda number: "def2-svp") is None
    assert basis_functions((60,), lambda number: "sto-3g") is None


def test_orca_gets_what_omol25_gave_it() -> None:
    large = Molecule(1, (6,) * 100, tuple((float(x), 0.0, 0.0) for x in range(100)))
    functions = 37 * 100
    found = of("! wB97M-V def2-TZVPD EnGrad # def2-SVP", large, cores=4)
    assert found is not None
    each = 0.0076739752 * functions**1.5 + 361.47
    assert found.memory == pytest.approx(4 * each / 0.75)
    radical = Molecule(1, large.numbers, large.coordinates, multiplicity=3)
    found = of("! wB97M-V def2-TZVPD", radical)
    assert found is not None
    assert found.memory == pytest.approx((0.0164605184 * functions**1.5 - 320.39) / 0.75)


def test_a_small_molecule_needs_a_gigabyte_for_each_process() -> None:
    for molecule in (METHANE, METHYL):
        assert of("! HF def2-SVP", molecule, 2).memory == pytest.approx(2000 / 0.75)  # type: ignore[union-attr]


def test_a_method_without_a_known_basis_is_measured_by_a_large_one() -> None:
    assert of("! HF Def2-Strange").size == 73  # type: ignore[union-attr]
    assert of("! r2SCAN-3c").size == 55  # type: ignore[union-attr]
    assert of("! XTB2 Opt") is None


def test_a_size_is_above_zero() -> None:
    with pytest.raises(ValueError, match="size"):
        Needs(0)
    with pytest.raises(ValueError, match="memory"):
        Needs(5, 0.0)
