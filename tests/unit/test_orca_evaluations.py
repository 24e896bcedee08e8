"""All values from ORCA belong to one evaluation, with one geometry and electronic state.

The outputs here are handmade (orca_runs.py); test_orca_shared_frames.py reads real ones.
"""

import re
from typing import Any

import pytest

from tests.unit.orca_outputs import END, output
from tests.unit.orca_runs import (
    DISTANCES,
    box,
    charges,
    coordinates,
    cycle,
    dipole,
    energy,
    final,
    frequencies,
    gradient,
    jobs,
    optimization,
    run,
    scf,
    settings,
    single_point,
    slope,
    stationary,
)
from wqmaster.errors import ParseError
from wqmaster.parsers import orca
from wqmaster.parsers.base import Output, Parser
from wqmaster.parsers.orca.geometry import is_atom


def read(parser: Parser, text: str) -> Any:
    return parser(output(text))


def refused(parser: Parser, text: str, words: str) -> None:
    with pytest.raises(ParseError, match=words) as caught:
        parser(output(text))
    assert "\n" not in caught.value.message


# --- single values -------------------------------------------------------------------------------


def test_after_an_optimization_only_the_gradient_is_refused() -> None:
    text = run(optimization(*DISTANCES))
    assert read(orca.total_energy, text) == energy(0.741)
    assert read(orca.geometry, text)[1] == [0.0, 0.0, 0.741]
    assert read(orca.optimized_geometry, text)[1] == [0.0, 0.0, 0.741]
    assert read(orca.mulliken_charges, text) == [0.001, -0.001]
    refused(orca.gradient, text, "belongs to optimization cycle 3 .*stationary point")
    refused(orca.largest_force, text, "optimization cycle 3")
    assert len(read(orca.gradient_trajectory, text)) == 3
    # The message names the lines of both evaluations.
    lines = text.split("\n")
    with pytest.raises(ParseError) as caught:
        read(orca.gradient, text)
    named = [int(count) for count in re.findall(r"\(line (\d+)\)", caught.value.message)]
    assert [lines[count - 1] for count in named] == ["CARTESIAN COORDINATES (ANGSTROEM)"] * 2
    assert [lines[count + 2] for count in named] == [
        "  H       0.000000    0.000000    0.745000",
        "  H       0.000000    0.000000    0.741000",
    ]


def test_an_optimization_that_ends_early_has_the_gradient_of_its_last_cycle_but_no_charges() -> (
    None
):
    text = run(optimization(*DISTANCES, end=None), "The optimization did not converge\n")
    assert read(orca.total_energy, text) == energy(0.745)
    assert read(orca.geometry, text)[1][2] == 0.745
    assert read(orca.gradient, text)[1][2] == slope(0.745)
    refused(orca.mulliken_charges, text, "'mulliken_charges' belongs to optimization cycle 1 ")


def test_a_gradient_at_the_same_coordinates_and_energy_belongs_to_the_final_evaluation() -> None:
    """The last step of an optimization can be smaller than the last printed digit."""
    text = run(optimization(0.80, 0.741))
    assert read(orca.gradient, text)[1][2] == slope(0.741)
    assert read(orca.frames, text)[-1]["gradient"][1][2] == slope(0.741)
    for old, new in (
        (f"{energy(0.741):18.12f}", f"{energy(0.741) - 2e-8:18.12f}"),
        (coordinates(0.741), coordinates(0.741001)),
    ):
        place = text.rindex(old)
        refused(
            orca.gradient,
            text[:place] + new + text[place + len(old) :],
            "belongs to optimization cycle 2 ",
        )


def test_a_gradient_is_found_after_any_number_of_identical_evaluations() -> None:
    same = coordinates(0.8) + scf(energy(0.8)) + final(energy(0.8))
    text = run(cycle(1, 0.8, settings()), *[box("GEOMETRY OPTIMIZATION CYCLE   2") + same] * 3000)
    assert read(orca.gradient, text)[1][2] == slope(0.8)
    assert len(read(orca.frames, text)) == 3001
    without = text.replace(gradient(slope(0.8)), "")
    refused(orca.gradient, without, "CARTESIAN GRADIENT")


@pytest.mark.parametrize("before", [True, False])
def test_a_gradient_may_come_before_or_after_the_energy_of_its_evaluation(before: bool) -> None:
    """ORCA's MP2 module prints the gradient before the final energy, other modules after it."""
    own = gradient(slope(0.8))
    text = run(
        coordinates(0.8),
        settings(),
        scf(-1.0),
        own if before else "",
        final(-1.1),
        "" if before else own,
    )
    assert read(orca.gradient, text)[1][2] == slope(0.8)
    assert read(orca.frames, text)[0]["gradient"][1][2] == slope(0.8)


