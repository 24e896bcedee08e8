"""`diagnose` on small ORCA outputs; test_orca_shared.py uses real ones."""

import pytest

from tests.unit.orca_outputs import BANNER, END, asked, output, text
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.job import Asked
from wqmaster.parsers import orca
from wqmaster.parsers.base import Output


def diagnosis(
    content: str, errors: str = "", asked_for: Asked | None = None
) -> tuple[FailureClass, str]:
    failure = orca.diagnose(output(content, errors), asked_for, {})
    assert failure is not None
    assert failure.message.startswith("ORCA: ")
    assert len(failure.message.splitlines()) == 1
    return failure.kind, failure.message


def sound(content: str, asked_for: Asked | None = None) -> bool:
    return orca.diagnose(output(content), asked_for, {}) is None


# --- diagnosis of outputs that ended well --------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "asked_for"),
    [
        ("v3-radical", asked()),
        ("v4-opt", asked(multiplicity=1)),
        ("v4-mp2", asked(natoms=4, multiplicity=1)),
        ("v5-numgrad", asked(natoms=3, charge=-1)),
        ("v6-radical", asked()),
    ],
)
def test_a_good_output_is_a_result(name: str, asked_for: Asked) -> None:
    assert sound(text(name), asked_for)
    assert sound(text(name) + "\nStatistics of the batch system: signal 9 was not needed\n")


@pytest.mark.parametrize(
    ("asked_for", "kind"),
    [
        (asked(natoms=3), FailureClass.ATOM_COUNT),
        (asked(charge=1), FailureClass.NOT_AS_ASKED),
        (asked(multiplicity=4), FailureClass.NOT_AS_ASKED),
    ],
)
def test_a_molecule_other_than_requested_is_a_failure(asked_for: Asked, kind: FailureClass) -> None:
    assert diagnosis(text("v6-radical"), asked_for=asked_for)[0] is kind


@pytest.mark.parametrize(
    ("energy", "kind"),
    [
        ("    nan", FailureClass.NOT_FINITE),
        ("   -inf", FailureClass.NOT_FINITE),
        ("    0.000000000000", FailureClass.IMPLAUSIBLE_ENERGY),
        ("  129.901445554890", FailureClass.IMPLAUSIBLE_ENERGY),
        ("  -12.901445554890", FailureClass.IMPLAUSIBLE_ENERGY),
        (" -229.901445554890", FailureClass.IMPLAUSIBLE_ENERGY),
        (" -20006124.303127218", FailureClass.IMPLAUSIBLE_ENERGY),
    ],
)
def test_an_energy_that_the_atoms_cannot_have_is_a_failure(energy: str, kind: FailureClass) -> None:
    content = text("v6-radical", ("-129.901445554890", energy))
    assert diagnosis(content)[0] is kind


def test_an_energy_of_valence_electrons_only_is_plausible() -> None:
    """The output states fewer electrons with core potentials and semiempirical methods."""
    content = text("v6-radical", ("-129.901445554890", "-24.2"), ("....   15", "....   11"))
    assert sound(content, asked())


def test_heavy_atoms_may_have_relativistic_energies() -> None:
    geometry = (
        "  Au      0.000000    0.000000    0.000000\n  Au      0.000000    0.000000    2.500000\n"
    )
    heading = "CARTESIAN COORDINATES (ANGSTROEM)\n---------------------------------\n"
    energy = "FINAL SINGLE POINT ENERGY    {}\n"
    content = f"{BANNER}{heading}{geometry}\n{{}}{END}\n"
    assert sound(content.format(energy.format(-38500.0)))
    assert sound(content.format(energy.format(-271.3)))
    assert diagnosis(content.format(energy.format(-90000.0)))[0] is FailureClass.IMPLAUSIBLE_ENERGY


def test_point_charges_among_the_atoms_add_their_own_energy() -> None:
    content = text(
        "v6-radical",
        (
            "  O       0.000000    0.000000    1.150000",
            "  Q       0.000000    0.000000    1.150000",
        ),
        ("-129.901445554890", "-999.9"),
    )
    assert sound(content, asked(natoms=1))


