"""A run goes on when its factory, its supervisor or both are killed, again and again."""

import contextlib
import json
import os
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.acceptance.conftest import processes_of
from tests.conftest import Campaigns, Cli, wait_until
from wqmaster.engines.choosing import why_not
from wqmaster.factory import ENGINE_PROGRAMS

# What is killed, in this order, in one run.
VICTIMS = ("factory", "supervisor", "both", "supervisor", "factory")
# Results must come again within this time after a kill.
LIMIT_SECONDS = 60.0


def done(campaigns: Campaigns) -> int:
    """The number of documents that have a result."""
    return campaigns.documents.count_documents({"xtb.gfn2": {"$ne": None}})


def factories(folder: Path, engine: str) -> list[int]:
    """The ids of the factory processes of the campaign in `folder`."""
    name = ENGINE_PROGRAMS[engine].factory
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() == name and process.cwd().startswith(str(folder)):
                found.append(process.pid)
    return found


def supervisors(folder: Path) -> list[int]:
    """The supervisor that the factory's status names, if it is running."""
    try:
        pid = json.loads((folder / "test.run/factory/status.json").read_text())["pid"]
    except (OSError, ValueError):
        return []
    return [pid] if psutil.pid_exists(pid) else []


def kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("engine", ["work_queue", "taskvine"])
def test_a_run_survives_the_deaths_of_its_factory_and_supervisor(
    engine: str, campaigns: Campaigns, cli: Cli
) -> None:
    if why_not(engine) is not None:
        pytest.skip(f"{engine} is not installed")
    campaigns.waters(2000)
    slow = campaigns.folder / "slow-xtb"
    slow.write_text(f'#!/bin/sh\nsleep 0.2\nexec {shutil.which("xtb")} "$@"\n')
    slow.chmod(0o755)
    path = campaigns.write(engine=engine, software={"xtb": str(slow)}, bundle=1)
    master = cli.start("run", path, "--grace", "1s")
    wait_until(lambda: done(campaigns) > 0 or master.poll() is not None)
    times = []
    for victim in VICTIMS:
        pids = []
        if victim in ("factory", "both"):
            pids += wait_until(lambda: factories(campaigns.folder, engine))
        if victim in ("supervisor", "both"):
            pids += wait_until(lambda: supervisors(campaigns.folder))
        began = time.monotonic()
        kill(pids)
        # The workers that were left can still return something, but not for long.
        wait_until(lambda pids=pids: not any(map(psutil.pid_exists, pids)))
        workers = factories(campaigns.folder, engine)
        wait_until(
            lambda workers=workers: factories(campaigns.folder, engine) not in ([], workers),
            LIMIT_SECONDS,
        )
        before = done(campaigns)
        wait_until(lambda before=before: done(campaigns) > before, LIMIT_SECONDS)
        times.append(round(time.monotonic() - began, 1))
        assert master.poll() is None, master.communicate()
        assert times[-1] < LIMIT_SECONDS
    print(f"{engine}, {VICTIMS}: results again after {times} s")
    assert list(campaigns.failures.find()) == []
    master.send_signal(signal.SIGTERM)
    output, errors = master.communicate(timeout=60)
    assert master.returncode == 128 + signal.SIGTERM, (output, errors)
    assert "Traceback" not in errors
    wait_until(lambda: not processes_of(campaigns.folder))
