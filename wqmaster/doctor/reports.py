"""Checks of the master's and workers' logs: refused workers, and hosts that failed a check."""

import contextlib
import re
import shlex
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.service import FILES_FOLDER
from wqmaster.doctor.finding import Case, Check, Finding
from wqmaster.doctor.folder import master
from wqmaster.engines.refusals import RefusalKind, logged_refusal
from wqmaster.error_codes import ErrorCode
from wqmaster.factory import ENGINE_PROGRAMS

# How many bytes at the end of each log are read, and how many of the workers' newest logs.
_LOG_TAIL_BYTES = 1 << 20
_MAX_LOGS = 300
_MAX_SHOWN_HOSTS = 3
_WARNING = re.compile(r"^(\S+ \S+) WARNING \S+ (.*)$")
# The line that a master logs when its run begins.
_BEGINS = re.compile(r"^\S+ \S+ INFO \S+ engine \S+: ")
# What worker.sh prints; the script itself, of which each factory has copies, only contains it.
_FAILED_PATTERN = re.compile(r"^wqmaster worker: (.*)$")


def _end(path: Path) -> list[str]:
    """The last lines of a file, with unprintable characters replaced."""
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - _LOG_TAIL_BYTES))
        lines = file.read(_LOG_TAIL_BYTES).decode(errors="replace").splitlines()
    return ["".join(c if c.isprintable() else "?" for c in line)[:600] for line in lines]


def _logs_of_managers(loaded: LoadedCampaign) -> list[tuple[Path, Path]]:
    """The folders of processes with a manager for a campaign's workers, and their logs."""
    if loaded.service is not None:
        places = [loaded.service.folder]
    else:  # alone, or with other files
        places = [loaded.folder, loaded.folder / FILES_FOLDER]
    return [(place, place / "logs" / "master.log") for place in places]


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def refused(case: Case) -> Iterator[Finding]:
    """Report workers that the master refused in this run or the last one."""
    if case.loaded is None:
        return
    place, log = max(_logs_of_managers(case.loaded), key=lambda one: _modified(one[1]))
    if not log.is_file():
        return
    when = "this run" if master(place) else "the last run"
    found: list[tuple[str, RefusalKind | None, str]] = []
    for line in _end(log):
        if _BEGINS.match(line):
            found = []
        elif (warning := _WARNING.match(line)) and (refusal := logged_refusal(warning[2])):
            found.append((warning[1], *refusal))
    if not found:
        yield Finding("refused workers", "ok", f"none in {when}")
        return
    time, kind, last = found[-1]
    count = "1 worker" if len(found) == 1 else f"{len(found)} workers"
    seen = f"the master refused {count} in {when}; the last at {time}: {last}"
    folder = case.loaded.workforce_folder
    if kind is RefusalKind.PASSWORD:
        worker = ENGINE_PROGRAMS.get(case.engine or "", ("", "work_queue_worker"))[1]
        fix = f"give the workers a copy of {folder / 'password'}: {worker} --password FILE ..."
    elif kind is RefusalKind.ENCRYPTION:
        fix = "start the workers with --ssl"
    elif kind is RefusalKind.VERSION:
        fix = (
            "send this machine's worker with 'workers: {worker: /path/to/worker}', or update the "
            "workers"
        )
    else:
        fix = f"grep 'worker refused' {shlex.quote(str(log))}; each line states what to do"
    yield Finding("refused workers", "warning", seen, fix, code=ErrorCode.WORKERS_REFUSED)


def hosts(case: Case) -> Iterator[Finding]:
    """Report hosts on which worker.sh found a problem, according to the logs of workers."""
    if case.loaded is None:
        return
    folder = case.loaded.workforce_folder / "factory"
    if not folder.is_dir():
        return
    found: list[tuple[float, Path]] = []
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # a worker that has just ended can remove the file
            state = path.lstat()
            if stat.S_ISREG(state.st_mode):
                found.append((state.st_mtime, path))
    reasons: Counter[str] = Counter()
    for _, path in sorted(found)[-_MAX_LOGS:]:
        with contextlib.suppress(OSError):
            for line in _end(path):
                if said := _FAILED_PATTERN.match(line):
                    reasons[said[1]] += 1
    if not reasons:
        yield Finding("workers' hosts", "ok", f"no host failed its check, according to {folder}")
        return
    # A Counter keeps the order of insertion, so its last entries come from the newest logs.
    last = "; ".join(list(reasons)[-_MAX_SHOWN_HOSTS:])
    count = sum(reasons.values())
    seen = f"host checks that failed before a worker started: {count}; the last: {last}"
    fix = (
        f"grep -r '^wqmaster worker:' {shlex.quote(str(folder))}; avoid such hosts with "
        "'workers: {requirements: ...}'"
    )
    yield Finding("workers' hosts", "warning", seen, fix, code=ErrorCode.HOSTS_FAILED)


CHECKS = (Check("refused workers", refused), Check("workers' hosts", hosts))
