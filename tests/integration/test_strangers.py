"""Strangers at the port of a manager, and passwords that change while it runs.

WQMASTER_STRANGERS=1000 lets as many of each kind connect (default: 50).
"""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.integration.engine_harness import Harness, shell_job
from tests.integration.test_managers import KINDS, Managers
from wqmaster.system import credentials

STRANGERS = int(os.environ.get("WQMASTER_STRANGERS", "50"))
PROGRAMS = {"work_queue": "work_queue_worker", "taskvine": "vine_worker"}


@pytest.fixture(params=list(KINDS))
def managers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Managers]:
    """Managers of each engine in turn."""
    found = Managers(request.param, tmp_path)
    yield found
    found.end()


def with_password(managers: Managers, harness: Harness, password: Path) -> None:
    """Start a worker with a copy of the password that does not change."""
    copy = managers.folder / f"copy-{os.urandom(4).hex()}"
    copy.write_bytes(password.read_bytes())
    address = ["127.0.0.1", str(harness.port)]
    program = PROGRAMS[managers.name]
    managers.run([program, "--single-shot", "--cores", "1", "--password", str(copy), *address])


def test_connected_workers_stay_when_the_password_changes_and_new_ones_need_the_new_one(
    managers: Managers, tmp_path: Path
) -> None:
    password = credentials.password(tmp_path)
    harness = managers.start(password=password)
    old = tmp_path / "old"
    old.write_bytes(password.read_bytes())
    with_password(managers, harness, password)
    managers.connected(harness, 1)
    credentials.rotate_password(tmp_path)
    assert password.read_bytes() != old.read_bytes()
    assert password.stat().st_mode & 0o777 == 0o600
    harness.submit("before", shell_job("echo still here"))
    harness.wait_for(1)
    assert harness.outcome("before").steps[0].exit_code == 0
    with_password(managers, harness, old)
    wait_until(lambda: harness.engine.wait(1) or harness.engine.trouble())
    assert "with a wrong password" in (harness.engine.trouble() or "")
    assert harness.engine.stats().workers == 1
    with_password(managers, harness, password)
    managers.connected(harness, 2)
    assert harness.engine.stats().workers_lost == 0


@pytest.mark.parametrize("says", ["nothing", "the first words", "nonsense"])
def test_the_run_goes_on_whatever_strangers_do(
    managers: Managers, tmp_path: Path, says: str
) -> None:
    harness = managers.start(password=credentials.password(tmp_path))
    managers.worker(harness)
    managers.connected(harness, 1)
    words = {"nothing": b"", "the first words": b"auth", "nonsense": os.urandom(3000)}
    with contextlib.ExitStack() as stack:
        for _ in range(STRANGERS):
            one = socket.socket()
            stack.callback(one.close)
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", harness.port))
            with contextlib.suppress(OSError):
                one.send(words[says])
        began = time.monotonic()
        for number in range(5):
            harness.submit(f"t{number}", shell_job("echo done"))
        harness.wait_for(5)
        print(f"\n{managers.name}: {STRANGERS} say {says}: {time.monotonic() - began:.1f} s")
    assert {one.result for one in harness.returned.values()} == {"ok"}
    managers.worker(harness)
    managers.connected(harness, 2)
