"""Faults that unfamiliar ORCA outputs revealed, each reproduced with a small handmade text."""

import json
from pathlib import Path

import pytest

from tests.unit.orca_outputs import BANNER, END, asked, file, of, text, text_of
from tests.unit.orca_runs import gradient, run, single_point, slope
from tests.unit.test_diagnosis_orca import crashed, diagnosis, sound
from wqmaster.errors import ParseError, StructureError
from wqmaster.jobs.failures import FailureClass
from wqmaster.offline.parse import read
from wqmaster.parsers import orca
from wqmaster.parsers.base import Output
from wqmaster.tasks.programs import programs

# --- errors in runs that end normally ------------------------------------------------------------

BOX = (
    "!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!\n"
    "!!!                        FATAL ERROR ENCOUNTERED               !!!\n"
    "!!!                        -----------------------               !!!\n"
    "!!!                          {}                !!!\n"
    "!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!\n"
)
BROKEN = BOX.format("I/O OPERATION FAILED")
RESULT = "VIBRATIONAL FREQUENCIES\n"


def with_error(error: str, before: str = "", after: str = "") -> str:
    """A good output with this error message before its end."""
    return text("v6-radical").replace(END, f"{before}\n{error}\n{after}\n{END}")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (BROKEN, FailureClass.PROGRAM_ERROR, "FATAL ERROR ENCOUNTERED: I/O OPERATION FAILED"),
        (
            "Error (ORCA_NUMFREQ): Failed to read the file",
            FailureClass.PROGRAM_ERROR,
            "Error (ORCA_NUMFREQ): Failed to read the file",
        ),
        ("[file a.cpp, line 7]: Error: it went wrong", FailureClass.PROGRAM_ERROR, "it went wrong"),
        (
            "Error: Cannot open GBW file: orca.mdci.optorb.gbw",
            FailureClass.PROGRAM_ERROR,
            "Cannot open GBW file: orca.mdci.optorb.gbw",
        ),
        ("write: No space left on device\n" + BROKEN, FailureClass.DISK_FULL, "No space left"),
        (
            "Error (ORCA_MDCI): not enough memory\nPlease increase MaxCore to more than: 9 MB",
            FailureClass.MEMORY,
            "9 MB",
        ),
    ],
)
def test_an_error_in_a_run_that_ends_normally_is_a_failure(
    error: str, kind: FailureClass, words: str
) -> None:
    found, message = diagnosis(with_error(error))
    assert found is kind
    assert words in message


@pytest.mark.parametrize(
    "harmless",
    [
        "Error (ORCA/TMatrix): Matrix of size 0 about to be created(r=0,c=0)!",
        "|  9> # Error (ORCA_SCF): FATAL ERROR ENCOUNTERED",
        "Last DIIS Error            ...    1.6e-04  Tolerance :   1.0e-06",
        "    *** ORCA-CIS/TD-DFT FINISHED WITHOUT ERROR ***",
        "sbcast: error: Can't open `x.xyz`: No such file or directory",
    ],
)
def test_messages_of_good_outputs_are_not_errors(harmless: str) -> None:
    assert sound(with_error(harmless), asked())


def test_an_error_before_a_later_successful_scf_is_not_a_failure() -> None:
    content = text("v6-radical")
    final = content[content.rindex("FINAL SINGLE POINT ENERGY") :].partition("\n")[0]
    scf = "SCF CONVERGED AFTER   9 CYCLES"
    again = f"   *    {scf}   *\n{final}\n"
    assert sound(with_error(BROKEN, after=again))
    # A later energy without a later SCF can lack the part that failed.
    assert not sound(with_error(BROKEN, after=f"{final}\n"))


def test_a_repeated_displacement_is_not_a_failure() -> None:
    step = "                     <<<Displacing   2/coordinate 3 (-)>>>"
    assert sound(with_error(BROKEN, before=step, after=step))
    other = "                     <<<Displacing   3/coordinate 1 (+)>>>"
    assert not sound(with_error(BROKEN, before=step, after=other))


