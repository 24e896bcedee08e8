"""Frames of xtb runs, damaged files, and layouts of xtb versions that are not installed.

tests/integration/test_xtb_frames.py shows that each frame belongs to one evaluation.
"""

import math
from pathlib import Path
from typing import Any

import pytest

from tests.unit.orca_runs import run, single_point
from wqmaster.errors import ParseError
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.job import Asked
from wqmaster.parsers import orca, xtb
from wqmaster.parsers.base import Output, Parser

DATA = Path(__file__).parent / "data" / "xtb"


def files(name: str, **changes: bytes | None) -> dict[str, bytes]:
    """The files of a run; `changes` (dots written as _) replaces or removes (None) some."""
    found = {path.name: path.read_bytes() for path in (DATA / name).iterdir()}
    for key, content in changes.items():
        file = key.replace("__", ".")
        if content is None:
            del found[file]
        else:
            found[file] = content
    return found


def frames(found: dict[str, bytes]) -> list[dict[str, Any]]:
    return xtb.frames(Output(found))


def test_the_frames_of_an_optimization_end_with_its_result() -> None:
    output = Output(files("optimize"))
    found = xtb.frames(output)
    last = found[-1]
    assert last["geometry"] == xtb.geometry(output)
    assert abs(last["energy"] - xtb.energy(output)) < 1e-8
    assert [frame["converged"] for frame in found] == [False] * (len(found) - 1) + [True]
    assert all((frame["charge"], frame["multiplicity"]) == (0, 1) for frame in found)
    kinds = [(frame["kind"], frame["cycle"]) for frame in found]
    cycles = [("optimisation_cycle", count) for count in range(1, len(found))]
    assert kinds == [*cycles, ("stationary_point", None)]
    assert [frame["energy"] for frame in found[:-1]] == xtb.opt_trajectory_energies(output)[:-1]


def test_frames_of_xtb_and_orca_have_the_same_keys() -> None:
    text = run(single_point(0.74))
    (of_orca,) = orca.frames(Output({"stdout": text.encode()}))
    for name in ("optimize", "md"):
        assert all(list(frame) == list(of_orca) for frame in frames(files(name)))


def test_no_frame_of_an_unconverged_optimization_is_converged() -> None:
    found = frames(files("optimize-not-converged"))
    assert found
    assert not any(frame["converged"] for frame in found)


def test_a_log_cut_between_two_structures_is_refused() -> None:
    run = files("optimize")
    log = run["xtbopt.log"].decode()
    natoms = int(log.split("\n", 1)[0])
    run["xtbopt.log"] = "".join(log.splitlines(True)[: -(natoms + 2)]).encode()
    with pytest.raises(ParseError, match=r"xtbopt\.log is truncated"):
        frames(run)


@pytest.mark.parametrize("parser", [xtb.geometry_trajectory, xtb.opt_trajectory_energies])
def test_a_trajectory_cut_between_two_structures_is_refused(parser: Parser) -> None:
    run = files("optimize")
    natoms = int(run["xtbopt.log"].split(b"\n", 1)[0])
    run["xtbopt.log"] = b"".join(run["xtbopt.log"].splitlines(True)[: natoms + 2])
    with pytest.raises(ParseError, match=r"xtbopt\.log is truncated"):
        parser(Output(run, "xtbopt.log"))


@pytest.mark.parametrize(
    ("name", "file", "parser"),
    [("solvent", "wbo", xtb.bond_orders), ("gfnff", "gfnff_charges", xtb.charges)],
)
def test_a_truncated_number_is_refused(name: str, file: str, parser: Parser) -> None:
    whole = files(name)[file]
    for length in range(len(whole)):
        with pytest.raises(ParseError):
            parser(Output({**files(name), file: whole[:length]}))