def test_the_jobs_of_an_output_are_not_mixed() -> None:
    """Two jobs compute two states at one geometry; only the first has a gradient."""
    first = single_point(0.8, gradient(slope(0.8)), dipole(0.3))
    text = jobs(first, single_point(0.8, multiplicity=3).replace(f"{energy(0.8):.12f}", "-0.77"))
    assert read(orca.total_energy, text) == -0.77
    refused(orca.gradient, text, "a single point of job 1 .* single point of job 2")
    refused(orca.dipole, text, "belongs to a single point of job 1")
    found = read(orca.frames, text)
    assert [frame["job"] for frame in found] == [1, 2]
    assert [frame["multiplicity"] for frame in found] == [1, 3]
    assert found[0]["gradient"] is not None
    assert found[1]["gradient"] is None


def test_a_second_energy_at_the_same_geometry_is_another_evaluation() -> None:
    """At a surface crossing, a second SCF, energy and gradient follow without coordinates."""
    text = run(
        single_point(0.8, gradient(0.01)),
        settings(0, 3),
        scf(-0.9),
        charges(0.2),
        final(-0.9),
        gradient(0.02),
    )
    assert read(orca.total_energy, text) == -0.9
    assert read(orca.gradient, text)[1][2] == 0.02
    assert read(orca.mulliken_charges, text)[0] == 0.2
    refused(orca.geometry, text, "no coordinates for a single point")
    (frame,) = read(orca.frames, text)
    assert frame["energy"] == energy(0.8)
    assert frame["gradient"][1][2] == 0.01


def test_a_second_state_with_reprinted_coordinates_is_also_a_frame() -> None:
    second = coordinates(0.8) + settings(0, 3) + scf(-0.9) + final(-0.9) + gradient(0.02)
    found = read(orca.frames, run(single_point(0.8, gradient(0.01)), second))
    assert [frame["energy"] for frame in found] == [energy(0.8), -0.9]
    assert [frame["gradient"][1][2] for frame in found] == [0.01, 0.02]
    assert [frame["multiplicity"] for frame in found] == [1, 3]


def test_an_scf_after_the_final_energy_does_not_supply_its_values() -> None:
    text = run(
        single_point(0.8), settings(2, 3), scf(-0.7), charges(0.3), dipole(0.9), gradient(0.05)
    )
    assert read(orca.total_energy, text) == energy(0.8)
    assert read(orca.mulliken_charges, text) == [0.002, -0.002]
    refused(orca.gradient, text, "belongs to a single point")
    refused(orca.dipole, text, "'dipole'")
    assert (read(orca.charge, text), read(orca.multiplicity, text)) == (0, 1)
    assert read(orca.frames, text)[0]["gradient"] is None


def test_two_gradients_and_one_energy_are_refused() -> None:
    """At a conical intersection, the output does not state which gradient the energy belongs to."""
    text = run(single_point(0.8, gradient(0.01), gradient(0.02)))
    refused(orca.gradient, text, "2 gradients")
    assert read(orca.gradient, run(single_point(0.8, gradient(0.01), gradient(0.01))))[1][2] == 0.01


def test_values_of_an_earlier_scf_of_an_evaluation_do_not_belong_to_its_energy() -> None:
    """The earlier SCF can be high spin before broken symmetry, or provide the initial orbitals."""
    text = run(coordinates(0.8), settings(), scf(-0.8), charges(0.4), scf(-1.0), final(-1.0))
    refused(orca.mulliken_charges, text, "an earlier SCF ")
    last = text.replace("\nFINAL", charges(0.1) + "\nFINAL")
    assert read(orca.mulliken_charges, last) == [0.1, -0.1]


def test_the_end_of_a_neb_ts_has_no_geometry() -> None:
    text = run(cycle(1, 0.80, settings()), cycle(2, 0.76), stationary(0.75, printed=False))
    assert read(orca.total_energy, text) == energy(0.75)
    for parser in (orca.geometry, orca.symbols, orca.optimized_geometry):
        refused(parser, text, "no coordinates for the evaluation at the stationary point")
    assert [frame["converged"] for frame in read(orca.frames, text)] == [False, False]


