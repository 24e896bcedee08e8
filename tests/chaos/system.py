"""The real thing: a service with two campaigns, its database, and the proxy between them."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.chaos import processes, work
from tests.chaos.database import Client, ReplicaSet, client_of, fill_private, free_port
from tests.chaos.faults import clock
from tests.chaos.faults.base import FAULTS, Needs
from tests.chaos.plan import Plan
from tests.chaos.proxy import Proxy
from tests.conftest import wait_until
from wqmaster.database.private_server import Mongod

WORKERS = 4
_TMPFS_MEGABYTES = 256
_MIN_FREE_MEGABYTES = 1
# How long processes may take to end after the service has ended.
_END_SECONDS = 20.0


class System:
    """A service in `folder`, which is started, disturbed, started again, and ended."""

    def __init__(self, folder: Path, plan: Plan, campaigns: tuple[str, ...] = ("a", "b")) -> None:
        self.folder = folder
        self.plan = plan
        self.home = folder / "group"  # campaign files and everything that wqmaster makes of them
        self.temp = folder / "tmp"
        for place in (self.home, self.temp):
            place.mkdir(parents=True)
        self.needs = {need for name in plan.names for need in FAULTS[name].needs}
        self._mounted = Needs.MOUNT in self.needs
        if self._mounted:
            size = f"size={_TMPFS_MEGABYTES}m"
            words = ["mount", "-t", "tmpfs", "-o", size, "wqmaster-chaos", str(self.home)]
            subprocess.run(words, check=True, capture_output=True)
        together = plan.command == "serve"
        names = ["chaos" if together else f"chaos_{name}" for name in campaigns]
        self.campaigns = [work.Campaign(*one) for one in zip(campaigns, names, strict=True)]
        self.port = free_port()
        self.documents: dict[str, dict[str, object]] = {}
        self.replica: ReplicaSet | None = None
        self.proxy: Proxy | None = None
        self.private: list[Mongod] = []
        self._keeps = contextlib.ExitStack()
        self.clients: dict[str, Client] = {}
        self.service: subprocess.Popen[bytes] | None = None
        self.exits: list[str] = []  # ends of the service that nobody asked for
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    # --- before the start ---------------------------------------------------------------------

    def _prepare(self) -> None:
        chance = random.Random(self.plan.seed)  # noqa: S311  # not for secrets
        share = self.plan.jobs // len(self.campaigns)
        found = {one.name: work.documents(one.name, share, chance) for one in self.campaigns}
        self.documents = {doc["_id"]: doc for docs in found.values() for doc in docs}
        uri = None
        if self.plan.database == "replica":
            self.replica = ReplicaSet(self.folder / "db")
            self.proxy = Proxy(self.replica.port)
            uri = f"mongodb://127.0.0.1:{self.proxy.port}/?directConnection=true"
        engine = {"type": self.plan.engine, "port": self.port}
        workers = {"type": "local", "count": WORKERS}
        if self.plan.command == "serve":
            service = {
                "service": "chaos",
                "engine": engine,
                "workers": workers,
                "database": {"uri": uri, "name": "chaos"} if uri else {"name": "chaos"},
            }
            (self.home / "service.yaml").write_text(yaml.safe_dump(service))
        limits = {"limits": {"disk": _MIN_FREE_MEGABYTES}}
        for campaign in self.campaigns:
            own = {
                "engine": engine,
                "workers": workers,
                "database": {"name": campaign.database, **({"uri": uri} if uri else {})},
            }
            more = own if self.plan.command == "run" else {}
            work.write_file(self.home, campaign, **more, **limits)
        self._fill(found)

    def _fill(self, found: dict[str, list[dict[str, object]]]) -> None:
        if self.replica is not None:
            client = client_of(self.replica.uri)
            for campaign in self.campaigns:
                client[campaign.database]["molecules"].insert_many(found[campaign.name])
                self.clients[campaign.name] = client
            return
        # In a service, the campaigns share one private server; otherwise each has its own.
        for campaign in self.campaigns:
            owner = "service" if self.plan.command == "serve" else campaign.name
            place = self.home / f"{owner}.run" / "mongod"
            server = fill_private(place, campaign.database, found[campaign.name])
            if owner != "service" or not self.private:
                self.private.append(server)
                # Otherwise a run's end would stop it before the judge has looked.
                self._keeps.enter_context(server.kept())
            self.clients[campaign.name] = client_of(server.uri)

    # --- the service --------------------------------------------------------------------------

    @property
    def words(self) -> list[str]:
        """The command that runs the campaigns."""
        if self.plan.command == "serve":
            return ["serve", str(self.home), "--grace", "20s"]
        return ["run", *(str(self.home / f"{one.name}.yaml") for one in self.campaigns), "--quiet"]

    def start(self) -> None:
        """Start the service, with its output in the file `output`."""
        environ = {
            **os.environ,
            processes.MARK: str(self.folder),
            "TMPDIR": str(self.temp),
            "CATALOG_HOST": "127.0.0.1",
        }
        if Needs.CLOCK in self.needs:
            environ |= clock.environment(self.folder)
        words = [sys.executable, "-m", "wqmaster", *self.words]
        if self.plan.descriptors is not None:
            limited = f'ulimit -n {self.plan.descriptors}; exec "$@"'
            words = ["sh", "-c", limited, "sh", *words]
        with (self.folder / "output").open("ab") as output:
            self.service = subprocess.Popen(
                words,
                cwd=self.folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """Kill the master."""
        assert self.service is not None
        self.service.kill()
        self.service.wait()

    def watch(self, is_done: Callable[[], bool]) -> None:
        """Note an end of the service that nobody asked for, and start it again."""
        assert self.service is not None
        code = self.service.poll()
        if code is None or (self.plan.command == "run" and code == 0 and is_done()):
            return
        self.exits.append(f"exit code {code} at {time.strftime('%H:%M:%S')}")
        self.start()

    def end(self) -> None:
        """Let the service end; note a wrong exit code."""
        assert self.service is not None
        if self.plan.command == "serve":
            self.service.send_signal(signal.SIGTERM)
        try:
            code = self.service.wait(timeout=90)
        except subprocess.TimeoutExpired:
            self.exits.append("it did not end within 90 s")
            self.kill()
            return
        if code != 0:
            self.exits.append(f"exit code {code} at its end")

    # --- afterwards ---------------------------------------------------------------------------

    def left(self) -> list[str]:
        """What is left although the service has ended, and nobody needs its database."""
        self._keeps.close()
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not processes.all_of(self.folder), _END_SECONDS)
        found = [f"process {line[:100]}" for line in processes.all_of(self.folder).values()]
        found += [f"temporary {path.relative_to(self.temp)}" for path in self.temp.iterdir()]
        for campaign in self.campaigns:
            spool = self.home / f"{campaign.name}.run" / "spool"
            for kind in ("running", "returned", "set-aside"):
                place = spool / kind
                found += [f"spool {kind}/{one.name}" for one in place.glob("*")]
        found += [f"socket {path.name}" for path in self.home.rglob("*") if path.is_socket()]
        with contextlib.suppress(OSError), contextlib.closing(_connected(self.port)):
            found.append(f"a listener at port {self.port}")
        return found

    def close(self) -> None:
        """End everything by force, and unmount what was mounted."""
        if self.service is not None and self.service.poll() is None:
            self.kill()
        for pid in processes.all_of(self.folder):
            processes.send(pid, signal.SIGKILL)
        for client in self.clients.values():
            client.close()
        with contextlib.suppress(Exception):
            self._keeps.close()
        if self.proxy is not None:
            self.proxy.close()
        if self.replica is not None:
            self.replica.stop()
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not processes.all_of(self.folder), _END_SECONDS)
        if self._mounted:
            # Unmounting would lose the files, and those of a failed run are worth examining.
            kept = self.folder / "group.kept"
            shutil.copytree(
                self.home, kept, ignore=shutil.ignore_patterns("*.sock", "filler", "outputs.tar")
            )
            subprocess.run(["umount", "--lazy", str(self.home)], check=True, capture_output=True)


def _connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=1)
