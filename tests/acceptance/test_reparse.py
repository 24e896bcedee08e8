"""`wqmaster reparse` on kept archives, and `wqmaster parse` on outputs without a campaign."""

import gzip
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Campaigns, Cli

# The module of a user's parser, which the tests edit through `more` and `value`.
OWN = """
from wqmaster.errors import ParseError

def cycles(output):
    count = output.text.count("*** convergence criteria satisfied")
    {more}
    return {value}
"""


def counts(cli: Cli, *words: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cli("reparse", *words, "--json"))
    return {name: count for name, count in found["counts"].items() if count}


def written(
    campaigns: Campaigns, *more: str, step: dict[str, Any] | None = None, **top: Any
) -> Path:
    """A campaign file with the user's parser and `more` parsers."""
    first = {"name": "gfn2", "parsers": ["energy", "own.cycles", *more], **(step or {})}
    return campaigns.write(
        campaign_config={
            "func_name": "wqmaster.tasks.xtb.singlepoint",
            "job_timeout": 60,
            "args": [first],
            "kwargs": {"mongo_output_key": "xtb"},
        },
        **top,
    )


@pytest.fixture
def archived(campaigns: Campaigns, cli: Cli, tmp_path: Path) -> Path:
    """A completed campaign of four documents that keeps its archives."""
    (tmp_path / "own.py").write_text(OWN.format(more="", value="count"))
    campaigns.waters(4)
    path = written(campaigns, archive={"keep": "all"}, bundle={"size": 2})
    cli("run", path)
    return path


def test_unchanged_values_are_left_alone(archived: Path, cli: Cli) -> None:
    assert counts(cli, archived) == {"same": 4}
    assert counts(cli, archived, "--write") == {"same": 4}


def test_a_changed_parser_is_reported_before_anything_is_written(
    archived: Path, cli: Cli, campaigns: Campaigns, tmp_path: Path
) -> None:
    before = list(campaigns.documents.find())
    (tmp_path / "own.py").write_text(OWN.format(more="", value="count + 41"))
    report = cli("reparse", archived)
    assert "1: gfn2.cycles: changed by at most 41" in report
    assert "4 changed" in report
    assert list(campaigns.documents.find()) == before

    report = cli("reparse", archived, "--write")
    assert "4 written" in report
    after = list(campaigns.documents.find())
    for old, new in zip(before, after, strict=True):
        assert new["xtb"]["gfn2"]["cycles"] == old["xtb"]["gfn2"]["cycles"] + 41
        assert new["xtb"]["gfn2"]["energy"] == old["xtb"]["gfn2"]["energy"]
        assert "reparsed" in new["xtb"]["gfn2"]["_run"]
    # The replaced values are kept in a file.
    [log] = (tmp_path / "test.run").glob("reparse-*.jsonl")
    kept = [json.loads(line) for line in log.read_text().splitlines()]
    assert [entry["before"]["gfn2"]["cycles"] for entry in kept] == [
        old["xtb"]["gfn2"]["cycles"] for old in before
    ]
    assert counts(cli, archived) == {"same": 4}


def test_values_of_an_added_parser_are_new(archived: Path, cli: Cli, campaigns: Campaigns) -> None:
    written(campaigns, "charges")
    assert "gfn2.charges: new" in cli("reparse", archived)
    assert counts(cli, archived, "--write") == {"new": 4}
    for document in campaigns.documents.find():
        assert len(document["xtb"]["gfn2"]["charges"]) == 3


def test_a_file_that_was_not_fetched_removes_no_result(
    archived: Path, cli: Cli, campaigns: Campaigns
) -> None:
    written(campaigns, "bond_orders")
    assert counts(cli, archived, "--write") == {"skipped": 4}


def test_an_added_parser_that_finds_nothing_removes_no_result(
    archived: Path, cli: Cli, campaigns: Campaigns, tmp_path: Path
) -> None:
    more = (
        OWN.format(more="", value="count") + '\ndef more(output):\n    raise ParseError("none")\n'
    )
    (tmp_path / "own.py").write_text(more)
    written(campaigns, "own.more")
    assert "its archive is insufficient: more: none" in cli("reparse", archived)
    assert counts(cli, archived, "--write") == {"skipped": 4}
    assert campaigns.documents.count_documents({"xtb.gfn2": None}) == 0


