"""A command that goes on in another process after a crash."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from tests.conftest import wait_until

# Writes a line for each start, then does what its arguments say. SIGINT is counted.
SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from wqmaster.system.crashes import outlive_crashes

place, *orders = sys.argv[1:]
outlive_crashes(lambda text: print(text, file=sys.stderr, flush=True), frozenset({3}))
with open(f"{place}/starts", "a") as starts:
    starts.write(f"{os.getpid()}\\n")
signal.signal(signal.SIGINT, lambda *_: open(f"{place}/interrupts", "a").write("x"))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
order = orders[min(len(Path(place, "starts").read_text().split()), len(orders)) - 1]
if order.startswith("SIG"):
    os.kill(os.getpid(), getattr(signal, order))
if order == "stay":
    Path(place, "stays").touch()
    while True:
        time.sleep(0.05)
sys.exit(int(order))
"""


class Command:
    """The script in a folder, started with orders."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._processes: list[subprocess.Popen[str]] = []

    def start(self, *orders: str, terminal: int | None = None) -> "subprocess.Popen[str]":
        words: Sequence[str] = [sys.executable, "-c", SCRIPT, str(self.place), *orders]
        process = subprocess.Popen(
            words,
            stdin=terminal,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # The terminal becomes that of the session, so that Ctrl-C reaches the foreground.
            preexec_fn=None
            if terminal is None
            else lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),
        )
        self._processes.append(process)
        return process

    @property
    def starts(self) -> list[int]:
        file = self.place / "starts"
        return [int(one) for one in file.read_text().split()] if file.exists() else []

    def stays(self) -> int:
        """Wait for a child that stays; return its process id."""
        wait_until((self.place / "stays").exists)
        return self.starts[-1]

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    found = Command(tmp_path)
    yield found
    found.close()


@pytest.mark.parametrize("crash", ["SIGSEGV", "SIGABRT", "SIGBUS"])
def test_a_crash_is_outlived(command: Command, crash: str) -> None:
    process = command.start(crash, "5")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 5
    assert len(command.starts) == 2
    assert said == f"a fault in a library ended this process ({crash}); next start in 1 s\n"


def test_a_start_that_fails_after_a_crash_is_tried_again(command: Command) -> None:
    process = command.start("SIGSEGV", "3", "5")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 5
    assert said.endswith("it cannot go on yet; next start in 2 s\n")


def test_a_crash_after_a_request_to_end_ends_the_command(command: Command) -> None:
    process = command.start("stay", "stay")
    child = command.stays()
    process.send_signal(signal.SIGINT)
    wait_until(lambda: (command.place / "interrupts").exists())
    os.kill(child, signal.SIGSEGV)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert len(command.starts) == 1


def test_a_command_that_crashes_at_each_start_ends(command: Command) -> None:
    process = command.start("SIGABRT")
    _, said = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGABRT
    assert len(command.starts) == 5
    assert "at each start (SIGABRT)" in said


def test_any_other_end_is_that_of_the_command(command: Command) -> None:
    for order, code in (("3", 3), ("0", 0), ("SIGKILL", -signal.SIGKILL), ("SIGUSR1", -10)):
        process = command.start(order)
        process.communicate(timeout=60)
        assert process.returncode == code
        (command.place / "starts").unlink()


def test_a_signal_is_passed_on_once(command: Command) -> None:
    process = command.start("stay")
    command.stays()
    os.killpg(process.pid, signal.SIGINT)
    wait_until(lambda: (command.place / "interrupts").exists())
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 7
    assert (command.place / "interrupts").read_text() == "x"


def test_ctrl_c_and_ctrl_z_reach_the_command(command: Command) -> None:
    mine, its = pty.openpty()
    try:
        process = command.start("stay", terminal=its)
        child = command.stays()
        os.write(mine, b"\x03")
        wait_until(lambda: (command.place / "interrupts").exists())
        assert (command.place / "interrupts").read_text() == "x"
        # A session leader without a shell above it ignores Ctrl-Z, so the signal is sent to it.
        process.send_signal(signal.SIGTSTP)
        wait_until(lambda: psutil.Process(child).status() == psutil.STATUS_STOPPED)
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: psutil.Process(child).status() != psutil.STATUS_STOPPED)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 7
    finally:
        os.close(mine)
        os.close(its)


def test_a_killed_command_takes_its_process_along(command: Command) -> None:
    process = command.start("stay")
    child = command.stays()
    process.kill()
    wait_until(lambda: not psutil.pid_exists(child))


def test_a_request_to_end_is_heard_during_a_pause(command: Command) -> None:
    process = command.start("SIGSEGV")
    assert process.stderr is not None
    for pause in (1, 2, 4):
        assert f"next start in {pause} s" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    assert len(command.starts) == 3
