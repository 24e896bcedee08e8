"""Typical mistakes in a user's first program module, and the messages about them."""

import gzip
import json
from pathlib import Path

import pytest

from tests.acceptance.test_own_program import MODULE, PROGRAM, settings, written
from tests.conftest import Campaigns, Cli


@pytest.fixture
def path(campaigns: Campaigns) -> Path:
    """The path of a campaign file with the guide's program, for three molecules."""
    return written(campaigns)


# --- results and documents ---------------------------------------------------------------------


def test_smoke_and_run_refuse_and_name_a_value_too_large_for_a_document(
    path: Path, campaigns: Campaigns, cli: Cli
) -> None:
    large = MODULE.replace("return float(found[1])", 'return "x" * (31 << 20)')
    (campaigns.folder / "tallying.py").write_text(large.replace("def energy", "def lines"))
    path = campaigns.write(**settings(campaigns, "tallying.count", "lines"))
    said = (
        "the result has 31.0 MB (first.lines: 31.0 MB), but a document can hold only 16 MB in all; "
        "remove the parser, and keep its file with 'keep_files' instead"
    )
    failure = json.loads(cli("smoke", path, "--json", code=1))["failure"]
    assert failure["class"] == "not_stored"
    assert said in failure["message"]
    cli("run", path, code=1)
    assert said in campaigns.failures.find_one({"document": 1})["message"]


def test_done_documents_that_become_unusable_do_not_invalidate_a_campaign(
    path: Path, campaigns: Campaigns, cli: Cli
) -> None:
    cli("run", path)
    refusing = MODULE.replace("@task(", "@task(inspect=refuse, ").replace(
        "class CalmRung",
        "from wqmaster.errors import BadDocument\n\n"
        "def refuse(molecule, options):\n"
        '    raise BadDocument("tally has no oxygen")\n\n\n'
        "class CalmRung",
    )
    (campaigns.folder / "tallying.py").write_text(refusing)
    said = "no first job can be shown: document 1: tally has no oxygen"
    assert f"note        {said}\n" in cli("check", path)
    remarks = json.loads(cli("check", path, "--json"))["remarks"]
    assert {"code": "document-unusable", "message": said} in remarks


def test_an_unusable_document_that_is_still_to_be_computed_is_named(
    path: Path, campaigns: Campaigns, cli: Cli
) -> None:
    refusing = MODULE.replace("@task(", "@task(inspect=refuse, ").replace(
        "class CalmRung",
        "from wqmaster.errors import BadDocument\n\n"
        "def refuse(molecule, options):\n"
        "    if molecule.id != 2:\n"
        '        raise BadDocument("tally has no oxygen")\n\n\n'
        "class CalmRung",
    )
    (campaigns.folder / "tallying.py").write_text(refusing)
    assert "The first job, for document 2" in cli("check", path)
    refusing = refusing.replace("if molecule.id != 2", "if True")
    (campaigns.folder / "tallying.py").write_text(refusing)
    cli("check", path, code=1)
    assert "the first is document 1: tally has no oxygen" in cli.errors


# --- mistyped names ----------------------------------------------------------------------------

DATA = '''

@reads("{file}")
def lines(output):
    """The number of lines."""
    return len(output.text)


def helper(output):
    """Length of the output."""
    return len(output.text)
'''


def changed(campaigns: Campaigns, old: str, new: str, more: str = "") -> None:
    """Write the module with `old` replaced by `new`, followed by `more`."""
    assert old in MODULE
    (campaigns.folder / "tallying.py").write_text(MODULE.replace(old, new) + more)


def test_a_module_without_a_program_is_reported(path: Path, campaigns: Campaigns, cli: Cli) -> None:
    (campaigns.folder / "a.out").write_text("")
    words = ("parse", "--program", "tallying", "a.out")
    for new, said in (
        ("PROGRAMM = Program(", "the module 'tallying' (tallying.py) has no PROGRAM: "),
        (
            "PROGRAM = str, (",
            "PROGRAM of the module 'tallying' (tallying.py) is of type tuple: ",
        ),
    ):
        module = MODULE.partition("class CalmRung")[0].replace("PROGRAM = Program(", new)
        module = module.replace('installation="make tally", version_argument="--version"', "")
        (campaigns.folder / "tallying.py").write_text(module)
        cli(*words, code=2)
        assert said in cli.errors
        assert "did you mean" not in cli.errors
    cli("parse", "--program", "json", "a.out", code=2)
    assert "there is no program 'json', " in cli.errors


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "count",
            "'tallying.count' is a task function, not a parser; parsers of 'tallying': energy, "
            "lines\n",
        ),
        ("CalmRung", "'tallying.CalmRung' is a class, not a parser; "),
        ("helpr", "unknown parser 'helpr' of tally; available: energy, lines"),
        ("line", "did you mean 'lines'?"),
    ],
)
def test_a_name_that_is_not_a_parser_is_refused_and_never_suggested(
    path: Path, campaigns: Campaigns, cli: Cli, name: str, said: str
) -> None:
    changed(campaigns, "", "", DATA.format(file="mood"))
    cli("check", campaigns.write(**settings(campaigns, "tallying.count", name)), code=2)
    assert said in cli.errors
    assert "helper" not in cli.errors


