"""A campaign from document to result, through the command line."""

import json
from pathlib import Path

import pytest
from bson import ObjectId

from tests.conftest import WATER, Campaigns, Cli, wait_until


def test_a_document_comes_back_with_its_result(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.insert({"_id": "water", **WATER})
    output = cli("run", campaigns.write())
    assert "done                 1 (1 in this run)" in output
    result = campaigns.documents.find_one({"_id": "water"})["xtb"]["gfn2"]
    assert abs(result["energy"] - -5.070383095219) < 1e-9
    assert len(result["gradient"]) == 3
    assert result["_run"]["program_version"].startswith("6.")
    status = json.loads(cli("status", "--json"))
    assert (status["done"], status["pending"], status["failed"]) == (1, 0, 0)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return None", "a task function must return a Job, not NoneType"),
        ("return job(files={'a': 'text'})", "the content of 'a' must be bytes"),
        ("return job(name='other')", "the steps of its Job must be first"),
        ("return job(argv=('x', 3))", "must be a list of strings"),
        ("raise KeyError('smiles')", "KeyError: 'smiles'"),
    ],
)
def test_a_task_function_that_fails_for_a_molecule_costs_only_that_one(
    campaigns: Campaigns, cli: Cli, body: str, said: str
) -> None:
    campaigns.waters(2)
    (campaigns.folder / "own.py").write_text(
        "from wqmaster.job import Execution, Job\n"
        "def job(name='first', argv=('echo', '4'), files={}):\n"
        "    return Job((Execution(name, argv),), files)\n"
        "def function(molecule, steps, software):\n"
        "    if molecule.id == 1: return job()\n"
        f"    {body}\n"
        "def four(output): return int(output.text)\n"
    )
    settings = campaigns.settings(submit={"query": {}})
    settings["campaign_config"] = {
        "func_name": "own.function",
        "args": [{"name": "first", "parsers": {"stdout": ["own.four"]}}],
        "kwargs": {"mongo_output_key": "mine"},
    }
    cli("run", campaigns.write(**settings), code=1)
    assert campaigns.documents.find_one({"_id": 1})["mine"]["first"]["four"] == 4
    (failure,) = campaigns.failures.find()
    assert (failure["document"], failure["class"]) == (2, "task_function")
    assert said in failure["message"]


def test_a_run_continues_when_the_reader_of_its_output_goes_away(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(5)
    master = cli.start("run", campaigns.write())
    assert master.stdout is not None
    master.stdout.readline()
    master.stdout.close()
    assert master.wait(60) == 0
    assert campaigns.documents.count_documents({"xtb.gfn2": {"$ne": None}}) == 5


def test_a_query_that_matches_nothing_is_reported_even_if_others_are_done(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(1)
    cli("run", campaigns.write())
    cli("run", campaigns.write())
    path = campaigns.write(submit={"query": {"sett": "training", "xtb.gfn2": None}})
    cli("run", path, code=2)
    assert "selects none of the documents" in cli.errors


def test_kept_files_of_ids_that_print_alike_do_not_collide(campaigns: Campaigns, cli: Cli) -> None:
    oid = ObjectId()
    ids = [5, "5", oid, str(oid), "a/b", "..", "x" * 300, "a b", 1.5, "1.5", "é"]
    campaigns.insert(*({"_id": one, **WATER} for one in ids))
    settings = campaigns.settings()
    settings["campaign_config"]["args"][0]["keep_files"] = {"stdout": "{id}" + "_" * 56}
    cli("run", campaigns.write(**settings))
    kept = list((campaigns.folder / "test.run" / "kept").iterdir())
    assert len(kept) == len(ids)
    assert all(b"normal termination" in f.read_bytes() or f.stat().st_size > 1000 for f in kept)


def test_a_server_that_is_stopped_beside_its_run_is_started_again(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    water = tmp_path / "water.xyz"
    water.write_text("3\nw\nO 0 0 0\nH 0.01 0.02 0.96\nH 0.93 0.003 -0.24\n")
    path = campaigns.write(database={})
    cli("import", path, water)
    process = cli.start("run", path, "--watch")
    try:
        wait_until(lambda: json.loads(cli("status", path, "--json"))["done"] == 1)
        found = json.loads(cli("db", "stop", path, "--json"))
        assert found == {"stopped": True, "master_running": True}
        wait_until(lambda: cli.run("db", "url", path)[0] == 0)
    finally:
        process.terminate()
        process.communicate(timeout=60)
    found = json.loads(cli("db", "stop", path, "--json"))
    assert found == {"stopped": False, "master_running": False}
