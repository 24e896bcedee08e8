"""Every mistake gives one message and the right exit code, and no data is lost."""

import json
import math
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from bson import encode

from tests.acceptance.conftest import HeldXtb, each
from tests.conftest import WATER, Campaigns, Cli, master_of, wait_until
from wqmaster.engines.choosing import why_not

FILE_IS_WRONG = 2
SERVICE_IS_MISSING = 3


def line_of(path: Path, text: str) -> int:
    """The number, from 1, of the only line of the file that contains `text`."""
    lines = path.read_text().splitlines()
    (found,) = [number for number, line in enumerate(lines, start=1) if text in line]
    return found


@contextmanager
def nothing_changes(campaigns: Campaigns) -> Iterator[None]:
    """Assert that the documents stay the same and that no failure is recorded."""
    before = [encode(document) for document in campaigns.documents.find().sort("_id")]
    yield
    assert [encode(document) for document in campaigns.documents.find().sort("_id")] == before
    assert campaigns.failures.count_documents({}) == 0


def refused(
    campaigns: Campaigns,
    cli: Cli,
    *words: str | Path,
    code: int,
    env: dict[str, str] | None = None,
) -> str:
    """Run `wqmaster WORDS...`, which must change nothing; return its one-line message."""
    with nothing_changes(campaigns):
        output = cli(*words, code=code, env=env)
    assert output == ""
    assert cli.errors.startswith("wqmaster: ")
    assert cli.errors.count("\n") == 1, cli.errors
    return cli.errors.removeprefix("wqmaster: ").rstrip("\n")


def runs_well(campaigns: Campaigns, cli: Cli, path: Path, *, done: int, **changes: Any) -> None:
    """Assert that a valid file of the same campaign, at the same path, runs to completion."""
    assert campaigns.write(**changes) == path
    output = cli("run", path)
    assert f"done                 {done} ({done} in this run)" in output
    assert campaigns.documents.count_documents({"xtb.gfn2.energy": {"$lt": 0}}) == done
    assert campaigns.failures.count_documents({}) == 0


def config(**changes: Any) -> dict[str, Any]:
    """A `campaign_config:` with `changes` to its keys."""
    return {
        "func_name": "wqmaster.tasks.xtb.singlepoint",
        "job_timeout": 60,
        "args": [{"name": "gfn2", "parsers": ["energy", "gradient"]}],
        "kwargs": {"mongo_output_key": "xtb"},
        **changes,
    }


