"""Vina's parsers on outputs from Vina. data/vina/README.md describes the runs."""

import math
import random
import re
import time
from pathlib import Path

import pytest

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.job import Asked
from wqmaster.parsers.base import Output, Parser
from wqmaster.parsers.vina import (
    affinities,
    affinity,
    diagnose,
    file_name,
    modes,
    pdbqt,
    pose_energies,
    poses,
    program_version,
    rmsd_lower_bounds,
    rmsd_upper_bounds,
    seed,
)

DATA = Path(__file__).parent / "data" / "vina"
ASKED = Asked(1, 1, 0, 0, 1, "molecule", "recipe", "target")
ALL: tuple[Parser, ...] = (
    *(affinity, affinities, rmsd_lower_bounds, rmsd_upper_bounds),
    *(modes, pose_energies, poses, pdbqt, seed),
)


def files(name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (DATA / name).iterdir()}


def output(name: str, **changes: bytes | None) -> Output:
    """A run; `changes` replaces some of its files (dots written as _) or removes them (None)."""
    found = files(name)
    names = {path.replace(".", "_"): path for path in found}
    for key, content in changes.items():
        if content is None:
            del found[names[key]]
        else:
            found[names[key]] = content
    return Output(found)


def replaced(name: str, file: str, old: str, new: str, count: int = 1) -> Output:
    """The run with part of one of its files replaced."""
    found = files(name)
    assert old.encode() in found[file]
    found[file] = found[file].replace(old.encode(), new.encode(), count)
    return Output(found)


def diagnosis(found: Output, asked: Asked | None = ASKED) -> tuple[FailureClass, str]:
    failure = diagnose(found, asked, {})
    assert failure is not None
    assert len(failure.message.splitlines()) == 1
    return failure.kind, failure.message


# --- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("maps", [(-3.819, 0.0, 0.0), (-3.711, 4.974, 5.077)]),
        ("refined", [(-4.029, 0.0, 0.0), (-3.968, 4.374, 5.451)]),
    ],
)
def test_modes_match_the_poses(name: str, rows: list[tuple[float, float, float]]) -> None:
    for result in rows:
        text = "REMARK VINA RESULT: " + "  ".join(f"{value:9.3f}" for value in result)
        assert text in files(name)["out.pdbqt"].decode()
    assert affinity(output(name)) == rows[0][0]
    assert affinities(output(name)) == [row[0] for row in rows]
    assert rmsd_lower_bounds(output(name)) == [row[1] for row in rows]
    assert rmsd_upper_bounds(output(name)) == [row[2] for row in rows]
    assert modes(output(name)) == [
        {"affinity": a, "rmsd_lower_bound": lower, "rmsd_upper_bound": upper}
        for a, lower, upper in rows
    ]


def test_the_table_alone_has_all_modes() -> None:
    printout = Output({"stdout": files("maps")["stdout"]}, "out.pdbqt")
    assert affinities(printout) == [-3.819, -3.711, -3.689, -3.675]
    assert rmsd_upper_bounds(printout) == [0.0, 5.077, 2.954, 5.708]


def test_numbers_in_the_table_are_read_as_vina_prints_them() -> None:
    text = files("maps")["stdout"].replace(
        b"   4       -3.675      4.734      5.708", b"   4    1.852e+04      10.59          1"
    )
    assert affinities(Output({"stdout": text}))[3] == 18520.0


def test_a_file_of_poses_is_read_under_any_name() -> None:
    content = files("maps")["out.pdbqt"]
    assert affinities(Output({"stdout": content}, "out.pdbqt")) == [-3.819, -3.711]
    assert affinities(Output({"ligand_out.pdbqt": content}, "ligand_out.pdbqt"))[0] == -3.819
    assert diagnose(Output({"stdout": content}), None, {}) is None
    assert file_name("ligand_out.pdbqt") == file_name("out.pdbqt") == "out.pdbqt"
    assert file_name("receptor.pdbqt") is None


