"""Checks of Work Queue and TaskVine: bindings, workers and factories, and whether they match.

A manager refuses workers with another protocol version: WORK_QUEUE_PROTOCOL_VERSION and
VINE_PROTOCOL_VERSION in the sources of ndcctools. The former has been 11 since 7.5. The latter was
10 in 7.12 and 12 from 7.14 to 7.16, and is 13 in 7.17. No program has an option that prints its
protocol (F13). So the check starts a manager and asks for its status, and lets each worker connect
to a listening socket, to which the worker first sends its protocol.
"""

import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from wqmaster.campaign.workers import BatchWorkers, FactoryWorkers, NoWorkers
from wqmaster.doctor.finding import Case, Check, Finding, State
from wqmaster.engines.choosing import INSTALL_ADVICE
from wqmaster.error_codes import ErrorCode
from wqmaster.factory import ENGINE_PROGRAMS
from wqmaster.system.programs import ask, end, start

_NAMES = {"work_queue": "Work Queue", "taskvine": "TaskVine"}
# How long a worker can take to send its protocol.
_GREETING_TIMEOUT_SECONDS = 4.0

# A script that starts a manager, asks for its status as work_queue_status and vine_status do, and
# prints the answer.
_MANAGER = """
import os, socket, sys, warnings
warnings.simplefilter("ignore")
out = os.dup(1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
if sys.argv[1] == "work_queue":
    from ndcctools import work_queue as module
    manager, question = module.WorkQueue(port=0), b"queue_status\\n"
else:
    from ndcctools import taskvine as module
    manager, question = module.Manager(port=0), b"manager_status\\n"
with socket.create_connection(("127.0.0.1", manager.port)) as asking:
    asking.settimeout(5)
    asking.sendall(question)
    manager.wait(1)
    while part := asking.recv(65536):
        os.write(out, part)
os._exit(0)  # SWIG's cleanup can crash
"""


@dataclass(frozen=True)
class Identity:
    """The version and the protocol of an ndcctools program."""

    version: str | None = None  # as --version prints it, such as 7.14.5
    protocol: int | None = None  # as the program sends it when it connects, or in its status

    def __str__(self) -> str:
        words = [self.version or "unknown version"]
        if self.protocol is not None:
            words.append(f"protocol {self.protocol}")
        return ", ".join(words)


