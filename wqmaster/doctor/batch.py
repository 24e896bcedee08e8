"""Checks of HTCondor and SLURM: their commands, their queues and the rules of the site."""

import ipaddress
import json
import os
import re
import shlex
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wqmaster.campaign.models import Campaign
from wqmaster.campaign.workers import CondorWorkers, SlurmWorkers
from wqmaster.doctor.finding import Case, Check, Finding, State
from wqmaster.error_codes import ErrorCode
from wqmaster.factory.batch.condor import Condor
from wqmaster.factory.batch.slurm import Slurm
from wqmaster.factory.commands import no_schedd
from wqmaster.factory.sizes import worker_size
from wqmaster.system.programs import Said, ask
from wqmaster.system.this_command import this_command

_GET_CONDOR = (
    "apt install condor (Debian), or run on your pool's submit host; for the OSPool, write a "
    "submit file here ('wqmaster factory CAMPAIGN --submit-file'), for your access point"
)
_GET_SLURM = "apt install slurm-client (Debian), or log in to the cluster's login node"
# The lines of a worker's job that a site can forbid. The factories always write `getenv = true`.
_SUBMIT = """\
universe = vanilla
executable = /bin/true
getenv = true
{lines}
queue 1
"""
# A factory's job names its worker program in the command or the arguments.
_WORKER = re.compile(r"work_queue_worker|vine_worker|condor\.sh|worker\.sh")
_MAX_SHOWN_JOBS = 3
# How long a busy queue can take to respond.
_QUEUE_TIMEOUT_SECONDS = 6.0


def _missing(case: Case, *names: str) -> list[str]:
    """The programs among `names` that are not on the PATH."""
    return [name for name in names if shutil.which(name, path=case.environ.get("PATH")) is None]


def pool_is_here(case: Case) -> bool:
    """Whether the HTCondor pool consists of this machine alone; False if that is unknown."""
    if _missing(case, "condor_config_val"):
        return False
    said = ask(["condor_config_val", "COLLECTOR_HOST"], case.environ, errors="dropped")
    host = said.text.strip().partition(":")[0].strip("[]")
    if said.code != 0 or not host:
        return False
    try:
        addresses = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
        return all(ipaddress.ip_address(entry).is_loopback for entry in addresses)
    except (OSError, ValueError):
        return False


def condor(case: Case) -> Iterator[Finding]:
    """Check the HTCondor access point: its queue, its rules, and workers on hold."""
    workers = case.workers
    if case.starts_no_workers or (workers is not None and not isinstance(workers, CondorWorkers)):
        return
    missing = _missing(case, *Condor.commands)
    if missing:
        seen = f"{', '.join(missing)} not on the PATH"
        if workers is not None:
            # A master need not be where its workers are submitted.
            state: State = "wrong" if workers.managed else "warning"
            yield Finding("HTCondor", state, seen, _GET_CONDOR, ErrorCode.BATCH_SYSTEM_FAILED)
        else:
            yield Finding("HTCondor", "ok", f"{seen} (only 'workers: condor' needs it)")
        return
    version = ask(["condor_version"], case.environ, seconds=2.0).text
    found = re.search(r"CondorVersion: ([0-9.]+)", version)
    name = f"HTCondor {found[1]}" if found else "HTCondor (unknown version)"
    held = ask(
        [
            *("condor_q", "-constraint", "JobStatus == 5", "-json"),
            *("-attributes", "ClusterId,ProcId,Cmd,Args,Arguments,HoldReason"),
        ],
        case.environ,
        seconds=_QUEUE_TIMEOUT_SECONDS,
    )
    if held.code != 0:
        seen = f"the queue of {name} does not respond: {_why(held)}"
        fix = (
            "condor_q; systemctl start condor, or export CONDOR_CONFIG=FILE, your pool's "
            "configuration file"
        )
        yield Finding(
            "HTCondor",
            "wrong" if workers is not None else "warning",
            seen,
            fix,
            code=ErrorCode.BATCH_SYSTEM_FAILED,
        )
        return
    yield Finding("HTCondor", "ok", f"the queue of {name} responds")
    yield from _held(held.text)
    if case.campaign is not None and workers is not None:
        yield _submits(case, case.campaign, workers)
        yield from _requirements(case, workers)


