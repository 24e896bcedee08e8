"""The two engines of ndcctools: bindings, workers and factories, and whether they speak alike.

What counts is the protocol: WORK_QUEUE_PROTOCOL_VERSION and VINE_PROTOCOL_VERSION of its sources.
The first has been 11 since 7.5; the second was 10 in 7.12, 12 from 7.14 to 7.16, and is 13 in 7.17.
A manager refuses workers of another one. No program tells it on a command line. So a manager is
started, and asked; and a worker is given something that listens, to which it tells it first.
"""

import json
import os
import re
import shlex
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
from wqmaster.doctor.glibc import judged
from wqmaster.engines.choosing import INSTALL_ADVICE
from wqmaster.error_codes import ErrorCode
from wqmaster.factory import ENGINE_PROGRAMS
from wqmaster.system import elf
from wqmaster.system.programs import ask, end, start

_NAMES = {"work_queue": "Work Queue", "taskvine": "TaskVine"}
# Seconds in which a worker must have said what it is.
_GREETING_TIMEOUT_SECONDS = 4.0

# Starts a manager, asks it for its status as work_queue_status and vine_status do, and prints that.
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
os._exit(0)  # SWIG's own clean-up has crashed
"""


@dataclass(frozen=True)
class Speaks:
    """What a program is."""

    version: str | None = None  # as --version has it: 7.14.5
    protocol: int | None = None  # of its handshake

    def __str__(self) -> str:
        words = [self.version or "of no version that it tells"]
        if self.protocol is not None:
            words.append(f"protocol {self.protocol}")
        return ", ".join(words)


def _alone(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that is to talk to no catalog."""
    return {**environ, "CATALOG_HOST": "127.0.0.1"}


def bindings(engine: str, environ: Mapping[str, str]) -> Speaks | str:
    """Version and protocol of a manager that Python starts here; a string: why there is none."""
    with tempfile.TemporaryDirectory() as folder:  # TaskVine writes its logs where it is
        words = [sys.executable, "-c", _MANAGER, engine]
        said = ask(words, _alone(environ), seconds=6.0, folder=Path(folder))
    try:
        status = json.loads(said.text[said.text.index("[") :])[0]
        return Speaks(str(status["version"]).split()[0], int(status["protocol"]))
    except (ValueError, LookupError, TypeError):
        if said.code is None:
            return "a manager that was started did not answer"
        return said.last


def version(program: str, environ: Mapping[str, str]) -> str | None:
    """The version that a program of ndcctools tells; None if it tells none.

    Raises:
        OSError: it cannot be started.
    """
    said = ask([program, "--version"], environ, seconds=3.0)
    found = re.search(r"\bversion\s+([0-9]+\.[0-9]+(?:\.[0-9]+)*)", said.text)
    return found[1] if found else None