def _without_catalog(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process that must not contact a catalog."""
    return {**environ, "CATALOG_HOST": "127.0.0.1"}


def bindings(engine: str, environ: Mapping[str, str]) -> Identity | str:
    """The version and protocol of a manager started here, or the reason why none starts."""
    with tempfile.TemporaryDirectory() as folder:  # TaskVine writes its logs there
        words = [sys.executable, "-c", _MANAGER, engine]
        said = ask(words, _without_catalog(environ), seconds=6.0, folder=Path(folder))
    try:
        status = json.loads(said.text[said.text.index("[") :])[0]
        return Identity(str(status["version"]).split()[0], int(status["protocol"]))
    except (ValueError, LookupError, TypeError):
        if said.code is None:
            return "the manager was started but did not respond"
        return said.last


def version(program: str, environ: Mapping[str, str]) -> str | None:
    """The version that an ndcctools program prints; None if it prints none.

    Raises:
        OSError: the program cannot be started.
    """
    said = ask([program, "--version"], environ, seconds=3.0)
    found = re.search(r"\bversion\s+([0-9]+\.[0-9]+(?:\.[0-9]+)*)", said.text)
    return found[1] if found else None


def protocol(worker: str, environ: Mapping[str, str]) -> int | None:
    """The protocol that a worker sends to a manager; None if it sends none.

    Raises:
        OSError: the worker cannot be started.
    """
    line = _said_first(worker, environ)
    found = re.match(rb"(?:workqueue|taskvine) ([0-9]+) ", line)
    return int(found[1]) if found else None


def speaks_tls(worker: str, environ: Mapping[str, str]) -> bool:
    """Whether a worker with --ssl begins with TLS (RFC 8446, section 5.1).

    Raises:
        OSError: the worker cannot be started.
    """
    return _said_first(worker, environ, "--ssl", size=2) == b"\x16\x03"


def _said_first(
    worker: str, environ: Mapping[str, str], *options: str, size: int | None = None
) -> bytes:
    """What a worker sends first to a manager: a line, or `size` bytes; b"" for nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server, tempfile.TemporaryDirectory() as folder:
        port = server.getsockname()[1]
        # Both workers understand -s and these long options.
        words = [worker, *options, "--single-shot", "-s", folder, "--connect-timeout", "5"]
        process = start(
            [*words, "127.0.0.1", str(port)],
            _without_catalog(environ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return _greeting(server, process, size)
        finally:
            end(process)


def _greeting(server: socket.socket, process: "subprocess.Popen[bytes]", size: int | None) -> bytes:
    server.settimeout(0.1)
    for _ in range(int(_GREETING_TIMEOUT_SECONDS / 0.1)):
        try:
            connection, _ = server.accept()
        except TimeoutError:
            if process.poll() is not None:
                return b""
            continue
        with connection:
            connection.settimeout(_GREETING_TIMEOUT_SECONDS)
            try:
                with connection.makefile("rb") as said:
                    return said.readline(1000) if size is None else said.read(size)
            except OSError:
                return b""
    return b""


def _engine(case: Case, engine: str) -> Iterator[Finding]:
    name, needed = _NAMES[engine], case.engine == engine
    state: State = "wrong" if needed else "warning"
    factory, worker = ENGINE_PROGRAMS[engine]
    path = case.environ.get("PATH")
    manager = bindings(engine, case.environ)
    if isinstance(manager, str):
        yield Finding(
            name,
            state,
            f"cannot be used here: {manager}",
            INSTALL_ADVICE,
            code=ErrorCode.ENGINE_NOT_INSTALLED,
        )
        if not needed and not any(shutil.which(one, path=path) for one in (factory, worker)):
            return  # no program of this engine is installed, so one finding is enough
        manager = Identity()
    else:
        yield Finding(name, "ok", f"ndcctools {manager}")
    sends_another = isinstance(case.workers, BatchWorkers) and case.workers.worker is not None
    # `doctor/worker_sent.py` checks the worker that the campaign names.
    if not (needed and sends_another):
        yield from _worker(case, engine, worker, manager, state)
    if shutil.which(factory, path=path) is None:
        wanted = isinstance(case.workers, FactoryWorkers)
        yield Finding(
            factory,
            state if wanted else "warning",
            "is not on the PATH",
            INSTALL_ADVICE,
            code=ErrorCode.PROGRAM_MISSING,
        )
        return
    found = version(factory, case.environ)
    if found == manager.version or manager.version is None:
        yield Finding(factory, "ok", f"version {found or 'unknown'}")
    else:
        seen = f"version {found or 'unknown'}, but the bindings have version {manager.version}"
        yield Finding(
            factory,
            "warning",
            seen,
            f"put programs of a single version first on the PATH, or {INSTALL_ADVICE}",
            code=ErrorCode.VERSIONS_DIFFER,
        )


def _worker(
    case: Case, engine: str, worker: str, manager: Identity, bad: State
) -> Iterator[Finding]:
    path = shutil.which(worker, path=case.environ.get("PATH"))
    if path is None:
        missing: State = bad if not isinstance(case.workers, NoWorkers) else "warning"
        yield Finding(
            worker, missing, "is not on the PATH", INSTALL_ADVICE, code=ErrorCode.PROGRAM_MISSING
        )
        return
    yield compared(case, worker, path, manager, bad)


def compared(case: Case, subject: str, path: str, manager: Identity, bad: State) -> Finding:
    """Compare a worker program with the bindings."""
    try:
        found = Identity(version(path, case.environ), protocol(path, case.environ))
    except OSError as error:
        return Finding(
            subject,
            bad,
            f"{path} cannot be started: {error.strerror}",
            INSTALL_ADVICE,
            code=ErrorCode.WORKER_UNUSABLE,
        )
    seen = f"{path}: {found}"
    if manager.protocol is None:
        return Finding(subject, "ok", seen)
    fix = f"put workers of ndcctools {manager.version} first on the PATH, or {INSTALL_ADVICE}"
    if found.protocol is None:
        seen += "; it did not contact a manager; it is not a usable worker on this machine"
        return Finding(subject, bad, seen, fix, ErrorCode.WORKER_UNUSABLE)
    if found.protocol != manager.protocol:
        seen += f"; a manager of ndcctools {manager} refuses it"
        return Finding(subject, bad, seen, fix, ErrorCode.VERSIONS_DIFFER)
    if found.version != manager.version:
        seen += f"; ndcctools here is {manager.version}, with the same protocol"
        return Finding(subject, "warning", seen, fix, ErrorCode.VERSIONS_DIFFER)
    return Finding(subject, "ok", seen)


def work_queue(case: Case) -> Iterator[Finding]:
    """Check Work Queue's bindings, worker and factory."""
    yield from _engine(case, "work_queue")


def taskvine(case: Case) -> Iterator[Finding]:
    """Check TaskVine's bindings, worker and factory."""
    yield from _engine(case, "taskvine")


CHECKS = (
    Check("Work Queue", work_queue),
    Check("TaskVine", taskvine),
)