def _why(said: Said) -> str:
    """Why the queue does not respond, in one line instead of the many that condor_q prints."""
    if said.code is None:
        return "no answer in time"
    text = " ".join(said.text.replace("Error: (null)", "").replace("Extra Info:", "").split())
    return no_schedd(text) or text[:300] or "no error message"


def _held(text: str) -> Iterator[Finding]:
    try:
        jobs: list[dict[str, Any]] = json.loads(text) if text.strip() else []
    except ValueError:
        return
    ours = [
        job
        for job in jobs
        if _WORKER.search(" ".join(str(job.get(key)) for key in ("Cmd", "Args", "Arguments")))
    ]
    if not ours:
        yield Finding("held workers", "ok", "none")
        return
    names = [f"{job.get('ClusterId')}.{job.get('ProcId')}" for job in ours]
    more = ", ..." if len(names) > _MAX_SHOWN_JOBS else ""
    listed = ", ".join(names[:_MAX_SHOWN_JOBS])
    what = "1 worker job is held" if len(ours) == 1 else f"{len(ours)} worker jobs are held"
    seen = (
        f"{what} ({listed}{more}), but a factory counts such jobs as running; reason of the first: "
        f"{ours[0].get('HoldReason')}"
    )
    # A command with a thousand names would be too long.
    fix = f"condor_rm {' '.join(names)}" if len(names) <= 20 else "condor_q -held; condor_rm JOB..."
    yield Finding("held workers", "warning", seen, fix, code=ErrorCode.WORKERS_HELD)


def _submits(case: Case, campaign: Campaign, workers: CondorWorkers) -> Finding:
    """Check with a dry run whether condor_submit accepts a worker's job."""
    subject = "condor_submit"
    lines = Condor().submit_lines(workers, "doctor", campaign.campaign)
    lines += [f"requirements = ({workers.requirements})"] if workers.requirements else []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "worker.submit"
        file.write_text(_SUBMIT.format(lines="\n".join(lines)))
        words = ["condor_submit", "-dry-run", "-", str(file)]
        said = ask(words, case.environ, folder=Path(folder))
    if said.code == 0:
        return Finding(subject, "ok", "accepts a worker's job (dry run)")
    reason = " ".join(part for part in said.text.split("ERROR:")[-1].split() if part)[:300]
    fix = (
        "correct 'workers: {requirements: ..., options: ...}' in the campaign file, or ask the "
        "site to change its rules; test with: condor_submit -dry-run - FILE"
    )
    if "getenv" in reason.lower():
        reason += "; the factories of ndcctools write 'getenv = true' into each job"
        fix = (
            "submit workers without a factory ('wqmaster factory CAMPAIGN --submit-file'), or ask "
            "the site to set SUBMIT_ALLOW_GETENV = true"
        )
    return Finding(
        subject,
        "wrong",
        f"refuses a worker's job: {reason}",
        fix,
        code=ErrorCode.BATCH_JOB_REFUSED,
    )