def two_jobs(error: str) -> str:
    """Two jobs in one output, the first of which ends with `error`."""
    number = "$$$$$$$$$$$$$$$$  JOB NUMBER  {} $$$$$$$$$$$$$$\n"
    head, _, _ = text("v6-radical").partition(END)
    body = head[head.index(BANNER.strip()) :]
    return f"{head}{error}\n{number.format(2)}{body}\n{END}\n"


def test_a_failed_job_before_a_successful_one_is_a_failure_if_it_printed_results() -> None:
    assert sound(two_jobs(""))
    assert sound(two_jobs(BROKEN))
    # The failed job printed results after its error, which parsers would read.
    assert not sound(two_jobs(f"{BROKEN}\n{RESULT}"))


# --- the last messages of interrupted runs --------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "kind", "words"),
    [
        (
            "[file orca_main/run.cpp, line 93]: Error: Number of electrons is zero",
            FailureClass.CHARGE_MULTIPLICITY,
            "Number of electrons is zero",
        ),
        (
            "[file a.cpp, line 3]: Error : odd number of electrons in a closed shell\n"
            "[file orca_main/run.cpp, line 5]: ORCA finished with error return - aborting the run",
            FailureClass.CHARGE_MULTIPLICITY,
            "odd number of electrons",
        ),
        (
            "[file orca_tools/gbw.cpp, line 11]: Error: Cannot open GBW file: orca.gbw",
            FailureClass.PROGRAM_ERROR,
            "Cannot open GBW file: orca.gbw",
        ),
        (
            "[file orca_tools/Tool-GTO-Bases/basissets.cpp, line 743]: TBasisList: Unable to read "
            "number of basis sets!",
            FailureClass.PROGRAM_ERROR,
            "ORCA: TBasisList: Unable to read number of basis sets",
        ),
        (
            "Error: RI is on but the HF exchange must be handled somehow\nUse one of the keywords\n"
            "\n[file orca_main/main_input_check.cpp, line 3594]: Error (ORCA_MAIN): ... aborting "
            "the run",
            FailureClass.INPUT_ERROR,
            "ORCA: Error: RI is on but the HF exchange must be handled somehow",
        ),
        (BOX.format("CANNOT OPEN FILE") + "\n", FailureClass.PROGRAM_ERROR, "CANNOT OPEN FILE"),
    ],
)
def test_the_last_message_of_a_run_is_not_a_truncation(
    lines: str, kind: FailureClass, words: str
) -> None:
    found, message = diagnosis(crashed(lines))
    assert found is kind
    assert words in message
    assert "[file" not in message


def test_a_gbw_file_that_the_input_names_is_an_error_of_the_input() -> None:
    content = crashed("[file gbw.cpp, line 1]: Error: Cannot open GBW file: /work/start.gbw")
    echo = '|  2> %moinp "start.gbw"\n                         ****END OF INPUT****\n'
    named = content.replace(BANNER, BANNER + echo)
    assert named != content
    assert diagnosis(named)[0] is FailureClass.INPUT_ERROR
    assert diagnosis(content)[0] is FailureClass.PROGRAM_ERROR


def test_a_cut_output_with_an_error_far_from_its_end_is_a_truncation() -> None:
    lines = "Error (ORCA_X): overcome\n" + "a line of numbers 1.0 2.0\n" * 40
    assert diagnosis(crashed(lines))[0] is FailureClass.TRUNCATED


# --- energies in layers ---------------------------------------------------------------------------

SIZE = "Size of QMMM System                    ... 137\n"


def layered(parts: str, size: str = SIZE) -> str:
    """An output with NO as the inner layer of a larger system."""
    content = text("v6-radical")
    final = content[content.rindex("FINAL SINGLE POINT ENERGY") :].partition("\n")[0]
    return content.replace(final, parts).replace("SCF SETTINGS", f"{size}SCF SETTINGS", 1)


def inner() -> float:
    return orca.total_energy(of(text("v6-radical")))


def in_two_layers(whole: float, method: str = "QM/QM2", outer: str = "QM2") -> str:
    return layered(
        f"FINAL SINGLE POINT ENERGY (L-{outer})     -2266.681990679470\n"
        f"FINAL SINGLE POINT ENERGY (S-{outer})      -40.834442837800\n"
        f"FINAL SINGLE POINT ENERGY      {inner():.12f}\n"
        f"FINAL SINGLE POINT ENERGY ({method})     {whole:.12f}"
    )


