"""A SLURM cluster with one node on loopback: munged, slurmctld and slurmd of the current user."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import wait_until

CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
# Bind only to the addresses that are named here.
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny,disable_ipv6
# The current user runs all of it, so jobs of other users are impossible.
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
# Control groups are not available to a user in a container or a private root.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MailProg=/bin/true
ReturnToService=2
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
# More cores than there are: jobs of tests sleep more than they compute.
SlurmdParameters=config_overrides
KillWait=5
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=16000 State=UNKNOWN
PartitionName=tests Nodes=node1 Default=YES MaxTime=60 State=UP
"""
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "scontrol", "squeue")


def _free_ports(count: int) -> list[int]:
    """Different ports that are not in use now."""
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in taken]
    for one in taken:
        one.close()
    return ports


class Cluster:
    """A cluster to `start` and `stop`; processes that use it need its `environment`."""

    def __init__(self, cpus: int = 8) -> None:
        # munged requires a short socket name, in folders that only their owner can change.
        self.folder = Path(tempfile.mkdtemp(prefix="wqm-slurm-", dir="/tmp"))
        self.folder.chmod(0o755)
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        self.ports = _free_ports(2)  # for slurmctld and slurmd
        self._config = self.folder / "slurm.conf"
        self._config.write_text(
            CONFIGURATION.format(
                folder=self.folder,
                host=socket.gethostname().partition(".")[0],
                ports=self.ports,
                user=pwd.getpwuid(os.getuid()).pw_name,
                cpus=cpus,
            )
        )
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
        self._keepers: list[subprocess.Popen[bytes]] = []

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which SLURM's tools find this cluster."""
        return {"SLURM_CONF": str(self._config)}

    def _keep(self, *words: str) -> None:
        """Start a daemon that ends with this process."""
        log = self.folder / f"{words[0]}.out"
        self._keepers.append(
            subprocess.Popen(
                [sys.executable, "-m", "wqmaster.system.supervise", str(log), *words],
                stdin=subprocess.PIPE,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        )

    def start(self) -> None:
        """Start the daemons, and wait until the node accepts jobs."""
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        self._keep(
            *("munged", "--foreground", f"--socket={self.folder}/munge.socket"),
            *(f"--key-file={key}", f"--log-file={self.folder}/munged.log"),
            *(f"--pid-file={self.folder}/munged.pid", f"--seed-file={self.folder}/munge.seed"),
        )
        wait_until((self.folder / "munge.socket").exists, 20)
        self._keep("slurmctld", "-D", "-f", str(self._config))
        self._keep("slurmd", "-D", "-N", "node1", "-f", str(self._config))
        wait_until(self._ready, 60)

    def _ready(self) -> bool:
        ended = [keeper.args for keeper in self._keepers if keeper.poll() is not None]
        if ended:
            raise AssertionError(f"{ended} has ended: {self.logs()}")
        return self.tool("sinfo", "-h", "-o", "%T", check=False).strip() == "idle"

    def tool(self, *words: str | Path, check: bool = True) -> str:
        """The output of a SLURM tool."""
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

    def jobs(self, state: str | None = None) -> list[str]:
        """The numbers of the jobs in the queue."""
        which = ["-t", state] if state else []
        return self.tool("squeue", "-h", "-o", "%i", *which).split()

    def logs(self) -> str:
        """The last lines of each daemon's log."""
        found = []
        for path in sorted([*self.folder.glob("*.log"), *self.folder.glob("*.out")]):
            lines = path.read_text(errors="replace").splitlines()[-15:]
            found.append("\n".join([f"== {path.name}", *lines]))
        return "\n".join(found)

    def stop(self) -> None:
        """Cancel all jobs, end all daemons, and remove the folder."""
        if len(self._keepers) == 3 and self.tool("squeue", "-h", check=False):
            self.tool("scancel", "--full", "-u", pwd.getpwuid(os.getuid()).pw_name, check=False)
            wait_until(lambda: not self.tool("squeue", "-h", check=False), 30)
        for keeper in reversed(self._keepers):
            if keeper.stdin:
                keeper.stdin.close()
            keeper.wait(30)
        self._keepers = []
        shutil.rmtree(self.folder)
