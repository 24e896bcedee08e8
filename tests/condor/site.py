"""A campaign in the pool: its folder, database, command line and jobs in the queue."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.acceptance.conftest import HeldXtb, processes_of
from tests.condor import as_user
from tests.condor.pool import Pool, digest, job_id
from tests.conftest import Campaigns, Cli, wait_until
from wqmaster.database.private_server import Mongod

# The value of a variable in the master's environment, which must not spread.
SECRET = "hunter2-of-the-master"


class UserCli(Cli):
    """The command line, run as the pool's user because HTCondor's tools drop root's rights."""

    def start(
        self, *words: str | Path, env: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[str]":
        """Start `wqmaster WORDS...` in the background."""
        process = subprocess.Popen(
            as_user.words(sys.executable, "-m", "wqmaster", *map(str, words)),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self._processes.append(process)
        return process


class Site:
    """A campaign of xtb single points whose workers are HTCondor jobs."""

    def __init__(self, folder: Path, pool: Pool, mongod: Mongod) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.pool = pool
        self.cli = UserCli(folder)
        self.campaigns = Campaigns(folder, mongod.uri)
        xtb = shutil.which("xtb")
        assert xtb is not None
        self.held = HeldXtb(folder / "held", xtb)
        self.path = folder / "campaign.yaml"
        self._masters: list[subprocess.Popen[str]] = []

    def close(self) -> None:
        """End everything, and print the story, which pytest shows if the test has failed."""
        print(self.story())
        for master in self._masters:
            if master.poll() is None:
                master.kill()
                print(*master.communicate(), sep="\n")
        self.cli.close()
        self.kill()
        for job in self.pool.jobs(self.folder):
            self.pool.tool("condor_rm", job_id(job), check=False)
        self.campaigns.close()

    def write(self, *, engine: dict[str, Any] | None = None, **changes: Any) -> None:
        """Write the campaign file, with `changes` to its keys; those in `workers:` are merged."""
        workers = {
            "type": "condor",
            "manage": True,
            "host": "127.0.0.1",
            "max": 2,
            "cores": 1,
            "memory": 256,
            "disk": 200,
            "timeout": 120,
            **changes.pop("workers", {}),
        }
        settings = {
            "engine": {"type": "work_queue", "debug": True, **(engine or {})},
            "software": self.held.software,
            "database": {"uri": "${MONGO_URI}", "name": self.campaigns.database},
            "resources": {"cores": 1, "memory": 100, "disk": 50},
            **changes,
        }
        # The test holds jobs for a while, so their time limit must not be short.
        config = {**self.campaigns.settings()["campaign_config"], "job_timeout": 900}
        self.campaigns.write(workers=workers, campaign_config=config, **settings)

    @property
    def environment(self) -> dict[str, str]:
        """The master's environment: the database's address, and a secret that must not spread."""
        return {
            **self.pool.environment,
            "MONGO_URI": self.campaigns.uri,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }

    def until(self, condition: Callable[[], Any], seconds: float = 60.0) -> Any:
        """Wait for `condition` while the master runs, and return the value of `condition`."""

        def met() -> Any:
            found = condition()
            master = self._masters[-1]
            assert found or master.poll() is None, (master.returncode, *master.communicate())
            return found

        return wait_until(met, seconds)

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start `wqmaster run` in the background."""
        self._masters.append(self.cli.start("run", self.path, *words, env=self.environment))
        return self._masters[-1]

    def ended(self, code: int = 0, seconds: float = 90.0) -> str:
        """Wait until the master ends with this exit code, and return all of its output."""
        master = self._masters[-1]
        said = "\n".join(master.communicate(timeout=seconds))
        assert master.returncode == code, said
        return said

    def status(self) -> dict[str, Any]:
        """The status of the running master, as `wqmaster status` reports it."""
        said = self.cli("status", self.path, "--json", env=self.environment)
        found: dict[str, Any] = json.loads(said)
        return found["master"] or {}

    def jobs(self) -> list[dict[str, Any]]:
        """The campaign's jobs in HTCondor's queue."""
        return self.pool.jobs(self.folder)

    def running(self, count: int) -> list[str]:
        """The numbers of the campaign's running jobs; [] unless there are `count` of them."""
        found = self.pool.running(self.folder)
        return found if len(found) == count else []

    def logs(self) -> list[Path]:
        """HTCondor's event logs for the campaign's jobs."""
        return sorted(self.folder.rglob("condor.logfile"))

    def said_by_workers(self) -> str:
        """The standard error of all workers whose output came back."""
        paths = sorted(self.folder.rglob("worker.*.err"))
        return "".join(path.read_text(errors="replace") for path in paths)

    def debug(self) -> str:
        """The engine's debug log."""
        paths = [*self.folder.glob("test.run/**/debug"), *self.folder.glob("test.run/**/debug.old")]
        return "".join(path.read_text(errors="replace") for path in paths)

    def kill(self, place: Path | None = None) -> None:
        """Kill all processes of this campaign, or those in `place`, as a power cut would."""

        def left() -> list[int]:
            # The pool ends the workers' processes. Its daemons can run in a job's folder.
            theirs = processes_of(self.pool.folder)
            found = processes_of(place or self.folder)
            ours = {pid for pid, line in found.items() if not line.startswith("condor_")}
            return [pid for pid in ours if pid not in theirs]

        for pid in left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not left(), 20)

    def story(self) -> str:
        """The ends of all logs, to show why a test failed."""
        parts = {"events of HTCondor": digest(self.logs()), "workers": self.said_by_workers()}
        for path in sorted(self.folder.glob("test.run/logs/*.log")):
            parts[path.name] = "\n".join(path.read_text(errors="replace").splitlines()[-40:])
        for path in sorted(self.folder.glob("test.run/factory/**/*.log")):
            parts[path.name] = "\n".join(path.read_text(errors="replace").splitlines()[-40:])
        return "\n".join(f"== {name}\n{text}" for name, text in parts.items())