def test_semiempirical_methods_and_force_fields_have_a_different_energy_zero() -> None:
    positive = ("-129.901445554890", "21.252630863013")
    stated = ("SCF SETTINGS", "SCF SETTINGS\n ZDO-Hamiltonian        Method          .... INDO")
    assert diagnosis(text("v6-radical", positive))[0] is FailureClass.IMPLAUSIBLE_ENERGY
    assert sound(text("v6-radical", positive, stated))
    final = "FINAL SINGLE POINT ENERGY"
    assert sound(text("v6-radical", positive, (final, f"{final} (MM)")))
    kind, _ = diagnosis(text("v6-radical", positive, (final, f"{final} (QM/MM)")))
    assert kind is FailureClass.IMPLAUSIBLE_ENERGY
    infinite = text("v6-radical", ("-129.901445554890", "inf"), stated)
    assert diagnosis(infinite)[0] is FailureClass.NOT_FINITE


def test_an_output_without_a_final_energy_is_not_a_result() -> None:
    content = text("v6-radical", ("FINAL SINGLE POINT ENERGY", "FINAL SINGLE POINT"))
    kind, message = diagnosis(content)
    assert kind is FailureClass.PARSE_ERROR
    assert "FINAL SINGLE POINT ENERGY" in message


NOT_CONVERGED = "               *        SCF NOT CONVERGED AFTER 125 CYCLES         *\n"
CONVERGED = "SUCCESS                       *\n               *           SCF CONVERGED"


def test_an_unconverged_scf_before_a_normal_end_is_a_failure() -> None:
    content = text("v6-radical", (CONVERGED, "ERROR\n" + NOT_CONVERGED))
    assert diagnosis(content) == (
        FailureClass.SCF_NOT_CONVERGED,
        "ORCA: SCF NOT CONVERGED AFTER 125 CYCLES",
    )


def steps(first: str = "", second: str = "", third: str = "") -> str:
    """Two optimization cycles and a final evaluation; a text replaces the line on an SCF."""
    content = text("v4-opt")
    for cycles, replaced in (("10", first), ("  6", second), ("  3", third)):
        line = f"SCF CONVERGED AFTER {cycles.rjust(3)} CYCLES "
        assert content.count(line) == 1
        content = content.replace(line, replaced or line)
    return content


def test_an_optimization_step_may_be_only_nearly_converged() -> None:
    """The final values depend only on the last energy and the last gradient."""
    assert sound(steps(first="SCF NOT CONVERGED AFTER 125 CYCLES"))
    assert diagnosis(steps(second="SCF NOT CONVERGED AFTER 125 CYCLES"))[0] is (
        FailureClass.SCF_NOT_CONVERGED
    )
    assert diagnosis(steps(third="SCF NOT CONVERGED AFTER 125 CYCLES"))[0] is (
        FailureClass.SCF_NOT_CONVERGED
    )


def test_an_unconverged_scf_followed_by_a_converged_one_is_not_a_failure() -> None:
    """This happens, for example, with high spin before broken symmetry, or after a restart."""
    content = text(
        "v6-radical", ("SCF CONVERGED AFTER", "SCF NOT CONVERGED AFTER 9\nSCF CONVERGED AFTER")
    )
    assert sound(content)


def test_an_unconverged_scf_in_any_of_several_jobs_is_a_failure() -> None:
    content = text("v3-radical", ("SCF CONVERGED AFTER", "SCF NOT CONVERGED AFTER"))
    assert diagnosis(content + text("v6-radical"))[0] is FailureClass.SCF_NOT_CONVERGED


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        ("(SCF not fully converged!)", FailureClass.SCF_NOT_CONVERGED),
        ("(Wavefunction not fully converged!)", FailureClass.CC_NOT_CONVERGED),
    ],
)
def test_the_suffix_of_the_final_energy_decides(suffix: str, kind: FailureClass) -> None:
    content = text("v6-radical", ("-129.901445554890", f"-129.901445554890   {suffix}"))
    found, message = diagnosis(content)
    assert found is kind
    assert "not fully converged" in message


def layered(before: str = "", suffix: str = "") -> str:
    """A QM/MM calculation, which prints three energies."""
    qm = "FINAL SINGLE POINT ENERGY     -129.901445554890"
    return text(
        "v6-radical",
        ("SCF CONVERGED AFTER", f"{before or 'SCF CONVERGED AFTER'}"),
        (
            qm,
            f"FINAL SINGLE POINT ENERGY (MM)     0.5\n{qm} {suffix}\n"
            "FINAL SINGLE POINT ENERGY (QM/MM)     -129.401445554890",
        ),
    )


