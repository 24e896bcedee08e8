"""A user's program in a module next to the campaign file works everywhere like a built-in one.

The module is that of the guide, docs/adding-a-program.md.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Campaigns, Cli

# A program whose energy is the number of lines in its input, with a minus sign. In a restless
# mood, it reports that it did not converge.
PROGRAM = """\
#!/bin/sh
[ "$1" = --version ] && { echo 'tally version 2.1'; exit 0; }
echo 'TALLY 2.1'
[ "$(cat "$2")" = restless ] && { echo 'TALLY: NOT CONVERGED'; exit 0; }
echo "atoms: $(head -n 1 "$1")"
echo "energy: -$(wc -l < "$1")"
echo 'TALLY ENDED'
"""
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "adding-a-program.md"
MODULE = GUIDE.read_text().partition("```python\n")[2].partition("```")[0]


def written(campaigns: Campaigns) -> Path:
    """Write a campaign file with the guide's program, and insert three molecules."""
    campaigns.waters(3)
    program = campaigns.folder / "tally"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    (campaigns.folder / "tallying.py").write_text(MODULE)
    return campaigns.write(**settings(campaigns, "tallying.count"))


@pytest.fixture
def path(campaigns: Campaigns) -> Path:
    """The path of the campaign file that `written` writes."""
    return written(campaigns)


def settings(campaigns: Campaigns, function: str, *parsers: str) -> dict[str, Any]:
    found = campaigns.settings(submit={"query": {"tally.first": None}})
    found["campaign_config"] = {
        "func_name": function,
        "args": [{"name": "first", "parsers": list(parsers or ("energy",))}],
        "kwargs": {"mongo_output_key": "tally"},
    }
    found["software"] = {"tally": str(campaigns.folder / "tally")}
    return found


def test_the_program_is_run_judged_parsed_and_remedied(
    path: Path, campaigns: Campaigns, cli: Cli
) -> None:
    cli("run", path)
    found = [campaigns.documents.find_one({"_id": n})["tally"]["first"] for n in (1, 2, 3)]
    assert [result["energy"] for result in found] == [-5.0, -5.0, -5.0]
    run = found[1]["_run"]
    assert (run["program"], run["program_version"], run["parser_version"]) == ("tally", "2.1", "1")
    assert run["remedy"] == "calm"
    (failure,) = campaigns.failures.find()
    assert (failure["document"], failure["class"]) == (2, "scf_not_converged")


def test_check_smoke_doctor_parse_and_failures_know_the_program(
    path: Path, campaigns: Campaigns, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("check", path)
    assert "tally 2.1" in cli("smoke", path)
    assert "tally version 2.1" in cli("doctor", path)
    output = campaigns.folder / "a.out"
    output.write_text("TALLY 2.1\nenergy: -5\nTALLY: NOT CONVERGED\n")
    monkeypatch.chdir(campaigns.folder)
    said = cli("parse", "--program", "tallying", output)
    assert "scf_not_converged: tally: it did not converge" in said
    assert "energy" in cli("parse", "--program", "tallying", "--list")
    cli("run", path)
    assert "tally: it did not converge" in cli("failures", path, "--show", "2")


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (MODULE.replace("program=PROGRAM", 'program="tally"'), "unknown program 'tally'"),
        (MODULE.replace("def diagnose", "def judge"), "lacks diagnose"),
        (MODULE.replace('VERSION = "1"', ""), "lacks VERSION"),
        (
            MODULE.replace("sys.modules[__name__]", '"no_such_parsers"'),
            "'no_such_parsers' cannot be imported",
        ),
    ],
)
def test_a_program_that_cannot_be_judged_is_an_error_of_the_campaign_file(
    path: Path, campaigns: Campaigns, cli: Cli, module: str, said: str
) -> None:
    """Once, such a program passed `check` and then crashed one collector after another."""
    (campaigns.folder / "tallying.py").write_text(module)
    for command in ("check", "run"):
        cli(command, path, code=2)
        assert said in cli.errors
        assert f"{path.name}:" in cli.errors


def test_parsers_of_other_programs_are_refused(path: Path, campaigns: Campaigns, cli: Cli) -> None:
    for name, said in (
        ("energie", "did you mean"),
        ("wqmaster.parsers.xtb.energy", "it is a parser of xtb, but this step runs tally"),
    ):
        cli("check", campaigns.write(**settings(campaigns, "tallying.count", name)), code=2)
        assert said in cli.errors