def test_check_reports_that_a_parser_without_reads_reads_the_output(
    path: Path, campaigns: Campaigns, cli: Cli
) -> None:
    changed(campaigns, "", "", DATA.format(file="mood"))
    own = settings(campaigns, "tallying.count", "helper")
    assert "tallying.helper has no @reads, so it reads the standard output\n" in cli(
        "check", campaigns.write(**own)
    )
    own["campaign_config"]["args"][0]["parsers"] = {"mood": ["helper"]}
    assert "@reads" not in cli("check", campaigns.write(**own))


def test_an_unknown_program_is_reported_with_the_nearest_one(
    path: Path, campaigns: Campaigns, cli: Cli
) -> None:
    changed(campaigns, 'software.argv("tally")', 'software.argv("taly")')
    said = (
        "tallying.count calls 'taly', which is neither in 'software:' nor installed on this "
        "machine; did you mean 'tally'?"
    )
    assert said in cli("check", path)
    output = cli("smoke", path, code=1)
    assert said in cli.errors
    assert "program_missing: the program 'taly' cannot be started: No such file" in output
    assert "timeout:" not in output


def test_a_missing_file_is_reported_with_its_parser(
    path: Path, campaigns: Campaigns, cli: Cli
) -> None:
    changed(campaigns, "", "", DATA.format(file="modd"))
    path = campaigns.write(**settings(campaigns, "tallying.count", "energy", "lines"))
    said = cli("smoke", path, code=1)
    assert "missing_output: modd is missing: lines reads it; the step wrote no files" in said


def test_check_warns_that_a_file_of_an_earlier_step_is_removed(
    path: Path, campaigns: Campaigns, cli: Cli
) -> None:
    own = settings(campaigns, "tallying.count")
    second = {"name": "second", "parsers": ["energy"], "keep_files": {"mood": "{id}.mood"}}
    own["campaign_config"]["args"][0]["keep_files"] = {"mood": "{id}.first"}
    own["campaign_config"]["args"].append(second)
    path = campaigns.write(**own)
    said = (
        "mood, written by 'first', is removed before 'second' starts; if 'second' reads it, name it"
    )
    output = cli("check", path)
    assert said in output
    assert f"{path}:" in output.partition(said)[0].splitlines()[-1]
    changed(campaigns, "argv, outputs)", 'argv, outputs, continues=("mood",))')
    assert said not in cli("check", path)


# --- failures ----------------------------------------------------------------------------------


def test_a_removed_archive_is_reported_as_removed(
    path: Path, campaigns: Campaigns, cli: Cli
) -> None:
    cli("run", path)
    assert "  archive /" in cli("failures", path, "--show", "2")
    cli("failures", path, "--discard", "all")
    shown = cli("failures", path, "--show", "2")
    assert "  archive /" not in shown
    assert "  the archive was removed on 2" in shown


# --- doctor ------------------------------------------------------------------------------------


def test_doctor_reports_how_it_asked_a_program_for_its_version(
    path: Path, campaigns: Campaigns, cli: Cli
) -> None:
    program = campaigns.folder / "tally"
    program.write_text(PROGRAM + "cat -- no-such-file\n")

    def seen() -> tuple[str, str]:
        findings = json.loads(cli("doctor", path, "--json", code=(0, 1, 3)))["findings"]
        found = next(one for one in findings if one["subject"] == str(program))
        return found["state"], found["seen"]

    changed(campaigns, "--version", "--verson")
    state, said = seen()
    assert state == "wrong"
    assert f"'{program} --verson' (PROGRAM.version_argument) failed with exit code " in said
    changed(campaigns, ', version_argument="--version"', "")
    assert seen() == (
        "ok",
        f"{program} found, but not run, since PROGRAM states no version_argument",
    )


# --- parse -------------------------------------------------------------------------------------

OUTPUT = "TALLY 2.1\natoms: 3\nenergy: -5\nTALLY ENDED\n"
TABLES = '''

import json


@reads("charges.json")
def charges(output):
    """Charges in e."""
    try:
        return json.loads(output.text)["charges"]
    except ValueError as error:
        raise ParseError("charges.json is not JSON") from error


@reads("final.xyz")
def geometry(output):
    """Geometry."""
    return output.text


@reads("stdout")
def grid(output):
    """Values on a grid."""
    if "grid" not in output.text:
        raise output.missing("grid")
    return 1
'''


