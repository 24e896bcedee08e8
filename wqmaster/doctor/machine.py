"""Checks of this machine: Python, its packages, and the limits on files and processes."""

import os
import platform
import re
import resource
import sys
from collections.abc import Iterator
from importlib import metadata

import wqmaster
from wqmaster.campaign.workers import BatchWorkers, LocalWorkers, Workers
from wqmaster.doctor.finding import Case, Check, Finding
from wqmaster.error_codes import ErrorCode
from wqmaster.run.this_machine import missing_cores, missing_hook
from wqmaster.system.processes import threads_of

_OLDEST_PYTHON = (3, 11)
# How many descriptors a master uses besides workers' sockets: collectors, database, logs, spool.
_DESCRIPTORS_OF_MASTER = 200
# How many processes a master (with collectors and a local factory) and a local worker start.
_PROCESSES_OF_MASTER, _PROCESSES_OF_WORKER = 100, 10
_NAMED = re.compile(r"([A-Za-z0-9_.-]+)\s*>=\s*([0-9.]+)")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", version)[:3])


def python(case: Case) -> Iterator[Finding]:
    """Check the versions of Python and of the packages that pyproject.toml requires."""
    version = platform.python_version()
    seen = f"Python {version} at {sys.executable}, wqmaster {wqmaster.__version__}"
    if sys.version_info[:2] < _OLDEST_PYTHON:
        yield Finding(
            "python",
            "wrong",
            seen,
            "install Python 3.11 or newer, then install wqmaster for it",
            code=ErrorCode.PYTHON_TOO_OLD,
        )
    else:
        yield Finding("python", "ok", seen)
    lacking = []
    for line in metadata.requires("wqmaster") or []:
        named = _NAMED.match(line)
        if named is None or "extra ==" in line:
            continue
        name, oldest = named.groups()
        try:
            there = metadata.version(name)
        except metadata.PackageNotFoundError:
            lacking.append(f"{name} is missing")
            continue
        if _numbers(there) < _numbers(oldest):
            lacking.append(f"{name} {there} is older than {oldest}")
    if lacking:
        fix = f"{sys.executable} -m pip install --upgrade wqmaster"
        yield Finding(
            "python packages", "wrong", "; ".join(lacking), fix, code=ErrorCode.PACKAGE_MISSING
        )
    else:
        yield Finding("python packages", "ok", "all required packages are installed")


def _limit(number: int) -> str:
    return "unlimited" if number == resource.RLIM_INFINITY else f"{number:,}"


def _short(soft: int, needed: int) -> bool:
    return soft != resource.RLIM_INFINITY and soft < needed


def _most_workers(workers: Workers) -> int:
    """The largest number of workers that the campaign can have; 0 if it states none."""
    if isinstance(workers, BatchWorkers):
        return workers.max
    return (workers.count or 0) if isinstance(workers, LocalWorkers) else 0


def files(case: Case) -> Iterator[Finding]:
    """Check the limit on open files, since the master has a socket for each worker."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    campaign = case.campaign
    workers = 0
    if campaign is not None:
        workers = _most_workers(campaign.workers)
    needed = workers + _DESCRIPTORS_OF_MASTER
    seen = f"{_limit(soft)} open files are allowed (ulimit -n), and {needed:,} are needed"
    if workers:
        seen += f" for {workers:,} worker{'' if workers == 1 else 's'}"
    if not _short(soft, needed):
        yield Finding("open files", "ok", seen)
        return
    fix = f"ulimit -n {needed}"
    if _short(hard, needed):
        fix = (
            f"ask for a hard limit of {needed:,} (now {_limit(hard)}; "
            "/etc/security/limits.conf: nofile)"
        )
        if isinstance(case.workers, BatchWorkers):
            most = max(1, hard - _DESCRIPTORS_OF_MASTER)
            fix += f", or 'workers: {{max: {most}}}' in the campaign file"
    yield Finding("open files", "wrong", seen, fix, code=ErrorCode.LIMIT_TOO_LOW)


def processes(case: Case) -> Iterator[Finding]:
    """Check this user's processes and threads against their limit, which does not apply to root."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    count = 1
    if isinstance(case.workers, LocalWorkers):
        count = case.workers.count or len(os.sched_getaffinity(0))
    needed = _PROCESSES_OF_MASTER + count * _PROCESSES_OF_WORKER
    there = threads_of(os.getuid())
    seen = f"{_limit(soft)} processes are allowed (ulimit -u), and {there:,} are running"
    if _short(soft, there + needed) and os.getuid() != 0:
        more = f"; a run on this machine needs up to {needed:,} more"
        fix = f"ulimit -u {there + needed}"
        yield Finding("processes", "wrong", seen + more, fix, code=ErrorCode.LIMIT_TOO_LOW)
    else:
        yield Finding("processes", "ok", seen)


def cores(case: Case) -> Iterator[Finding]:
    """Check that this machine has the cores that one job uses, if jobs run on it."""
    if case.loaded is None or case.engine is None:
        return
    lack = missing_cores(case.loaded, case.engine)
    if lack is not None:
        seen, _, fix = lack.message.partition("; ")
        yield Finding("cores", "warning", seen, fix, lack.code)


def notify(case: Case) -> Iterator[Finding]:
    """Check that the program that hears of events exists."""
    if case.loaded is None or case.loaded.campaign.notify is None:
        return
    lack = missing_hook(case.loaded)
    if lack is None:
        yield Finding("notify", "ok", "the configuration is valid (no event was sent)")
        return
    fix = f"correct 'notify: {{command: ...}}' in {case.loaded.source.path}"
    yield Finding("notify", "wrong", lack.message, fix, lack.code)


CHECKS = (
    Check("python", python),
    Check("open files", files),
    Check("processes", processes),
    Check("cores", cores),
    Check("notify", notify),
)