@pytest.mark.parametrize(
    ("method", "outer"), [("QM/QM2", "QM2"), ("QM/XTB", "XTB"), ("QM/HF-3c", "HF-3c")]
)
def test_an_energy_may_belong_to_more_atoms_than_are_printed(method: str, outer: str) -> None:
    whole = -2266.681990679470 + 40.834442837800 + inner()
    assert sound(in_two_layers(whole, method, outer))
    kind, message = diagnosis(in_two_layers(whole - 20_000, method, outer))
    assert kind is FailureClass.IMPLAUSIBLE_ENERGY
    assert "layers" in message


def test_the_inner_layer_is_judged_by_its_own_atoms() -> None:
    parts = (
        "FINAL SINGLE POINT ENERGY (MM)     0.5\n"
        "FINAL SINGLE POINT ENERGY     {0}\n"
        "FINAL SINGLE POINT ENERGY (QM/MM)     {1}"
    )
    assert sound(layered(parts.format(inner(), inner() + 0.5)))
    for wrong in (-20_000.0, -1.0):
        kind, _ = diagnosis(layered(parts.format(wrong, wrong + 0.5)))
        assert kind is FailureClass.IMPLAUSIBLE_ENERGY


def test_a_total_energy_alone_may_be_lower_than_that_of_its_inner_atoms_but_not_higher() -> None:
    whole = "FINAL SINGLE POINT ENERGY (QM/XTB)     {}"
    assert sound(layered(whole.format(-873.75)))
    assert diagnosis(layered(whole.format(-1.0)))[0] is FailureClass.IMPLAUSIBLE_ENERGY
    assert diagnosis(layered(whole.format(0.0)))[0] is FailureClass.IMPLAUSIBLE_ENERGY


def test_the_requested_number_of_atoms_is_that_of_all_layers() -> None:
    content = layered("FINAL SINGLE POINT ENERGY (QM/XTB)     -873.75")
    assert sound(content, asked(natoms=137))
    assert diagnosis(content, asked_for=asked(natoms=136))[0] is FailureClass.ATOM_COUNT


# --- vibrations -----------------------------------------------------------------------------------

WATER = [("O", 0.0, 0.0, 0.0), ("H", 0.0, 0.76, 0.58), ("H", 0.0, -0.76, 0.58)]
CARBON_DIOXIDE = [("O", 0.0, 0.0, -1.16), ("C", 0.0, 0.0, 0.0), ("O", 0.0, 0.0, 1.16)]


def vibrating(
    atoms: list[tuple[str, float, float, float]],
    frequencies: list[float],
    echo: str = "",
    intensities: dict[int, float] | None = None,
) -> str:
    """An output with a geometry, its frequencies, modes and infrared spectrum."""
    rows = "".join(f"  {name:<3}{x:12.6f}{y:12.6f}{z:12.6f}\n" for name, x, y, z in atoms)
    size = len(frequencies)
    table = "".join(
        f"{place:4d}: {value:12.2f} cm**-1\n" for place, value in enumerate(frequencies)
    )
    columns = "".join(f"{place:11d}" for place in range(size))
    modes = "".join(
        f"{row:7d}" + "".join(f"{row + column / 100:11.6f}" for column in range(size)) + "\n"
        for row in range(size)
    )
    spectrum = "".join(
        f"{mode:4d}: {frequencies[mode]:12.2f} {value:12.6f} ( 0.0 0.0 0.0)\n"
        for mode, value in (intensities or {}).items()
    )
    return (
        f"{BANNER}{echo}                         ****END OF INPUT****\n"
        "---------------------------------\nCARTESIAN COORDINATES (ANGSTROEM)\n"
        f"---------------------------------\n{rows}\n"
        "-----------------------\nVIBRATIONAL FREQUENCIES\n-----------------------\n\n"
        f"{table}\n\n------------\nNORMAL MODES\n------------\n\n{columns}\n{modes}\n\n"
        "-----------\nIR SPECTRUM\n-----------\n\n Mode    freq (cm**-1)   T**2\n-----\n"
        f"{spectrum}\nThe first frequency considered to be a vibration is 6\n\n"
    )