def _requirements(case: Case, workers: CondorWorkers) -> Iterator[Finding]:
    """Check the queue's requirements (SUBMIT_REQUIREMENT_NAMES), which a dry run skips."""
    if os.getuid() == 0:
        # HTCondor refuses root's jobs unless CONDOR_IDS states the user that HTCondor runs as.
        ids = ask(["condor_config_val", "CONDOR_IDS"], case.environ, errors="dropped")
        if ids.code != 0 and "CONDOR_IDS" not in case.environ:
            seen = "HTCondor accepts no jobs from root, and you are root"
            yield Finding(
                "HTCondor user",
                "warning",
                seen,
                f"su - USER, then {this_command()} doctor",
                code=ErrorCode.BATCH_USER_UNSUITABLE,
            )
    names = ask(
        ["condor_config_val", "-schedd", "SUBMIT_REQUIREMENT_NAMES"], case.environ, errors="dropped"
    )
    words = names.text.replace(",", " ").split() if names.code == 0 else []
    if "Not defined" in names.text or not words:
        if names.code != 0:
            seen = "the queue's requirements could not be read; it may hide them from this user"
            yield Finding(
                "queue requirements",
                "warning",
                seen,
                "submit a test job with condor_submit",
                code=ErrorCode.BATCH_DEMANDS,
            )
        return
    relevant = []
    for name in words[:20]:
        said = ask(
            ["condor_config_val", "-schedd", f"SUBMIT_REQUIREMENT_{name}"],
            case.environ,
            errors="dropped",
        )
        rule = said.text.strip()
        environment = re.search(r"\bEnv(ironment)?\b", rule, re.IGNORECASE)
        if environment or ("projectname" in rule.lower() and not workers.project):
            relevant.append(f"{name}: {rule[:150]}")
    if relevant:
        seen = f"the queue's requirements may exclude workers: {'; '.join(relevant)}"
        fix = (
            "for ProjectName, write 'workers: {project: NAME}'; for the environment, use "
            "'wqmaster factory CAMPAIGN --submit-file', since factories write 'getenv = true'"
        )
        yield Finding("queue requirements", "warning", seen, fix, code=ErrorCode.BATCH_DEMANDS)
    else:
        yield Finding(
            "queue requirements", "ok", f"{len(words)}, none of which concerns workers' jobs"
        )


def slurm(case: Case) -> Iterator[Finding]:
    """Check whether the SLURM cluster responds and accepts a worker's job."""
    workers = case.workers
    if case.starts_no_workers or (workers is not None and not isinstance(workers, SlurmWorkers)):
        return
    missing = _missing(case, "sinfo", *Slurm.commands)
    if missing:
        seen = f"{', '.join(missing)} not on the PATH"
        if workers is not None:
            yield Finding("SLURM", "wrong", seen, _GET_SLURM, code=ErrorCode.BATCH_SYSTEM_FAILED)
        else:
            yield Finding("SLURM", "ok", f"{seen} (only 'workers: slurm' needs it)")
        return
    said = ask(["sinfo", "--noheader", "--format", "%R|%a|%D|%T"], case.environ)
    if said.code != 0:
        reason = said.last
        fix = "sinfo; scontrol ping; export SLURM_CONF=FILE, your cluster's configuration file"
        state: State = "wrong" if workers is not None else "warning"
        yield Finding(
            "SLURM",
            state,
            f"the cluster does not respond: {reason}",
            fix,
            code=ErrorCode.BATCH_SYSTEM_FAILED,
        )
        return
    rows = [line.split("|") for line in said.text.splitlines() if line.count("|") == 3]
    partitions = list(dict.fromkeys(row[0] for row in rows))
    nodes = sum(int(row[2]) for row in rows if row[2].isdigit())
    count = "1 node" if nodes == 1 else f"{nodes} nodes"
    seen = f"responds; {count}, partitions: {', '.join(partitions) or '(none)'}"
    yield Finding("SLURM", "ok", seen)
    if case.campaign is not None and workers is not None:
        yield _scheduled(case, case.campaign, workers)


def _scheduled(case: Case, campaign: Campaign, workers: SlurmWorkers) -> Finding:
    """Check with a dry run whether sbatch accepts a worker's job."""
    words = ["sbatch", "--test-only", "--wrap", "true", "--output", os.devnull]
    # The options are in the factory's order, because sbatch uses the last of repeated options.
    size = worker_size(campaign)
    words += [f"--cpus-per-task={size.cores}", f"--mem={size.memory}M"]
    words += shlex.split(Slurm().batch_options(workers, "doctor", campaign.campaign))
    said = ask(words, case.environ)
    if said.code == 0:
        return Finding("sbatch", "ok", "accepts a worker's job (dry run)")
    reason = said.last
    fix = "sinfo; correct 'workers: {partition: ..., project: ACCOUNT, cores: ...}'"
    return Finding(
        "sbatch",
        "wrong",
        f"refuses a worker's job: {reason}",
        fix,
        code=ErrorCode.BATCH_JOB_REFUSED,
    )


CHECKS = (Check("HTCondor", condor), Check("SLURM", slurm))