def test_an_output_without_coordinates_has_values_but_no_geometry() -> None:
    text = run(settings(), scf(-1.0), final(-1.1), settings(), scf(-2.0), final(-2.1))
    assert read(orca.total_energy, text) == -2.1
    assert read(orca.scf_energy, text) == -2.0
    refused(orca.geometry, text, "is missing")
    refused(orca.frames, text, "there is no evaluation")


def test_coordinates_and_charges_of_one_layer_do_not_belong_to_the_total_energy() -> None:
    """Once, charges and dipole of 12 atoms were returned together with the energy of all atoms."""
    text = run(
        final(-0.5, label="(L-QM2)"),
        final(-0.2, label="(S-QM2)"),
        coordinates(0.8),
        settings(),
        scf(-1.0),
        charges(0.1),
        final(-1.0),
        final(-1.3, label="(QM/QM2)"),
    )
    assert read(orca.total_energy, text) == -1.3
    refused(orca.geometry, text, "of all layers")
    refused(orca.frames, text, "there is no evaluation")
    refused(orca.mulliken_charges, text, "of all layers")


@pytest.mark.parametrize(
    "parser", [orca.scf_energy, orca.dispersion_energy, orca.charge, orca.multiplicity]
)
def test_energies_and_state_of_one_layer_do_not_belong_to_the_total_energy(parser: Parser) -> None:
    dispersion = "Dispersion correction           -0.000100000\n"
    layer = (settings(-1, 2), scf(-1.0), dispersion, final(-1.0))
    text = run(final(-0.5, label="(MM)"), *layer, final(-1.5, label="(QM/MM)"))
    refused(parser, text, "of all layers")
    assert read(parser, run(*layer)) in (-1.0, -0.0001, -1, 2)


CONTAMINATION = (
    "Expectation value of <S**2>     :     {:.6f}\n"
    "Ideal value S*(S+1) for S={:<6}:     {:.6f}\n"
    "Deviation                       :     {:.6f}\n\n"
)


def test_the_multiplicity_of_broken_symmetry_is_that_of_the_final_determinant() -> None:
    """Flipping spins of a high-spin state leaves the multiplicity of the SCF settings (20) behind.

    In the layout of a public output of 5.0 (two iron atoms, 20 before and 2 after).
    """
    high = settings(0, 20) + scf(-0.9) + CONTAMINATION.format(99.8, "9.5", 99.75, 0.05)
    low = scf(energy(0.74)) + CONTAMINATION.format(5.6, "0.5", 0.75, 4.85)
    text = run(coordinates(0.74), high, low, final(energy(0.74)))
    assert read(orca.multiplicity, text) == 2
    assert read(orca.s_squared, text)["ideal"] == 0.75
    (frame,) = read(orca.frames, text)
    assert frame["multiplicity"] == 2
    # A fractional occupation has no multiplicity of its own.
    assert read(orca.multiplicity, text.replace("S=0.5 ", "S=0.3 ")) == 20


def test_the_basis_is_that_of_the_final_evaluation() -> None:
    """A compound job ends with the basis of its script, which no calculation used."""
    heading = "----- Orbital basis set information -----\nYour calculation utilizes the basis: {}\n"
    text = run(heading.format("STO-3G"), heading.format("pc-1"), single_point(0.74))
    assert read(orca.basis, text) == "pc-1"
    assert read(orca.basis, text.replace(END, heading.format("def2-SVP") + END)) == "pc-1"


def test_a_reprinted_geometry_belongs_to_the_same_evaluation() -> None:
    """An extrapolation prints the geometry for each basis set, but only one final energy."""
    text = run(coordinates(0.8), settings(), scf(-1.0), coordinates(0.8), scf(-1.1), final(-1.2))
    (frame,) = read(orca.frames, text)
    assert frame["energy"] == -1.2
    assert read(orca.scf_energy, text) == -1.1
    later = run(single_point(0.8), coordinates(0.8), dipole(0.25))
    assert read(orca.dipole, later) == [0.0, 0.0, 0.25]


def test_the_optimized_geometry_of_another_job_is_refused() -> None:
    same = jobs(optimization(*DISTANCES), single_point(0.741))
    assert read(orca.optimized_geometry, same)[1][2] == 0.741
    other = jobs(optimization(*DISTANCES), single_point(0.9))
    refused(orca.optimized_geometry, other, "stationary point of job 1 .* single point of job 2")


