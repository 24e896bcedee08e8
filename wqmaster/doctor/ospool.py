"""Checks of what the OSPool's rules forbid, and of what its caches and access points keep."""

import shlex
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from wqmaster.campaign.workers import CondorWorkers
from wqmaster.doctor.finding import Case, Check, Finding
from wqmaster.doctor.folder import master
from wqmaster.error_codes import ErrorCode
from wqmaster.factory import noted_submit_file, ospool
from wqmaster.run.access_point import why_not_here
from wqmaster.software import osdf
from wqmaster.system.this_command import this_command

# How old a copy of the password on an access point may become while its campaign runs, and while it
# does not.
_OLDEST_WHILE_RUNNING_DAYS, _OLDEST_AFTERWARDS_DAYS = 14, 1
_DAY_SECONDS = 86400


def here(case: Case) -> Iterator[Finding]:
    """Check that this machine is not an access point, where masters and factories are forbidden."""
    forbidden = why_not_here("the master")
    if forbidden is None:
        return
    seen, _, fix = forbidden.partition("; ")
    yield Finding("access point", "warning", seen, fix, ErrorCode.ACCESS_POINT_POLICY)


def rules(case: Case) -> Iterator[Finding]:
    """Check that the wall time fits a duration category, and that requirements use today's words.

    Only workers that state a project, an image of OSDF or a word of the OSPool are taken for its.
    """
    workers = case.workers
    if case.starts_no_workers:
        return
    if not isinstance(workers, CondorWorkers) or not _is_meant(workers):
        return
    category = ospool.category(workers.walltime)
    if category is None:
        seen, _, fix = ospool.why_no_category(workers.walltime).rpartition("; ")
        yield Finding("duration category", "wrong", seen, fix, ErrorCode.OSPOOL_RULE)
    else:
        yield Finding("duration category", "ok", f"{category}, from 'walltime:'")
    if workers.max > ospool.MAX_QUEUED_JOBS:
        seen = f"'max: {workers.max}' is above {ospool.MAX_QUEUED_JOBS:,} jobs"
        yield Finding("queued jobs", "wrong", seen, "ask OSG's support", ErrorCode.OSPOOL_RULE)
    for word, new in ospool.obsolete(workers.requirements):
        yield Finding(
            "requirements",
            "warning",
            f"{word} is obsolete on the OSPool",
            f"write '{new}' instead",
            ErrorCode.OSPOOL_RULE,
        )


def _is_meant(workers: CondorWorkers) -> bool:
    words = f"{workers.requirements or ''} {workers.image or ''} {' '.join(workers.options)}"
    return workers.project is not None or any(
        sign in words for sign in ("OSGVO_", "osdf:", "JobDurationCategory", "HAS_CVMFS_")
    )


def osdf_names(case: Case) -> Iterator[Finding]:
    """Check that no name on OSDF stands for changed content, and that each has a checksum."""
    if case.recipe is None:
        return
    loaded, supplies = case.recipe.loaded, case.recipe.software.supplies
    names = osdf.names(supplies)
    reused = osdf.reused(supplies, loaded.folder)
    notes = osdf.notes_file(loaded.folder)
    for one in reused:
        seen, _, fix = one.words.partition("; ")
        fix += f" (if the earlier checksum was a mistake: rm {shlex.quote(str(notes))})"
        yield Finding("OSDF names", "wrong", seen, fix, ErrorCode.OSDF_NAME_REUSED)
    for url, sums in names.items():
        if "" in sums:
            seen = f"{url} has no 'sha256:', so a change of the file under this name is not noticed"
            fix = "state 'sha256:' beside 'url:' (sha256sum FILE)"
            yield Finding("OSDF names", "warning", seen, fix, ErrorCode.OSDF_NAME_REUSED)
    if names and not reused and not any("" in sums for sums in names.values()):
        yield Finding("OSDF names", "ok", f"{len(names)}, each with one checksum")


def secrets_left(case: Case) -> Iterator[Finding]:
    """Check that the copies of the password that a submit file needs do not outlive their use."""
    if case.loaded is None:
        return
    folder = case.loaded.workforce_folder
    noted, password = noted_submit_file(folder), folder / "password"
    if noted is None or not password.is_file():
        return
    rotate = f"{this_command()} factory {case.loaded.typed} --rotate-password"
    copy = noted.file.parent / password.name
    if copy != password and copy.is_file():
        yield _copy_here(copy, password, rotate)
    if password.stat().st_mtime > noted.written:
        return  # copies of the former password are worthless
    days = (time.time() - noted.written) / _DAY_SECONDS
    running = master(case.loaded.folder) is not None
    oldest = _OLDEST_WHILE_RUNNING_DAYS if running else _OLDEST_AFTERWARDS_DAYS
    day = datetime.fromtimestamp(noted.written, UTC).date()
    if days <= oldest:
        seen = f"a copy went with {noted.file} on {day}; rotate the password when the campaign has "
        yield Finding("password copies", "ok", f"{seen}ended")
        return
    why = f"after more than {oldest} days" if running else "although the campaign is not running"
    seen = f"a copy of the password may still be beside {noted.file.name} on an access point {why}"
    fix = (
        f"there: condor_rm the workers and rm password, if you no longer need them; here: {rotate}"
    )
    yield Finding("password copies", "warning", seen, fix, ErrorCode.SECRET_LEFT)


def _copy_here(copy: Path, password: Path, rotate: str) -> Finding:
    """A copy of the password next to the submit file on this machine."""
    quoted = shlex.quote(str(copy))
    try:
        mode = stat.S_IMODE(copy.stat().st_mode)
        same = copy.read_bytes() == password.read_bytes()
    except OSError:
        mode, same = 0, False
    if mode & 0o077:
        seen = f"{copy} has mode {mode:04o}: others can read or change it"
        return Finding(
            "password copy", "wrong", seen, f"rm {quoted}; {rotate}", ErrorCode.SECRET_EXPOSED
        )
    what = "the workers' password" if same else "a former password"
    seen = f"{copy} is a copy of {what}, which is left behind when the workers end"
    fix = f"rm {quoted}, when the workers have ended" + (f"; then {rotate}" if same else "")
    return Finding("password copy", "warning", seen, fix, ErrorCode.SECRET_LEFT)


CHECKS = (
    Check("access point", here),
    Check("the OSPool's rules", rules),
    Check("OSDF names", osdf_names),
    Check("password copies", secrets_left),
)
