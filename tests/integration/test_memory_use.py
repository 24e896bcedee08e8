"""The runner measures the memory of programs, and ends those that use more than they may."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.integration.engine_harness import MARK, Harness, processes, shell_job
from tests.integration.test_engines import harness
from wqmaster.engines.base import RUNNER
from wqmaster.engines.local import LocalEngine
from wqmaster.jobs import wire
from wqmaster.jobs.job import Job, Outcome

__all__ = ["harness"]

SHELLS = [name for name in ("dash", "bash", "busybox") if shutil.which(name)]
# Fills MB, and stays until the file `enough` exists.
FILL = (
    "import pathlib, sys, time\n"
    "held = b'x' * (int(sys.argv[1]) << 20)\n"
    "print('filled', flush=True)\n"
    "while not pathlib.Path(sys.argv[2]).exists(): time.sleep(0.05)\n"
)


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    return [request.param, "sh"] if request.param == "busybox" else [request.param]


def filling(megabytes: int, enough: Path, *, below: bool = False) -> Job:
    """A job that holds this much memory, itself or in a process that it starts."""
    call = f"'{sys.executable}' -c \"{FILL}\" {megabytes} '{enough}'"
    return shell_job(f"{call}; echo ended" if below else f"exec {call}")


def start(
    shell: list[str], folder: Path, memory: int | None, *jobs: Job
) -> "subprocess.Popen[bytes]":
    (folder / "inputs.tar").write_bytes(wire.pack(list(jobs)))
    shutil.copyfile(RUNNER, folder / "runner.sh")
    more = [] if memory is None else [str(memory)]
    return subprocess.Popen(
        [*shell, "runner.sh", "none", "60", *more],
        cwd=folder,
        env={**os.environ, MARK: str(folder)},
        start_new_session=True,
    )


def ended(runner: "subprocess.Popen[bytes]", folder: Path, jobs: int) -> list[Outcome]:
    with runner:
        assert runner.wait(60) == 0
    wait_until(lambda: not processes("", folder))
    with wire.Archive(folder / "outputs.tar") as archive:
        return [archive.outcome(number) for number in range(jobs)]


@pytest.mark.parametrize("below", [False, True])
def test_the_memory_of_a_program_and_its_descendants_is_measured(
    shell: list[str], tmp_path: Path, below: bool
) -> None:
    enough = tmp_path / "enough"
    runner = start(shell, tmp_path, 0, filling(100, enough, below=below), shell_job("echo next"))

    said = tmp_path / "0" / "work:stdout"
    wait_until(lambda: said.exists() and said.read_bytes() == b"filled\n")
    # The watcher starts a `sleep` for each look; it looks after the next one has begun.
    sleeps = set[int]()

    def looked_again() -> bool:
        sleeps.update(processes("sleep 0.", tmp_path) + processes("sleep 1", tmp_path))
        return len(sleeps) >= 8

    wait_until(looked_again)
    enough.touch()
    first, second = ended(runner, tmp_path, 2)
    assert first.steps[0].exit_code == 0
    assert first.steps[0].memory is not None
    assert 100 < first.steps[0].memory.megabytes < 160
    assert second.steps[0].files["stdout"] == b"next\n"


def test_a_program_that_uses_more_than_it_may_is_ended_alone(
    shell: list[str], tmp_path: Path
) -> None:
    never = tmp_path / "never"
    runner = start(shell, tmp_path, 60, shell_job("echo before"), filling(100, never, below=True))
    before, killed = ended(runner, tmp_path, 2)
    assert before.steps[0].exit_code == 0
    step = killed.steps[0]
    assert (step.exit_code, step.timed_out) == (137, False)
    assert b"ended" not in step.files["stdout"]
    assert step.memory is not None
    assert step.memory.megabytes > 60


def test_without_a_number_nothing_is_measured(shell: list[str], tmp_path: Path) -> None:
    [found] = ended(start(shell, tmp_path, None, shell_job("sleep 1")), tmp_path, 1)
    assert found.steps[0].memory is None
    assert found.memory is None


def test_each_engine_measures_and_ends(harness: Harness) -> None:
    never = harness.folder / "never"
    harness.submit("over", filling(100, never), shell_job("echo after"), memory_limit=60)
    harness.wait_for(1)
    over = harness.outcome("over").steps[0]
    assert over.exit_code == 137
    assert over.memory is not None
    assert over.memory.megabytes > 60
    assert harness.outcome("over", 1).steps[0].files["stdout"] == b"after\n"


def test_the_local_pool_does_not_promise_more_memory_than_there_is(tmp_path: Path) -> None:
    here = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    engine = LocalEngine(2, {**os.environ, MARK: str(tmp_path)})
    local = Harness(engine, tmp_path, list)
    enough = tmp_path / "enough"
    wait = f"while [ ! -e '{enough}' ]; do sleep 0.05; done"
    local.submit("first", shell_job(wait), memory=here - 10)
    local.submit("second", shell_job("echo"), memory=20)
    local.submit("third", shell_job("echo"), memory=2 * here)  # would never fit
    assert [one.task_id for one in engine.running()] == ["first"]
    enough.touch()
    local.wait_for(3)
    assert {one.result for one in local.returned.values()} == {"ok"}
    engine.close()