def test_frequencies_of_the_initial_geometry_are_refused() -> None:
    """OptTS prints such frequencies if it computes a Hessian at the start."""
    start = cycle(1, 0.80, settings()) + frequencies(-512.25)
    text = run(start, cycle(2, 0.76), stationary(0.75))
    refused(orca.frequencies, text, "'frequencies' belongs to optimization cycle 1")
    assert read(orca.frequencies, text + frequencies(4400.5)) == [4400.5]


# --- frames --------------------------------------------------------------------------------------


def test_the_frames_of_an_optimization() -> None:
    found = read(orca.frames, run(optimization(*DISTANCES)))
    assert [frame["energy"] for frame in found] == [energy(d) for d in (*DISTANCES, 0.741)]
    assert [frame["geometry"][1][2] for frame in found] == [*DISTANCES, 0.741]
    assert [frame["gradient"][1][2] for frame in found[:3]] == [slope(d) for d in DISTANCES]
    assert found[3]["gradient"] is None
    assert [frame["converged"] for frame in found] == [False, False, False, True]
    assert [frame["cycle"] for frame in found] == [1, 2, 3, None]
    assert [frame["kind"] for frame in found] == ["optimisation_cycle"] * 3 + ["stationary_point"]
    assert {(frame["charge"], frame["multiplicity"], frame["job"]) for frame in found} == {
        (0, 1, 1)
    }
    assert found[0]["symbols"] == ["H", "H"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (scf(energy(0.76)), scf(energy(0.76), "SCF NOT CONVERGED AFTER")),
        (final(energy(0.76)), final(energy(0.76), "   (SCF not fully converged!)")),
        (final(energy(0.76)), final(energy(0.76), "   (Wavefunction not fully converged!)")),
        (final(energy(0.76)), final(energy(0.76), label="(SCF not fully converged!)")),
        (final(energy(0.76)), "This wavefunction IS NOT CONVERGED!\n" + final(energy(0.76))),
    ],
)
def test_an_unconverged_frame_is_omitted(old: str, new: str) -> None:
    text = run(optimization(*DISTANCES))
    assert old in text
    found = read(orca.frames, text.replace(old, new))
    assert [frame["cycle"] for frame in found] == [1, 3, None]
    assert [frame["gradient"] and frame["gradient"][1][2] for frame in found] == [
        slope(0.80),
        slope(0.745),
        None,
    ]


def test_an_scf_that_converges_in_a_second_attempt_keeps_its_frame() -> None:
    again = scf(-1.0, "SCF NOT CONVERGED AFTER") + scf(energy(0.76))
    text = run(optimization(*DISTANCES)).replace(scf(energy(0.76)), again)
    assert len(read(orca.frames, text)) == 4


def test_the_frames_of_a_relaxed_scan() -> None:
    steps = [
        box(f"RELAXED SURFACE SCAN STEP {step:3d}") + optimization(0.8, 0.7 + step / 100, end=0.7)
        for step in (1, 2)
    ]
    found = read(orca.frames, run(*steps))
    assert [(frame["step"], frame["cycle"], frame["converged"]) for frame in found] == [
        (1, 1, False),
        (1, 2, False),
        (1, None, True),
        (2, 1, False),
        (2, 2, False),
        (2, None, True),
    ]


def test_the_frames_of_an_unrelaxed_scan() -> None:
    steps = [
        f"  ***********\n            TRAJECTORY STEP   {step}\n  ***********\n\n"
        + single_point(0.7 + step / 10)
        for step in (1, 2, 3)
    ]
    text = run(*steps)
    found = read(orca.frames, text)
    assert [(frame["kind"], frame["step"]) for frame in found] == [
        ("scan_point", 1),
        ("scan_point", 2),
        ("scan_point", 3),
    ]
    assert [frame["energy"] for frame in found] == [energy(d) for d in (0.8, 0.9, 1.0)]
    assert read(orca.geometry, text)[1][2] == 1.0


def test_the_frames_of_dynamics() -> None:
    step = [coordinates(d) + scf(energy(d)) + final(energy(d)) + gradient(slope(d)) for d in (1, 2)]
    text = run(box("Molecular Dynamics Simulation"), *step)
    found = read(orca.frames, text)
    assert [frame["kind"] for frame in found] == ["dynamics_step"] * 2
    assert [frame["gradient"][1][2] for frame in found] == [slope(1), slope(2)]


