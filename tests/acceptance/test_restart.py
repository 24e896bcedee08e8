"""After kill -9 of the master at any moment, the same command loses and repeats nothing."""

import os
import random
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Campaigns, Cli, master_of, wait_until
from tests.integration.engine_harness import processes

JOBS = 300
KILLS = 5


def done(campaigns: Campaigns) -> dict[int, Any]:
    """The committed results by document `_id`."""
    found = campaigns.documents.find({"xtb.gfn2": {"$ne": None}})
    return {document["_id"]: document["xtb"]["gfn2"] for document in found}


@pytest.mark.parametrize("engine", ["work_queue", "local"])
def test_a_killed_master_resumes_where_it_was(campaigns: Campaigns, cli: Cli, engine: str) -> None:
    """The master is killed at five random moments; the program logs each molecule that it runs."""
    seed = random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)  # noqa: S311  # not a secret
    print(f"seed {seed}")
    campaigns.waters(JOBS)
    ran = campaigns.folder / "ran"
    ran.touch()
    program = campaigns.folder / "logging-xtb"
    program.write_text(
        f'#!/bin/sh\nsed -n 4p molecule.xyz >> {ran}\nexec {shutil.which("xtb")} "$@"\n'
    )
    program.chmod(0o755)
    path = campaigns.write(engine=engine, software={"xtb": str(program)})
    before: list[tuple[dict[int, Any], int]] = []
    for moment in sorted(chance.sample(range(JOBS - 20), KILLS)):
        master = cli.start("run", path, "--quiet")
        wait_until(
            lambda moment=moment, master=master: (
                len(done(campaigns)) >= moment or master.poll() is not None
            )
        )
        assert master.poll() is None, master.communicate()
        master.send_signal(signal.SIGKILL)
        master.wait()
        before.append((done(campaigns), len(ran.read_text().splitlines())))
    cli("run", path)
    results = done(campaigns)
    assert len(results) == JOBS
    assert campaigns.failures.count_documents({}) == 0
    lines = ran.read_text().splitlines()
    for committed, logged in before:
        # Results that were committed before a kill are never written again: even the times stay.
        assert {number: results[number] for number in committed} == committed
        again = {round((float(line.split()[3]) - 0.96) * 1e5) for line in lines[logged:]}
        assert not again & set(committed), "a committed job ran again"
    spool = campaigns.folder / "test.run" / "spool"
    assert [*(spool / "running").iterdir(), *(spool / "returned").iterdir()] == []
    wait_until(lambda: not processes(str(campaigns.folder)))


@pytest.mark.parametrize("engine", ["work_queue", "taskvine"])
def test_a_run_outlives_a_fault_of_a_library(campaigns: Campaigns, cli: Cli, engine: str) -> None:
    """ndcctools is in the master's process, and some of its faults end it (F33)."""
    campaigns.waters(60)
    path = campaigns.write(engine=engine)
    process = cli.start("run", path)
    for moment in (5, 30):
        wait_until(lambda moment=moment: len(done(campaigns)) >= moment)
        os.kill(master_of(process), signal.SIGSEGV)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, (output, errors)
    assert len(done(campaigns)) == 60
    assert campaigns.failures.count_documents({}) == 0
    assert errors.count("a fault in a library ended this process (SIGSEGV)") == 2


def test_tasks_that_returned_before_a_kill_do_not_run_again(campaigns: Campaigns, cli: Cli) -> None:
    """The master is killed while a custom parser holds up the collectors."""
    (campaigns.folder / "held.py").write_text(
        "import pathlib, time\n"
        "GO = pathlib.Path(__file__).with_name('go')\n"
        "def value(output):\n"
        "    while not GO.exists(): time.sleep(0.05)\n"
        "    return 1\n"
    )
    campaigns.waters(6)
    ran = campaigns.folder / "ran"
    program = campaigns.folder / "logging-xtb"
    program.write_text(f'#!/bin/sh\necho >> {ran}\nexec {shutil.which("xtb")} "$@"\n')
    program.chmod(0o755)
    settings = campaigns.settings(software={"xtb": str(program)})
    settings["campaign_config"]["args"][0]["parsers"] = {"stdout": ["held.value"]}
    path = campaigns.write(**settings)
    returned = campaigns.folder / "test.run" / "spool" / "returned"
    master = cli.start("run", path)
    wait_until(lambda: returned.exists() and len(list(returned.iterdir())) == 6)
    kill(master)
    assert not done(campaigns)
    (campaigns.folder / "go").touch()
    cli("run", path)
    assert len(done(campaigns)) == 6
    assert ran.read_text() == "\n" * 6


def collectors_of(master: "subprocess.Popen[str]") -> list[int]:
    """The collectors of a master."""
    mine = master_of(master)
    return [pid for pid in processes("wqmaster.run.collector") if parent(pid) == mine]


def kill(master: "subprocess.Popen[str]") -> None:
    """Kill a master and its collectors, which could otherwise finish their work without it."""
    collectors = collectors_of(master)
    master.send_signal(signal.SIGKILL)
    master.wait()
    for pid in collectors:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not set(collectors) & set(processes("wqmaster.run.collector")))


