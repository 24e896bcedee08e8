"""Databases of a run: a one-member replica set of the harness, or private servers of wqmaster."""

import contextlib
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.conftest import wait_until
from wqmaster.database.private_server import Mongod, find_mongod

Client = MongoClient[dict[str, Any]]
# How long the harness itself waits for a server.
_PATIENCE_MS = 2000
# A single member need not wait for others before it elects itself.
_ELECTION_TIMEOUT_MS = 1000


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
        return port


def client_of(uri: str) -> Client:
    """A client that gives up soon, since the server can be away."""
    return MongoClient(
        uri,
        directConnection=True,
        serverSelectionTimeoutMS=_PATIENCE_MS,
        socketTimeoutMS=_PATIENCE_MS,
        connectTimeoutMS=_PATIENCE_MS,
        tz_aware=True,
    )


class ReplicaSet:
    """A mongod that is a replica set by itself, so that it records all writes in its oplog."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.uri = f"mongodb://127.0.0.1:{self.port}/"
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "data").mkdir(parents=True)
        self.start()
        with client_of(self.uri) as client:
            member = {"_id": 0, "host": f"127.0.0.1:{self.port}"}
            settings = {"electionTimeoutMillis": _ELECTION_TIMEOUT_MS}
            config = {"_id": "chaos", "members": [member], "settings": settings}
            client.admin.command("replSetInitiate", config)
        self.wait_until_primary()

    @property
    def pid(self) -> int:
        """The process of the server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        # It must not carry the mark of the run: it is not part of what is tested.
        self._process = subprocess.Popen(
            [
                *(find_mongod(), "--dbpath", str(self.folder / "data"), "--replSet", "chaos"),
                *("--bind_ip", "127.0.0.1", "--port", str(self.port), "--nounixsocket"),
                *("--wiredTigerCacheSizeGB", "0.5", "--oplogSize", "200"),
                *("--logpath", str(self.folder / "mongod.log"), "--logappend"),
                *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,
        )
        wait_until(self._answers)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "mongod has ended; see its log"
        with contextlib.suppress(PyMongoError), client_of(self.uri) as client:
            client.admin.command("ping")
            return True
        return False

    def wait_until_primary(self) -> None:
        """Wait until the server accepts writes."""

        def is_primary() -> bool:
            with contextlib.suppress(PyMongoError), client_of(self.uri) as client:
                return bool(client.admin.command("hello")["isWritablePrimary"])
            return False

        wait_until(is_primary)

    def kill(self) -> None:
        """Kill the server, as a machine that loses its power does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Stop the server."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.kill()


def fill_private(folder: Path, database: str, documents: list[dict[str, Any]]) -> Mongod:
    """Insert documents into the private server in `folder`, which is stopped afterwards."""
    server = Mongod(folder)
    with server.used() as uri, MongoClient[dict[str, Any]](uri) as client:
        client[database]["molecules"].insert_many(documents)
    return server