@pytest.mark.parametrize(
    "words",
    [
        "\t<< Calculating gradient on displaced geometry {:3d} (of   2) >>\n",
        "             <<<Displacing   2/coordinate {} (+)>>>\n",
    ],
)
@pytest.mark.parametrize("printed", [True, False])
def test_displaced_geometries_are_not_frames(printed: bool, words: str) -> None:
    """Numerical frequencies after an optimization; ORCA seldom prints their single points."""
    displaced = "".join(
        words.format(count) + (single_point(d, gradient(slope(d)), dipole(9.0)) if printed else "")
        for count, d in enumerate((0.746, 0.736), start=1)
    )
    text = run(optimization(*DISTANCES), displaced, frequencies(4400.5))
    assert len(read(orca.frames, text)) == 4
    assert read(orca.total_energy, text) == energy(0.741)
    assert read(orca.geometry, text)[1][2] == 0.741
    assert read(orca.dipole, text) == [0.0, 0.0, 0.0]
    assert read(orca.frequencies, text) == [4400.5]
    refused(orca.gradient, text, "cycle 3" if not printed else "belongs to")


def test_a_numerical_gradient_belongs_to_the_undisplaced_evaluation() -> None:
    displaced = "\t<< Calculating energy on displaced geometry   1 (of   6) >>\n"
    numerical = gradient(slope(0.8), "CARTESIAN GRADIENT (NUMERICAL)")
    for printed in ("", single_point(0.81)):
        text = run(single_point(0.8), displaced, printed, numerical, dipole(0.125))
        assert read(orca.gradient, text)[1][2] == slope(0.8)
        assert read(orca.dipole, text)[2] == 0.125
        (frame,) = read(orca.frames, text)
        assert (frame["energy"], frame["gradient"][1][2]) == (energy(0.8), slope(0.8))


def test_a_damaged_frame_is_an_error() -> None:
    text = run(optimization(*DISTANCES)).replace(f"{slope(0.76):14.9f}", f"{'0.5':>14}")
    refused(orca.frames, text, "norm of the gradient")


def test_headings_in_the_echoed_input_begin_no_evaluation() -> None:
    echo = "|  1> # GEOMETRY OPTIMIZATION CYCLE   7\n|  2> # JOB NUMBER  2\n"
    (frame,) = read(orca.frames, run(echo, single_point(0.8), echo, dipole(0.5)))
    assert (frame["kind"], frame["job"], frame["cycle"]) == ("single_point", 1, None)
    assert read(orca.dipole, run(single_point(0.8), echo, dipole(0.5)))[2] == 0.5


# --- forces and dummy atoms ----------------------------------------------------------------------


def rows(*gradient_rows: tuple[float, float, float]) -> str:
    norm = sum(value**2 for row in gradient_rows for value in row) ** 0.5
    lines = "".join(
        f"   {count}   H   : {x:14.9f} {y:14.9f} {z:14.9f}\n"
        for count, (x, y, z) in enumerate(gradient_rows, start=1)
    )
    ends = f"\nNorm of the cartesian gradient ... {norm:.9f}\n\n"
    return f"CARTESIAN GRADIENT\n------------------\n\n{lines}{ends}"


def test_forces() -> None:
    bohr = 0.529177210903
    text = run(single_point(2 * bohr, rows((0.03, 0.0, 0.04), (-0.02, 0.001, -0.04))))
    assert read(orca.largest_force, text) == pytest.approx(0.05, abs=1e-12)
    assert read(orca.net_force, text) == pytest.approx([-0.01, -0.001, 0.0], abs=1e-12)
    # The lever arms are -1 and +1 Bohr along z, so r x F = (-z Fy, z Fx, 0).
    expected = [0.001, 0.03 + 0.02, 0.0]
    assert read(orca.net_torque, text) == pytest.approx(expected, abs=1e-6)


def test_net_force_and_torque_vanish_without_external_forces() -> None:
    text = run(single_point(0.8, gradient(0.1)))
    assert read(orca.net_force, text) == [0.0, 0.0, 0.0]
    assert read(orca.net_torque, text) == [0.0, 0.0, 0.0]
    refused(orca.net_torque, run(single_point(0.8)), "CARTESIAN GRADIENT")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("label", ["-", "DA"])