@pytest.mark.parametrize(
    ("atoms", "frequencies", "left"),
    [
        (WATER, [0.0] * 6 + [1600.0, 3600.0, 3700.0], [1600.0, 3600.0, 3700.0]),
        # A vibration that is printed as 0.00 is kept, even after an imaginary one.
        (WATER, [0.0] * 7 + [3600.0, 3700.0], [0.0, 3600.0, 3700.0]),
        (WATER, [0.0] * 6 + [-12.5, 0.0, 3700.0], [-12.5, 0.0, 3700.0]),
        (
            CARBON_DIOXIDE,
            [0.0] * 5 + [600.0, 600.0, 1300.0, 2300.0],
            [600.0, 600.0, 1300.0, 2300.0],
        ),
        (CARBON_DIOXIDE, [0.0] * 6 + [600.0, 1300.0, 2300.0], [0.0, 600.0, 1300.0, 2300.0]),
        ([("Cl", 0.0, 0.0, 0.0)], [0.0, 0.0, 0.0], []),
        ([("Cl", 0.0, 0.0, 0.0)], [0.0, 0.0, 3.5], []),
    ],
)
def test_exactly_the_vibrations_of_the_molecule_remain(
    atoms: list[tuple[str, float, float, float]], frequencies: list[float], left: list[float]
) -> None:
    intensities = {place: 1.5 * place for place, value in enumerate(frequencies) if value > 0}
    found = of(vibrating(atoms, frequencies, intensities=intensities))
    assert orca.frequencies(found) == left
    modes = orca.normal_modes(found)
    first = len(frequencies) - len(left)
    # The first component of each mode identifies its column.
    assert [mode[0][0] for mode in modes] == pytest.approx(
        [column / 100 for column in range(first, len(frequencies))]
    )
    if intensities and left:
        assert orca.ir_intensities(found) == [
            1.5 * place if frequencies[place] > 0 else None
            for place in range(first, len(frequencies))
        ]


def test_frequencies_of_a_partial_hessian() -> None:
    frequencies = [0.0] * 7 + [3600.0, 3700.0]
    echo = "|  3> %freq PARTIAL_Hess {1} end end\n"
    assert orca.frequencies(of(vibrating(WATER, frequencies, echo))) == [3600.0, 3700.0]


def test_vibrations_that_resemble_rotations_are_refused() -> None:
    found = of(vibrating(WATER, [-3.0, 0.1, 0.4, 2.0, 5.5, 7.0, 1600.0, 3600.0, 3700.0]))
    for parser in (orca.frequencies, orca.normal_modes, orca.ir_intensities):
        with pytest.raises(ParseError, match=r"leading frequencies of 0\.00 is 0 instead of 6"):
            parser(found)


def square(rows: list[list[float]]) -> str:
    """A table in a .hess file, as one block of columns."""
    size = len(rows)
    head = " ".join(str(column) for column in range(size))
    lines = [" ".join([str(place), *map(str, row)]) for place, row in enumerate(rows)]
    return "\n".join([str(size), head, *lines]) + "\n\n"


def hess_file(frequencies: list[float], frozen: int = 0) -> Output:
    """A .hess file of water, in which the first `frozen` rows of the Hessian are zeros."""
    size = len(frequencies)
    hessian = [[float(x == y and x >= frozen) for y in range(size)] for x in range(size)]
    modes = [[row + column / 100 for column in range(size)] for row in range(size)]
    atoms = "".join(f" {name} 1.0 {x} {y} {z}\n" for name, x, y, z in WATER)
    waves = "".join(f" {place} {value}\n" for place, value in enumerate(frequencies))
    infrared = "".join(f" {value} {10.0 * i} 0.0 0.0 0.0\n" for i, value in enumerate(frequencies))
    content = (
        f"\n$orca_hessian_file\n\n$hessian\n{square(hessian)}"
        f"$vibrational_frequencies\n{size}\n{waves}\n$normal_modes\n{square(modes)}"
        f"$atoms\n{len(WATER)}\n{atoms}\n$ir_spectrum\n{size}\n{infrared}\n$end\n"
    )
    return file("orca.hess", content)


