"""What messages contain: the right place, the next command with the campaign's path, no noise."""

import json
from pathlib import Path

import pytest

from tests.acceptance.test_bad_input import FILE_IS_WRONG, SERVICE_IS_MISSING
from tests.acceptance.test_import import TWO
from tests.conftest import WATER, Campaigns, Cli

COMMAND = """\
campaign: test
campaign_config:
  func_name: wqmaster.tasks.command.run
  args:
    - name: a
      command: CALLED in.txt
      files:
        in.txt: |
          first
          {{ TEMPLATE }}
  kwargs: {mongo_output_key: out}
engine: local
"""


def command(campaigns: Campaigns, *, called: str = "cat", template: str = "id") -> Path:
    """A campaign file of `command.run`."""
    text = COMMAND.replace("CALLED", called).replace("TEMPLATE", template)
    uri = json.dumps({"uri": campaigns.uri, "name": campaigns.database})
    return campaigns.write(f"{text}database: {uri}\n")


def test_files_before_the_campaign_are_answered_with_the_right_order(
    campaigns: Campaigns, cli: Cli
) -> None:
    path = campaigns.write()
    (cli.folder / "my two.xyz").write_text(TWO)
    cli("import", "my two.xyz", path, code=FILE_IS_WRONG)
    assert f"wqmaster import {path} 'my two.xyz'" in cli.errors


@pytest.mark.parametrize(
    "words",
    [
        ("import", "two.xyz"),
        ("retry", "water-1"),
        ("cancel", "water-1", "water-2"),
        ("block", "node7", "--for", "5m"),
        ("unblock", "node7"),
        ("reproduce", "water-1"),
    ],
)
def test_a_campaign_file_that_is_left_out_but_required_is_named(
    words: tuple[str, ...], campaigns: Campaigns, cli: Cli
) -> None:
    """Once, these commands took the next argument for it, and missed that one."""
    (cli.folder / "campaign.yaml").write_text(campaigns.write().read_text())
    (cli.folder / "two.xyz").write_text(TWO)
    cli(*words, code=FILE_IS_WRONG)
    verb, *rest = words
    right = f"wqmaster {verb} campaign.yaml {' '.join(rest)}"
    assert cli.errors.splitlines()[-1].endswith(f"the campaign file comes first: {right}")


def test_the_option_that_accepts_a_record_is_named(campaigns: Campaigns, cli: Cli) -> None:
    """Once, the advice was only to correct the record."""
    atoms = "    0.0000    0.0000    0.0000 C   0  0\n    1.2000    0.0000    0.5000 O   0  0\n"
    table = f"  2  1  0  0  0  0            999 V2000\n{atoms}  1  2  2  0\nM  END\n"
    (cli.folder / "formaldehyde.mol").write_text(f"formaldehyde\n\n\n{table}")
    cli("import", campaigns.write(), "formaldehyde.mol", code=FILE_IS_WRONG)
    assert cli.errors.rstrip().endswith("; use --hydrogens, or correct the record")


def test_an_import_says_how_many_records_were_refused(campaigns: Campaigns, cli: Cli) -> None:
    (cli.folder / "bad.xyz").write_text("1\nodd\nH 0 0 0\n" * 12)
    cli("import", campaigns.write(), "bad.xyz", code=FILE_IS_WRONG)
    last = cli.errors.splitlines()[-1]
    assert "12 records were refused, the first of them record 1, line 1" in last
    assert "--skip-bad" in last


def test_check_reports_software_that_is_not_there(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    path = campaigns.write(software={"xtb": "/nowhere/xtb"})
    line = path.read_text().splitlines().index("  xtb: /nowhere/xtb") + 1
    cli("smoke", path, code=SERVICE_IS_MISSING)
    assert cli.errors.startswith(f"wqmaster: {path}:{line}: ")
    found = json.loads(cli("check", path, "--json"))
    assert [remark["code"] for remark in found["remarks"]] == ["program-missing"]
    assert f"warning     {path}:{line}: " in cli("check", path)


def test_check_of_a_finished_campaign_says_so(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(2)
    path = campaigns.write()
    output = cli("run", path)
    assert "test: finished\n" in output
    output = cli("check", path)
    assert "2 in total: 2 done, 0 to compute\n" in output
    assert "already done" in output
    output = cli("run", path)
    assert "nothing to do" in output
    assert "speed" not in output


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ((), "correct the record"),
        # What the record states of its multiplicity is wrong, whatever its _id is to be.
        (("--id-from", "title"), "correct the record"),
        (("--charge", "1"), "correct the record or --charge"),
    ],
)
def test_the_advice_on_a_refused_record_names_the_option_that_can_be_wrong(
    campaigns: Campaigns, cli: Cli, options: tuple[str, ...], advice: str
) -> None:
    (cli.folder / "one.extxyz").write_text("1\ncharge=0 multiplicity=1 spin=3\nHe 0 0 0\n")
    cli("import", campaigns.write(), "one.extxyz", *options, code=FILE_IS_WRONG)
    assert cli.errors.endswith(f"; {advice}\n")


