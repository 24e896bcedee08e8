"""A personal HTCondor pool on loopback, whose daemons run as an ordinary user in one folder.

Started by root, HTCondor would be a pool for all users of the machine, switch to their ids and
refuse root's jobs. So root starts it in a user namespace in which root looks like another user: the
daemons believe that they belong to that user, and jobs keep root's access to files. Tools and
factory need no namespace.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.condor import as_user
from tests.conftest import wait_until

PROGRAMS = ("condor_master", "condor_submit", "condor_q", "work_queue_factory")
# The settings that one user's HTCondor pool needs in addition to the defaults of Debian's
# package.
CONFIGURATION = """\
# The programs are where Debian installs them; everything else is in {folder}.
RELEASE_DIR = /usr
LIB = $(RELEASE_DIR)/lib/condor
LIBEXEC = $(RELEASE_DIR)/libexec/condor
SHARE = $(RELEASE_DIR)/share/condor
LOCAL_DIR = {folder}
LOG = $(LOCAL_DIR)/log
SPOOL = $(LOCAL_DIR)/spool
EXECUTE = $(LOCAL_DIR)/execute
LOCK = $(LOCAL_DIR)/lock
RUN = $(LOCAL_DIR)/run
ETC = $(LOCAL_DIR)
DAEMON_SOCKET_DIR = $(LOCAL_DIR)/sock
SEC_CREDENTIAL_DIRECTORY = $(LOCAL_DIR)/secret
SEC_TOKEN_SYSTEM_DIRECTORY = $(LOCAL_DIR)/secret
SEC_PASSWORD_DIRECTORY = $(LOCAL_DIR)/secret
LOCAL_CONFIG_DIR =
LOCAL_CONFIG_FILE =

use ROLE: Personal
# The kernel chooses the port; other processes find it in a file of the folder.
COLLECTOR_HOST = 127.0.0.1:0
NETWORK_INTERFACE = 127.0.0.1
BIND_ALL_INTERFACES = False
ENABLE_IPV6 = False
NETWORK_HOSTNAME = localhost
UID_DOMAIN = localdomain
FILESYSTEM_DOMAIN = localdomain
TRUST_UID_DOMAIN = True
# Tools that root starts outside the namespace need to know HTCondor's user.
CONDOR_IDS = {uid}.{uid}
# A process that can create a file as this user is this user; no others are admitted.
SEC_DEFAULT_AUTHENTICATION = REQUIRED
SEC_DEFAULT_AUTHENTICATION_METHODS = FS
ALLOW_READ = *
ALLOW_WRITE = *
ALLOW_DAEMON = *
ALLOW_NEGOTIATOR = *
ALLOW_ADMINISTRATOR = *