def test_reparse_stores_the_results_that_a_corrected_diagnosis_accepts(
    path: Path, campaigns: Campaigns, cli: Cli
) -> None:
    wrong = MODULE.replace('"TALLY ENDED" not in output.text', "True")
    (campaigns.folder / "tallying.py").write_text(
        wrong.replace("FailureClass.TRUNCATED", "FailureClass.SCF_NOT_CONVERGED")
    )
    cli("run", path, code=1)
    assert campaigns.documents.count_documents({"tally.first": {"$exists": True}}) == 0
    (campaigns.folder / "tallying.py").write_text(MODULE)
    cli("reparse", path, "--write")
    assert campaigns.documents.count_documents({"tally.first.energy": -5.0}) == 3
    assert cli("failures", path) == "no failures\n"


def test_an_edited_task_function_is_reported_once_and_its_version_belongs_to_the_recipe(
    path: Path, campaigns: Campaigns, cli: Cli
) -> None:
    """Once, results of two versions of a function were silently mixed under one key."""
    cli("run", path)
    (campaigns.folder / "tallying.py").write_text(MODULE.replace('"quiet"', '"silent"'))
    water = campaigns.documents.find_one({"_id": 1})
    campaigns.insert({key: value for key, value in water.items() if key != "tally"} | {"_id": 4})
    said = json.loads(cli("check", path, "--json"))
    assert [remark["code"] for remark in said["remarks"]] == ["function-edited"]
    # A campaign whose key has no results yet gets no remark about the earlier function.
    other = settings(campaigns, "tallying.count") | {"campaign": "other"}
    other["campaign_config"]["kwargs"] = {"mongo_output_key": "fresh"}
    other["submit"] = {"query": {"fresh.first": None}}
    campaigns.write(**other)
    assert json.loads(cli("check", path, "--json"))["remarks"] == []
    campaigns.write(**settings(campaigns, "tallying.count"))
    assert "tallying.count was edited" in cli("run", path) + cli.errors
    assert json.loads(cli("check", path, "--json"))["remarks"] == []
    (campaigns.folder / "tallying.py").write_text(
        MODULE.replace("@task(program=PROGRAM", '@task(version="2", program=PROGRAM')
    )
    cli("run", path, code=2)
    assert "version: None before, '2' now" in cli.errors


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'if "NOT CONVERGED" in',
            "if 1 / 0 or 'x' in",
            "the output cannot be judged: ZeroDivisionError: division by zero (tallying.py, "
            "line {line}, in diagnose)",
        ),
        ("return float(found[1])", "return found[2]", "(tallying.py, line {line}, in energy)"),
        (
            'mood = "restless"',
            'mood = {}[3] if 1 else "restless"',
            "KeyError: 3 (tallying.py, line {line}, in count)",
        ),
    ],
)
def test_an_error_in_the_module_is_reported_with_its_line(
    path: Path, campaigns: Campaigns, cli: Cli, old: str, new: str, said: str
) -> None:
    assert old in MODULE
    module = MODULE.replace(old, new)
    (campaigns.folder / "tallying.py").write_text(module)
    line = module[: module.index(new)].count("\n") + 1
    assert said.format(line=line) in cli("smoke", path, "--id", "1", code=1) + cli.errors


def test_smoke_predicts_what_a_run_does_and_warns_of_doubtful_settings(
    path: Path, campaigns: Campaigns, cli: Cli
) -> None:
    assert "a run would retry it with a remedy (first: calm)" in cli(
        "smoke", path, "--id", "2", code=1
    )
    module = MODULE.replace("def energy(", "def gradient(")
    (campaigns.folder / "tallying.py").write_text(module)
    own = settings(campaigns, "tallying.count", "gradient")
    own["software"]["taly"] = "/bin/true"
    own["campaign_config"]["args"][0]["colour"] = "red"
    path = campaigns.write(**own)
    cli("smoke", path)
    lines = cli.errors.splitlines()
    assert len(lines) == 3
    assert "'colour' is passed to tallying.count unchecked" in lines[0]
    assert f"{path}:" in lines[1]
    assert "the first job does not call 'taly'" in lines[1]
    assert "step 'first': gradient is not a list, unlike the 'gradient' of other" in lines[2]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"step": {"keep_files": {"a.dat": "{id}.dat"}}}, "step 'first' does not return a.dat"),
        ({"software": "bin/tally"}, "'bin/tally' is a relative path"),
        ({"software": "./tally"}, "'./tally', which is not among the files of its job"),
    ],
)
def test_a_job_that_no_worker_can_run_is_refused_before_a_document_fails(
    path: Path, campaigns: Campaigns, cli: Cli, changes: dict[str, Any], said: str
) -> None:
    module = MODULE.replace('step.files - {"stdout", "stderr"}', "()")
    (campaigns.folder / "tallying.py").write_text(module)
    own = settings(campaigns, "tallying.count")
    own["campaign_config"]["args"][0] |= changes.get("step", {})
    own["software"]["tally"] = changes.get("software", own["software"]["tally"])
    path = campaigns.write(**own)
    for command in ("check", "run"):
        cli(command, path, code=2)
        assert said in cli.errors
        assert f"{path.name}:" in cli.errors
    assert campaigns.failures.count_documents({}) == 0