# --- the campaign file -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("campaign: test\nsubmit:\n  query: {xtb.gfn2: null\n", 3),
        ("campaign: test\nsubmit:\n\tquery: {}\n", 3),
    ],
    ids=["an open brace", "a tab"],
)
def test_a_yaml_syntax_error_is_reported_with_its_line(
    text: str, line: int, campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(1)
    path = campaigns.write(text)
    said = refused(campaigns, cli, "run", path, code=FILE_IS_WRONG)
    assert said.startswith(f"{path}:{line}: invalid YAML: ")


def test_after_a_yaml_error_the_corrected_file_runs(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    path = campaigns.write("campaign: [test\n")
    refused(campaigns, cli, "run", path, code=FILE_IS_WRONG)
    runs_well(campaigns, cli, path, done=1)


def test_a_control_character_in_the_file_is_reported(campaigns: Campaigns, cli: Cli) -> None:
    path = campaigns.write("campaign: te\x1bst\n")
    with nothing_changes(campaigns):
        cli("run", path, code=FILE_IS_WRONG)
    assert cli.errors.startswith(f"wqmaster: {path}:1: invalid YAML: ")


def test_a_file_that_refers_to_itself_is_reported(campaigns: Campaigns, cli: Cli) -> None:
    path = campaigns.write("campaign: test\nsubmit: &a\n  query: *a\n")
    said = refused(campaigns, cli, "run", path, code=FILE_IS_WRONG)
    assert said.startswith(f"{path}:")


def test_an_empty_file_is_reported(campaigns: Campaigns, cli: Cli) -> None:
    path = campaigns.write("")
    said = refused(campaigns, cli, "run", path, code=FILE_IS_WRONG)
    assert said == f"{path}:1: the campaign file is empty"


def test_an_unknown_key_is_reported_with_its_line_and_the_nearest_known_key(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(1)
    path = campaigns.write(submitt={"query": {}})
    line = line_of(path, "submitt:")
    said = refused(campaigns, cli, "run", path, code=FILE_IS_WRONG)
    assert said == f"{path}:{line}: unknown key 'submitt'; did you mean 'submit'?"


@pytest.mark.parametrize(
    ("changes", "wrong", "said"),
    [
        (
            {"campaign_config": config(job_timout=5)},
            "job_timout:",
            "campaign_config: unknown key 'job_timout'; did you mean 'job_timeout'?",
        ),
        (
            {"campaign_config": config(args=[{"name": "gfn2", "acuracy": 1.0}])},
            "acuracy:",
            "unknown key 'acuracy'; did you mean 'accuracy'?",
        ),
        (
            {"engine": {"type": "local", "prot": 9123}},
            "prot:",
            "engine: unknown key 'prot'; did you mean 'port'?",
        ),
        (
            {"engine": "loocal"},
            "engine:",
            "engine.type: must be 'auto', 'work_queue', 'taskvine' or 'local'",
        ),
        (
            {"bundle": {"size": 0}},
            "size:",
            "bundle.size: must be 'auto', or a whole number from 1 to 1,000; it is 0",
        ),
    ],
    ids=["a nested key", "a step option", "an engine key", "a wrong word", "a wrong number"],
)
def test_a_mistake_further_down_is_reported_with_its_line(
    changes: dict[str, Any], wrong: str, said: str, campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(1)
    path = campaigns.write(**changes)
    where = f"{path}:{line_of(path, wrong)}: "
    message = refused(campaigns, cli, "run", path, code=FILE_IS_WRONG)
    assert message.startswith(where)
    assert said in message


def test_a_program_that_the_task_does_not_use_is_reported(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    path = campaigns.write(software={"xbt": "/opt/xtb/bin/xtb"})
    line = line_of(path, "xbt:")
    said = refused(campaigns, cli, "run", path, code=FILE_IS_WRONG)
    assert said.startswith(f"{path}:{line}: ")
    assert "'xbt'" in said
    assert "did you mean 'xtb'?" in said


def test_an_unknown_parser_is_reported_with_the_nearest_one(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    step = {"name": "gfn2", "parsers": ["energy", "gradeint"]}
    path = campaigns.write(campaign_config=config(args=[step]))
    line = line_of(path, "gradeint")
    said = refused(campaigns, cli, "run", path, code=FILE_IS_WRONG)
    assert said == (f"{path}:{line}: unknown parser 'gradeint' of xtb; did you mean 'gradient'?")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "wqmaster.tasks.xtb.singelpoint",
            "unknown task function 'wqmaster.tasks.xtb.singelpoint'; "
            "did you mean 'wqmaster.tasks.xtb.singlepoint'?",
        ),
        (
            "wqmaster.tasks.xbt.singlepoint",
            "there is no module 'wqmaster.tasks.xbt' for the task function "
            "'wqmaster.tasks.xbt.singlepoint'; did you mean 'wqmaster.tasks.xtb.singlepoint'?",
        ),
        (
            "singlepoint",
            "'singlepoint' is not the dotted path of a task function (MODULE.FUNCTION); "
            "did you mean 'wqmaster.tasks.pyscf.singlepoint' or 'wqmaster.tasks.xtb.singlepoint'?",
        ),
    ],
    ids=["function", "module", "no dots"],
)
def test_an_unknown_task_function_is_reported_with_the_nearest_one(
    name: str, said: str, campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(1)
    path = campaigns.write(campaign_config=config(func_name=name))
    line = line_of(path, "func_name:")
    message = refused(campaigns, cli, "run", path, code=FILE_IS_WRONG)
    assert message == f"{path}:{line}: {said}"


def test_a_missing_campaign_file_is_reported(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    said = refused(campaigns, cli, "run", "nowhere.yaml", code=FILE_IS_WRONG)
    assert said == "nowhere.yaml: there is no such campaign file"
    said = refused(campaigns, cli, "status", code=FILE_IS_WRONG)
    assert said == "campaign.yaml: there is no such campaign file"


def test_a_variable_that_is_not_set_is_reported(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    path = campaigns.write(database={"uri": "${WQMASTER_TEST_URI}", "name": campaigns.database})
    line = line_of(path, "uri:")
    said = refused(campaigns, cli, "run", path, code=FILE_IS_WRONG)
    assert said == (
        f"{path}:{line}: the environment variable 'WQMASTER_TEST_URI' is not set; "
        "export WQMASTER_TEST_URI=... and try again"
    )
    cli("check", path, env={"WQMASTER_TEST_URI": campaigns.uri})


# --- the command line --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu"], "unknown command 'rnu'; did you mean 'run'?"),
        (["run", "--grase", "3"], "unknown option '--grase'; did you mean '--grace'?"),
        (["run", "--engine", "loop"], "invalid value for '--engine'"),
        (["run", "--limit", "0"], "invalid value for '--limit'"),
        (["run", "--port", "70000"], "invalid value for '--port'"),
        (["db", "strat"], "unknown command 'strat'; did you mean 'start'?"),
        (["import"], "missing argument 'CAMPAIGN'"),
        (["import", "campaign.yaml"], "missing argument 'FILES...'"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_reported(
    words: list[str], said: str, campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(1)
    campaigns.write()
    with nothing_changes(campaigns):
        assert cli(*words, code=FILE_IS_WRONG) == ""
    assert said in cli.errors
    assert "Usage: " in cli.errors
    assert "-h' for help" in cli.errors or "--help' for help" in cli.errors
    assert not (cli.folder / "test.run").exists()


# --- the documents as a whole ------------------------------------------------------------------


def test_a_query_that_matches_nothing_is_reported(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(2)
    path = campaigns.write(submit={"query": {"colour": "blue"}})
    said = refused(campaigns, cli, "run", path, code=FILE_IS_WRONG)
    assert said == (
        f'the query \'{{"colour": "blue"}}\' selects none of the documents of '
        f"{campaigns.database}.molecules (2 in total); correct 'submit: query:', then: wqmaster "
        f"check {path}"
    )


def test_a_query_that_the_server_refuses_is_reported_with_its_line(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(1)
    path = campaigns.write(submit={"query": {"natoms": {"$lessthan": 3}}})
    line = line_of(path, "query:")
    said = refused(campaigns, cli, "run", path, code=FILE_IS_WRONG)
    assert said.startswith(f"{path}:{line}: ")
    assert "$lessthan" in said


def test_an_empty_collection_is_reported(campaigns: Campaigns, cli: Cli) -> None:
    path = campaigns.write()
    said = refused(campaigns, cli, "run", path, code=FILE_IS_WRONG)
    assert said == (
        f"the collection {campaigns.database}.molecules is empty: fill it with 'wqmaster import "
        f"{path} FILE', or name another one with 'database: {{name: ..., collection: ...}}'"
    )
    campaigns.waters(1)
    runs_well(campaigns, cli, path, done=1)


# --- services ----------------------------------------------------------------------------------


def files_with(text: str, folder: Path) -> list[Path]:
    """The files below `folder` that contain `text`."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and text.encode() in path.read_bytes()
    ]


def test_an_unreachable_database_is_reported_without_its_password(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(1)
    uri = "mongodb://alice:hunter2@127.0.0.1:1/"
    path = campaigns.write(database={"uri": uri, "name": campaigns.database})
    said = refused(campaigns, cli, "run", path, code=SERVICE_IS_MISSING)
    assert said.startswith("the database mongodb://...@127.0.0.1:1/ cannot be reached: ")
    assert "the connection was refused" in said
    assert "check that the server is running, and check 'database: uri:'" in said
    assert "hunter2" not in said
    assert (cli.folder / "test.run").exists()
    assert files_with("hunter2", cli.folder) == [path]


@pytest.mark.parametrize("password", ["zq@zx/zv2", "zq/zx@zv2", "zq@zx?zv2"])
def test_an_unencoded_password_is_reported_by_error_code_and_never_printed(
    password: str, campaigns: Campaigns, cli: Cli
) -> None:
    uri = f"mongodb://alice:{password}@127.0.0.1:1/"
    path = campaigns.write(database={"uri": uri, "name": campaigns.database})
    line = line_of(path, "uri:")
    run, status, doctor = each(
        cli, ["run", path], ["status", path, "--json"], ["doctor", path, "--json"]
    )
    assert [found[0] for found in (run, status, doctor)] == [FILE_IS_WRONG] * 3
    assert run[2].startswith(f"wqmaster: {path}:{line}: ")
    assert "must be percent-encoded" in run[2]
    assert "python3 -c 'import getpass" in run[2]
    assert json.loads(status[1])["code"] == "database-address-invalid"
    findings = json.loads(doctor[1])["findings"]
    assert "database-address-invalid" in [finding["code"] for finding in findings]
    for _, output, errors in (run, status, doctor):
        for piece in ("zq", "zx", "zv2"):
            assert piece not in output + errors
    assert files_with("zv2", cli.folder) == [path]


@pytest.mark.parametrize(
    "password",
    ["hunter2", "hun/ter2", "hun@ter2"],
    ids=["plain", "with a slash", "with an at sign"],
)
def test_a_password_that_the_server_refuses_is_never_printed(
    password: str, campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(1)
    server = campaigns.uri.partition("@")[2]
    uri = f"mongodb://alice:{password}@{server}"
    path = campaigns.write(
        database={"uri": "${WQMASTER_TEST_URI}", "name": campaigns.database},
    )
    env = {"WQMASTER_TEST_URI": uri}
    with nothing_changes(campaigns):
        output = cli("run", path, code=[FILE_IS_WRONG, SERVICE_IS_MISSING], env=env)
    assert "database" in cli.errors
    for part in ("hun", "ter2"):
        assert part not in output + cli.errors
        assert files_with(part, cli.folder) == []


def test_an_invalid_address_is_reported(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    path = campaigns.write(database={"uri": "mongodb://127.0.0.1:99999/"})
    with nothing_changes(campaigns):
        cli("run", path, code=[FILE_IS_WRONG, SERVICE_IS_MISSING])
    assert "127.0.0.1:99999" in cli.errors
    assert cli.errors.count("\n") == 1


@pytest.mark.parametrize(
    ("function", "step", "program", "how"),
    [
        ("orca.sequential", {"route": "! HF"}, "orca", " (from its developers,"),
        ("command.run", {"command": "no-such-program in"}, "no-such-program", ", or give"),
    ],
)
def test_a_missing_program_is_reported_by_name(
    campaigns: Campaigns,
    cli: Cli,
    function: str,
    step: dict[str, Any],
    program: str,
    how: str,
) -> None:
    campaigns.waters(1)
    config = {
        "func_name": f"wqmaster.tasks.{function}",
        "args": [{"name": "a", **step}],
        "kwargs": {"mongo_output_key": "out"},
    }
    path = campaigns.write(campaign_config=config, submit={"query": {}})
    said = refused(campaigns, cli, "run", path, code=SERVICE_IS_MISSING)
    assert f"install {program}{how}" in said
    assert f"'software: {{{program}: /path/to/{program}}}' in the campaign file" in said
    assert "apt install" not in said


def test_a_missing_xtb_is_reported(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    path = campaigns.write(software={"xtb": "/nowhere/xtb"})
    said = refused(campaigns, cli, "run", path, code=SERVICE_IS_MISSING)
    line = path.read_text().splitlines().index("  xtb: /nowhere/xtb") + 1
    assert said.startswith(f"{path}:{line}: ")
    assert "'/nowhere/xtb'" in said
    assert "apt install xtb" in said
    assert refused(campaigns, cli, "smoke", path, code=SERVICE_IS_MISSING) == said
    assert not (cli.folder / "test.run").exists()


def test_a_software_command_that_is_not_a_command_line_is_reported(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(1)
    path = campaigns.write(software={"xtb": "xtb 'open quote"})
    line = line_of(path, "open quote")
    said = refused(campaigns, cli, "run", path, code=FILE_IS_WRONG)
    assert said.startswith(f"{path}:{line}: ")


def test_a_missing_mongod_is_reported(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    path = campaigns.write(database={})
    env = {"WQMASTER_MONGOD": "/nowhere/mongod"}
    said = refused(campaigns, cli, "run", path, code=SERVICE_IS_MISSING, env=env)
    assert said.startswith("WQMASTER_MONGOD names '/nowhere/mongod', which is not a program; ")
    runs_well(campaigns, cli, path, done=1)


@pytest.mark.skipif(why_not("work_queue") is not None, reason=str(why_not("work_queue")))
def test_a_port_in_use_is_reported(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    with socket.create_server(("", 0)) as other:
        port = other.getsockname()[1]
        path = campaigns.write(engine={"type": "work_queue", "port": port}, workers="none")
        said = refused(campaigns, cli, "run", path, code=SERVICE_IS_MISSING)
        assert said == (
            f"Work Queue cannot listen on port {port}: another program is listening there; "
            "choose another with --port (0: any free port)"
        )
        cli("run", path, "--engine", "local")
    assert campaigns.documents.count_documents({"xtb.gfn2": None}) == 0


def test_a_second_master_of_the_same_campaign_is_refused(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb
) -> None:
    campaigns.waters(3)
    path = campaigns.write(software=held_xtb.software)
    elsewhere = path.with_name("elsewhere.yaml")
    settings = campaigns.settings(software=held_xtb.software, folder="elsewhere")
    elsewhere.write_text(yaml.safe_dump(settings))

    first = cli.start("run", path)
    wait_until(held_xtb.begun)
    said = refused(campaigns, cli, "run", path, code=SERVICE_IS_MISSING)
    assert said == (
        f"a master (process {master_of(first)}) is already running in {cli.folder / 'test.run'}; "
        "stop it first, with Ctrl-C or 'kill'"
    )
    said = refused(campaigns, cli, "run", elsewhere, code=SERVICE_IS_MISSING)
    assert said.startswith(
        f"another master (process {master_of(first)} on {socket.gethostname()}) "
    )
    assert f"is running the campaign 'test' on {campaigns.database}.molecules" in said
    assert "stop it first, or wait 60 s" in said

    held_xtb.let_go()
    output, errors = first.communicate(timeout=60)
    assert (first.returncode, errors) == (0, "")
    assert "done                 3 (3 in this run)" in output
    assert held_xtb.begun() == 3
    # The lock is released, so a run from another folder is possible, too.
    campaigns.documents.update_one({"_id": 1}, {"$unset": {"xtb": 1}})
    cli("run", elsewhere)


# --- the folder --------------------------------------------------------------------------------


def test_a_folder_of_mode_0555_is_reported(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    path = campaigns.write(folder="here")
    folder = cli.folder / "here"
    folder.mkdir(mode=0o555)
    try:
        said = refused(campaigns, cli, "run", path, code=SERVICE_IS_MISSING)
    finally:
        folder.chmod(0o755)
    assert said == (
        f"cannot write to the folder {folder} (its mode does not allow writing); make it writable, "
        "or name another one with 'folder:' in the campaign file"
    )
    assert list(folder.iterdir()) == []


def test_a_folder_on_a_read_only_mount_is_reported(
    campaigns: Campaigns, cli: Cli, tmpfs: Path
) -> None:
    campaigns.waters(1)
    path = campaigns.write(folder=str(tmpfs), limits={"disk": "1MB"})
    subprocess.run(["mount", "-o", "remount,ro", str(tmpfs)], check=True, capture_output=True)
    said = refused(campaigns, cli, "run", path, code=SERVICE_IS_MISSING)
    assert said == (
        f"cannot write to the folder {tmpfs} (Read-only file system); make it writable, "
        "or name another one with 'folder:' in the campaign file"
    )
    subprocess.run(["mount", "-o", "remount,rw", str(tmpfs)], check=True, capture_output=True)
    cli("run", path)


@pytest.mark.parametrize("name", [".", "spool/returned", "logs", "kept"])
def test_a_plain_file_in_the_way_is_reported(name: str, campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    path = campaigns.write()
    place = cli.folder / "test.run" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("precious")
    with nothing_changes(campaigns):
        cli("run", path, code=SERVICE_IS_MISSING)
    assert cli.errors.count("\n") == 1
    assert str(place) in cli.errors
    assert "is a file, not a folder" in cli.errors
    assert place.read_text() == "precious"
    place.unlink()
    if name == ".":
        runs_well(campaigns, cli, path, done=1)


# --- bad documents -----------------------------------------------------------------------------

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no-coordinates": (
        {"atomic_numbers": [8, 1, 1]},
        "the document has no 'coordinates'",
    ),
    "nan": (
        {**WATER, "coordinates": [[0, 0, 0], [0, math.nan, 0.96], [0.93, 0, -0.24]]},
        "a coordinate of atom 2 (of 3) is not finite: nan",
    ),
    "infinite": (
        {**WATER, "coordinates": [[0, 0, 0], [0, 0, 0.96], [0.93, 0, -math.inf]]},
        "a coordinate of atom 3 (of 3) is not finite: -inf",
    ),
    "unknown-element": (
        {**WATER, "atomic_numbers": [8, 1, 119]},
        "atom 3 (of 3) has an unknown element: 119",
    ),
    "unknown-symbol": (
        {**WATER, "atomic_numbers": ["O", "Hx", "H"]},
        "atom 2 (of 3) has an unknown element: 'Hx'",
    ),
    "atom-count": (
        {**WATER, "atomic_numbers": [8, 1]},
        "the number of atoms is 2 in 'atomic_numbers', but 3 in 'coordinates'",
    ),
    "strings": (
        {**WATER, "coordinates": [["0", "0", "0"], ["0", "0", "1"], ["1", "0", "0"]]},
        "a coordinate of atom 1 (of 3) is not a number: '0'",
    ),
    "multiplicity": (
        {**WATER, "multiplicity": 2},
        "multiplicity 2 is impossible: with charge 0 there are 10 electrons",
    ),
}


def test_each_bad_document_fails_alone_and_can_be_cured(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(3)
    campaigns.insert(*({"_id": name, **document} for name, (document, _) in BAD.items()))
    campaigns.insert({"_id": "zz-good", **WATER})
    path = campaigns.write()

    output = cli("run", path, code=1)
    assert "done                 4 (4 in this run)" in output
    assert f"failed               {len(BAD)} ({len(BAD)} in this run)" in output
    assert f"wqmaster failures {path}" in output
    done = campaigns.documents.find({"xtb.gfn2.energy": {"$lt": 0}})
    assert {document["_id"] for document in done} == {1, 2, 3, "zz-good"}
    records = {record["document"]: record for record in campaigns.failures.find()}
    assert set(records) == set(BAD)
    for name, (_, trouble) in BAD.items():
        record = records[name]
        assert (record["class"], record["attempt"], record["final"]) == ("bad_document", 1, True)
        assert trouble in record["message"]
    (code, counts, _), (group_code, grouped, _) = each(
        cli, ["status", path, "--json"], ["failures", path, "--json"]
    )
    assert (code, group_code) == (0, 0)
    status = json.loads(counts)
    assert (status["done"], status["failed"], status["pending"]) == (4, len(BAD), 0)
    assert status["failures"] == {"bad_document": len(BAD)}
    groups = json.loads(grouped)
    assert {group["class"] for group in groups} == {"bad_document"}
    assert sum(group["count"] for group in groups) == len(BAD)

    # A second run does not retry the bad documents.
    output = cli("run", path, code=1)
    assert "nothing to do: all documents have a result or have failed" in output
    assert campaigns.failures.count_documents({}) == len(BAD)

    # Once they are corrected in the database and retried, the documents are cured.
    mended = {**WATER, "multiplicity": 1}
    campaigns.documents.update_many({"_id": {"$in": list(BAD)}}, {"$set": mended})
    output = cli("failures", path, "--retry", "bad_document")
    assert output == f"{len(BAD)} documents will be computed again; next: wqmaster run {path}\n"
    output = cli("run", path)
    assert f"done                 {4 + len(BAD)} ({len(BAD)} in this run, 4 before)" in output
    assert "failed               0 (0 in this run)" in output


def test_an_atomic_number_that_is_not_a_number_fails_its_document_alone(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(1)
    for number in (math.nan, math.inf):
        bad = {"_id": f"bad {number}", **WATER, "atomic_numbers": [8, number, 1]}
        campaigns.insert(bad)
    path = campaigns.write()
    cli("run", path, code=1)
    assert campaigns.documents.count_documents({"xtb.gfn2.energy": {"$lt": 0}}) == 1
    records = {record["document"]: record for record in campaigns.failures.find()}
    assert set(records) == {"bad nan", "bad inf"}
    for number in (math.nan, math.inf):
        record = records[f"bad {number}"]
        assert record["class"] == "bad_document"
        assert f"atom 2 (of 3) has an unknown element: {number}" in record["message"]


def test_a_missing_field_is_reported_with_the_fix(campaigns: Campaigns, cli: Cli) -> None:
    coordinates = WATER["coordinates"]
    campaigns.insert({"_id": "bad", "atomic_numbers": [8, 1, 1], "positions": coordinates})
    cli("run", campaigns.write(), code=1)
    (record,) = campaigns.failures.find()
    assert "the document has no 'coordinates'" in record["message"]
    assert "'molecule: {coordinates: NAME}' into the campaign file" in record["message"]


def test_commands_on_one_document_report_that_it_is_bad(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.insert({"_id": "bad", **BAD["nan"][0]})
    path = campaigns.write()
    trouble = "document 'bad': a coordinate of atom 2 (of 3) is not finite: nan"
    with nothing_changes(campaigns):
        check, smoke = each(cli, ["check", path], ["smoke", path, "--id", "bad"])
    assert smoke == (1, "", f"wqmaster: {trouble}\n")
    assert check[0] == 1
    assert check[2].startswith("wqmaster: the only selected document, 'bad', has no usable")
    assert check[2].endswith(f"{trouble.partition(': ')[2]}\n")
