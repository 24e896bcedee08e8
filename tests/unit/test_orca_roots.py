"""Values beside an excited state's energy are from its density or the SCF, or are refused.

The outputs are handmade (orca_runs.py), in the layouts of public outputs.
"""

import json
from typing import Any

import pytest

from tests.unit.orca_outputs import output
from tests.unit.orca_runs import (
    charges,
    coordinates,
    cycle,
    dipole,
    energy,
    final,
    gradient,
    run,
    scf,
    settings,
    slope,
)
from wqmaster.errors import ParseError
from wqmaster.parsers import orca
from wqmaster.parsers.base import Output, Parser

EXCITATION = 0.25
RELAXED = "                        *** CIS RELAXED DENSITY ***\n\n"
ORCA_6 = "Method             : {}\nType of density    : Electron Density\n"


def read(parser: Parser, text: str) -> Any:
    return parser(output(text))


def total(root: str, excitation: float = EXCITATION) -> str:
    """The block in which ORCA states the root."""
    ground = energy(0.74)
    return (
        "-----------------------\nCIS/TD-DFT TOTAL ENERGY\n-----------------------\n\n"
        f"    E(SCF)  = {ground:16.9f} Eh\n    DE(CIS) = {excitation:16.9f} Eh ({root})\n"
        "    ----------------------------- ---------\n"
        f"    E(tot)  = {ground + excitation:16.9f} Eh\n\n" + final(ground + excitation)
    )


def excited(root: str, *more: str) -> str:
    state = settings() + scf(energy(0.74)) + charges(0.1)
    return run(coordinates(0.74), state, total(root), *more)


TENSOR = [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]]
FOLLOWED = (gradient(slope(0.74)), dipole(1.5))


def test_values_of_the_scf_density_are_refused_if_a_root_was_followed() -> None:
    text = excited("Root  2", *FOLLOWED)
    assert read(orca.energy, text) == pytest.approx(energy(0.74) + EXCITATION, abs=1e-12)
    assert read(orca.scf_energy, text) == pytest.approx(energy(0.74), abs=1e-8)
    for parser in (orca.mulliken_charges, orca.dipole):
        with pytest.raises(ParseError, match=r"for the SCF state, .* those of excited root 2"):
            read(parser, text)
    with pytest.raises(ParseError, match="is missing"):
        read(orca.loewdin_charges, text)
    (frame,) = read(orca.frames, text)
    assert (frame["root"], frame["multiplicity"]) == (2, 1)


@pytest.mark.parametrize(
    "heading", [RELAXED, ORCA_6.format("CIS"), RELAXED + ORCA_6.format("TD-DFT")]
)
def test_the_dipole_of_the_relaxed_density_belongs_to_the_root(heading: str) -> None:
    text = excited("Root  1", *FOLLOWED, heading, dipole(0.7))
    assert read(orca.dipole, text) == [0.0, 0.0, 0.7]
    with pytest.raises(ParseError, match="excited root 1"):
        read(orca.mulliken_charges, text)


def test_an_unrelaxed_density_does_not_belong_to_the_root() -> None:
    unrelaxed = RELAXED.replace("RELAXED", "UNRELAXED")
    text = excited("Root  1", *FOLLOWED, unrelaxed, ORCA_6.format("SCF"), dipole(0.7))
    with pytest.raises(ParseError, match="excited root 1"):
        read(orca.dipole, text)


def test_after_an_optimization_of_a_root_charges_of_the_scf_are_refused() -> None:
    last = (coordinates(0.74), scf(energy(0.74)), charges(0.1), total("Root  1"))
    text = run(cycle(1, 0.80, settings()), *last)
    with pytest.raises(ParseError, match="excited root 1"):
        read(orca.mulliken_charges, text)


def test_with_excitations_only_the_density_belongs_to_the_ground_state() -> None:
    text = excited("Root  1", dipole(1.5))
    assert read(orca.total_energy, text) == pytest.approx(energy(0.74) + EXCITATION, abs=1e-12)
    with pytest.raises(ParseError, match=r"excited root 1, .* 'scf_energy' .* 'total_energy'"):
        read(orca.energy, text)
    ground = excited("Root  0", dipole(1.5))
    assert read(orca.energy, ground) == read(orca.total_energy, ground)
    assert read(orca.mulliken_charges, text) == [0.1, -0.1]
    assert read(orca.dipole, text) == [0.0, 0.0, 1.5]
    assert read(orca.multiplicity, text) == 1