def test_for_a_mistyped_name_the_module_next_to_the_campaign_is_suggested(
    path: Path, campaigns: Campaigns, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    for function, said in (
        (
            "talying.count",
            "there is no module 'talying' for the task function 'talying.count'; "
            "did you mean a function of the module 'tallying'?",
        ),
        ("tallying.cuont", "did you mean 'tallying.count'?"),
    ):
        cli("check", campaigns.write(**settings(campaigns, function)), code=2)
        assert said in cli.errors
    monkeypatch.chdir(campaigns.folder)
    output = campaigns.folder / "a.out"
    output.write_text("")
    cli("parse", "--program", "talying", output, code=2)
    assert "did you mean 'tallying'?" in cli.errors


def test_a_second_file_is_parsed_alone_and_with_the_output(
    path: Path, campaigns: Campaigns, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = '\n@reads("tally.dat")\ndef lines(output):\n    """Lines."""\n    return output.text\n'
    (campaigns.folder / "tallying.py").write_text(MODULE + more)
    folder = campaigns.folder / "out"
    folder.mkdir()
    (folder / "tally.dat").write_text("5")
    (folder / "a.out").write_text("TALLY 2.1\natoms: 3\nenergy: -5\nTALLY ENDED\n")
    monkeypatch.chdir(campaigns.folder)
    words = ("parse", "--program", "tallying", "--json")
    alone = json.loads(cli(*words, folder / "tally.dat"))
    assert (alone["diagnosed"], alone["failure"]) == (False, None)
    assert alone["values"] == {"lines": "5"}
    both = json.loads(cli(*words, folder))
    assert (both["diagnosed"], both["failure"]) == (True, None)
    assert both["values"] == {"energy": -5.0, "lines": "5"}


def test_coincident_atoms_are_refused_by_run_as_by_check(campaigns: Campaigns, cli: Cli) -> None:
    """Once, `check` counted such documents as unusable, but `run` computed them."""
    campaigns.insert(
        {"_id": 1, "atomic_numbers": [1, 1], "coordinates": [[0.0, 0.0, 0.0], [0.0, 0.0, 0.05]]}
    )
    path = campaigns.write()
    cli("run", path, code=1)
    (failure,) = campaigns.failures.find()
    assert (failure["class"], failure["final"]) == ("coincident_atoms", True)


def test_a_document_that_inspect_refuses_is_not_computed(
    path: Path, campaigns: Campaigns, cli: Cli
) -> None:
    """Once, `check` counted such a document as unusable, but `run` computed and stored it."""
    inspect = (
        "def inspect(molecule, options):\n"
        "    if molecule.id == 2:\n"
        "        raise BadDocument('no tally of this one')\n\n\n"
    )
    module = MODULE.replace(
        "@task(program=PROGRAM", f"{inspect}@task(inspect=inspect, program=PROGRAM"
    )
    module = module.replace("from wqmaster import (", "from wqmaster import (\n    BadDocument,")
    (campaigns.folder / "tallying.py").write_text(module)
    assert "no tally of this one" in cli("check", path) + cli.errors
    cli("smoke", path, "--id", "2", code=1)
    cli("run", path, code=1)
    (failure,) = campaigns.failures.find()
    assert (failure["document"], failure["class"]) == (2, "bad_document")
    assert campaigns.documents.count_documents({"tally.first.energy": -5.0}) == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("return float(found[1])", "return {found[1]}", "energy has the type set"),
        ("return float(found[1])", "return None", "energy has no value, but must be a number"),
        ("return float(found[1])", "return found[1]", "energy is '-5', which is not a number"),
        ("return found[1] if found", "return found[2] if found", "version cannot be read: IndexE"),
        ("return found[1] if found", "return 21 if found", "program_version returns 21"),
    ],
)
def test_an_invalid_value_is_refused_by_both_smoke_and_run(
    path: Path, campaigns: Campaigns, cli: Cli, old: str, new: str, said: str
) -> None:
    """Once, `smoke` printed such values, and `run` stored text as energy or crashed collectors."""
    assert old in MODULE
    (campaigns.folder / "tallying.py").write_text(MODULE.replace(old, new))
    assert said in cli("smoke", path, "--id", "1", code=1) + cli.errors
    cli("run", path, code=1)
    failure = campaigns.failures.find_one({"document": 1})
    assert failure["class"] == "parse_error"
    assert said in failure["message"]


