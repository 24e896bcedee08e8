"""On a disk that is full for a while, no document is given up and no half-written task stays."""

import os
import shutil
import subprocess
import threading
from pathlib import Path

from tests.conftest import wait_until
from tests.integration.engine_harness import MARK, processes
from tests.unit.test_master import House, well
from wqmaster.engines.base import RUNNER
from wqmaster.jobs.job import Execution, Job
from wqmaster.jobs.wire import pack


def test_jobs_that_cannot_be_written_are_written_later(tmpfs: Path) -> None:
    house = House(tmpfs, well)
    house.fill(30)
    filler = tmpfs / "filler"
    with filler.open("wb") as file:
        try:
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        except OSError:
            pass
    master = house.master()
    running = threading.Thread(target=master.run)
    running.start()
    try:
        wait_until(lambda: "No space left" in (house.progress.trouble or ""))
        assert not list(house.spool.running.iterdir())
        assert not house.values
    finally:
        filler.unlink()
        running.join(60)
    assert not running.is_alive()
    assert len(house.values) == 30
    assert house.failures == []
    assert not list(house.spool.running.iterdir())


def test_a_program_that_fails_on_a_full_disk_fails_because_of_the_disk(tmpfs: Path) -> None:
    shutil.copyfile(RUNNER, tmpfs / "runner.sh")
    # When it has failed, there is room for the archive again.
    script = "cat /dev/zero > filler 2> /dev/null; truncate -s -400000 filler; exit 1"
    (tmpfs / "inputs.tar").write_bytes(pack([Job((Execution("one", ("sh", "-c", script)),), {})]))
    command = ["sh", "runner.sh", "none", "60"]
    environ = {**os.environ, MARK: str(tmpfs)}
    done = subprocess.run(
        command, cwd=tmpfs, capture_output=True, text=True, check=False, env=environ
    )
    assert (done.returncode, done.stderr) == (28, "runner.sh: disk full\n")
    assert not processes("", tmpfs), "the watcher was left behind"
