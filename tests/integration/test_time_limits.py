"""The runner ends programs at their jobs' time limits, by one watcher for all jobs of a task."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.integration.engine_harness import MARK, processes, shell_job
from wqmaster.engines.base import RUNNER
from wqmaster.jobs import wire
from wqmaster.jobs.job import Job, StepOutcome

SHELLS = [name for name in ("dash", "bash", "busybox") if shutil.which(name)]


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    return [request.param, "sh"] if request.param == "busybox" else [request.param]


def start(shell: list[str], folder: Path, limit: int, *jobs: Job) -> "subprocess.Popen[bytes]":
    (folder / "inputs.tar").write_bytes(wire.pack(list(jobs)))
    shutil.copyfile(RUNNER, folder / "runner.sh")
    return subprocess.Popen(
        [*shell, "runner.sh", "none", str(limit)],
        cwd=folder,
        env={**os.environ, MARK: str(folder)},
        start_new_session=True,
    )


def run(shell: list[str], folder: Path, limit: int, *jobs: Job) -> list[StepOutcome]:
    """The only step of each job; nothing that the runner has started runs on, or is left."""
    with start(shell, folder, limit, *jobs) as runner:
        assert runner.wait(60) == 0
    wait_until(lambda: not processes("", folder))
    with wire.Archive(folder / "outputs.tar") as archive:
        return [archive.outcome(number).steps[0] for number in range(len(jobs))]


def test_a_later_job_has_its_own_time(shell: list[str], tmp_path: Path) -> None:
    quick, slow = shell_job("sleep 0.7"), shell_job("echo part; sleep 600 & sleep 601")
    found = run(shell, tmp_path, 2, quick, quick, quick, quick, slow, quick)
    assert [step.timed_out for step in found] == [False] * 4 + [True, False]
    assert [step.exit_code for step in found] == [0] * 4 + [124, 0]
    assert found[4].files["stdout"] == b"part\n"
    assert 1.9 <= found[4].wall_time < 30


def test_a_program_that_ignores_the_signal_is_killed(shell: list[str], tmp_path: Path) -> None:
    stubborn = shell_job("trap '' TERM; echo began; while :; do sleep 0.1; done")
    found = run(shell, tmp_path, 1, stubborn, shell_job("echo next"))
    assert [step.timed_out for step in found] == [True, False]
    assert [step.exit_code for step in found] == [137, 0]
    assert [step.files["stdout"] for step in found] == [b"began\n", b"next\n"]


def test_a_program_that_ends_well_at_the_signal_was_late_nevertheless(
    shell: list[str], tmp_path: Path
) -> None:
    polite = shell_job("trap 'echo ended; exit 0' TERM; sleep 600 & wait $!")
    (found,) = run(shell, tmp_path, 1, polite)
    assert found.timed_out
    assert found.exit_code == 124
    assert found.files["stdout"] == b"ended\n"


def test_a_program_that_ends_by_itself_with_exit_code_143_was_not_late(
    shell: list[str], tmp_path: Path
) -> None:
    (found,) = run(shell, tmp_path, 60, shell_job("exit 143"))
    assert (found.exit_code, found.timed_out) == (143, False)


def test_the_watcher_ends_with_its_runner(shell: list[str], tmp_path: Path) -> None:
    """Also in a task that is over before the watcher has begun to watch."""
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        (found,) = run(shell, folder, 3600, shell_job(""))
        assert found.exit_code == 0


def test_a_runner_that_is_ended_ends_its_watcher(shell: list[str], tmp_path: Path) -> None:
    with start(shell, tmp_path, 3600, shell_job("touch ../begun; sleep 600")) as runner:
        wait_until((tmp_path / "begun").exists)
        runner.send_signal(signal.SIGTERM)
        assert runner.wait(30) == 143
    wait_until(lambda: not processes("", tmp_path))


def test_a_runner_that_is_killed_does_not_leave_its_watcher(
    shell: list[str], tmp_path: Path
) -> None:
    """Once, it went on forever, and ended whatever process had the number of the program later."""
    with start(shell, tmp_path, 2, shell_job("touch ../begun; sleep 3")) as runner:
        wait_until((tmp_path / "begun").exists)
        runner.kill()
    wait_until(lambda: not processes("", tmp_path), 30)


def test_long_streams_are_cut_in_the_middle(shell: list[str], tmp_path: Path) -> None:
    size = 70_000_000
    (found,) = run(shell, tmp_path, 600, shell_job(f"head -c {size} /dev/zero; echo end"))
    assert found.cut == {"stdout": size + 4}
    assert len(found.files["stdout"]) < 3_000_000
    assert found.files["stdout"].endswith(b"\0end\n")


def test_a_program_sees_none_of_the_files_that_the_runner_has_open(
    shell: list[str], tmp_path: Path
) -> None:
    (found,) = run(shell, tmp_path, 60, shell_job("ls /proc/$$/fd"))
    # 10 and above are the shell's own, with its script.
    assert {int(word) for word in found.files["stdout"].split()} & set(range(3, 10)) == set()