def test_a_result_that_is_refused_now_is_removed_and_recorded(
    archived: Path, cli: Cli, campaigns: Campaigns, tmp_path: Path
) -> None:
    refuse = 'if "xtb" in output.text: raise ParseError("refused")'
    (tmp_path / "own.py").write_text(OWN.format(more=refuse, value="count"))
    assert counts(cli, archived) == {"now failing": 4}
    assert campaigns.documents.count_documents({"xtb.gfn2": None}) == 0
    cli("reparse", archived, "--write")
    assert campaigns.documents.count_documents({"xtb.gfn2": None}) == 4
    records = list(campaigns.failures.find())
    assert {(r["class"], r["final"]) for r in records} == {("parse_error", True)}
    [log] = (tmp_path / "test.run").glob("reparse-*.jsonl")
    assert all(
        "energy" in json.loads(line)["before"]["gfn2"] for line in log.read_text().splitlines()
    )

    # The old parser brings back all results that the new one removed.
    (tmp_path / "own.py").write_text(OWN.format(more="", value="count"))
    assert counts(cli, archived, "--write") == {"cured": 4}
    assert campaigns.documents.count_documents({"xtb.gfn2": None}) == 0
    assert "no failures" in cli("failures", archived)


def test_a_cured_document_that_is_refused_again_fails_again(
    archived: Path, cli: Cli, campaigns: Campaigns, tmp_path: Path
) -> None:
    refuse = 'if "xtb" in output.text: raise ParseError("refused")'
    for more, failed in ((refuse, 4), ("", 0), (refuse, 4)):
        (tmp_path / "own.py").write_text(OWN.format(more=more, value="count"))
        cli("reparse", archived, "--write")
        assert campaigns.failures.count_documents({"final": True}) == failed
        assert campaigns.documents.count_documents({"xtb.gfn2": None}) == failed


