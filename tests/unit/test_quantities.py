"""One name for one quantity in all programs."""

from pathlib import Path
from typing import Any

import pytest

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output
from wqmaster.parsers.quantities import QUANTITIES, misfit
from wqmaster.tasks.programs import program_called, programs

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
# The only name with two meanings (T*S in Eh and S in Eh/K); `entropy_term` has only one.
_OF_OLD = {"entropy"}


def test_a_name_that_several_programs_share_is_a_common_quantity() -> None:
    names = [set(program.own_parsers()) for program in programs().values()]
    shared = {name for own in names for name in own if sum(name in each for each in names) > 1}
    for name in shared - _OF_OLD - set(QUANTITIES):
        owners = [one.name for one in programs().values() if name in one.own_parsers()]
        pytest.fail(
            f"the parser '{name}' is in {' and '.join(owners)}: rename it, or add it to "
            "wqmaster/parsers/quantities.py, if it is the same quantity in each"
        )


_OF_DFT = {
    *("basis_functions", "dispersion_energy", "electrons", "integrated_electrons"),
    "loewdin_charges",
    *("loewdin_spins", "mulliken_charges", "mulliken_spins", "nl_energy", "s_squared"),
    *("scf_cycles", "timings"),
}
_OF_FREE_ENERGIES = {
    *("enthalpy", "entropy_term", "gibbs_free_energy", "ir_intensities", "thermochemistry"),
}


@pytest.mark.parametrize(
    ("program", "lacking"),
    [
        ("orca", {"opt_cycles", "solvation_energy"}),
        ("xtb", {"quadrupole", "polarizability", *_OF_DFT}),
        ("pyscf", {"bond_orders", "geometry_trajectory", "polarizability", *_OF_FREE_ENERGIES}),
    ],
)
def test_programs_of_electronic_structure_have_the_quantities(
    program: str, lacking: set[str]
) -> None:
    found = program_called(program)
    assert found is not None
    assert set(QUANTITIES) - set(found.own_parsers()) == lacking


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("energy", -1.5, None),
        ("energy", [-1.5], "energy is a list"),
        ("dipole", [0, 0, 1], None),
        ("dipole", [0, 1], "dipole has length 2 instead of 3"),
        ("gradient", [[0, 0, 0], [0, 0, 1]], None),
        ("gradient", [[0, 0, 0]], "gradient has length 1 instead of 2"),
        ("gradient", [[0, 0, 0], [0, 1]], r"gradient\[1\] has length 2"),
        ("gradient", [0, 0], r"gradient\[0\] is not a list"),
        ("hessian", [[0] * 6] * 6, None),
        ("hessian", [[0] * 6] * 5, "hessian has length 5 instead of 6"),
        ("frequencies", [1.0, 2.0, 3.0], None),
        ("anything", "else", None),
    ],
)
def test_a_value_must_have_the_shape_of_its_quantity(name: str, value: Any, why: str) -> None:
    found = misfit(name, value, 2)
    if why is None:
        assert found is None
    else:
        with pytest.raises(ValueError, match=why):
            raise ValueError(found)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"there is no {SHARED}")
def test_the_values_of_real_outputs_have_their_shapes() -> None:
    program = program_called("orca")
    assert program is not None
    parsers = program.own_parsers()
    seen: set[str] = set()
    for path in sorted((SHARED / "orca").rglob("*.out")):
        output = Output({"stdout": path.read_bytes()})
        try:
            natoms = len(parsers["symbols"](output))
        except ParseError:
            continue
        for name in set(QUANTITIES) & set(parsers):
            try:
                value = parsers[name](output.beside(parsers[name].files[0]))  # type: ignore[attr-defined]
            except ParseError:
                continue
            assert misfit(name, value, natoms) is None, path
            seen.add(name)
    assert {"energy", "gradient", "charges", "dipole", "frequencies", "bond_orders"} <= seen
