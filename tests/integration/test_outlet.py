"""A process that hangs or dies never holds up the master that writes to it."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from wqmaster.run.hook_configuration import HookConfiguration
from wqmaster.run.outlet import MAX_WAITING_LINES, Outlet
from wqmaster.system.processes import is_running


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """The file to which the hook writes what it is told."""
    return tmp_path / "told"


@pytest.fixture
def outlet(tmp_path: Path, told: Path) -> Iterator[Outlet]:
    """A process that passes each event to a program, which writes it to `told`."""
    code = f"import sys; open({str(told)!r}, 'a').write(sys.stdin.read() + chr(10))"
    configuration = HookConfiguration(
        words=[sys.executable, "-c", code],
        url=None,
        timeout=60,
        folder=str(tmp_path),
        log=str(tmp_path / "log"),
    )
    first = configuration.model_dump_json().encode() + b"\n"
    found = Outlet("wqmaster.run.hook_process", first, tmp_path / "errors")
    yield found
    found.close(0.0)


def event(number: int, padding: int = 0) -> bytes:
    found = {"event": "paused", "campaign": "c", "message": "m" * padding, "state": "running"}
    return json.dumps({**found, "number": number}).encode() + b"\n"


def numbers(told: Path) -> list[int]:
    return [json.loads(line)["number"] for line in told.read_text().splitlines()]


def test_events_arrive_in_their_order_before_the_end(outlet: Outlet, told: Path) -> None:
    for number in range(3):
        outlet.send(event(number))
    outlet.close(60.0)
    assert numbers(told) == [0, 1, 2]


def test_a_process_that_does_not_read_loses_the_oldest_events(outlet: Outlet, told: Path) -> None:
    outlet.send(event(0))
    wait_until(told.exists)
    pid = outlet.process_id
    os.kill(pid, signal.SIGSTOP)
    count = 3 * MAX_WAITING_LINES
    for number in range(1, count + 1):
        outlet.send(event(number, padding=10_000))  # more than a pipe holds
    assert outlet.is_behind
    os.kill(pid, signal.SIGCONT)
    outlet.close(120.0)
    found = numbers(told)
    assert found == sorted(found)
    assert found[-1] == count
    assert len(found) < count


def test_a_process_that_hangs_is_ended(outlet: Outlet) -> None:
    pid = outlet.process_id
    os.kill(pid, signal.SIGSTOP)
    outlet.send(event(1))
    outlet.close(0.1)
    assert not is_running(pid)


def test_sending_to_a_dead_process_is_no_error(outlet: Outlet) -> None:
    os.kill(outlet.process_id, signal.SIGKILL)
    wait_until(lambda: not is_running(outlet.process_id))
    for number in range(10):
        outlet.send(event(number, padding=100_000))
    outlet.close(1.0)