def test_dummy_atoms_are_centers_but_not_atoms(label: str, first: bool) -> None:
    """ORCA 5.0 prints "-" as the symbol of a dummy atom, later versions print "DA"."""
    dummy = f"  {label:<5}   1.000000    0.000000    0.000000"
    block = coordinates(0.8, dummy)
    if first:
        *head, one, two, last, _, _ = block.split("\n")
        block = "\n".join([*head, last, one, two, "", ""])
    text = run(block, settings(), scf(-1.0), charges(0.1), final(-1.0), gradient(0.1))
    labels = read(orca.symbols, text)
    assert sorted(labels) == sorted([label, "H", "H"])
    assert len(read(orca.geometry, text)) == 3
    assert sum(map(is_atom, labels)) == 2
    # A table without the dummy atom is complete.
    assert read(orca.mulliken_charges, text) == [0.1, -0.1]
    assert read(orca.net_torque, text) == [0.0, 0.0, 0.0]


# --- other files of the run ----------------------------------------------------------------------

BOHR = 0.529177210903


def engrad(distance: float) -> bytes:
    """The content of BASENAME.engrad after an evaluation of H2 at `distance`."""
    along = slope(distance)
    return (
        "#\n# Number of atoms\n#\n 2\n#\n# The current total energy in Eh\n#\n"
        f"{energy(distance):22.12f}\n#\n# The current gradient in Eh/bohr\n#\n"
        f" 0.0\n 0.0\n {-along:.12f}\n 0.0\n 0.0\n {along:.12f}\n"
        "#\n# The atomic numbers and current coordinates in Bohr\n#\n"
        f"   1     0.0000000    0.0000000    0.0000000\n"
        f"   1     0.0000000    0.0000000 {distance / BOHR:12.7f}\n"
    ).encode()


def hess(distance: float, shift: float) -> bytes:
    """The content of a .hess file of H2 at `distance`, moved along z by `shift` Bohr."""
    return (
        "$orca_hessian_file\n\n$vibrational_frequencies\n6\n"
        + "".join(f"    {place}        {0.0 if place < 5 else 4400.5:.6f}\n" for place in range(6))
        + f"\n$atoms\n2\n H      1.00800      0.0  0.0  {shift:.12f}\n"
        f" H      1.00800      0.0  0.0  {distance / BOHR + shift:.12f}\n\n$end\n"
    ).encode()


OF_ENGRAD = [orca.engrad_energy, orca.engrad_gradient, orca.engrad_geometry]
OF_HESS = [orca.hess_geometry, orca.hess_frequencies, orca.hess_masses, orca.hess_symbols]


def beside(name: str, content: bytes, text: str) -> Output:
    return Output({name: content, "stdout": text.encode()}, name)


@pytest.mark.parametrize("parser", OF_ENGRAD)
def test_an_engrad_file_of_the_last_cycle_does_not_belong_to_the_final_energy(
    parser: Parser,
) -> None:
    text = run(optimization(*DISTANCES))
    with pytest.raises(ParseError, match="belongs to another evaluation"):
        parser(beside("orca.engrad", engrad(0.745), text))
    # The file is accepted if it is alone, or if it belongs to the last, unconverged cycle.
    alone = parser(Output({"orca.engrad": engrad(0.745)}, "orca.engrad"))
    early = run(optimization(*DISTANCES, end=None))
    assert parser(beside("orca.engrad", engrad(0.745), early)) == alone
    # If the standard output has no final energy, the file is not compared with it.
    assert parser(beside("orca.engrad", engrad(0.745), run())) == alone


def test_an_engrad_file_with_the_same_energy_at_another_geometry_is_refused() -> None:
    """The invented energy is a parabola, so two distances have the same energy."""
    text = run(single_point(0.70, gradient(slope(0.70))))
    assert energy(0.70) == energy(0.78)
    assert orca.engrad_energy(beside("orca.engrad", engrad(0.70), text)) == energy(0.70)
    with pytest.raises(ParseError, match="another geometry"):
        orca.engrad_gradient(beside("orca.engrad", engrad(0.78), text))


@pytest.mark.parametrize("parser", OF_HESS)
def test_a_hess_file_of_the_initial_geometry_is_refused(parser: Parser) -> None:
    text = run(optimization(*DISTANCES))
    alone = parser(Output({"orca.hess": hess(0.741, 0.5)}, "orca.hess"))
    # ORCA 6 moves the origin, which must not matter.
    assert parser(beside("orca.hess", hess(0.741, 0.5), text)) == alone
    for other in (0.80, 0.745):
        with pytest.raises(ParseError, match="another geometry"):
            parser(beside("orca.hess", hess(other, 0.0), text))
    # NEB-TS prints no coordinates at its end, so there is no geometry to compare with.
    silent = run(cycle(1, 0.80, settings()), stationary(0.741, printed=False))
    assert parser(beside("orca.hess", hess(0.741, 0.5), silent)) == alone