@pytest.mark.parametrize(
    ("frequencies", "frozen", "left"),
    [
        ([0.0] * 6 + [1600.0, 3600.0, 3700.0], 0, 3),
        ([0.0] * 7 + [3600.0, 3700.0], 0, 3),
        ([0.0] * 7 + [3600.0, 3700.0], 3, 2),
    ],
)
def test_the_hess_file_counts_its_vibrations_in_the_same_way(
    frequencies: list[float], frozen: int, left: int
) -> None:
    found = hess_file(frequencies, frozen)
    assert orca.hess_frequencies(found) == frequencies[-left:]
    assert [mode[0][0] for mode in orca.hess_normal_modes(found)] == pytest.approx(
        [column / 100 for column in range(9 - left, 9)]
    )
    assert orca.hess_ir_intensities(found) == [10.0 * place for place in range(9 - left, 9)]


def test_the_property_json_counts_its_vibrations_in_the_same_way() -> None:
    frequencies = [0.0] * 7 + [3600.0, 3700.0]
    place = {
        "Geometry": {
            "Coordinates": {"Units": "Angs", "Cartesians": [list(atom) for atom in WATER]},
        },
        "THERMOCHEMISTRY_Energies": [{"FREQ": [[value] for value in frequencies]}],
    }
    found = file(
        "orca.property.json",
        json.dumps({"Calculation_Info": {"NumOfAtoms": 3}, "Geometries": [place]}),
    )
    assert orca.json_geometry(found) == [list(atom[1:]) for atom in WATER]
    assert orca.json_frequencies(found) == [0.0, 3600.0, 3700.0]


def test_the_thermochemistry_of_an_atom_with_vibrations_is_refused() -> None:
    # An atom's vibrations are 0.00, so thermochemistry from them is wrong even if it is finite.
    content = text_of("more-4.2-freq.out")
    heading = "CARTESIAN COORDINATES (ANGSTROEM)"
    atom = f"{heading}\n---------------------------------\n  Cl     0.0   0.0   0.0\n\n"
    start = content.index("THERMOCHEMISTRY AT")
    found = of(f"{content[:start]}{atom}{content[start:]}")
    for parser in (orca.thermochemistry, orca.enthalpy, orca.zero_point_energy):
        with pytest.raises(ParseError, match="an atom does not have"):
            parser(found)


# --- spectra --------------------------------------------------------------------------------------

ROOTS = """-------------------
Excitation energies
-------------------

--------------------------------------------------------------------------------
    ROOT    Mult      Excitation energy[Eh]           [cm-1]          [eV]
--------------------------------------------------------------------------------
     0       2            0.00000000                      0.00          0.000
     1       2            0.10000000                  21947.46          2.721
     2       4            0.15000000                  32921.19          4.082
     3       2            0.20000000                  43894.93          5.442

------------------------
ROCIS-EXCITATION SPECTRA
------------------------

"""
ROCIS = """-----------------------------------------------------------------------------
         ABSORPTION SPECTRUM VIA TRANSITION ELECTRIC DIPOLE MOMENTS
-----------------------------------------------------------------------------
State   Energy    Wavelength  fosc       T2         TX        TY        TZ
        (cm-1)      (nm)               (au**2)     (au)      (au)      (au)
-----------------------------------------------------------------------------
   1   21947.5    455.6   0.030641599   0.00435   0.00000   0.00000  -0.06598
   3   43894.9    227.8   0.000000625   0.00000  -0.00000  -0.00000   0.00029

"""


def test_rocis_omits_states_of_another_multiplicity() -> None:
    states = orca.excitations(of(ROOTS + ROCIS))
    assert [state["state"] for state in states] == [1, 3]
    assert [state["multiplicity"] for state in states] == [2, 2]
    assert [state["oscillator_strength"] for state in states] == [0.030641599, 0.000000625]
    assert orca.excitation_energies(of(ROOTS + ROCIS)) == pytest.approx([0.1, 0.2], abs=1e-6)


