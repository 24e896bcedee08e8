"""Chains of programs from end to end, through real workers."""

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import processes_of
from tests.conftest import Campaigns, Cli, wait_until
from wqmaster.engines.choosing import why_not

HERE = Path(__file__).resolve()
OUTPUTS = HERE.parents[3] / "shared" / "data" / "orca"
STAND_IN = HERE.parents[1] / "stand_ins" / "orca_stand_in"
OPT = {
    "name": "opt",
    "func_name": "wqmaster.tasks.xtb.optimize",
    "parsers": ["energy", "optimized_geometry"],
}
ENGINES = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(why_not(name) is not None, reason=str(why_not(name))),
    )
    for name in ("work_queue", "taskvine", "local")
]


def pyscf(**options: Any) -> dict[str, Any]:
    return {
        "name": "dft",
        "func_name": "wqmaster.tasks.pyscf.singlepoint",
        "geometry": "opt",
        "xc": "pbe",
        "basis": "sto-3g",
        "grid": 3,
        "parsers": ["energy", "gradient", "geometry"],
        **options,
    }


def chain(campaigns: Campaigns, *steps: dict[str, Any], commit: str = "job", **top: Any) -> Path:
    config = {
        "args": list(steps),
        "commit": commit,
        "kwargs": {"mongo_output_key": "chain"},
    }
    query = {f"chain.{steps[-1]['name']}": None}
    return campaigns.write(campaign_config=config, submit={"query": query}, **top)


def results(campaigns: Campaigns) -> dict[int, Any]:
    return {one["_id"]: one.get("chain", {}) for one in campaigns.documents.find()}


@pytest.mark.skipif(shutil.which("pyscf-python") is None, reason="pyscf-python is missing")
@pytest.mark.parametrize("engine", ENGINES)
def test_dft_at_the_geometry_that_xtb_optimized(
    campaigns: Campaigns, cli: Cli, engine: str
) -> None:
    campaigns.waters(2)
    path = chain(campaigns, OPT, pyscf(), engine=engine, software={"pyscf": "pyscf-python"})
    cli("run", path)
    for found in results(campaigns).values():
        opt, dft = found["opt"], found["dft"]
        assert dft["geometry"] == opt["optimized_geometry"]
        assert (opt["_run"]["program"], dft["_run"]["program"]) == ("xtb", "pyscf")
        assert dft["energy"] == pytest.approx(-75.22, abs=0.02)
    assert campaigns.failures.count_documents({}) == 0


@pytest.mark.skipif(
    not OUTPUTS.is_dir(), reason="real outputs of ORCA are missing: ../shared/data/orca"
)
def test_orca_at_the_geometry_that_xtb_optimized(campaigns: Campaigns, cli: Cli) -> None:
    """The stand-in for ORCA keeps the coordinates that it was given."""
    campaigns.waters(2)
    orca = {
        "name": "sp",
        "func_name": "wqmaster.tasks.orca.sequential",
        "geometry": "opt",
        "route": "! HF STO-3G EnGrad",
        "parsers": ["total_energy"],
        "keep_files": {"orca.gbw": "{id}.xyz"},
    }
    path = chain(campaigns, OPT, orca, software={"orca": f"{STAND_IN} {OUTPUTS}"})
    cli("run", path)
    for number, found in results(campaigns).items():
        assert found["sp"]["_run"]["program"] == "orca"
        kept = (campaigns.folder / "test.run" / "kept" / f"{number}.xyz").read_text()
        rows = [[float(word) for word in line.split()[1:]] for line in kept.splitlines()[2:]]
        assert rows == [pytest.approx(row) for row in found["opt"]["optimized_geometry"]]


FAILING = {
    "name": "second",
    "func_name": "wqmaster.tasks.command.run",
    "geometry": "opt",
    "command": "true",
    "parsers": ["text"],
}