def test_an_unconverged_layer_does_not_count_as_an_optimization_step() -> None:
    assert sound(layered())
    for content in (
        layered(before="SCF NOT CONVERGED AFTER"),
        layered(suffix="(SCF not fully converged!)"),
    ):
        assert diagnosis(content)[0] is FailureClass.SCF_NOT_CONVERGED


def test_a_message_has_no_frame_even_with_windows_line_endings() -> None:
    content = text("v6-radical", (CONVERGED, "ERROR\n" + NOT_CONVERGED)).replace("\n", "\r\n")
    assert diagnosis(content)[1] == "ORCA: SCF NOT CONVERGED AFTER 125 CYCLES"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (
            "--- The Coupled-Cluster iterations have NOT converged ---",
            FailureClass.CC_NOT_CONVERGED,
        ),
        ("--- The CCSD iterations have NOT converged ---", FailureClass.CC_NOT_CONVERGED),
        ("--- The EOM iterations have NOT converged ---", FailureClass.RESPONSE_NOT_CONVERGED),
        ("RPA/TD-DFT did not converge! You may try", FailureClass.RESPONSE_NOT_CONVERGED),
        ("CIS/TDA-DFT did not converge", FailureClass.RESPONSE_NOT_CONVERGED),
        ("THE CP-SCF CALCULATION IS UNCONVERGED", FailureClass.RESPONSE_NOT_CONVERGED),
        ("Error: the CP-SCF equations did not converge", FailureClass.RESPONSE_NOT_CONVERGED),
        ("This SCF-wavefunction IS NOT FULLY CONVERGED!", FailureClass.SCF_NOT_CONVERGED),
        ("This wavefunction IS NOT FULLY CONVERGED!", FailureClass.CC_NOT_CONVERGED),
        ("ERROR (ORCA_CASSCF): Convergence Failure.", FailureClass.SCF_NOT_CONVERGED),
    ],
)
def test_other_unconverged_iterations_are_failures(line: str, kind: FailureClass) -> None:
    for place in ("TOTAL SCF ENERGY", "DIPOLE MOMENT\n-"):
        content = text("v6-radical", (place, f"{place}\n          {line}\n"))
        assert diagnosis(content)[0] is kind


def test_unconverged_single_eom_roots_are_accepted_in_steom() -> None:
    line = (
        "--- The EOM iterations have NOT converged ---\n--- The STEOM iterations have converged ---"
    )
    assert sound(text("v6-radical", ("TOTAL SCF ENERGY", f"{line}\nTOTAL SCF ENERGY")))


def test_a_nudged_elastic_band_has_its_own_convergence() -> None:
    band = "Optim.  Iteration  HEI  E(HEI)-E(0)  max(|Fp|)   RMS(Fp)    dS\n"
    converged = "***        THE NEB OPTIMIZATION HAS CONVERGED     ***\n"
    assert sound(f"{BANNER}{band}{converged}{END}\n")
    for content in (f"{BANNER}{band}{END}\n", text("v6-radical", (END, f"{band}{END}"))):
        kind, message = diagnosis(content)
        assert kind is FailureClass.OPT_NOT_CONVERGED
        assert "NEB" in message
    cycle = "*                GEOMETRY OPTIMIZATION CYCLE   1            *\n"
    transition_state = text("v6-radical", (END, f"{band}{converged}{cycle}{END}"))
    assert diagnosis(transition_state)[0] is FailureClass.OPT_NOT_CONVERGED
    found = "***        THE TS OPTIMIZATION HAS CONVERGED      ***\n"
    assert sound(transition_state.replace(END, f"{found}{END}"))


OPT_MESSAGE = """
                                 WARNING !!!
       The optimization did not converge but reached the maximum number of
       optimization cycles.
       Please check your results very carefully.
"""


def test_an_unconverged_optimization_before_a_normal_end_is_a_failure() -> None:
    cut = text("v4-opt").partition("                    ***********************HURRAY")[0]
    kind, message = diagnosis(f"{cut}{OPT_MESSAGE}\n{END}\n")
    assert kind is FailureClass.OPT_NOT_CONVERGED
    assert message == (
        "ORCA: The optimization did not converge but reached the maximum number of "
        "optimization cycles"
    )
    assert diagnosis(f"{cut}\n{END}\n")[0] is FailureClass.OPT_NOT_CONVERGED
    before_frequencies = OPT_MESSAGE.replace("Please", "ORCA will abort at this point of the run")
    assert diagnosis(f"{cut}{before_frequencies}")[0] is FailureClass.OPT_NOT_CONVERGED


# --- diagnosis of outputs that ended badly --------------------------------------------------------