@pytest.mark.parametrize(
    "content",
    [
        ROCIS,  # no table says that state 2 has another multiplicity
        ROOTS.replace("2       4   ", "2       2   ") + ROCIS,
        ROOTS + ROCIS.replace("   3   43894.9", "   2   32921.2"),
        ROOTS + ROCIS[: ROCIS.index("   3   43894.9")] + "\n",
    ],
)
def test_a_state_that_is_missing_from_a_spectrum_is_a_parse_error(content: str) -> None:
    with pytest.raises(ParseError):
        orca.excitation_energies(of(content))


CASSCF = """==========================================
{} UV, CD spectra and dipole moments
==========================================
-------------------
ABSORPTION SPECTRUM
-------------------

Ground state mult:    1
Ground state block:   1
Ground state root:    0

------------------------------------------------------------------------------------------
                                ABSORPTION SPECTRUM
------------------------------------------------------------------------------------------
  States           Energy   Wavelength   fosc          T2        TX         TY        TZ
                   (cm-1)     (nm)                   (D**2)      (D)        (D)       (D)
------------------------------------------------------------------------------------------
  0( 1)-> 1( 1) 1   {:9.1f}    268.9   0.000000004   0.00000  -0.00000  -0.00000  -0.00045
  0( 1)-> 2( 1) 1   {:9.1f}    200.0   0.125000000   0.00000  -0.00000  -0.00000  -0.00045
------------------------------------------------------------------------------------------

"""
DIPOLES = """-------------------------------------------------------------------------------
                                 DIPOLE MOMENTS
-------------------------------------------------------------------------------
  Root  Block           TX        TY        TZ           |T|
                      (Debye)   (Debye)   (Debye)      (Debye)
-------------------------------------------------------------------------------
    1    0           -0.00000   0.00000  -0.00000      0.00000

"""


def test_the_spectrum_of_casscf_and_nevpt2_up_to_orca_5() -> None:
    content = CASSCF.format("CASSCF", 37192.8, 50000.0) + CASSCF.format(
        "CASSCF (NEVPT2 diagonal energies)", 28271.0, 43894.9
    )
    found = of(content + DIPOLES)
    assert orca.excitation_energies(found) == pytest.approx(
        [28271.0 / 219474.6313632, 43894.9 / 219474.6313632]
    )
    states = orca.excitations(found)
    assert [state["oscillator_strength"] for state in states] == [4e-09, 0.125]
    assert [state["multiplicity"] for state in states] == [1, 1]
    assert [state["state"] for state in states] == [1, 2]


def test_casscf_without_excited_states_has_no_spectrum() -> None:
    content = CASSCF.format("CASSCF", 1.0, 2.0)
    nothing = content[: content.index("--" * 40)] + DIPOLES
    with pytest.raises(ParseError, match="missing"):
        orca.excitation_energies(of(nothing))


def test_a_spectrum_from_another_state_is_refused() -> None:
    content = CASSCF.format("CASSCF", 37192.8, 50000.0).replace("0( 1)-> 2", "1( 1)-> 2")
    with pytest.raises(ParseError, match="ground state"):
        orca.excitation_energies(of(content))


# --- the last SCF ---------------------------------------------------------------------------------

SETTINGS = (
    " Basis Dimension        Dim             ....   {}\n"
    " Maximum # iterations   MaxIter         ....   125\n"
)
SCF = "               *           SCF {}CONVERGED AFTER  {} CYCLES          *\n"
ELECTRONS = (
    "N(Alpha)           :        5.000123456789 electrons\n"
    "N(Beta)            :        4.000123456789 electrons\n"
    "N(Total)           :        9.000246913578 electrons\n"
)
ENERGY = "FINAL SINGLE POINT ENERGY       -75.5\n"


def test_cycles_basis_and_electrons_belong_to_the_last_scf() -> None:
    found = of(
        BANNER + SETTINGS.format(60) + SCF.format("", 9) + ELECTRONS.replace("9.0", "8.0") + ENERGY
        + SCF.format("", 12) + ELECTRONS + ENERGY
    )  # fmt: skip
    assert orca.scf_cycles(found) == {
        "cycles": 12,
        "limit": 125,
        "converged": True,
        "at_limit": False,
    }
    assert orca.basis_functions(found) == 60
    assert orca.integrated_electrons(found) == {
        "total": 9.000246913578,
        "alpha": 5.000123456789,
        "beta": 4.000123456789,
    }