def protocol(worker: str, environ: Mapping[str, str]) -> int | None:
    """The protocol that a worker tells a manager; None if it tells none.

    Raises:
        OSError: it cannot be started.
    """
    with socket.create_server(("127.0.0.1", 0)) as server, tempfile.TemporaryDirectory() as folder:
        server.settimeout(_GREETING_TIMEOUT_SECONDS)
        port = server.getsockname()[1]
        words = [worker, "--single-shot", "--workdir", folder, "--connect-timeout", "5"]
        process = start(
            [*words, "127.0.0.1", str(port)],
            _alone(environ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            line = _greeting(server, process)
        finally:
            end(process)
    found = re.match(rb"(?:workqueue|taskvine) ([0-9]+) ", line)
    return int(found[1]) if found else None


def _greeting(server: socket.socket, process: "subprocess.Popen[bytes]") -> bytes:
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
                    return said.readline(1000)
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
            return  # nothing of it is here, and one line says how to get it
        manager = Speaks()
    else:
        yield Finding(name, "ok", f"ndcctools {manager}")
    sent_by_itself = isinstance(case.workers, BatchWorkers) and case.workers.worker is not None
    # What is sent in its place is looked at by itself.
    if not (needed and sent_by_itself):
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
    told = version(factory, case.environ)
    if told == manager.version or manager.version is None:
        yield Finding(factory, "ok", f"version {told}")
    else:
        seen = f"version {told}, while the bindings are {manager.version}"
        yield Finding(
            factory,
            "warning",
            seen,
            f"put those of one version first on PATH: {INSTALL_ADVICE}",
            code=ErrorCode.VERSIONS_DIFFER,
        )


def _worker(case: Case, engine: str, worker: str, manager: Speaks, bad: State) -> Iterator[Finding]:
    path = shutil.which(worker, path=case.environ.get("PATH"))
    if path is None:
        missing: State = bad if not isinstance(case.workers, NoWorkers) else "warning"
        yield Finding(
            worker, missing, "is not on the PATH", INSTALL_ADVICE, code=ErrorCode.PROGRAM_MISSING
        )
        return
    yield _compared(case, worker, path, manager, bad)


def _compared(case: Case, subject: str, path: str, manager: Speaks, bad: State) -> Finding:
    """A worker program held against the bindings."""
    try:
        found = Speaks(version(path, case.environ), protocol(path, case.environ))
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
    fix = f"use workers of {manager}: put them first on PATH, or {INSTALL_ADVICE}"
    if found.protocol is None:
        seen += "; it said no word to a manager, and is no worker that this machine can run"
        return Finding(subject, bad, seen, fix, ErrorCode.WORKER_UNUSABLE)
    if found.protocol != manager.protocol:
        seen += f"; a manager of ndcctools {manager} refuses it"
        return Finding(subject, bad, seen, fix, ErrorCode.VERSIONS_DIFFER)
    if found.version != manager.version:
        seen += f"; ndcctools here is {manager.version}, of the same protocol"
        return Finding(subject, "warning", seen, fix, ErrorCode.VERSIONS_DIFFER)
    return Finding(subject, "ok", seen)


def sent(case: Case) -> Iterator[Finding]:
    """Whether the worker program that is sent to other machines exists and can start there."""
    engine, workers = case.engine, case.workers
    if engine is None or engine not in ENGINE_PROGRAMS or case.loaded is None:
        return
    if not isinstance(workers, BatchWorkers):
        return
    named = workers.worker
    path: Path | None
    if named is not None:
        path = case.loaded.source.path.parent / named.expanduser()
        typed = shlex.quote(str(path))
        if not path.is_file():
            seen = f"{path}, which 'workers: {{worker: ...}}' names, is not there"
            yield Finding(
                "worker sent",
                "wrong",
                seen,
                "correct 'worker:' in the campaign file",
                code=ErrorCode.WORKER_UNUSABLE,
            )
            return
        if not os.access(path, os.X_OK):
            yield Finding(
                "worker sent",
                "wrong",
                f"{path} may not be run",
                f"chmod +x {typed}",
                code=ErrorCode.WORKER_UNUSABLE,
            )
            return
        manager = bindings(engine, case.environ)
        known = manager if isinstance(manager, Speaks) else Speaks()
        yield _compared(case, "worker sent", str(path), known, "wrong")
    else:
        program = shutil.which(ENGINE_PROGRAMS[engine][1], path=case.environ.get("PATH"))
        path = Path(program) if program else None
    if path is not None:
        yield _portable(case, path)


def _portable(case: Case, path: Path) -> Finding:
    """Whether a worker starts on the machines that it is sent to."""
    needs = elf.needs(path)
    subject = "worker's glibc"
    if needs is None:
        seen = f"{path} is a script or of another kind of machine: what it needs is not known"
        return Finding(subject, "warning", seen, f"file {path}", code=ErrorCode.WORKER_UNUSABLE)
    same = version(str(path), case.environ)
    package = f"ndcctools={same}" if same else "ndcctools"
    fix = (
        f"conda create -p conda-worker -c conda-forge {package}, then 'workers: {{worker: "
        f"conda-worker/bin/{path.name}}}' in the campaign file; or a container with 'image:' that "
        "has it"
    )
    return judged(case, subject, str(path), needs.glibc, fix)


def work_queue(case: Case) -> Iterator[Finding]:
    """Work Queue's bindings, worker and factory."""
    yield from _engine(case, "work_queue")


def taskvine(case: Case) -> Iterator[Finding]:
    """TaskVine's."""
    yield from _engine(case, "taskvine")


CHECKS = (
    Check("Work Queue", work_queue),
    Check("TaskVine", taskvine),
    Check("worker sent", sent),
)