def test_bond_orders_are_as_many_as_the_printout_lists() -> None:
    run = files("water")
    rule = f" {75 * '-'}\n"
    table = (
        "largest (>0.10) Wiberg bond orders for each atom\n\n"
        f"{rule}     #   Z sym  total        # sym  WBO       # sym  WBO       # sym  WBO\n{rule}"
        "     1   8 O    1.841 --     3 H    0.920     2 H    0.920\n"
        "     2   1 H    0.997 --     1 O    0.920\n"
        f"     3   1 H    0.997 --     1 O    0.920\n{rule}\n"
    )
    run["stdout"] += table.encode()
    parsed = xtb.bond_orders(Output(run))
    assert [order[:2] for order in parsed] == [[0, 1], [0, 2]]
    for kept in (0, 1):
        run["wbo"] = b"".join(files("water")["wbo"].splitlines(True)[:kept])
        with pytest.raises(ParseError, match=f"wbo has {kept} of the 2 bond orders in stdout"):
            xtb.bond_orders(Output(run))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b" energy:", b" power:"),
        (b" energy: -", b" energy: ****"),
        (b"\n O ", b"\n 8 "),
        (b"0.", b"*"),
    ],
)
def test_a_damaged_trajectory_has_no_frames(old: bytes, new: bytes) -> None:
    run = files("optimize")
    for file in ("xtbopt.log", "xtbopt.xyz"):
        run[file] = (
            run[file].replace(old, new).replace(b"\nO ", b"\n8 " if b"8" in new else b"\nO ")
        )
    with pytest.raises(ParseError):
        frames(run)


def test_a_run_with_missing_or_truncated_files_has_no_frames() -> None:
    with pytest.raises(ParseError, match="missing"):
        frames(files("optimize", xtbopt__log=None))
    cut = files("optimize")["xtbopt.log"][:-30]
    with pytest.raises(ParseError, match="truncated"):
        frames(files("optimize", xtbopt__log=cut))
    with pytest.raises(ParseError, match="no optimization, relaxed scan or molecular dynamics"):
        frames(files("water"))


def test_the_frames_of_an_md_come_from_its_trajectory() -> None:
    output = Output(files("md"))
    found = xtb.frames(output)
    assert [frame["energy"] for frame in found] == xtb.md_energies(output)
    assert len(found) == xtb.md_frames(output)


def test_frames_are_refused_if_unconverged_charges_cannot_be_assigned_to_them() -> None:
    note = b"   *** convergence criteria cannot be satisfied within 5 iterations ***\n"
    run = files("md")
    with pytest.raises(ParseError, match="not in which frames"):
        frames(run | {"stdout": run["stdout"] + note})


# --- the gradient of the last frame ---------------------------------------------------------------


def engrad(energy: float, geometry: list[list[float]]) -> bytes:
    rows = [[f"{0.125 * place}"] for place in range(3 * len(geometry))]
    atoms = [["8", *(f"{value / 0.52917726:.10f}" for value in row)] for row in geometry]
    lines = [[str(len(geometry))], [f"{energy:.12f}"], *rows, *atoms]
    return "".join(" ".join(line) + "\n" for line in lines).encode()


def test_a_gradient_belongs_to_the_frame_with_its_geometry_or_to_none() -> None:
    run = files("optimize")
    output = Output(run)
    geometry, energy = xtb.geometry(output), xtb.energy(output)
    only_fixed = frames(run | {"molecule.engrad": engrad(energy + 2e-9, geometry)})
    assert only_fixed[-1]["gradient"] is None
    norm = f"{math.hypot(*(0.125 * place for place in range(9))):.12f}".encode()
    run["stdout"] = run["stdout"].replace(b"0.000942139971 Eh/a0", norm + b" Eh/a0")
    found = frames(run | {"molecule.engrad": engrad(energy + 2e-9, geometry)})
    assert found[-1]["gradient"][0] == [0.0, 0.125, 0.25]
    assert found[-1]["energy"] == pytest.approx(energy + 2e-9, abs=1e-12)
    elsewhere = [[x + 0.01, y, z] for x, y, z in geometry]
    assert frames(run | {"molecule.engrad": engrad(energy, elsewhere)})[-1]["gradient"] is None
    other = engrad(energy + 1e-4, geometry)
    assert frames(run | {"molecule.engrad": other})[-1]["gradient"] is None


# --- versions -------------------------------------------------------------------------------------

SETUP_OF_6_7 = "          :  unpaired electrons                  1          :\n"
SPIN_OF_6_3 = (
    "          charge                     :                     0\n"
    "          spin                       :                   {}\n"
)