# Features that a user does not have in a container or a private root.
BASE_CGROUP =
MOUNT_UNDER_SCRATCH =
DISCARD_SESSION_KEYRING_ON_STARTUP = False
USE_PID_NAMESPACES = False
CREATE_LOCKS_ON_LOCAL_DISK = False
# Jobs of tests sleep more than they compute, so there are more cores than the machine has, in one
# slot that is divided on request. There are many, since those of a job are kept for 30 s after it,
# as its submit file requests.
NUM_CPUS = {cpus}
MEMORY = {memory}
SLOT_TYPE_1 = 100%
SLOT_TYPE_1_PARTITIONABLE = True
NUM_SLOTS_TYPE_1 = 1
# As machines of OSG advertise.
HAS_SINGULARITY = True
STARTD_ATTRS = $(STARTD_ATTRS) HAS_SINGULARITY
START = True
SUSPEND = False
PREEMPT = False
KILL = False
MachineMaxVacateTime = 10
# The keeper signals twice a second, so a shutdown must not wait for jobs.
SHUTDOWN_GRACEFUL_TIMEOUT = 1
# A test cannot wait for the usual intervals of minutes.
SCHEDD_INTERVAL = 2
SCHEDD_MIN_INTERVAL = 1
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_CYCLE_DELAY = 1
NEGOTIATOR_MIN_INTERVAL = 1
UPDATE_INTERVAL = 3
PERIODIC_EXPR_INTERVAL = 2
MAX_PERIODIC_EXPR_INTERVAL = 4
JOB_START_DELAY = 0
MAIL = /bin/true
"""


def left_of(folder: Path) -> dict[int, str]:
    """The processes that run in `folder` or have it in their command line or environment.

    Returns pid -> command line.
    """
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            place = str((entry / "cwd").readlink())
            environment = (entry / "environ").read_bytes().decode(errors="replace")
            if f"{folder}/" in f"{line}/ {environment}" or f"{place}/".startswith(f"{folder}/"):
                found[int(entry.name)] = line.strip()
    return found


class Pool:
    """A pool to `start` and `stop`; processes that use it need its `environment`.

    `more` are further lines of its configuration.
    """

    def __init__(self, cpus: int = 64, more: str = "") -> None:
        # Below pytest's folders, names of sockets would exceed the limit of 108 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="wqm-condor-", dir="/tmp"))
        self.folder.chmod(0o755)
        for name in ("log", "spool", "execute", "lock", "run", "sock", "secret"):
            (self.folder / name).mkdir(mode=0o700 if name == "secret" else 0o755)
        self._config = self.folder / "condor_config"
        self._config.write_text(
            CONFIGURATION.format(folder=self.folder, uid=as_user.UID, cpus=cpus, memory=cpus * 512)
            + more
        )
        self._keeper: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which HTCondor's tools find this pool."""
        return {"CONDOR_CONFIG": str(self._config)}

    def start(self) -> None:
        """Start the daemons, and wait until jobs can be submitted and a machine is available."""
        words = as_user.words("condor_master", "-f")
        # The keeper ends leftover processes of the pool, even if the tests are killed.
        self._keeper = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "wqmaster.system.supervise",
                str(self.folder / "master.out"),
                *words,
            ],
            stdin=subprocess.PIPE,
            env={**os.environ, **self.environment},
            start_new_session=True,
        )
        wait_until(self._ready, 60)

    def _ready(self) -> bool:
        if self._keeper and self._keeper.poll() is not None:
            raise AssertionError(f"condor_master has ended: {self.logs()}")
        slots = self.tool("condor_status", "-af", "State", check=False)
        return "Unclaimed" in slots and "Total for query" in self.tool("condor_q", check=False)

    def tool(self, *words: str | Path, check: bool = True) -> str:
        """The output of an HTCondor tool."""
        done = subprocess.run(
            [str(word) for word in words],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert not check or done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def jobs(self, folder: Path, where: str = "true") -> list[dict[str, Any]]:
        """The jobs in the queue that were submitted from below `folder`, oldest first."""
        found = json.loads(self.tool("condor_q", "-constraint", where, "-json") or "[]")
        return [job for job in found if Path(job["Iwd"]).is_relative_to(folder)]

    def running(self, folder: Path) -> list[str]:
        """The numbers of the running jobs that were submitted from below `folder`."""
        return [job_id(job) for job in self.jobs(folder, "JobStatus == 2")]

    def logs(self) -> str:
        """The last lines of each daemon's log."""
        found = []
        for path in [self.folder / "master.out", *sorted((self.folder / "log").glob("*Log"))]:
            if path.exists():
                lines = path.read_text(errors="replace").splitlines()[-15:]
                found.append("\n".join([f"== {path.name}", *lines]))
        return "\n".join(found)

    def stop(self) -> None:
        """End all daemons and all jobs, and remove the folder."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None and keeper.stdin is not None:
            # On SIGQUIT, condor_master shuts down fast; the keeper ends any process that remains.
            for pid, line in left_of(self.folder).items():
                if line.startswith("condor_master"):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGQUIT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                keeper.wait(10)
            keeper.stdin.close()
            keeper.wait(30)
        shutil.rmtree(self.folder)


def job_id(job: Mapping[str, Any]) -> str:
    """A job's number (cluster.process), as HTCondor's tools print it."""
    return f"{job['ClusterId']}.{job['ProcId']}"


def digest(logs: Sequence[Path]) -> str:
    """The events in HTCondor's job logs, one per line, in order of time."""
    lines = []
    for log in logs:
        for block in log.read_text(errors="replace").split("\n...\n"):
            head, *rest = block.strip().splitlines() or [""]
            if head[:3].isdigit():
                detail = " ".join(line.strip() for line in rest[:2])
                lines.append((head.split(") ", 1)[-1][:19], f"{head}  {detail}"[:160]))
    return "\n".join(line for _, line in sorted(lines))


def why_not() -> str | None:
    """Why no pool can be started here; None if one can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"not installed here: {', '.join(absent)}"
    words = as_user.words("true")
    probe = subprocess.run(words, capture_output=True, text=True, check=False)
    return probe.stderr.strip() if probe.returncode else None


def environments_of(pids: Iterable[int]) -> list[dict[str, str]]:
    """The environments of the processes that still exist."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
            found.append(dict(line.split("=", 1) for line in text.split("\0") if "=" in line))
    return found
