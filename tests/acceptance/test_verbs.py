"""The commands, one by one, as a user types them."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

import wqmaster
from tests.acceptance.conftest import HeldXtb, each, processes_of
from tests.conftest import WATER, Campaigns, Cli, master_of, wait_until
from wqmaster.cli.main import VERBS

ENERGY = -5.070383095219  # Eh, for WATER with GFN2-xTB
TOO_CLOSE = {"atomic_numbers": [1, 1], "coordinates": [[0.0, 0.0, 0.0], [0.0, 0.0, 0.11]]}

TWO = """\
3
Properties=species:S:1:pos:R:3 charge=0 origin=first
O 0.0 0.0 0.0
H 0.01 0.02 0.96
H 0.93 0.0 -0.24
2
Properties=species:S:1:pos:R:3 charge=1 multiplicity=2
H 0.0 0.0 0.0
H 0.0 0.0 1.05
"""


# --- check -------------------------------------------------------------------------------------


def test_check_counts_and_prints_the_first_job_and_runs_nothing(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb
) -> None:
    campaigns.waters(3)
    campaigns.documents.update_one({"_id": 2}, {"$set": {"xtb.gfn2.energy": -1.0}})
    campaigns.insert({"_id": "other", **WATER, "hidden": True})
    query = {"hidden": {"$exists": False}}
    path = campaigns.write(software=held_xtb.software, submit={"query": query})

    (code, output, errors), (json_code, as_json, _) = each(
        cli, ["check", path], ["check", path, "--json"]
    )
    assert (code, json_code, errors) == (0, 0, "")
    assert re.search(r"^campaign +test \(recipe [0-9a-f]{16}\)$", output, re.MULTILINE)
    assert re.search(r"^engine +local: as requested$", output, re.MULTILINE)
    counts = "4 in total: 1 done, 2 to compute, 1 not selected by the query"
    assert f"{campaigns.database}.molecules: {counts}\n" in output
    assert "The first job, for document 1 (3 atoms):" in output
    assert f"{held_xtb.command} molecule.xyz --gfn 2 --json --grad" in output
    assert "OMP_NUM_THREADS=1" in output
    assert "--- molecule.xyz\n3\n\nO " in output
    assert "--- .CHRG\n0\n" in output
    assert "--- .UHF\n0\n" in output

    found = json.loads(as_json)
    first = found.pop("first")
    assert found.pop("stale_survey")["checked"] == 1
    assert len(found.pop("recipe")) == 16
    codes = [remark["code"] for remark in found.pop("remarks")]
    assert codes == ["results-undeclared", "results-incomplete"]
    assert found == {
        "campaign": "test",
        "engine": "local",
        "collection": f"{campaigns.database}.molecules",
        "documents": 4,
        "matching": 2,
        "done": 1,
        "failed": 0,
        "stale": 0,
        "failed_with_other_recipe": 0,
        "molecules": {"selected": 3, "usable": 3, "complete": True, "unusable": {}},
        "warnings": [],
        "notes": [
            f"{campaigns.database}.molecules, xtb.gfn2: no recipe is recorded for 1 result",
            "1 of 1 result of step gfn2 lacks 'gradient'; to compute it again: wqmaster rerun "
            f'{path} --query \'{{"xtb.gfn2.gradient": {{"$exists": false}}}}\'',
        ],
    }
    assert f"note        {found['notes'][0]}\n" in output
    assert first["document"] == 1
    assert "molecule.xyz --gfn 2 --json --grad" in first["commands"]["gfn2"]
    assert set(first["files"]) == {"molecule.xyz", ".CHRG", ".UHF"}

    assert held_xtb.begun() == 0
    assert campaigns.documents.count_documents({"xtb": {"$exists": True}}) == 1
    assert campaigns.failures.database.list_collection_names() == ["molecules"]
    assert not (cli.folder / "test.run").exists()


# --- smoke -------------------------------------------------------------------------------------


def test_smoke_prints_the_values_of_one_document_and_stores_nothing(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.waters(1)
    campaigns.insert({"_id": "water", **WATER})
    path = campaigns.write()
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    one = cli.start("smoke", path, env={"TMPDIR": str(temporary)})
    ((code, as_json, _),) = each(cli, ["smoke", path, "--id", "water", "--json"])
    output, errors = one.communicate(timeout=60)
    assert (code, one.returncode, errors) == (0, 0, "")
    assert "document 1 (3 atoms)" in output
    assert re.search(r"^step gfn2: \d+\.\d\d s, xtb 6\.", output, re.MULTILINE)
    assert re.search(r"^  energy +-5\.0703\d+$", output, re.MULTILINE)
    assert re.search(r"^  gradient +\[\[", output, re.MULTILINE)

    found = json.loads(as_json)
    assert (found["document"], found["failure"]) == ("water", None)
    assert found["values"]["gfn2"]["energy"] == pytest.approx(ENERGY, abs=1e-9)
    assert len(found["values"]["gfn2"]["gradient"]) == 3

    assert campaigns.documents.count_documents({"xtb": {"$exists": True}}) == 0
    assert campaigns.failures.database.list_collection_names() == ["molecules"]
    assert not (cli.folder / "test.run").exists()
    assert list(temporary.iterdir()) == []


def test_smoke_prints_the_failure_class_and_exits_with_1(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    campaigns.insert({"_id": "close", **TOO_CLOSE})
    path = campaigns.write()
    (code, output, _), (json_code, as_json, _), unknown = each(
        cli,
        ["smoke", path, "--id", "close"],
        ["smoke", path, "--id", "close", "--json"],
        ["smoke", path, "--id", "nobody"],
    )
    place = f"{campaigns.database}.molecules"
    assert unknown == (2, "", f"wqmaster: there is no document 'nobody' in {place}\n")
    assert (code, json_code) == (1, 1)
    assert "document 'close' (2 atoms)" in output
    assert re.search(r"^failed: [a-z_]+: xtb: \S", output, re.MULTILINE)
    assert "energy  " not in output
    failure = json.loads(as_json)["failure"]
    assert failure["class"] in ("implausible_energy", "not_finite", "scf_not_converged")
    assert failure["step"] == "gfn2"
    assert f"failed: {failure['class']}: {failure['message']}" in output
    assert campaigns.failures.count_documents({}) == 0


def test_control_sequences_of_a_program_do_not_reach_the_terminal(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.waters(1)
    (tmp_path / "say").write_text("#!/bin/sh\nprintf 'a \\033]0;title\\007 b\\n' >&2\nexit 3\n")
    (tmp_path / "say").chmod(0o755)
    path = campaigns.write(
        campaign_config={
            "func_name": "wqmaster.tasks.command.run",
            "args": [{"name": "a", "command": ["say"]}],
            "kwargs": {"mongo_output_key": "said"},
        },
        submit={"query": {}},
        software={"say": str(tmp_path / "say")},
        engine="local",
    )
    said = cli("smoke", path, code=1)
    assert "a ?]0;title? b" in said
    assert said.endswith("\na run would not retry it\n")
    cli("run", path, code=1)
    (document,) = campaigns.documents.find()
    assert "| a ?]0;title? b" in cli("failures", path, "--show", str(document["_id"]))


def test_check_and_smoke_prefer_a_document_that_has_not_failed(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.insert({"_id": "a", **TOO_CLOSE}, {"_id": "b", **WATER})
    path = campaigns.write(remedies=False)
    assert "The first job, for document 'a' (2 atoms)" in cli("check", path)
    cli("run", path, code=1)
    assert "An example job, for document 'b' (3 atoms), which is already done" in cli("check", path)
    campaigns.insert({"_id": "c", **WATER})
    for command in ("check", "smoke"):
        assert "document 'c' (3 atoms)" in cli(command, path)
    campaigns.documents.delete_many({"_id": {"$ne": "a"}})
    assert "An example job, for document 'a' (2 atoms), which has failed" in cli("check", path)


# --- status and failures -----------------------------------------------------------------------


def test_status_shows_the_progress_of_a_running_master(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb
) -> None:
    campaigns.waters(6)
    path = campaigns.write(software=held_xtb.software)
    master = cli.start("run", path)

    def live() -> dict[str, Any] | None:
        status: dict[str, Any] = json.loads(cli("status", path, "--json"))
        return status if status["running"] else None

    status = wait_until(live)
    assert status["running"] + status["pending"] == 6
    assert (status["done"], status["failed"], status["spooled"]) == (0, 0, 0)
    assert status["master"]["master"]["pid"] == master_of(master)
    assert status["master"]["engine"] == "local"
    assert f"master    process {master_of(master)} on " in cli("status", path)
    held_xtb.let_go()
    master.communicate(timeout=60)
    assert master.returncode == 0
    output = cli("status", path)
    assert re.findall(r"^(\w+) +(\w+)", output, re.MULTILINE) == [
        ("campaign", "test"),
        ("done", "6"),
        ("failed", "0"),
        ("pending", "0"),
        ("running", "0"),
        ("spooled", "0"),
        ("stale", "0"),
        ("master", "not"),
    ]


def test_failures_are_grouped_shown_and_retried(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    path = campaigns.write()
    campaigns.insert(
        {"_id": 17, **TOO_CLOSE},
        {"_id": "odd", **WATER, "multiplicity": 2},
        {"_id": "odder", **WATER, "multiplicity": 4},
    )
    cli("run", path, code=1)

    answers = each(
        cli,
        ["failures", path],
        ["failures", path, "--json"],
        ["failures", path, "--show", "17"],
        ["failures", path, "--retry", "bad_documnt"],
        ["failures", path, "--retry", "1"],
    )
    (code, output, _), (json_code, as_json, _), (show_code, shown, _), refusal, done = answers
    assert done[0] == 0
    assert "nothing to retry" in done[1]
    assert (code, json_code, show_code) == (0, 0, 0)
    assert re.search(r"^ *count +class +message +example", output)
    assert re.search(r"^ *2 +bad_document +multiplicity N is impossible: .* odd *$", output, re.M)
    (close,) = campaigns.failures.find({"document": 17})
    assert re.search(rf"^ *1 +{close['class']} +xtb: .* 17 *$", output, re.MULTILINE)
    assert f"to see a document's attempts: wqmaster failures {path} --show ID" in output
    assert f": wqmaster failures {path} --retry CLASS\n" in output
    groups = json.loads(as_json)
    assert [(g["count"], g["class"], g["example"]) for g in groups] == [
        (2, "bad_document", "odd"),
        (1, close["class"], 17),
    ]

    assert shown.startswith(
        f"document 17\nattempt 1: {close['class']}: {close['message']}\n  step gfn2, "
    )
    assert "not retried" in shown
    assert f"  archive {close['archive']}\n" in shown
    assert Path(close["archive"]).is_file()
    assert "\n  | " in shown

    assert refusal == (
        2,
        "",
        "wqmaster: 'bad_documnt' is neither a failed document nor a failure class; "
        "did you mean 'bad_document'?\n",
    )
    ids, of_class, ids_json, listed, unknown, together = each(
        cli,
        ["failures", path, "--ids"],
        ["failures", path, "--ids", "--class", "bad_document"],
        ["failures", path, "--ids", "--class", "bad_document", "--json"],
        ["failures", path, "--class", "bad_document", "--json"],
        ["failures", path, "--ids", "--class", "bad_documnt", "--json"],
        ["failures", path, "--ids", "--show", "17", "--json"],
    )
    assert (ids[0], ids[2], sorted(ids[1].splitlines())) == (0, "", ["17", "odd", "odder"])
    assert (of_class[0], sorted(of_class[1].splitlines())) == (0, ["odd", "odder"])
    assert sorted(json.loads(ids_json[1])) == ["odd", "odder"]
    assert [group["class"] for group in json.loads(listed[1])] == ["bad_document"]
    for code, output, _ in (unknown, together):
        assert (code, json.loads(output)["code"]) == (2, "usage")
    assert "did you mean 'bad_document'?" in unknown[2]

    output = cli("failures", path, "--retry", "17")
    assert output == f"1 document will be computed again; next: wqmaster run {path}\n"
    for again in (("retry", path, "17"), ("failures", path, "--retry", "17")):
        assert "document 17 is already waiting to be computed again" in cli(*again)
    waiting = cli("retry", path, "--class", close["class"])
    assert "1 document is already waiting to be computed again" in waiting
    cli("run", path, code=1)
    attempts = list(campaigns.failures.find({"document": 17}).sort("attempt"))
    assert [(entry["attempt"], entry["final"]) for entry in attempts] == [(1, False), (2, True)]
    assert campaigns.failures.count_documents({"class": "bad_document"}) == 2


def test_ids_that_look_alike_are_distinguished(campaigns: Campaigns, cli: Cli) -> None:
    path = campaigns.write(engine="local")
    campaigns.insert({"_id": 7, **TOO_CLOSE}, {"_id": "7", **TOO_CLOSE})
    cli("run", path, code=1)
    both = cli("failures", path, "--show", "7").splitlines()
    assert sorted(line for line in both if line.startswith("document ")) == [
        'document "7"',
        "document 7",
    ]
    one = json.loads(cli("failures", path, "--show", '"7"', "--json"))
    assert [attempt["document"] for attempt in one] == ["7"]


def test_before_the_first_run_all_documents_are_pending_and_none_failed(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(2)
    path = campaigns.write()
    (code, output, errors), failures, attempts = each(
        cli, ["status", "--json"], ["failures", path], ["failures", path, "--show", "1"]
    )
    assert (code, errors) == (0, "")
    found = json.loads(output)
    assert found.pop("stale_survey")["checked"] == 0
    assert found.pop("problems") == []
    assert found.pop("service") is None
    assert found.pop("adopted") is False
    assert found == {
        "campaign": "test",
        "done": 0,
        "failed": 0,
        "pending": 2,
        "running": 0,
        "spooled": 0,
        "failures": {},
        "partly_done": {},
        "recipe_mismatch": None,
        "stale": 0,
        "failed_with_other_recipe": 0,
        "warned": 0,
        "master": None,
        "control": {"pause": None, "blocks": []},
        "commands": [],
    }
    assert failures == (0, "no failures\n", "")
    assert attempts == (0, "document '1' has no failed attempts\n", "")
    cli("failures", path, "--show", "nobody", code=2)
    assert "there is no document 'nobody' in " in cli.errors
    said = cli("failures", path, "--retry", "not_stored")
    assert said == (
        "no document failed with not_stored, so there is nothing to retry; "
        f"'wqmaster failures {path}' lists all failures\n"
    )


# --- the private server ------------------------------------------------------------------------


@pytest.fixture
def private(campaigns: Campaigns, cli: Cli) -> Iterator[Path]:
    """A campaign file that names no database; the private server is stopped after the test."""
    path = campaigns.write(database={})
    yield path
    cli("db", "stop", path)
    assert processes_of(cli.folder) == {}


def mongods(folder: Path) -> list[int]:
    """The process ids of the private servers whose data are below `folder`."""
    return [pid for pid, line in processes_of(folder).items() if "mongod --dbpath" in line]


def test_db_starts_and_stops_the_private_server_and_keeps_its_data(private: Path, cli: Cli) -> None:
    assert cli("db", "stop", private) == "the server was not running\n"
    uri = cli("db", "start", private).strip()
    assert uri.startswith("mongodb://")
    (server,) = mongods(cli.folder)
    again, url, (code, as_json, _) = each(
        cli, ["db", "start", private], ["db", "url", private], ["db", "url", private, "--json"]
    )
    assert again == url == (0, f"{uri}\n", "")
    assert mongods(cli.folder) == [server]
    assert code == 0
    found = json.loads(as_json)
    assert found == {"uri": uri, "name": "wqmaster", "collection": "molecules", "running": True}
    client: MongoClient[dict[str, Any]]
    with MongoClient(uri, document_class=dict) as client:
        client["wqmaster"]["molecules"].insert_one({"_id": "kept", **WATER})

    # A run does not stop a server that was started with 'db start'.
    assert "done                 1 (1 in this run)" in cli("run", private)
    assert mongods(cli.folder) == [server]

    assert cli("db", "stop", private) == "stopped\n"
    assert mongods(cli.folder) == []
    # The address is printed even so, because mongosh without an address opens another database.
    stopped, as_json = each(cli, ["db", "url", private], ["db", "url", private, "--json"])
    assert stopped[:2] == (3, f"{uri}\n")
    assert "is not running" in stopped[2]
    assert f"start it with 'wqmaster db start {private}'" in stopped[2]
    assert as_json[0] == 3
    value = json.loads(as_json[1])
    assert (value["uri"], value["running"]) == (uri, False)
    assert value["error"]["code"] == "database-stopped"
    cli("db", "start", private)
    with MongoClient(uri) as client:
        (found,) = client["wqmaster"]["molecules"].find({"_id": "kept"})
        assert found["xtb"]["gfn2"]["energy"] == pytest.approx(ENERGY, abs=1e-9)


def test_a_renamed_campaign_gets_a_hint_to_its_data(
    private: Path, campaigns: Campaigns, cli: Cli
) -> None:
    (cli.folder / "two.extxyz").write_text(TWO)
    cli("import", private, "two.extxyz")
    path = campaigns.write(database={}, campaign="renamed")
    folder = cli.folder / "renamed.run"
    hint = f"in 'test.run': if you have renamed that campaign, write 'folder: test.run' into {path}"
    for command in ("status", "failures"):
        found = json.loads(cli(command, path, "--json", code=2))
        assert found["code"] == "database-not-created"
        assert hint in found["message"]
    assert not folder.exists()
    for command in ("check", "smoke"):
        found = json.loads(cli(command, path, "--json", code=2))
        assert found["code"] == "collection-empty"
        assert hint in found["message"]
    cli("run", path, code=2)
    assert hint in cli.errors
    (problem,) = json.loads(cli("status", path, "--json"))["problems"]
    assert problem["code"] == "collection-empty"
    assert hint in problem["message"]

    # The suggested change works, and so does renaming the folder.
    path = campaigns.write(database={}, campaign="renamed", folder="test.run")
    assert json.loads(cli("status", path, "--json"))["pending"] == 2
    path = campaigns.write(database={}, campaign="renamed")
    shutil.rmtree(folder)
    (cli.folder / "test.run").rename(folder)
    assert "done                 2 (2 in this run)" in cli("run", path)
    assert processes_of(cli.folder) == {}


def test_a_private_server_stops_with_the_command_that_uses_it(private: Path, cli: Cli) -> None:
    file = cli.folder / "two.extxyz"
    file.write_text(TWO)
    said = cli("import", private, file)
    assert said.startswith(f"{file}: 2 records: 2 imported into wqmaster.molecules\n")
    assert processes_of(cli.folder) == {}
    assert "done                 2 (2 in this run)" in cli("run", private)
    assert processes_of(cli.folder) == {}


def test_db_of_a_campaign_with_its_own_database_starts_nothing(
    campaigns: Campaigns, cli: Cli
) -> None:
    path = campaigns.write()
    lines = path.read_text().splitlines()
    (line,) = [number for number, text in enumerate(lines, start=1) if "uri:" in text]
    assert cli("db", "start", path, code=2) == ""
    assert cli.errors == (
        f"wqmaster: {path}:{line}: the campaign names its own database, "
        "so there is no private one to start or stop\n"
    )
    assert cli("db", "url", path) == f"{campaigns.uri}\n"
    assert cli.errors == ""


# --- help --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], ["run", "check", "smoke", "status", "failures", "import", "db", "--version"]),
        (["run"], ["[CAMPAIGN]", "--engine", "--port", "--limit", "--watch", "--grace", "--quiet"]),
        (["check"], ["[CAMPAIGN]", "--json", "Runs no jobs"]),
        (["smoke"], ["[CAMPAIGN]", "--id", "--json", "Nothing is stored"]),
        (["status"], ["[CAMPAIGN]", "--json"]),
        (["failures"], ["[CAMPAIGN]", "--show", "--retry", "--json"]),
        (["import"], ["CAMPAIGN FILES...", "--prefix", "--id-from", "--skip-bad", "--json"]),
        (["db"], ["start", "stop", "url"]),
        (["db", "url"], ["[CAMPAIGN]", "--json"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and len(value) < 3 else "",
)
def test_help_lists_arguments_and_options(words: list[str], said: list[str], cli: Cli) -> None:
    output = cli(*words, "--help")
    assert output.startswith(" ".join(["Usage: wqmaster", *words]))
    for word in said:
        assert word in output
    assert cli.errors == ""


def test_the_version_is_printed(cli: Cli) -> None:
    assert cli("--version") == f"wqmaster, version {wqmaster.__version__}\n"


def test_each_command_starts_in_a_new_process(cli: Cli) -> None:
    # `Cli.run` forks a process that has imported all commands (tests/warm.py).
    for process in [cli.start(verb, "-h") for verb in VERBS]:
        output, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")
        assert output.startswith("Usage: ")