def test_the_multiplicity_of_a_triplet_is_not_that_of_the_scf() -> None:
    text = excited("Triplet root  1")
    with pytest.raises(ParseError, match="excited triplet root 1"):
        read(orca.multiplicity, text)
    (frame,) = read(orca.frames, text)
    assert (frame["root"], frame["multiplicity"]) == (1, 3)


def test_a_spin_orbit_state_has_no_multiplicity() -> None:
    text = excited("SOC Root  1").replace("DE(CIS) =", "E(SOC CIS)    =")
    with pytest.raises(ParseError, match="spin-orbit root 1"):
        read(orca.multiplicity, text)
    (frame,) = read(orca.frames, text)
    assert (frame["root"], frame["multiplicity"]) == (1, None)


def test_a_root_that_cannot_be_read_is_a_parse_error() -> None:
    with pytest.raises(ParseError, match="does not state which root"):
        read(orca.frames, excited("somewhere"))


def equation_of_motion(value: float, heading: str = "EOM-CCSD RESULTS (RHS)") -> str:
    """An EOM-CCSD run with the coupled-cluster energy, at a distance of 0.74 Angstrom."""
    states = f"-----\n{heading}\n-----\n\nIROOT=  1:  {EXCITATION:.6f} au  6.8 eV  54869 cm**-1\n"
    coupled = f"E(TOT)                                     ... {energy(0.74):17.9f}\n"
    return run(
        coordinates(0.74), settings(), scf(-1.1), charges(0.1), coupled, states, final(value)
    )


def test_eom_ccsd_gives_the_energy_of_its_lowest_root_or_of_the_ground_state() -> None:
    (ground,) = read(orca.frames, equation_of_motion(energy(0.74)))
    (root,) = read(orca.frames, equation_of_motion(energy(0.74) + EXCITATION))
    assert (ground["root"], root["root"]) == (None, 1)
    triplets = equation_of_motion(energy(0.74) + EXCITATION, "STEOM-CCSD RESULTS (TRIPLETS)")
    (triplet,) = read(orca.frames, triplets)
    assert (triplet["root"], triplet["multiplicity"]) == (1, 3)


def test_the_polarizability_of_the_scf_state_is_refused_if_a_root_was_followed() -> None:
    rows = "\n".join("  ".join(f"{value:.5f}" for value in row) for row in TENSOR)
    printed = (
        "-------------------------\nTHE POLARIZABILITY TENSOR\n-------------------------\n\n"
        f"The raw cartesian tensor (atomic units):\n{rows}\n"
        "Isotropic polarizability :   2.00000\n"
    )
    assert read(orca.polarizability, excited("Root  1", printed)) == TENSOR
    with pytest.raises(ParseError, match=r"'polarizability' for the SCF state, .* excited root 1"):
        read(orca.polarizability, excited("Root  1", *FOLLOWED, printed))
    with pytest.raises(ParseError, match="is missing"):
        read(orca.polarizability, excited("Root  1", *FOLLOWED))


def test_scf_values_of_a_property_file_are_refused_if_a_root_was_followed() -> None:
    file = {
        "Calculation_Info": {"NumOfAtoms": 2},
        "Geometries": [
            {
                "Dipole_Moment": [{"dipoleTotal": [[0.0], [0.0], [1.5]]}],
                "Polarizability": [{"rawCartesian": TENSOR}],
                "Mulliken_Population_Analysis": [{"AtomicCharges": [[0.1], [-0.1]]}],
            }
        ],
    }
    name, content = "orca.property.json", json.dumps(file).encode()
    for parser, value in (
        (orca.json_dipole, [0.0, 0.0, 1.5]),
        (orca.json_mulliken_charges, [0.1, -0.1]),
        (orca.json_polarizability, TENSOR),
    ):
        vertical = {name: content, "stdout": excited("Root  1").encode()}
        assert parser(Output(vertical, name)) == value
        assert parser(Output({name: content}, name)) == value
        followed = {name: content, "stdout": excited("Root  1", *FOLLOWED).encode()}
        with pytest.raises(ParseError, match="excited root 1"):
            parser(Output(followed, name))


def test_an_energy_without_an_scf_is_not_a_frame() -> None:
    """With the keyword `NoIter`, ORCA prints a final energy of 0."""
    text = run(coordinates(0.74), settings(), final(0.0))
    with pytest.raises(ParseError, match="no evaluation"):
        read(orca.frames, text)