def of_6_3(spin: str, name: str = "water-cation") -> dict[str, bytes]:
    """A run with one unpaired electron, in the layout of xtb 6.3, which prints the spin."""
    run = files(name)
    text = run.pop("stdout").decode()
    run = {name: content for name, content in run.items() if name == "stderr"}
    assert SETUP_OF_6_7 in text
    text = text.replace(SETUP_OF_6_7, "")
    return run | {"stdout": (SPIN_OF_6_3.format(spin) + text).encode()}


def test_xtb_6_3_states_the_spin_instead_of_unpaired_electrons() -> None:
    output = Output(of_6_3("0.5"))
    assert xtb.unpaired_electrons(output) == 1
    assert xtb.diagnose(output, None, {}) is None
    with pytest.raises(ParseError, match="not a spin"):
        xtb.unpaired_electrons(Output(of_6_3("0.3")))
    with pytest.raises(ParseError, match="not a number"):
        xtb.unpaired_electrons(Output(of_6_3("*****")))


def test_a_spin_that_the_electrons_rule_out_is_found_in_xtb_6_3() -> None:
    # One of water's eight electrons cannot be unpaired, but xtb 6.3 computes this nevertheless.
    text = of_6_3("0.5", "uhf-1")["stdout"]
    failure = xtb.diagnose(Output({"stdout": text}), None, {})
    assert failure is not None
    assert failure.kind is FailureClass.CHARGE_MULTIPLICITY


def test_a_printout_that_states_neither_is_not_compared_with_the_command_line() -> None:
    # xtb 6.5 and 6.6 print no spin, but the xtbout.json of a job states it.
    text = of_6_3("0.5")["stdout"].decode().replace(SPIN_OF_6_3.format("0.5"), "")
    assert xtb.diagnose(Output({"stdout": text.encode()}), None, {}) is None
    with pytest.raises(ParseError, match="does not state the number of unpaired electrons"):
        xtb.unpaired_electrons(Output({"stdout": text.encode()}))
    run = files("water-cation")
    natoms = len(xtb.charges(Output(run)))
    wrong = Asked(1, 1, natoms, 0, 4, "molecule", "recipe", "target")
    assert xtb.diagnose(Output(run), wrong, {}) is not None


def test_the_occupations_of_a_printout_that_states_neither_show_no_or_one_unpaired_electron() -> (
    None
):
    stated = files("optimize")["stdout"].decode()
    text = stated.replace(SETUP_OF_6_7.replace("1  ", "0  "), "")
    assert text != stated
    homo = "4        2.0000"
    assert homo in text

    def unpaired(old: str, new: str) -> int:
        found: int = xtb.unpaired_electrons(Output({"stdout": text.replace(old, new).encode()}))
        return found

    assert unpaired("", "") == 0
    assert unpaired(homo, "4        1.0000") == 1
    # Two electrons in two orbitals are those of a triplet, or of a singlet at a temperature.
    two = text.replace(homo, "4        1.0000").replace("3        2.0000", "3        1.0000")
    fraction = text.replace(homo, "4        1.9000")
    unmarked = text.replace("(HOMO)", "")
    for other in (two, fraction, unmarked):
        with pytest.raises(ParseError, match="does not state"):
            xtb.unpaired_electrons(Output({"stdout": other.encode()}))


COPY = (
    "[WARNING] Please study the warnings concerning your input carefully\n"
    "-2- userdata_read: could not find 'xtb.inp'\n"
    "-1- set_rdcontrol: could not find 'xtb.inp'\n"
    "########################################################################\n"
)


@pytest.mark.parametrize(
    ("called", "harmless"),
    [("--copy", True), ("--input xtb.inp", False), ("--copy --input xtb.inp", False)],
)
def test_an_input_that_only_the_copy_option_looks_for_may_be_missing(
    called: str, harmless: bool
) -> None:
    run = files("water")
    call = f"          program call               : xtb molecule.xyz {called}\n{COPY}\n"
    failure = xtb.diagnose(Output(run | {"stdout": call.encode() + run["stdout"]}), None, {})
    assert (failure is None) is harmless
