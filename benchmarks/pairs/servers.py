"""Servers on loopback that live for a `with` block."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from wqmaster.database.private_server import find_mongod

START_TIMEOUT_SECONDS = 60.0


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def server(words: Sequence[str | Path], port: int) -> Iterator[int]:
    """Run a program until it listens on `port`; yields its process id and ends it afterwards.

    Raises:
        RuntimeError: it ended, or did not listen in time.
    """
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{words[0]} does not listen on port {port}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def mongod(folder: Path) -> Iterator[str]:
    """Run a MongoDB server with its data in `folder`; yields its URI."""
    port = free_port()
    folder.mkdir()
    words = [
        find_mongod(),
        "--dbpath",
        folder,
        "--port",
        str(port),
        "--bind_ip",
        "127.0.0.1",
        "--quiet",
    ]
    with server(words, port):
        yield f"mongodb://127.0.0.1:{port}"