def test_an_scf_at_its_cycle_limit_is_marked() -> None:
    found = orca.scf_cycles(of(BANNER + SETTINGS.format(60) + SCF.format("NOT ", 125)))
    assert (found["at_limit"], found["converged"]) == (True, False)


def test_values_of_an_earlier_scf_are_not_returned() -> None:
    first = BANNER + SETTINGS.format(60) + SCF.format("", 9) + ELECTRONS + ENERGY
    hartree_fock = SETTINGS.format(24) + SCF.format("", 7) + ENERGY
    second_job = f"$$$$  JOB NUMBER  2 $$$$\n{hartree_fock}"
    assert orca.basis_functions(of(first + second_job)) == 24
    assert orca.scf_cycles(of(first + second_job))["cycles"] == 7
    with pytest.raises(ParseError, match=r"'N.Total.' of the final evaluation"):
        orca.integrated_electrons(of(first + second_job))
    with pytest.raises(ParseError, match="does not come from an SCF"):
        orca.scf_cycles(of(first + ENERGY))
    with pytest.raises(ParseError, match=r"no SCF in .* of job 2"):
        orca.scf_cycles(of(f"{first}$$$$  JOB NUMBER  2 $$$$\n{ENERGY}"))


def test_values_of_an_scf_belong_to_the_final_energy() -> None:
    first = BANNER + SETTINGS.format(60) + SCF.format("", 9) + ELECTRONS + ENERGY
    broken_off = f"$$$$  JOB NUMBER  2 $$$$\n{SETTINGS.format(24)}{SCF.format('', 7)}"
    found = of(first + broken_off)
    assert orca.basis_functions(found) == 60
    assert orca.scf_cycles(found)["cycles"] == 9
    assert orca.integrated_electrons(found)["total"] == pytest.approx(9.000246913578, abs=1e-12)


def test_a_limit_that_is_not_printed_is_none() -> None:
    found = orca.scf_cycles(of(BANNER + SCF.format("", 9) + ENERGY))
    assert found == {"cycles": 9, "limit": None, "converged": True, "at_limit": None}


@pytest.mark.parametrize(
    ("old", "new"),
    [("9.000246913578", "************"), ("5.000123456789", "6.000123456789"), ("Total", "Totals")],
)
def test_a_damaged_number_of_electrons_is_a_parse_error(old: str, new: str) -> None:
    content = BANNER + SETTINGS.format(60) + SCF.format("", 9) + ELECTRONS + ENERGY
    with pytest.raises(ParseError):
        orca.integrated_electrons(of(content.replace(old, new)))


# --- the quadrupole -------------------------------------------------------------------------------

QUADRUPOLE = """------------------------
QUADRUPOLE MOMENT (A.U.)
------------------------

                XX           YY           ZZ           XY           XZ           YZ
  NUC        10.00000     12.50000     14.25000      1.00000     -0.50000      0.25000
  EL        -15.00000    -16.00000    -20.00000     -1.75000      0.25000     -1.00000
  TOT        -5.00000     -3.50000     -5.75000     -0.75000     -0.25000     -0.75000 (a.u.)
             -6.72519     -4.70763     -7.73397     -1.00878     -0.33626     -1.00878 (Buckingham)

"""


def test_the_quadrupole_is_the_total_one() -> None:
    assert orca.quadrupole(of(QUADRUPOLE)) == [
        [-5.0, -0.75, -0.25],
        [-0.75, -3.5, -0.75],
        [-0.25, -0.75, -5.75],
    ]
    # Some versions of ORCA print no unit in the heading.
    bare = QUADRUPOLE.replace(" (a.u.)", "").partition("             -6.7")[0]
    assert orca.quadrupole(of(bare)) == orca.quadrupole(of(QUADRUPOLE))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-5.75000", "********"),
        ("-5.75000", "-5.85000"),
        ("  TOT  ", "  SUM  "),
        ("-3.50000 ", ""),
        ("  NUC  ", "  NUCL "),
    ],
)
def test_a_damaged_quadrupole_is_a_parse_error(old: str, new: str) -> None:
    with pytest.raises(ParseError):
        orca.quadrupole(of(QUADRUPOLE.replace(old, new)))