def test_the_terms_of_a_pose_add_up_to_its_affinity() -> None:
    best, second = pose_energies(output("refined"))
    assert best == {
        "affinity": -4.029,
        "total": -4.551,
        "inter": -4.382,
        "intra": -0.169,
        "unbound": -0.169,
    }
    # One of the ligand's two rotatable bonds only turns a hydrogen, so Vina counts it as half.
    for pose in (best, second):
        expected = (pose["total"] - pose["unbound"]) / (1 + 0.05846 * 1.5)
        assert pose["affinity"] == pytest.approx(expected, abs=2e-3)


def test_poses_have_names_elements_and_coordinates_of_each_atom() -> None:
    best, second = poses(output("refined"))
    assert best["elements"] == list("CCCCCCNCOCHOH")
    assert best["names"] == best["elements"]
    lines = [x for x in files("refined")["out.pdbqt"].decode().splitlines() if x[:4] == "ATOM"]
    stated = [[float(word) for word in line.split()[5:8]] for line in lines]
    assert best["coordinates"] + second["coordinates"] == stated
    assert second["elements"] == best["elements"]


def test_ring_closures_of_a_macrocycle_are_not_atoms_and_side_chains_are_omitted() -> None:
    text = (
        "MODEL 1\nREMARK VINA RESULT:    -1.000      0.000      0.000\n"
        "ROOT\n"
        "ATOM      1  C1  UNL     1       1.000   2.000   3.000  1.00  0.00    +0.000 CG0\n"
        "ATOM      2  G   UNL     1      -1.000 -12.500 113.000  1.00  0.00    +0.000 G0\n"
        "ATOM      3  CLA UNL     1       1.000   2.000   3.000  1.00  0.00           Cl\n"
        "ENDROOT\nTORSDOF 0\n"
        "BEGIN_RES PHE A 1\nROOT\n"
        "ATOM      1  CA  PHE A   1       9.000   9.000   9.000  1.00  0.00    +0.000 C \n"
        "ENDROOT\nEND_RES PHE A 1\nENDMDL\n"
    )
    [pose] = poses(Output({"out.pdbqt": text.encode()}))
    assert pose["elements"] == ["C", "X", "Cl"]
    assert pose["names"] == ["C1", "G", "CLA"]
    assert pose["coordinates"][1] == [-1.0, -12.5, 113.0]


def test_remarks_in_the_ligand_are_not_taken_for_results_of_vina() -> None:
    forged = "REMARK VINA RESULT:   -99.000      0.000      0.000\nREMARK INTER:  -99.0\nROOT"
    found = replaced("maps", "out.pdbqt", "ROOT", forged, count=2)
    assert affinities(found) == [-3.819, -3.711]
    assert pose_energies(found) == pose_energies(output("maps"))
    assert diagnose(found, ASKED, {}) is None


def test_seed_version_and_text_are_read() -> None:
    assert seed(output("maps")) == 1095812791
    assert seed(Output({"stdout": b"Using random seed: -1742\n"})) == -1742  # version 1.1.2
    assert program_version(output("maps")) == "1.2.7"
    assert program_version(Output({"stdout": b"no header\n"})) is None
    assert pdbqt(output("maps")).encode() == files("maps")["out.pdbqt"]