def crashed(lines: str = "", module: str = "") -> str:
    """An output that breaks off after `lines`, while `module` runs."""
    start = text("v6-radical").partition("SCF SETTINGS")[0]
    ending = (
        f"\nORCA finished by error termination in {module}\n"
        "Calling Command: mpirun -np 8  /opt/orca/orca_x_mpi job\n"
        "[file orca_tools/qcmsg.cpp, line 458]: \n  .... aborting the run\n"
        if module
        else ""
    )
    return f"{start}{lines}\n{ending}"


CRASHES = [
    (
        "   INPUT ERROR\n   UNRECOGNIZED OR DUPLICATED KEYWORD(S) IN SIMPLE INPUT LINE\n  B9LYP  ",
        "",
        FailureClass.INPUT_KEYWORD,
        "LINE: B9LYP",
    ),
    (
        "ERROR: Unknown identifier in SCF block: MaxIters",
        "",
        FailureClass.INPUT_KEYWORD,
        "MaxIters",
    ),
    ("Invalid assignment in block: 3", "", FailureClass.INPUT_KEYWORD, "Invalid assignment"),
    (
        "** There are no CABS   basis functions on atom number   2 (Br) **",
        "",
        FailureClass.INPUT_BASIS,
        "There are no CABS basis functions on atom number 2 (Br)",
    ),
    (
        "[file orca_main/maininp2.cpp, line 2348]:    The basis set was either not assigned or not "
        "available for this element - Aborting the run",
        "",
        FailureClass.INPUT_BASIS,
        "ORCA: The basis set",
    ),
    (
        "[file a.cpp, line 671]: Error : multiplicity (1) is odd and number of electrons (15) is "
        "odd -> impossible",
        "",
        FailureClass.CHARGE_MULTIPLICITY,
        "number of electrons (15) is odd -> impossible",
    ),
    (
        "Calculating Nuclear repulsion    ... Error (ORCA_GTOINT/SHARK): Zero distance encountered "
        "between atoms 1 and 0",
        "Startup",
        FailureClass.COINCIDENT_ATOMS,
        "Zero distance encountered between atoms 1 and 0",
    ),
    (
        "Error: Element name/number, dummy atom or point charge expected in COORDS",
        "",
        FailureClass.INPUT_ERROR,
        "COORDS",
    ),
    (
        "WARNING: Only RunTyp == SinglePoint possible\n  ===> : Skipping actual calculation",
        "",
        FailureClass.INPUT_ERROR,
        "ORCA: WARNING: Only RunTyp == SinglePoint possible",
    ),
    ("   INPUT ERROR\n\n  something is wrong", "", FailureClass.INPUT_ERROR, "something is wrong"),
    (
        " Error  (ORCA_SCF): Not enough memory available!\n"
        "       ====>        Please increase MaxCore to more than:          289 MB",
        "SCF",
        FailureClass.MEMORY,
        "Please increase MaxCore to more than: 289 MB",
    ),
    (
        "Process  0: Error (ORCA_MDCI): not enough memory to treat a single 4ext-batch\n"
        "Process  0:                    Please increase MaxCore - by at least ( 674.2 MB)\n"
        "Process 11:                    Please increase MaxCore - by at least ( 6735.6 MB)\n"
        "Process 12:                    Please increase MaxCore - by at least (  835.6 MB)",
        "MDCI",
        FailureClass.MEMORY,
        "by at least ( 6735.6 MB)",
    ),
    ("OUT OF MEMORY ERROR!", "SCF", FailureClass.MEMORY, "OUT OF MEMORY"),
    (
        "Error (ORCA_MDCI): Number of processes (16) in parallel calculation exceeds number of "
        "pairs (10)\n2 total processes killed (some possibly by mpirun during cleanup)",
        "MDCI",
        FailureClass.TOO_MANY_PROCESSES,
        "exceeds number of pairs (10)",
    ),
    (
        "2 total processes killed (some possibly by mpirun during cleanup)",
        "MDCI",
        FailureClass.KILLED,
        "2 total processes killed",
    ),
    (
        "                             ****ORCA TERMINATED NOT NORMALLY****",
        "",
        FailureClass.PROGRAM_ERROR,
        "TERMINATED NOT NORMALLY",
    ),
    (
        "mpirun noticed that process rank 3 exited on signal 9 (Killed).",
        "SCF",
        FailureClass.KILLED,
        "signal 9",
    ),
    ("write: No space left on device", "SCF", FailureClass.DISK_FULL, "No space left on device"),
    (
        "Diagonalization failure because of NANs in input matrix",
        "SCF",
        FailureClass.SCF_NOT_CONVERGED,
        "NANs",
    ),
    ("some numbers", "GTOInt", FailureClass.MODULE_CRASH, "error termination in GTOInt"),
    (
        "[file a.cpp, line 1, Process 3]: Error: this and that ... aborting the run",
        "",
        FailureClass.PROGRAM_ERROR,
        "ORCA: Error: this and that",
    ),
    (
        "[file b.cpp, line 4]: Error (ORCA_LEANSCF): unfortunately, the SCF has not converged",
        "LEANSCF",
        FailureClass.SCF_NOT_CONVERGED,
        "the SCF has not converged",
    ),
    (NOT_CONVERGED, "LEANSCF", FailureClass.SCF_NOT_CONVERGED, "125 CYCLES"),
    (
        "RPA/TD-DFT did not converge! You may try",
        "CIS",
        FailureClass.RESPONSE_NOT_CONVERGED,
        "RPA/TD-DFT did not converge",
    ),
    (
        "               --- The CCSD iterations have NOT converged ---",
        "",
        FailureClass.CC_NOT_CONVERGED,
        "ORCA: The CCSD iterations",
    ),
    ("some numbers", "", FailureClass.TRUNCATED, "ORCA TERMINATED NORMALLY"),
]