@pytest.fixture
def run(path: Path, campaigns: Campaigns, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with output files of the guide's program, whose module has additional parsers."""
    changed(campaigns, "", "", TABLES)
    monkeypatch.chdir(campaigns.folder)
    folder = campaigns.folder / "run"
    folder.mkdir()
    (folder / "stdout").write_text(OUTPUT)
    (folder / "charges.json").write_text('{"charges": [0, 0, 0]}')
    return folder


PARSE = ("parse", "--program", "tallying")


def test_parse_prints_version_and_verdict_and_lists_parsers_that_do_not_apply(
    run: Path, cli: Cli
) -> None:
    assert cli(*PARSE, run) == (
        f"{run}\n"
        "  tally 2.1\n"
        "  valid result\n"
        "  charges  [0, 0, 0]\n"
        "  energy   -5\n"
        "  not in the output: geometry, grid\n"
    )
    (run / "stdout").write_text(OUTPUT.replace("TALLY 2.1\n", "").replace("TALLY ENDED", ""))
    assert cli(*PARSE, run / "stdout").splitlines()[1:3] == [
        "  tally (version not stated)",
        "  failed: parse_error: this is not an output of tally",
    ]


def test_a_missing_heading_is_reported_with_the_reason(run: Path, cli: Cli) -> None:
    (run / "stdout").write_text(OUTPUT.replace("energy", "enrgy"))
    said = cli(*PARSE, run)
    assert "  energy: there is no energy in the output\n" in said
    assert "  not in the output: geometry, grid\n" in said


@pytest.mark.parametrize(
    ("old", "new", "name", "shown"),
    [
        ("return float(found[1])", "return float(None)", "energy", "energy: the parser raised "),
        ("found = re.match(", "found = {}[1] or (", "program_version", "program_version raised "),
        ("NOT CONVERGED", "' + 1 + '", "diagnose", "failed: parse_error: the output cannot be"),
        ("return float(found[1])", "return sys.exit()", "energy", "energy: the parser raised "),
    ],
)
def test_a_broken_function_is_always_shown_and_is_an_error(
    run: Path, campaigns: Campaigns, cli: Cli, old: str, new: str, name: str, shown: str
) -> None:
    module = MODULE + TABLES
    new = new.replace("' + 1 + '", '" + 1 + "')
    (campaigns.folder / "tallying.py").write_text(module.replace(old, new, 1))
    assert shown in cli(*PARSE, run, code=1)
    found = json.loads(cli(*PARSE, run, "--json", code=1))
    assert list(found["broken"]) == [name]
    assert "tallying.py, line " in found["broken"][name]


def test_a_damaged_second_file_is_reported_with_the_reason(run: Path, cli: Cli) -> None:
    (run / "charges.json").write_text('{"charges": [0, ')
    for file in (run, run / "charges.json"):
        said = cli(*PARSE, file)
        assert "  charges: charges.json is not JSON\n" in said
        assert "valid result" in said or "not diagnosed" in said


@pytest.mark.parametrize("name", ["cutc.json", "cutc", "cutc.json.gz"])
def test_a_copy_of_a_second_file_is_not_judged_as_the_output(
    run: Path, cli: Cli, name: str
) -> None:
    content = b'{"charges": [0, '
    copy = run / name
    copy.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert cli(*PARSE, copy, code=2) == ""
    assert (
        f"{copy}: it may be charges.json under another name, or the standard output of tally; "
        "state which with --as charges.json or --as stdout" in cli.errors
    )
    said = cli(*PARSE, copy, "--as", "charges.json")
    assert "  not diagnosed: " in said
    assert "  charges: charges.json is not JSON\n" in said
    assert "  failed: parse_error: " in cli(*PARSE, copy, "--as", "stdout")
    cli(*PARSE, copy, "--as", "charge.json", code=2)
    assert "no parser of tally reads a file 'charge.json'; did you mean" in cli.errors
    cli(*PARSE, run, "--as", "charges.json", code=2)
    assert "it is a folder" in cli.errors


def test_orca_parsers_that_do_not_apply_are_listed_on_one_line(cli: Cli) -> None:
    output = Path(__file__).parents[1] / "unit/data/orca/v4-mp2.out"
    *values, last = cli("parse", "--program", "orca", output).splitlines()
    assert values[1:3] == ["  ORCA 4.2.0", "  valid result"]
    assert last.startswith("  not in the output: ")
    assert last.count(",") > 50
    assert not [line for line in values[3:] if ": " in line.partition("{")[0]]


def test_an_orca_file_under_another_name_is_recognized(tmp_path: Path, cli: Cli) -> None:
    data = Path(__file__).parents[1] / "unit/data/orca/more-4.2.hess"
    copy = tmp_path / "copy.dat"
    copy.write_bytes(data.read_bytes())
    words = ("parse", "--program", "orca", "--parser", "hess_masses", copy)
    cli(*words, code=2)
    assert "it is ORCA's Hessian" in cli.errors
    said = cli(*words, "--as", "x.hess")
    assert "  valid result\n  hess_masses  [" in said