@pytest.mark.parametrize("commit", ["job", "step"])
def test_a_step_that_fails_leaves_the_results_before_it_as_the_user_says(
    campaigns: Campaigns, cli: Cli, commit: str
) -> None:
    campaigns.waters(2)
    gate = campaigns.folder / "gate"
    second = {**FAILING, "command": ["sh", "-c", f"test -e {gate} && cat opt.xyz"]}
    path = chain(campaigns, OPT, second, commit=commit)
    cli("run", path, code=1)
    kept = [sorted(name for name in one if one[name]) for one in results(campaigns).values()]
    assert kept == ([["opt"]] * 2 if commit == "step" else [[]] * 2)
    assert campaigns.failures.count_documents({"step": "second"}) == 2
    gate.touch()
    cli("failures", path, "--retry", "program_error")
    cli("run", path)
    for found in results(campaigns).values():
        assert found["second"]["text"].startswith("3\n")
        # Both results come from one job, since the second depends on the first.
        assert found["opt"]["_run"]["attempt"] == found["second"]["_run"]["attempt"] == 2
        assert found["opt"]["_run"]["finished"] == found["second"]["_run"]["finished"]


def test_a_master_killed_in_the_middle_of_chains_loses_and_repeats_nothing(
    campaigns: Campaigns, cli: Cli
) -> None:
    count = 60
    campaigns.waters(count)
    hessian = {
        "name": "hess",
        "func_name": "wqmaster.tasks.xtb.hessian",
        "geometry": "opt",
        "parsers": ["frequencies"],
    }
    path = chain(campaigns, OPT, hessian, commit="step")
    before: dict[int, Any] = {}
    for moment in (5, 25):
        master = cli.start("run", path, "--quiet")

        def enough(moment: int = moment) -> bool:
            done = [one for one in results(campaigns).values() if one.get("hess")]
            return len(done) >= moment

        wait_until(lambda enough=enough, master=master: enough() or master.poll() is not None)
        assert master.poll() is None, master.communicate()
        os.kill(master.pid, signal.SIGKILL)
        master.wait()
        before |= {key: one for key, one in results(campaigns).items() if one.get("hess")}
    cli("run", path)
    after = results(campaigns)
    assert all(one["opt"] and len(one["hess"]["frequencies"]) == 3 for one in after.values())
    assert {key: after[key] for key in before} == before
    assert campaigns.failures.count_documents({}) == 0


@pytest.mark.skipif(why_not("work_queue") is not None, reason=str(why_not("work_queue")))
def test_a_worker_lost_in_the_middle_of_a_chain_costs_no_attempt(
    campaigns: Campaigns, cli: Cli
) -> None:
    """The second step of the only job waits; its worker is killed and another one takes over."""
    campaigns.waters(1)
    begun, gate = campaigns.folder / "begun", campaigns.folder / "gate"
    waits = f"echo $$ >> {begun}; while [ ! -e {gate} ]; do sleep 0.05; done; cat opt.xyz"
    second = {**FAILING, "command": ["sh", "-c", waits]}
    path = chain(campaigns, OPT, second, engine="work_queue")
    master = cli.start("run", path, "--quiet")
    wait_until(begun.exists)
    workers = [pid for pid in processes_of(campaigns.folder) if is_worker(pid)]
    assert workers
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(begun.read_text().splitlines()) > 1, seconds=120)
    gate.touch()
    _, errors = master.communicate(timeout=120)
    assert master.returncode == 0, errors
    [found] = results(campaigns).values()
    assert found["opt"]["_run"]["attempt"] == found["second"]["_run"]["attempt"] == 1
    assert found["second"]["text"].startswith("3\n")
    assert campaigns.failures.count_documents({}) == 0


def is_worker(pid: int) -> bool:
    """Whether a process is a worker itself, not one of its tasks."""
    return (
        "work_queue_worker"
        in Path(f"/proc/{pid}/comm").read_text()
        + Path(f"/proc/{pid}/cmdline").read_text().partition("\0")[0]
    )


def test_docking_does_not_follow_orca(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    (campaigns.folder / "r.pdbqt").write_text("")
    orca = {"name": "sp", "func_name": "wqmaster.tasks.orca.sequential", "route": "! HF STO-3G"}
    dock = {
        "name": "dock",
        "func_name": "wqmaster.tasks.vina.dock",
        "receptor": "r.pdbqt",
        "center": [0, 0, 0],
        "size": [9, 9, 9],
    }
    path = chain(campaigns, orca, dock)
    cli("check", path, code=2)
    assert "cannot share a job" in cli.errors
    assert "poses are not a geometry" in cli.errors
