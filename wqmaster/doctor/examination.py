"""Run the checks of `wqmaster doctor`.

A check is a generator of findings. All checks run at the same time, each in a separate thread. A
check that raises or hangs is reported as a finding, and does not delay the others.
"""

import os
import shlex
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from wqmaster.campaign.loading import load
from wqmaster.campaign.service import SERVICE_FILE, load_service
from wqmaster.doctor import (
    batch,
    calculation,
    database,
    folder,
    machine,
    ndcctools,
    network,
    ospool,
    reports,
    worker_sent,
)
from wqmaster.doctor.finding import Case, Check, Finding
from wqmaster.engines import choosing
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError, EngineError, WqmasterError
from wqmaster.recipe.resolving import resolve
from wqmaster.run.service.folder import in_folder
from wqmaster.system import programs
from wqmaster.system.this_command import this_command

# How long all checks together can take, and how long the import of the user's modules can take
# before them.
CHECKS_TIMEOUT_SECONDS = 11.0
_RESOLVING_TIMEOUT_SECONDS = 4.0

CHECKS: tuple[Check, ...] = (
    *machine.CHECKS,
    *ndcctools.CHECKS,
    *worker_sent.CHECKS,
    *calculation.CHECKS,
    *folder.CHECKS,
    *database.CHECKS,
    *network.CHECKS,
    *batch.CHECKS,
    *ospool.CHECKS,
    *reports.CHECKS,
)


def examine(path: Path | None, environ: Mapping[str, str]) -> tuple[list[Finding], int]:
    """The findings about this machine and the campaign file `path`, and the exit code.

    The exit code is 0 if nothing is wrong, 2 if the campaign file is wrong, and 3 if something else
    is wrong.
    """
    file: list[Finding] = []
    case = Case(environ)
    broken = False
    if path is not None:
        case, file, broken = _opened(path, environ)
    findings = [*file, *_all(case, CHECKS, CHECKS_TIMEOUT_SECONDS)]
    findings = [finding.hiding(case.secrets) for finding in findings]
    wrong = any(finding.state == "wrong" for finding in findings)
    # The address is in the campaign file.
    broken |= any(finding.code is ErrorCode.DATABASE_ADDRESS_INVALID for finding in findings)
    return findings, 2 if broken else 3 if wrong else 0


def _opened(path: Path, environ: Mapping[str, str]) -> tuple[Case, list[Finding], bool]:
    """The case for a campaign file, the findings about the file, and whether the file is wrong."""
    again = f"{this_command()} check {shlex.quote(str(path))}"
    try:
        loaded = load(path, environ)
    except CampaignError as error:
        return Case(environ), [_not_loaded(path, environ, error)], True
    children = {name: value for name, value in environ.items() if name not in loaded.variables}
    case = Case(children, loaded)
    found: list[Case] = []

    def resolved(_: Case) -> "list[Finding]":
        recipe = resolve(loaded)
        found.append(Case(children, recipe.loaded, recipe))
        name = recipe.loaded.campaign.campaign
        seen = f"{name}: {path} is valid (recipe {recipe.hash})"
        return [Finding("campaign", "ok", seen)]

    broken = threading.Event()

    def look(case: Case) -> "list[Finding]":
        try:
            return resolved(case)
        except WqmasterError as error:
            broken.set()
            fix = f"correct the file, then: {again}"
            return [Finding("campaign", "wrong", error.message, fix, error.code)]

    file = _all(
        case, (Check("campaign", lambda case: iter(look(case))),), _RESOLVING_TIMEOUT_SECONDS
    )
    case = found[0] if found else case
    try:
        engine, why = choosing.choose(loaded.campaign)
        case = Case(case.environ, case.loaded, case.recipe, engine)
        file.append(Finding("engine", "ok", f"{engine}: {why}"))
    except EngineError as error:
        seen = error.message.removesuffix(f"; {choosing.INSTALL_ADVICE}")
        file.append(Finding("engine", "wrong", seen, choosing.INSTALL_ADVICE, error.code))
    return case, file, broken.is_set()


def _not_loaded(path: Path, environ: Mapping[str, str], error: CampaignError) -> Finding:
    """The finding about a path that is not a valid campaign file; a service has several of these.

    `error` is that of loading the path.
    """
    is_service = path.name == SERVICE_FILE
    inside = next(iter(in_folder(path.parent if is_service else path)()), None)
    doctor = f"{this_command()} doctor {'CAMPAIGN' if inside is None else shlex.quote(str(inside))}"
    fix = doctor
    if is_service and path.is_file():
        try:
            load_service(path, environ)
        except CampaignError as wrong:
            error, fix = wrong, f"correct the file, then: {doctor}"
    elif error.code is not ErrorCode.CAMPAIGN_NOT_FOUND:
        fix = f"correct the file, then: {this_command()} check {shlex.quote(str(path))}"
    elif inside is None:
        fix = f"give the path of a campaign file: {doctor}"
    return Finding("campaign", "wrong", error.message, fix, error.code)


def _all(case: Case, checks: tuple[Check, ...], seconds: float) -> list[Finding]:
    """The findings of `checks`, in their order, after at most `seconds`."""
    found: list[list[Finding]] = [[] for _ in checks]

    def look(check: Check, into: list[Finding]) -> None:
        try:
            for finding in check.look(case):
                into.append(finding)
        except Exception as error:  # a failed check is a finding too
            reason = f"the check failed: {error or type(error).__name__}"
            into.append(_unchecked(case, check, reason))

    threads = [
        # A thread that hangs must not keep the process from ending.
        threading.Thread(target=look, args=(check, into), daemon=True)
        for check, into in zip(checks, found, strict=True)
    ]
    for check, thread, into in zip(checks, threads, found, strict=True):
        try:
            thread.start()
        except RuntimeError as error:  # too many threads
            reason = f"the check failed: {error}; see: ulimit -u"
            into.append(_unchecked(case, check, reason))
    deadline = time.monotonic() + seconds
    try:
        for check, thread, into in zip(checks, threads, found, strict=True):
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                reason = f"the check did not finish within {seconds:g} s"
                into.append(_unchecked(case, check, reason))
        return [finding for part in found for finding in list(part)]
    finally:
        programs.end_all([thread for thread in threads if thread.is_alive()])


def _unchecked(case: Case, check: Check, reason: str) -> Finding:
    again = f"{this_command()} doctor"
    if case.loaded:
        again += f" {case.loaded.typed}"
    fix = f"check it by hand, then: {again}"
    return Finding(check.subject, "warning", reason, fix, ErrorCode.CHECK_INCOMPLETE)


def default_campaign() -> Path | None:
    """./campaign.yaml if it exists, even as a broken link; otherwise None."""
    path = Path("campaign.yaml")
    return path if os.path.lexists(path) else None