def test_a_parser_that_names_no_file_is_an_error_in_its_module(
    path: Path, campaigns: Campaigns, cli: Cli
) -> None:
    (campaigns.folder / "tallying.py").write_text(MODULE.replace('@reads("stdout")', "@reads"))
    cli("check", path, code=2)
    assert "@reads needs the names of files, such as @reads('stdout')" in cli.errors


def test_results_of_older_parsers_are_reported(path: Path, campaigns: Campaigns, cli: Cli) -> None:
    """Once, results of two versions of the parsers were silently stored side by side."""
    path = campaigns.write(**settings(campaigns, "tallying.count"), archive={"keep": "all"})
    cli("run", path)
    module = MODULE.replace('VERSION = "1"', 'VERSION = "2"').replace(
        "float(found[1])", "2 * float(found[1])"
    )
    (campaigns.folder / "tallying.py").write_text(module)
    found = {one["code"]: one for one in json.loads(cli("check", path, "--json"))["remarks"]}
    remark = found["results-outdated"]["message"]
    assert "version 1 of the parsers read 3 results; the current version is 2" in remark
    assert f"wqmaster reparse {path} --write" in remark
    cli("reparse", path, "--write")
    assert "results-outdated" not in cli("check", path, "--json")
    assert campaigns.documents.count_documents({"tally.first.energy": -10.0}) == 3


TASK = "@task(program=PROGRAM, rung=CalmRung, ladders=LADDERS)"


@pytest.mark.parametrize(
    ("name", "arguments", "commands"),
    [
        ("check", "steps, software", ("run",)),
        ("inspect", "molecule, options", ("check",)),
        ("prepare", "loaded, software", ("check", "smoke", "run")),
    ],
)
def test_a_trait_that_raises_is_an_error_of_the_campaign_file(
    path: Path, campaigns: Campaigns, cli: Cli, name: str, arguments: str, commands: tuple[str, ...]
) -> None:
    own = f"def own({arguments}):\n    return {{}}[1]\n\n\n{TASK[:-1]}, {name}=own)"
    module = MODULE.replace(TASK, own)
    (campaigns.folder / "tallying.py").write_text(module)
    place = (
        f"(tallying.py, line {module[: module.index('return {}[1]')].count(chr(10)) + 1}, in own)"
    )
    for command in commands:
        cli(command, path, code=2)
        (said,) = cli.errors.splitlines()
        assert f"{path.name}:" in said
        assert f"'tallying.count': its '{name}' raised KeyError: 1 {place}" in said


@pytest.mark.parametrize("value", ["'bad'", "Failure('bad', 'worse')"])
def test_an_invalid_diagnosis_fails_the_document_and_not_the_collector(
    path: Path, campaigns: Campaigns, cli: Cli, value: str
) -> None:
    old = '    if "NOT CONVERGED" in'
    module = MODULE.replace(old, f"    return {value}\n{old}")
    (campaigns.folder / "tallying.py").write_text(module)
    line = module[: module.index("def diagnose")].count("\n") + 1
    said = cli("smoke", path, "--id", "1", code=1)
    assert "failed: parse_error: the output cannot be judged: diagnose returns " in said
    assert f"(tallying.py, line {line})" in said
    cli("run", path, code=1)
    assert {failure["class"] for failure in campaigns.failures.find()} == {"parse_error"}
    (campaigns.folder / "a.out").write_text("TALLY 2.1\n")
    assert "diagnose returns " in cli("parse", "--program", "tallying", campaigns.folder / "a.out")