def held(campaigns: Campaigns, cli: Cli, count: int) -> tuple[Path, Path]:
    """A campaign that was killed when `count` tasks had returned and none was committed.

    Its parser, which held up the collectors, no longer does.
    """
    (campaigns.folder / "held.py").write_text(
        "import pathlib, time\n"
        "GO = pathlib.Path(__file__).with_name('go')\n"
        "def value(output):\n"
        "    while not GO.exists(): time.sleep(0.05)\n"
        "    return float(output.text.split()[-2])\n"
    )
    settings = campaigns.settings()
    settings["campaign_config"]["args"][0]["parsers"] = {"molecule.engrad": ["held.value"]}
    path = campaigns.write(**settings)
    returned = campaigns.folder / "test.run" / "spool" / "returned"
    master = cli.start("run", path)
    wait_until(lambda: returned.exists() and len(list(returned.iterdir())) == count)
    kill(master)
    (campaigns.folder / "go").touch()
    return path, returned


def test_a_result_of_a_molecule_changed_meanwhile_is_not_stored(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(3)
    path, _ = held(campaigns, cli, 3)
    campaigns.documents.update_one({"_id": 2}, {"$set": {"coordinates.1.2": 1.5}})
    cli("run", path)
    found = {d["_id"]: d["xtb"]["gfn2"] for d in campaigns.documents.find()}
    assert [found[number]["_run"]["attempt"] for number in (1, 2, 3)] == [1, 2, 1]
    assert campaigns.failures.distinct("class") == ["document_changed"]


def test_results_spooled_for_one_collection_are_not_stored_in_another(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(3)
    path, returned = held(campaigns, cli, 3)
    database = campaigns.documents.database
    for document in campaigns.documents.find():
        document["coordinates"][1][2] += 0.1
        database["others"].insert_one(document)
    settings = yaml.safe_load(path.read_text())
    settings["database"]["collection"] = "others"
    cli("run", campaigns.write(**settings))
    assert len(list((returned.parent / "set-aside").iterdir())) == 3
    assert database["others"].count_documents({"xtb.gfn2": {"$ne": None}}) == 3
    assert not done(campaigns)


def test_a_task_with_a_torn_record_runs_again(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(3)
    path, returned = held(campaigns, cli, 3)
    (next(returned.iterdir()) / "jobs.json").write_text('[{"docu')
    archive = sorted(returned.iterdir())[-1] / "outputs.tar"
    archive.write_bytes(archive.read_bytes()[:1000])
    cli("run", path)
    assert len(done(campaigns)) == 3


def test_a_spooled_task_of_another_recipe_is_set_aside(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    path = campaigns.write(database={"uri": "mongodb://127.0.0.1:1"})
    cli("run", path, code=3)
    path = campaigns.write()
    cli("run", path)
    spool = campaigns.folder / "test.run" / "spool"
    old = spool / "returned" / "old-000000001"
    old.mkdir()
    (old / "jobs.json").write_text(
        '[{"document": 1, "attempt": 1, "natoms": 3, "charge": 0, "multiplicity": 1, '
        '"molecule": "m", "recipe": "another", "target": "t", "remedy": null}]'
    )
    (old / "result.json").write_text(
        '{"task_id": "old-000000001", "result": "ok", "exit_code": 0, "host": "h", '
        '"started": 1, "finished": 2, "message": ""}'
    )
    cli("run", path)
    assert (spool / "set-aside" / "old-000000001").is_dir()
    assert not list((spool / "returned").iterdir())


def test_a_collector_that_starts_after_the_function_was_edited_stores_nothing(
    campaigns: Campaigns, cli: Cli
) -> None:
    """Otherwise it would attribute the results to the edited function."""
    function = campaigns.folder / "own.py"
    function.write_text("def energy(document): return 1\n")
    (campaigns.folder / "edits.py").write_text(
        "import os, pathlib\n"
        "OWN = pathlib.Path(__file__).with_name('own.py')\n"
        "def value(output):\n"
        "    if 'today' not in OWN.read_text():\n"
        "        OWN.write_text('def energy(document): return 2  # today')\n"
        "        os._exit(1)\n"
        "    return output.text\n"
    )
    campaigns.waters(1)
    settings = campaigns.settings()
    settings["campaign_config"]["func_name"] = "wqmaster.tasks.python.call"
    step = {"name": "gfn2", "function": "own.energy", "parsers": {"result.json": ["edits.value"]}}
    settings["campaign_config"]["args"] = [step]
    path = campaigns.write(**settings)
    cli("run", path, "--exit-on-trouble", code=3)
    assert "files of the campaign's recipe have changed" in cli.errors
    assert not done(campaigns)
    # The next run does not attribute results of the old function to the new one, either.
    cli("run", path)
    assert "2" in done(campaigns)[1]["value"]


def memory(pid: int) -> float:
    """The resident memory of a process, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def test_memory_does_not_grow_with_the_jobs(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1100)
    path = campaigns.write(engine="work_queue", bundle={"size": 5})
    master = cli.start("run", path, "--quiet")
    sizes = []
    for count in (100, 1000):
        wait_until(lambda: len(done(campaigns)) >= count or master.poll() is not None)  # noqa: B023
        assert master.poll() is None, master.communicate()
        sizes.append([memory(pid) for pid in (master_of(master), *collectors_of(master))])
    assert len(sizes[0]) == len(sizes[1]) >= 2
    assert all(late - early < 10 for early, late in zip(*sizes, strict=True)), sizes
    master.wait()
    assert len(done(campaigns)) == 1100


def parent(pid: int) -> int:
    """The parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