# --- files that are not outputs -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("job.gbw", b"\x01\x00\x00\x00orca\x00", "orbitals"),
        ("job.densities", b"\x01\x00\x00\x00", "densities"),
        ("job.unknown", b"\x01\x00\x00\x00", "a binary file"),
        ("job.xyz", b"2\n\nH 0 0 0\nH 0.0 0.0 0.74\n", "coordinates (XYZ)"),
        (
            "job.property.txt",
            b"-----\n----------------------- !PROPERTIES! ------------------------\n-----\n",
            "property file",
        ),
        ("job.property.txt", b"*****\n$Calculation_Status\n   &GeometryIndex 0\n", "property file"),
        ("job.inp", b"! B3LYP def2-SVP\n* xyz 0 1\nH 0 0 0\n*\n", "an input file of ORCA"),
        ("engrad.txt", b"#\n# Number of atoms\n#\n 3\n", ".engrad"),
        ("hess.txt", b"\n$orca_hessian_file\n\n$act_atom\n  0\n", ".hess"),
        ("job.json", b'{"a": 1}', "JSON"),
        ("job.pdb", b"HEADER    PROTEIN\nATOM      1\n", "PDB"),
    ],
)
def test_a_file_that_is_not_an_output_is_named(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(StructureError) as caught:
        read(path, programs()["orca"], {})
    assert words in caught.value.message
    assert "name the file that orca printed to" in caught.value.message
    assert "GNOME" not in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["job.gbw", "job.property.txt", "job_property.txt"])
def test_the_output_next_to_such_a_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "job.out").write_text(text("v6-radical"))
    (tmp_path / name).write_bytes(b"\0" if name.endswith(".gbw") else b"--- !PROPERTIES! ---\n")
    with pytest.raises(StructureError, match=r"name \S+job\.out, or"):
        read(tmp_path / name, programs()["orca"], {})


def test_a_number_that_is_not_finite_is_an_error_as_in_a_campaign(tmp_path: Path) -> None:
    row = "  H       0.000000    0.000000    0.740000"
    good = run(single_point(0.74, gradient(slope(0.74))))
    assert row in good
    path = tmp_path / "job.out"
    for word in ("nan", "inf"):
        path.write_text(good.replace(row, row.replace("0.740000", word.rjust(8))))
        found = read(path, programs()["orca"], {"g": orca.geometry, "t": orca.net_torque})
        assert found.values == {}
        assert found.broken == {}
        assert found.errors["g"] == "g[1][2] is not finite"


def test_binary_data_are_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "job.out"
    path.write_bytes(bytes(range(128, 256)) * 20)
    for program in ("orca", "xtb"):
        failure = read(path, programs()[program], {}).failure
        assert failure is not None
        assert failure.message.endswith("begins with binary data")


def test_an_output_is_read_under_any_name(tmp_path: Path) -> None:
    for name in ("job.xyz", "job.gbw", "job.inp"):
        (tmp_path / name).write_text(text("v6-radical"))
        assert read(tmp_path / name, programs()["orca"], {}).failure is None


def test_a_users_program_may_print_what_others_write_to_files(tmp_path: Path) -> None:
    path = tmp_path / "printed.json"
    path.write_text('{"energy": 1.5}')
    assert read(path, programs()["command"], {}).failure is None


def test_the_only_output_in_a_folder_is_taken_as_standard_output(tmp_path: Path) -> None:
    (tmp_path / "orca.out").write_text(text_of("v6-radical.out"))
    (tmp_path / "orca.gbw").write_bytes(b"\0\1")
    found = read(tmp_path, programs()["orca"], {"energy": orca.energy})
    assert found.failure is None
    assert "energy" in found.values
    (tmp_path / "slurm.log").write_text("something else")
    with pytest.raises(StructureError, match=r"orca\.out, slurm\.log"):
        read(tmp_path, programs()["orca"], {"energy": orca.energy})
    (tmp_path / "orca.out").rename(tmp_path / "stdout")
    assert read(tmp_path, programs()["orca"], {"energy": orca.energy}).failure is None
