"""The pool runs jobs as an ordinary user, and leaves nothing behind, however it ends."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.condor.pool import Pool, digest, left_of
from tests.conftest import wait_until


def test_the_pool_runs_jobs_of_an_ordinary_user_on_loopback(pool: Pool, tmp_path: Path) -> None:
    submit = tmp_path / "job.submit"
    submit.write_text(
        "executable = /usr/bin/id\narguments = -u\nshould_transfer_files = yes\n"
        f"output = {tmp_path}/out\nlog = {tmp_path}/log\nqueue\n"
    )
    pool.tool("condor_submit", submit)
    wait_until(lambda: "005 (" in digest([tmp_path / "log"]))
    assert int((tmp_path / "out").read_text()) != 0
    daemons = "condor_status", "-any", "-constraint", "isString(MyAddress)", "-af", "MyAddress"
    addresses = pool.tool(*daemons).split()
    assert len(addresses) >= 4
    assert all(address.startswith("<127.0.0.1:") for address in addresses)


def test_a_pool_ends_with_the_process_that_started_it(pool: Pool, tmp_path: Path) -> None:
    """The process is killed, and even the pool's jobs end."""
    mounts = Path("/proc/self/mountinfo").read_text()
    script = (
        "import time\n"
        "from tests.condor.pool import Pool\n"
        "pool = Pool(2)\n"
        "pool.start()\n"
        "submit = pool.folder / 'job.submit'\n"
        "submit.write_text('executable = /bin/sleep\\narguments = 600\\nqueue\\n')\n"
        "pool.tool('condor_submit', submit)\n"
        "while 'Claimed' not in pool.tool('condor_status', '-af', 'State'): time.sleep(0.1)\n"
        "print(pool.folder, flush=True)\n"
        "time.sleep(600)\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert owner.stdout is not None
    folder = Path(owner.stdout.readline().strip())
    names = " ".join(left_of(folder).values())
    assert all(name in names for name in ("condor_schedd", "condor_startd", "condor_starter"))
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    wait_until(lambda: not left_of(folder), 20)
    assert Path("/proc/self/mountinfo").read_text() == mounts
    shutil.rmtree(folder)  # the killed owner could not remove it
