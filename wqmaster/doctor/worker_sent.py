"""Checks of the worker program that other machines receive: what it needs, and what it can do.

What it needs is read from its ELF headers (`system/elf.py`), so that a program for another machine
is understood too. Only its version, its protocol and TLS require that it runs here.
"""

import os
import platform
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from wqmaster.campaign.workers import BatchWorkers, CondorWorkers
from wqmaster.doctor.finding import Case, Check, Finding, State
from wqmaster.doctor.glibc import judged
from wqmaster.doctor.ndcctools import Identity, bindings, compared, speaks_tls, version
from wqmaster.error_codes import ErrorCode
from wqmaster.factory import ENGINE_PROGRAMS
from wqmaster.system import elf

_SUBJECT = "worker sent"
_GLIBC = "worker's glibc"


def sent(case: Case) -> Iterator[Finding]:
    """Check the worker program for other machines: that it exists, matches and can start there."""
    engine = case.engine
    if engine is None or engine not in ENGINE_PROGRAMS or case.loaded is None:
        return
    if not isinstance(case.workers, BatchWorkers):
        return
    named = case.loaded.worker_program
    if named is not None:
        wrong = _unusable(named)
        if wrong is not None:
            yield wrong
            return
    program = shutil.which(ENGINE_PROGRAMS[engine][1], path=case.environ.get("PATH"))
    path = named or (Path(program) if program else None)
    if path is None:
        return
    try:
        needs = elf.needs(path)
    except ValueError as error:
        yield Finding(
            _SUBJECT, "wrong", f"{path}: {error}", "get it again", code=ErrorCode.WORKER_UNUSABLE
        )
        return
    runs_here = needs is None or needs.machine == platform.machine()
    if named is not None and runs_here:
        manager = bindings(engine, case.environ)
        known = manager if isinstance(manager, Identity) else Identity()
        yield compared(case, _SUBJECT, str(named), known, "wrong")
    yield from _portable(case, path, needs, runs_here=runs_here)
    if case.loaded.campaign.engine.ssl:
        yield _tls(case, path, needs, runs_here=runs_here)


def _unusable(path: Path) -> Finding | None:
    code = ErrorCode.WORKER_UNUSABLE
    if not path.is_file():
        seen = f"{path}, named in 'workers: {{worker: ...}}', does not exist"
        return Finding(_SUBJECT, "wrong", seen, "correct 'worker:' in the campaign file", code)
    if not os.access(path, os.X_OK):
        fix = f"chmod +x {shlex.quote(str(path))}"
        return Finding(_SUBJECT, "wrong", f"{path} is not executable", fix, code)
    return None


def _portable(
    case: Case, path: Path, needs: elf.Needs | None, *, runs_here: bool
) -> Iterator[Finding]:
    """Check whether a worker program can start on the machines that receive it."""
    if needs is None:
        seen = f"{path} is a script or for another architecture, so its needs are unknown"
        code = ErrorCode.WORKER_UNUSABLE
        yield Finding(_GLIBC, "warning", seen, f"file {shlex.quote(str(path))}", code)
        return
    if not runs_here:
        seen = f"{path} is for {needs.machine}, so its version and protocol cannot be tested here"
        fix = f"run '{path.name} --version' on such a machine"
        yield Finding(_SUBJECT, "warning", seen, fix, ErrorCode.CHECK_INCOMPLETE)
    if needs.static:
        seen = f"{path} is static: it needs nothing on its host but /bin/sh, which tasks need too"
        yield Finding(_GLIBC, "ok", seen)
        return
    number = version(str(path), case.environ) if runs_here else None
    package = f"ndcctools={number}" if number else "ndcctools"
    fix = (
        f"conda create -p conda-worker -c conda-forge {package}, then 'workers: {{worker: "
        f"conda-worker/bin/{path.name}}}' in the campaign file; or build a static one "
        "(docs/workers.md)"
    )
    if isinstance(case.workers, CondorWorkers):
        fix += "; or name a container with a newer C library with 'image:'"
    if not needs.glibc:
        libraries = ", ".join(needs.libraries) or needs.loader
        seen = f"{path} is linked dynamically, but not to glibc; hosts must have {libraries}"
        yield Finding(_GLIBC, "warning", seen, fix, ErrorCode.WORKER_UNUSABLE)
        return
    yield judged(case, _GLIBC, str(path), needs.glibc, fix)
    own = [name for name in needs.libraries if not _is_of_glibc(name)]
    image = case.workers.image if isinstance(case.workers, CondorWorkers) else None
    if own and image is None:
        seen = f"hosts must have {' and '.join(own)} in addition to glibc"
        yield Finding("worker's libraries", "warning", seen, fix, ErrorCode.WORKER_UNUSABLE)


def _is_of_glibc(library: str) -> bool:
    """Whether glibc, or GCC's support library that each distribution has, provides `library`."""
    names = ("libc", "libm", "libdl", "libpthread", "librt", "libresolv", "libgcc_s", "ld-linux")
    return library.partition(".so")[0].startswith(names)


def _tls(case: Case, path: Path, needs: elf.Needs | None, *, runs_here: bool) -> Finding:
    """Check whether the worker speaks TLS, which 'engine: {ssl: true}' demands."""
    state: State = "ok"
    fix, code = None, None
    if not runs_here and needs is not None:
        speaks = any(name.startswith("libssl.") for name in needs.libraries)
        seen = f"{path} {'links' if speaks else 'does not link'} the TLS library libssl"
        if not speaks:
            state, seen = "warning", f"{seen}, but it may contain TLS itself"
    else:
        try:
            speaks = speaks_tls(str(path), case.environ)
        except OSError:
            speaks = False
        seen = f"{path} {'speaks' if speaks else 'does not speak'} TLS"
        state = "ok" if speaks else "wrong"
    if state != "ok":
        fix = "build the worker with OpenSSL (docs/workers.md), or use conda-forge's"
        code = ErrorCode.WORKER_UNUSABLE
        seen += "; with 'engine: {ssl: true}', the master refuses a worker without it"
    return Finding("worker's TLS", state, seen, fix, code)


CHECKS = (Check("worker sent", sent),)