@pytest.mark.parametrize("parser", ALL[:-1])
@pytest.mark.parametrize("length", [0, 8, 500, 2000, -1, -3])
def test_poses_that_are_cut_short_are_a_parse_error(parser: Parser, length: int) -> None:
    whole = files("maps")["out.pdbqt"]
    with pytest.raises(ParseError, match=r"truncated|there is no pose"):
        parser(output("maps", out_pdbqt=whole[:length]))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("MODEL 2", "MODEL 3", "model 2"),
        ("ENDMDL\n", "", "model 2"),
        ("MODEL 2\n", "", "outside its models"),
        ("RESULT:    -3.819      0.000", "RESULT:    -3.819", "three numbers, not 2"),
        ("RESULT:    -3.819", "RESULT: *********", "is not a number"),
        ("RESULT:    -3.819", "RESULT:    -3_819", "is not a number"),
        ("REMARK VINA RESULT", "REMARK RESULT", "is missing from pose 1"),
    ],
)
def test_poses_that_violate_the_format_are_a_parse_error(old: str, new: str, words: str) -> None:
    found = replaced("maps", "out.pdbqt", old, new)
    for parser in ALL[:-1]:
        with pytest.raises(ParseError, match=words):
            parser(found)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (" A \nATOM      2", " Xx\nATOM      2"),
        (" A \nATOM      2", "\nATOM      2"),
        ("  2.", "  *."),
        ("ATOM      6", "ANISOU    6"),
    ],
)
def test_an_atom_that_cannot_be_read_is_a_parse_error(old: str, new: str) -> None:
    with pytest.raises(ParseError, match="pose"):
        poses(replaced("maps", "out.pdbqt", old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [("REMARK INTRA:", "REMARK INTRO:"), ("REMARK INTER: ", "REMARK INTER: 9"), ("REMARK UN", "X")],
)
def test_terms_that_are_missing_or_do_not_add_up_are_a_parse_error(old: str, new: str) -> None:
    with pytest.raises(ParseError, match=r"(of|from) pose 1"):
        pose_energies(replaced("maps", "out.pdbqt", old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("   2       -3.711", "   3       -3.711"),
        ("   2       -3.711", "   2       ******"),
        ("   2       -3.711      4.974", "   2       -3.711"),
        ("   1       -3.819          0          0\n", ""),
        ("-----+------------+", "-----+"),
        ("mode |   affinity", "mode |   afinity"),
        ("5.708\n", "5.70"),
    ],
)
def test_an_incomplete_table_is_a_parse_error(old: str, new: str) -> None:
    text = files("maps")["stdout"].decode()
    assert old in text
    with pytest.raises(ParseError):
        affinities(Output({"stdout": text.replace(old, new).encode()}))


def test_a_nan_is_returned_unchanged() -> None:
    found = replaced("maps", "out.pdbqt", "RESULT:    -3.819", "RESULT:       nan")
    assert math.isnan(affinity(found))
    assert diagnosis(found)[0] is FailureClass.NOT_FINITE


# --- diagnosis ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["maps", "refined"])
def test_a_good_run_has_no_diagnosis(name: str) -> None:
    assert diagnose(output(name), ASKED, {}) is None
    assert diagnose(output(name), None, {}) is None
    assert diagnose(Output({"stdout": files(name)["stdout"]}), None, {}) is None
    assert diagnose(Output({"out.pdbqt": files(name)["out.pdbqt"]}, "out.pdbqt"), None, {}) is None


REPORT = "\nPlease report bugs through the Issue Tracker on GitHub \n"


# Messages that Vina 1.2.7 wrote to stderr before it ended with exit code 1 or signal 6.
@pytest.mark.parametrize(
    ("stderr", "kind", "words"),
    [
        (
            "\n\nPDBQT parsing error: Atom type Xx is not a valid AutoDock type (atom types are "
            "case-sensitive).\n > ATOM      1  C   UNL     1      -0.168   0.112  -1.144  1.00\n",
            FailureClass.INPUT_ERROR,
            "PDBQT parsing error: Atom type Xx is not a valid AutoDock type",
        ),
        (
            "\n\nPDBQT parsing error: Missing TORSDOF keyword.\n",
            FailureClass.INPUT_ERROR,
            "Missing TORSDOF keyword.",
        ),
        (
            "ERROR: Affinity map for atom type Cl_H is not present.\n",
            FailureClass.INPUT_ERROR,
            "atom type Cl_H",
        ),
        (
            '\nERROR: No *.map files with prefix "nope"\n',
            FailureClass.INPUT_ERROR,
            "No *.map files",
        ),
        (
            '\n\nError: could not open "nope.pdbqt" for reading.\n',
            FailureClass.INPUT_ERROR,
            "nope.pdbqt",
        ),
        (
            "WARNING: Search space volume is greater than 27000 Angstrom^3 (See FAQ)\n\n\n"
            "Error: insufficient memory!\n",
            FailureClass.MEMORY,
            "insufficient memory",
        ),
        (
            "Configuration file parse error: unrecognised option 'foo'\n\nCorrect usage:\n\n",
            FailureClass.INPUT_KEYWORD,
            "unrecognised option 'foo'",
        ),
        ("Scoring function foo unknown.\n", FailureClass.INPUT_KEYWORD, "foo unknown"),
        (
            f"\n\nAn error occurred: \n\nVina runtime error: Grid box dimensions must be greater "
            f"than 0 Angstrom\n. \n{REPORT}",
            FailureClass.INPUT_ERROR,
            "Grid box dimensions",
        ),
        (
            f"\n\nAn internal error occurred in ../../../src/lib/tree.h(101). \n{REPORT}",
            FailureClass.MODULE_CRASH,
            "tree.h(101)",
        ),
        (f"\n\nAn unknown error occurred. \n{REPORT}", FailureClass.MODULE_CRASH, "unknown error"),
        (
            "terminate called after throwing an instance of 'internal_error'\n",
            FailureClass.MODULE_CRASH,
            "internal_error",
        ),
        (
            "WARNING: Zero poses in output container after global search. This should not be "
            "happening and is likely a bug.\n",
            FailureClass.PROGRAM_ERROR,
            "Zero poses",
        ),
    ],
)
def test_the_message_of_vina_is_the_cause(stderr: str, kind: FailureClass, words: str) -> None:
    header = files("maps")["stdout"].partition(b"\nReading")[0]
    found = Output({"stdout": header, "stderr": stderr.encode()})
    assert diagnosis(found)[0] is kind
    assert words in diagnosis(found)[1]
    # The result is the same if stderr and stdout went into one file.
    assert diagnosis(Output({"stdout": header + stderr.encode()}), None)[0] is kind


def test_warnings_are_not_failures() -> None:
    warning = b"WARNING: At low exhaustiveness, it may be impossible to utilize all CPUs.\n"
    assert diagnose(output("maps", stderr=warning), ASKED, {}) is None


@pytest.mark.parametrize(
    ("key", "wanted", "other"),
    [
        ("exhaustiveness", "2", "8"),
        ("seed", "1095812791", "1095812792"),
        ("scoring", "vina", "vinardo"),
        ("ligand", "ligand.pdbqt", "other.pdbqt"),
        ("receptor", "receptor.pdbqt", "other.pdbqt"),
        ("spacing", "0.375", "0.3751"),
        ("center_y", "0.25", "0.26"),
        ("center_z", "-0.5", "0.5"),
        ("size_y", "14.5", "14.0"),
    ],
)
def test_an_echo_that_differs_from_the_request_is_found(key: str, wanted: str, other: str) -> None:
    found = replaced("refined", "vina.conf", f"{key} = {wanted}\n", f"{key} = {other}\n")
    kind, message = diagnosis(found)
    assert kind is FailureClass.NOT_AS_ASKED
    assert message.startswith(f"vina: {key} is ")
    assert message.endswith(f", but {other} was asked for")


def test_without_a_configuration_the_options_are_compared_with_the_output() -> None:
    found = output("maps", vina_conf=None)
    assert diagnose(found, ASKED, {"exhaustiveness": 2, "seed": 1095812791}) is None
    for options in ({"exhaustiveness": 8}, {"seed": 1}, {"scoring": "vinardo"}):
        failure = diagnose(found, ASKED, options)
        assert failure is not None
        assert failure.kind is FailureClass.NOT_AS_ASKED


@pytest.mark.parametrize("missing", ["Exhaustiveness: 2\n", "random seed: 1095812791"])
def test_a_setting_that_vina_does_not_state_is_not_as_asked(missing: str) -> None:
    found = replaced("maps", "stdout", missing, "")
    assert diagnosis(found)[0] is FailureClass.NOT_AS_ASKED


def test_maps_that_were_not_read_are_not_as_asked() -> None:
    found = replaced("maps", "stdout", "Reading Vina maps", "Computing Vina grid")
    assert diagnosis(found) == (
        FailureClass.NOT_AS_ASKED,
        "vina: it read no maps, but was asked to",
    )


def test_a_ligand_that_does_not_fit_into_the_box_is_implausible_even_if_vina_succeeds() -> None:
    # Vina 1.2.7 wrote this energy for a box of 1 Angstrom.
    found = files("maps")
    found["out.pdbqt"] = re.sub(
        rb"RESULT: +-3.819", b"RESULT: 59023165.871", found["out.pdbqt"]
    ).partition(b"MODEL 2")[0]
    assert diagnosis(Output(found)) == (
        FailureClass.IMPLAUSIBLE_ENERGY,
        "vina: the best affinity is 59023165.871 kcal/mol: the ligand does not fit into the box, "
        "or the search was too short",
    )


def test_a_ligand_that_barely_fits_is_a_result() -> None:
    found = files("maps")
    for name in ("stdout", "out.pdbqt"):
        found[name] = found[name].replace(b"   -3.819", b"    3.619")
        found[name] = found[name].replace(b"   -3.711", b"    3.711")
        found[name] = found[name].replace(b"   -3.6", b"    4.6")
    assert diagnose(Output(found), ASKED, {}) is None
    assert affinity(Output(found)) == 3.619


def test_a_box_far_from_the_receptor_is_found_even_if_vina_succeeds() -> None:
    text = files("maps")["out.pdbqt"].decode()
    inter = next(line for line in text.splitlines() if line.startswith("REMARK INTER:"))
    total = next(line for line in text.splitlines() if line.startswith("REMARK INTER + INTRA:"))
    intra = next(line for line in text.splitlines() if line.startswith("REMARK INTRA:"))
    changed = text.replace(inter, "REMARK INTER:   0.000", 1)
    changed = changed.replace(total, f"REMARK INTER + INTRA: {intra.split()[-1]}", 1)
    kind, message = diagnosis(output("maps", out_pdbqt=changed.encode()))
    assert kind is FailureClass.IMPLAUSIBLE_ENERGY
    assert "does not touch the receptor" in message


def test_another_program_of_the_same_name_is_recognized() -> None:
    other = Output({"stdout": b"smina is based off AutoDock Vina.\n"})
    kind, message = diagnosis(other)
    assert kind is FailureClass.PROGRAM_MISSING
    assert "not the output of AutoDock Vina" in message
    # Without a job, no worker lacks the program: the file is another program's.
    read = diagnose(other, None, {})
    assert read is not None
    assert read.kind is FailureClass.PARSE_ERROR


@pytest.mark.parametrize("length", [0, 30, 1200, 1500, -1, -10])
def test_a_printout_that_is_cut_short_is_truncated(length: int) -> None:
    whole = files("maps")["stdout"]
    found = Output({"stdout": whole[:length]})
    assert diagnosis(found, None)[0] is FailureClass.TRUNCATED


@pytest.mark.parametrize("length", [0, 30, 1200, 2900, -1, -8])
def test_poses_that_are_cut_short_are_truncated(length: int) -> None:
    found = output("maps", out_pdbqt=files("maps")["out.pdbqt"][:length])
    assert diagnosis(found)[0] is FailureClass.TRUNCATED


def test_a_missing_model_is_found_from_the_table() -> None:
    first = files("maps")["out.pdbqt"].partition(b"MODEL 2")[0]
    assert diagnosis(output("maps", out_pdbqt=first)) == (
        FailureClass.TRUNCATED,
        "vina: mode 2 of the table is missing from the poses",
    )


def test_poses_of_another_run_are_found() -> None:
    kind, message = diagnosis(output("maps", out_pdbqt=files("refined")["out.pdbqt"]))
    assert kind is FailureClass.PARSE_ERROR
    assert "different runs" in message


def test_a_table_with_fewer_rows_than_poses_is_truncated() -> None:
    whole = files("maps")["stdout"]
    found = output("maps", stdout=whole.partition(b"   2       -3.711")[0])
    assert diagnosis(found)[0] is FailureClass.TRUNCATED


def test_a_scored_pose_is_not_a_docking() -> None:
    text = files("maps")["stdout"].partition(b"mode |")[0]
    scored = text + b"Estimated Free Energy of Binding   : -7.5 (kcal/mol) [=(1)+(2)+(3)-(4)]\n"
    assert diagnosis(Output({"stdout": scored}), None)[0] is FailureClass.NOT_AS_ASKED


def test_a_missing_file_is_a_missing_output() -> None:
    assert diagnosis(output("maps", out_pdbqt=None))[0] is FailureClass.MISSING_OUTPUT
    assert diagnosis(output("maps", stdout=None))[0] is FailureClass.MISSING_OUTPUT


# --- any input ---------------------------------------------------------------------------------


def mutated(content: bytes, draw: random.Random) -> bytes:
    """`content` truncated, with bytes flipped, lines duplicated or swapped, or blocks swapped."""
    way = draw.randrange(5)
    if way == 0:
        return content[: draw.randrange(len(content) + 1)]
    if way == 1:
        flipped = bytearray(content)
        for _ in range(draw.randrange(1, 20)):
            flipped[draw.randrange(len(flipped))] = draw.randrange(256)
        return bytes(flipped)
    lines = content.splitlines(keepends=True)
    first, second = sorted(draw.randrange(len(lines)) for _ in range(2))
    if way == 2:
        return b"".join([*lines[:second], *lines[first:]])
    if way == 3:
        return b"".join([*lines[:first], *lines[second:]])
    return b"".join([*lines[second:], *lines[first:second], *lines[:first]])


def test_mutated_files_are_parsed_or_are_a_parse_error() -> None:
    draw = random.Random(7)  # noqa: S311  # no secrets
    errors = 0
    for _ in range(3000):
        name = draw.choice(["maps", "refined"])
        found = files(name)
        for file in draw.sample(sorted(found), 2):
            if found[file]:
                found[file] = mutated(found[file], draw)
        for parser in ALL:
            try:
                parser(Output(found, getattr(parser, "files", ("stdout",))[0]))
            except ParseError:
                errors += 1
        diagnose(Output(found), ASKED, {})
        diagnose(Output({"stdout": found["out.pdbqt"]}), None, {})
    assert errors > 1000


@pytest.mark.parametrize(
    "pattern",
    [
        *(b"-", b"1", b"MODEL 1\n", b"MODEL 1\nENDMDL\n", b"mode |   affinity", b" ", b"\n"),
        *(b"REMARK VINA RESULT: 1 ", b"   1  0 0 0\n", b"random seed: ", b"AutoDock Vina v"),
        *(b"Scoring function ", b"ATOM      1  C   UNL     1       1.000   2.000   3.000\n"),
    ],
)
def test_large_inputs_are_read_in_linear_time(pattern: bytes) -> None:
    head = b"MODEL 1\nREMARK VINA RESULT:    -1.000      0.000      0.000\n"
    table = files("maps")["stdout"]

    def seconds(size: int) -> float:
        started = time.process_time()
        body = pattern * (size // len(pattern))
        for content in (body, head + body, table[:-1] + body, table[:1600] + body):
            found = Output({"stdout": content, "out.pdbqt": content})
            for parser in ALL:
                try:
                    parser(found)
                except ParseError:
                    continue
            diagnose(found, ASKED, {})
        return time.process_time() - started

    small = max(seconds(100_000), 0.002)
    # For ten times the input, a quadratic algorithm would take a hundred times as long.
    assert seconds(1_000_000) < 50 * small