def test_values_of_a_parser_removed_from_the_campaign_stay(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(OWN.format(more="", value="count"))
    campaigns.waters(1)
    cli("run", written(campaigns, "charges", archive={"keep": "all"}))
    [before] = campaigns.documents.find()
    (tmp_path / "own.py").write_text(OWN.format(more="", value="count + 41"))
    path = written(campaigns, archive={"keep": "all"})
    assert counts(cli, path, "--write") == {"changed": 1}
    [after] = campaigns.documents.find()
    assert after["xtb"]["gfn2"]["charges"] == before["xtb"]["gfn2"]["charges"]
    assert after["xtb"]["gfn2"]["cycles"] == before["xtb"]["gfn2"]["cycles"] + 41
    run = after["xtb"]["gfn2"]["_run"]
    assert run == {**before["xtb"]["gfn2"]["_run"], "reparsed": run["reparsed"]}


def test_archives_of_an_earlier_run_do_not_affect_the_results_of_a_later_one(
    archived: Path, cli: Cli, campaigns: Campaigns, tmp_path: Path
) -> None:
    """Both runs make first attempts, because removing results by hand records no failure."""
    campaigns.documents.update_many({}, {"$unset": {"xtb": ""}})
    cli("run", archived)
    assert counts(cli, archived) == {"same": 4, "of earlier attempts": 4}
    (tmp_path / "own.py").write_text(OWN.format(more="", value="count + 41"))
    before = list(campaigns.documents.find())
    assert counts(cli, archived, "--write") == {"changed": 4, "of earlier attempts": 4}
    for old, new in zip(before, campaigns.documents.find(), strict=True):
        assert new["xtb"]["gfn2"]["_run"]["finished"] == old["xtb"]["gfn2"]["_run"]["finished"]


def test_a_document_with_two_failed_attempts_is_cured_once(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(OWN.format(more="", value="count // 0"))
    campaigns.waters(2)
    path = written(campaigns, bundle={"size": 2})
    cli("run", path, code=1)
    cli("failures", path, "--retry", "parse_error")
    cli("run", path, code=1)
    (tmp_path / "own.py").write_text(OWN.format(more="", value="count"))
    assert counts(cli, path) == {"cured": 2, "of earlier attempts": 2}
    assert json.loads(cli("reparse", path, "--write", "--json"))["written"] == 2


def test_the_difference_between_mappings_is_reported(
    archived: Path, cli: Cli, tmp_path: Path, campaigns: Campaigns
) -> None:
    for value in ('{"n": count, "of": "a"}', '{"n": count + 7, "of": "a"}'):
        (tmp_path / "own.py").write_text(OWN.format(more="", value=value))
        report = cli("reparse", archived, "--write")
    assert "1: gfn2.cycles: changed by at most 7" in report


def test_the_output_of_a_parser_does_not_corrupt_the_report(
    archived: Path, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(OWN.format(more='print("hello")', value="count"))
    assert counts(cli, archived) == {"same": 4}
    assert "hello" in cli.errors


def test_a_failure_of_a_parser_is_cured_from_its_archive(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(OWN.format(more="", value="count // 0"))
    campaigns.waters(2)
    path = written(campaigns, bundle={"size": 2})
    cli("run", path, code=1)
    assert counts(cli, path) == {"still failed": 2}
    (tmp_path / "own.py").write_text(OWN.format(more="", value="count"))
    assert counts(cli, path, "--write") == {"cured": 2}
    assert campaigns.documents.count_documents({"xtb.gfn2.energy": {"$lt": -5}}) == 2
    cli("run", path)


def test_a_cured_result_that_cannot_be_stored_is_reported(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(OWN.format(more="", value="count"))
    campaigns.waters(1)
    campaigns.documents.update_one({}, {"$set": {"xtb": 3}})
    path = written(campaigns)
    cli("run", path, code=1)
    found = json.loads(cli("reparse", path, "--write", "--json"))
    assert (found["counts"]["cured"], found["written"], found["not_stored"]) == (1, 0, 1)
    said = cli("reparse", path, "--write")
    assert "not stored: 1 result" in said
    assert "the field 'xtb', which holds 3" in said


def test_results_of_another_recipe_are_skipped(
    archived: Path, cli: Cli, campaigns: Campaigns
) -> None:
    written(campaigns, step={"accuracy": 2})
    assert counts(cli, archived, "--write") == {"skipped": 4}


def test_a_broken_archive_is_reported_and_the_others_are_read(archived: Path, cli: Cli) -> None:
    [first, *_] = sorted((archived.parent / "test.run" / "spool" / "archive").iterdir())
    (first / "outputs.tar").write_bytes(b"broken")
    report = cli("reparse", archived)
    assert "archived jobs: 2 same\n" in report
    assert "1 damaged archive cannot be read" in report


def test_archives_of_failures_stay_until_they_are_discarded(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(OWN.format(more="", value="count // 0"))
    campaigns.waters(3)
    path = written(campaigns)
    cli("run", path, code=1)
    failed = tmp_path / "test.run" / "spool" / "failed"
    assert len(list(failed.iterdir())) == 3
    assert json.loads(cli("failures", path, "--discard", "2", "--json")) == {"discarded": 1}
    assert {folder.name for folder in failed.iterdir()} == {"1.1", "3.1"}
    assert "the archive was removed on" in cli("failures", path, "--show", "2")
    cli("failures", path, "--discard", "parse_eror", code=2)
    assert "did you mean 'parse_error'" in cli.errors
    said = cli("failures", path, "--discard", "parse_error")
    assert said == "2 archives of failed attempts deleted\n"
    assert not list(failed.iterdir())
    [group] = json.loads(cli("failures", path, "--json"))
    assert (group["count"], group["class"]) == (3, "parse_error")


def test_before_the_first_run_there_is_nothing_to_read(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    assert "no archive is kept" in cli("reparse", campaigns.write(), "--write")


def test_failures_takes_one_action_at_a_time(campaigns: Campaigns, cli: Cli) -> None:
    cli("failures", campaigns.write(), "--retry", "killed", "--discard", "all", code=2)
    assert "--show, --retry and --discard" in cli.errors


# --- wqmaster parse ------------------------------------------------------------------------------


@pytest.fixture
def water(tmp_path: Path) -> Path:
    """A folder with the files of an xtb run on water."""
    if shutil.which("xtb") is None:
        pytest.skip("xtb is not installed")
    folder = tmp_path / "water"
    folder.mkdir()
    (folder / "w.xyz").write_text("3\n\nO 0 0 0\nH 0 0 0.96\nH 0.93 0 -0.24\n")
    with (folder / "stdout").open("w") as stdout:
        words = ["xtb", "w.xyz", "--grad", "--json"]
        subprocess.run(words, cwd=folder, stdout=stdout, stderr=subprocess.DEVNULL, check=True)
    return folder


def test_an_output_is_read_without_a_campaign(water: Path, cli: Cli) -> None:
    line = cli("parse", water / "stdout", "--program", "xtb", "--parser", "energy", "--json")
    found = json.loads(line)
    assert set(found) == {
        *("file", "diagnosed", "failure", "values", "errors"),
        *("program_version", "broken"),
    }
    assert found["failure"] is None
    assert found["values"]["energy"] == pytest.approx(-5.07, abs=0.01)
    assert found["errors"] == {}


def test_each_file_is_an_object_on_its_own_line(water: Path, cli: Cli) -> None:
    (water / "cut").write_text((water / "stdout").read_text()[:3000])
    output = cli("parse", water / "cut", water / "stdout", "--program", "xtb", "--json")
    cut, whole = (json.loads(line) for line in output.splitlines())
    assert set(cut["failure"]) == {"class", "message", "signature"}
    assert whole["failure"] is None
    assert "energy" in cut["errors"]


def test_a_folder_is_read_with_all_of_its_files(water: Path, cli: Cli) -> None:
    found = json.loads(cli("parse", water, "--program", "xtb", "--json"))
    assert found["failure"] is None
    assert len(found["values"]["gradient"]) == 3
    assert found["values"]["dipole"]


def test_unreadable_files_and_unknown_names_are_reported(water: Path, cli: Cli) -> None:
    cli("parse", water / "nothing", "--program", "xtb", code=2)
    assert "No such file" in cli.errors
    cli("parse", water / "stdout", "--program", "xtbb", code=2)
    assert "did you mean 'xtb'" in cli.errors
    cli("parse", water / "stdout", "--program", "xtb", "--parser", "enrgy", code=2)
    assert "energy'" in cli.errors


def test_an_unreadable_file_does_not_prevent_reading_the_others(water: Path, cli: Cli) -> None:
    (water / "cut.gz").write_bytes(gzip.compress((water / "stdout").read_bytes())[:-20])
    files = (water / "nothing", water / "cut.gz", water / "stdout")
    lines = cli("parse", *files, "--program", "xtb", "--json", code=2).splitlines()
    *unread, found = map(json.loads, lines)
    assert [(one["file"], one["code"]) for one in unread] == [
        (str(water / "nothing"), "output-unreadable"),
        (str(water / "cut.gz"), "output-unreadable"),
    ]
    assert found["failure"] is None
    assert "nothing: cannot be read" in cli.errors
    assert "cut.gz: cannot be decompressed" in cli.errors


def test_a_compressed_file_is_read_like_the_original(water: Path, cli: Cli) -> None:
    words = ("--program", "xtb", "--parser", "energy", "--json")
    (water / "run.out.gz").write_bytes(gzip.compress((water / "stdout").read_bytes()))
    packed = json.loads(cli("parse", water / "run.out.gz", *words))
    assert packed["values"] == json.loads(cli("parse", water / "stdout", *words))["values"] != {}


def test_binary_garbage_is_a_failure_and_not_an_error(water: Path, cli: Cli) -> None:
    (water / "rubbish").write_bytes(bytes(range(256)) * 100)
    for program in ("xtb", "orca", "vina"):
        found = json.loads(cli("parse", water / "rubbish", "--program", program, "--json"))
        assert found["failure"] is not None
        assert found["values"] == {} or program == "vina"


def test_values_are_also_printed_as_text(water: Path, cli: Cli) -> None:
    output = cli("parse", water / "stdout", "--program", "xtb")
    assert "energy" in output
    assert "-5.07" in output


def test_a_custom_parser_can_be_tried_from_its_folder(
    water: Path, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(OWN.format(more='print("hello")', value="count"))
    words = ("parse", water / "stdout", "--program", "xtb", "--parser", "own.cycles", "--json")
    wqmaster = shutil.which("wqmaster")
    assert wqmaster is not None
    called = subprocess.run(
        [wqmaster, *map(str, words)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert json.loads(called.stdout)["values"] == {"own.cycles": 1}
    assert called.stderr == "hello\n"