@pytest.mark.parametrize(
    ("own", "source", "advice"),
    [
        ({}, "nope", "correct the record or --id-from"),
        ({"_id": "a"}, "hash", "leave out --id-from"),
    ],
)
def test_the_advice_on_an_id_that_cannot_be_taken_is_about_the_id(
    campaigns: Campaigns, cli: Cli, own: dict[str, str], source: str, advice: str
) -> None:
    (cli.folder / "one.jsonl").write_text(json.dumps({**own, **WATER}) + "\n")
    cli("import", campaigns.write(), "one.jsonl", "--id-from", source, code=FILE_IS_WRONG)
    assert cli.errors.endswith(f"; {advice}\n")


def test_the_advice_on_a_taken_id_is_not_to_correct_the_record(
    campaigns: Campaigns, cli: Cli
) -> None:
    path = campaigns.write()
    record = "1\ncharge=0 multiplicity=1\n{} 0 0 0\n"
    (cli.folder / "one.extxyz").write_text(record.format("He"))
    cli("import", path, "one.extxyz")
    (cli.folder / "one.extxyz").write_text(record.format("Ne"))
    cli("import", path, "one.extxyz", code=FILE_IS_WRONG)
    assert "correct" not in cli.errors
    assert cli.errors.endswith("; nothing was imported from one.extxyz\n")
    (cli.folder / "one.extxyz").write_text(record.format("Ne") + record.format("Ar"))
    cli("import", path, "one.extxyz", code=FILE_IS_WRONG)
    assert cli.errors.endswith("one.extxyz; import the others with --skip-bad\n")
    (cli.folder / "two.extxyz").write_text(2 * record.format("He"))
    cli("import", path, "two.extxyz")
    (cli.folder / "two.extxyz").write_text(2 * record.format("Ne"))
    cli("import", path, "two.extxyz", code=FILE_IS_WRONG)
    assert cli.errors.endswith("; choose other ids with --prefix or --id-from\n")


def test_smoke_of_an_empty_selection_says_what_check_says(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    path = campaigns.write(submit={"query": {"colour": "blue"}})
    cli("check", path, code=FILE_IS_WRONG)
    said = cli.errors
    cli("smoke", path, code=FILE_IS_WRONG)
    assert cli.errors == said


def test_a_number_out_of_range_is_refused_in_plain_words(campaigns: Campaigns, cli: Cli) -> None:
    path = campaigns.write()
    cli("run", path, "--limit", "0", code=FILE_IS_WRONG)
    assert "invalid value for '--limit': 0 is less than 1" in cli.errors
    cli("run", path, "--port", "70000", code=FILE_IS_WRONG)
    assert "invalid value for '--port': 70000 is not between 0 and 65535" in cli.errors


def test_a_module_that_fails_to_import_is_named_with_the_line(cli: Cli) -> None:
    (cli.folder / "mine.py").write_text("import re\nimport no_such_library\n")
    cli("parse", "--program", "mine", "a.out", code=FILE_IS_WRONG)
    assert "No module named 'no_such_library' (mine.py, line 2)" in cli.errors


@pytest.mark.parametrize("verb", ["check", "smoke"])
def test_a_template_that_cannot_be_filled_has_its_line_in_the_campaign_file(
    verb: str, campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.insert({"_id": "a", **WATER})
    path = command(campaigns, template="document.nothing")
    cli(verb, path, code=1)
    assert cli.errors.startswith(f"wqmaster: {path}:10: document 'a': the template of 'in.txt', ")


def test_a_wrong_template_has_its_line_in_the_campaign_file(campaigns: Campaigns, cli: Cli) -> None:
    path = command(campaigns, template="documnt.x")
    cli("check", path, code=FILE_IS_WRONG)
    assert cli.errors.startswith(f"wqmaster: {path}:10: the template of 'in.txt', ")


def test_a_program_that_is_not_there_has_the_line_of_its_command(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.insert({"_id": "a", **WATER})
    path = command(campaigns, called="no-such-program")
    cli("run", path, code=SERVICE_IS_MISSING)
    assert cli.errors.startswith(f"wqmaster: {path}:6: 'no-such-program' is not installed")


def test_a_failed_attempt_is_shown_without_empty_fields(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.insert({"_id": "a", **WATER, "multiplicity": 2})
    path = campaigns.write()
    cli("run", path, code=1)
    output = cli("failures", path, "--show", "a")
    assert "step" not in output
    assert "host" not in output
    assert "remedy" not in output


def test_a_campaign_without_a_factory_says_why(campaigns: Campaigns, cli: Cli) -> None:
    path = campaigns.write()
    assert "the engine 'local'" in cli("factory", path, "--status")
    assert cli("factory", path, "--stop") == "no factory is running\n"
    path = campaigns.write(engine="auto", workers={"type": "slurm", "max": 1})
    assert f"'wqmaster factory {path} --start'" in cli("factory", path, "--status")


def test_an_unknown_program_to_parse_is_answered_with_programs_only(cli: Cli) -> None:
    (cli.folder / "my_module.py").write_text("")
    (cli.folder / "x.out").write_text("")
    cli("parse", "x.out", "--program", "gaussian", code=FILE_IS_WRONG)
    assert "available: command, orca, pyscf, python, vina, xtb" in cli.errors
    assert "my_module" not in cli.errors