@pytest.mark.parametrize(("lines", "module", "kind", "words"), CRASHES)
def test_a_stated_cause_takes_precedence_over_the_crash(
    lines: str, module: str, kind: FailureClass, words: str
) -> None:
    found, message = diagnosis(crashed(lines, module=module))
    assert found is kind
    assert words in message
    assert "[file" not in message


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ("orca_gtoint_mpi: error while loading shared libraries: libmpi.so.40: cannot open shared "
         "object file", FailureClass.LIBRARY_MISSING),
        ("sh: 1: mpirun: not found", FailureClass.PROGRAM_MISSING),
        ("slurmstepd: error: Detected 1 oom-kill event(s)", FailureClass.MEMORY),
        ("There are not enough slots available in the system to satisfy the 16 slots",
         FailureClass.TOO_MANY_PROCESSES),
    ],
)  # fmt: skip
def test_a_cause_on_standard_error_is_found(errors: str, kind: FailureClass) -> None:
    assert diagnosis(crashed(module="GTOInt"), errors)[0] is kind


def test_the_words_of_a_cause_in_the_echoed_input_are_ignored() -> None:
    echo = "|  1> # Zero distance? Please increase MaxCore to more than: 1 MB"
    assert diagnosis(crashed(echo, module="SCF"))[0] is FailureClass.MODULE_CRASH


def test_an_output_cut_anywhere_is_truncated() -> None:
    content = text("v6-radical")
    for part in range(1, 10):
        assert diagnosis(content[: len(content) * part // 10])[0] is FailureClass.TRUNCATED
    assert diagnosis(content + content[: len(content) // 2])[0] is FailureClass.TRUNCATED
    assert diagnosis(content[500:])[0] is FailureClass.TRUNCATED
    assert diagnosis("")[0] is FailureClass.TRUNCATED


@pytest.mark.parametrize(
    ("content", "errors"),
    [
        ("", "Cannot start the screen reader because it cannot connect to the Desktop."),
        ("usage: orca [-h] [-v] [-r] [-s]\norca: error: unrecognized arguments: job.inp\n", ""),
        ("hello\n", ""),
    ],
)
def test_another_program_of_the_same_name_is_not_orca(content: str, errors: str) -> None:
    kind, message = diagnosis(content, errors, asked())
    assert kind is FailureClass.PROGRAM_MISSING
    assert "GNOME screen reader" in message


def test_a_given_file_that_is_not_an_orca_output_is_not_called_a_screen_reader() -> None:
    kind, message = diagnosis("Entering Gaussian System, Link 0=g16\n")
    assert kind is FailureClass.PARSE_ERROR
    assert "this is not an output of ORCA: it has no banner" in message
    assert "Entering Gaussian System" in message
    assert "GNOME" not in message


def test_without_standard_output_there_is_nothing_to_judge() -> None:
    failure = orca.diagnose(Output({"orca.gbw": b""}, "orca.gbw"), None, {})
    assert failure is not None
    assert failure.kind is FailureClass.MISSING_OUTPUT
