"""HTCondor and SLURM: their commands, their queue, and what a site forbids."""

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
from wqmaster.factory.sizes import worker_size
from wqmaster.system.programs import Said, ask

_GET_CONDOR = (
    "apt install condor (Debian), or log in to your access point (OSG: ap40.uw.osg-htc.org)"
)
_GET_SLURM = "apt install slurm-client (Debian), or log in to the cluster's login node"
# What the factories write of each worker's job that a site may forbid: `getenv` is fixed in them.
_SUBMIT = """\
universe = vanilla
executable = /bin/true
getenv = true
{lines}
queue 1
"""
# A job of a factory names its worker in command or arguments.
_WORKER = re.compile(r"work_queue_worker|vine_worker|condor\.sh|worker\.sh")
_MAX_SHOWN_JOBS = 3
# Seconds that a queue may take, which has much to do.
_QUEUE_TIMEOUT_SECONDS = 6.0


def _has(case: Case, *names: str) -> list[str]:
    """Those of the programs that are not there."""
    return [name for name in names if shutil.which(name, path=case.environ.get("PATH")) is None]


def pool_is_here(case: Case) -> bool:
    """Whether HTCondor's pool is of this machine alone."""
    if _has(case, "condor_config_val"):
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
    """The access point: its queue, what it forbids, and jobs of ours that are held."""
    workers = case.workers
    if workers is not None and not isinstance(workers, CondorWorkers):
        return
    missing = _has(case, *Condor.commands)
    if missing:
        seen = f"{', '.join(missing)} not on the PATH"
        if workers is not None:
            yield Finding(
                "HTCondor", "wrong", seen, _GET_CONDOR, code=ErrorCode.BATCH_SYSTEM_FAILED
            )
        else:
            yield Finding("HTCondor", "ok", f"{seen} (needed for 'workers: condor' alone)")
        return
    version = ask(["condor_version"], case.environ, seconds=2.0).text
    found = re.search(r"CondorVersion: ([0-9.]+)", version)
    told = f"HTCondor {found[1]}" if found else "HTCondor of an unknown version"
    held = ask(
        [
            *("condor_q", "-constraint", "JobStatus == 5", "-json"),
            *("-attributes", "ClusterId,ProcId,Cmd,Args,Arguments,HoldReason"),
        ],
        case.environ,
        seconds=_QUEUE_TIMEOUT_SECONDS,
    )
    if held.code != 0:
        seen = f"{told}, whose queue does not answer: {_why(held)}"
        fix = "condor_q; systemctl start condor, or export CONDOR_CONFIG=FILE of your pool"
        yield Finding(
            "HTCondor",
            "wrong" if workers is not None else "warning",
            seen,
            fix,
            code=ErrorCode.BATCH_SYSTEM_FAILED,
        )
        return
    yield Finding("HTCondor", "ok", f"{told}, whose queue answers")
    yield from _held(held.text)
    if case.campaign is not None and workers is not None:
        yield _submits(case, case.campaign, workers)
        yield from _requirements(case, workers)


def _why(said: Said) -> str:
    """Why the queue does not answer, of the many lines that condor_q has for it."""
    if said.code is None:
        return "no answer in time"
    text = " ".join(said.text.replace("Error: (null)", "").replace("Extra Info:", "").split())
    if "condor_schedd is not running" in text:
        return "no condor_schedd can be found from here"
    return text[:300] or "it said nothing"


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
    seen = (
        f"{len(ours)} jobs of workers are held ({listed}{more}), and a factory counts them as if "
        f"they ran; the first one since: {ours[0].get('HoldReason')}"
    )
    # Of a thousand names a command line has no room.
    fix = f"condor_rm {' '.join(names)}" if len(names) <= 20 else "condor_q -held; condor_rm JOB..."
    yield Finding("held workers", "warning", seen, fix, code=ErrorCode.WORKERS_HELD)


def _submits(case: Case, campaign: Campaign, workers: CondorWorkers) -> Finding:
    """Whether condor_submit takes a job as the factory writes it; nothing is submitted."""
    subject = "condor_submit"
    lines = Condor().submit_lines(workers, "doctor", campaign.campaign)
    lines += [f"requirements = ({workers.requirements})"] if workers.requirements else []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "worker.submit"
        file.write_text(_SUBMIT.format(lines="\n".join(lines)))
        words = ["condor_submit", "-dry-run", "-", str(file)]
        said = ask(words, case.environ, folder=Path(folder))
    if said.code == 0:
        return Finding(subject, "ok", "takes the job of a worker (tried, not submitted)")
    reason = " ".join(part for part in said.text.split("ERROR:")[-1].split() if part)[:300]
    fix = (
        "'workers: {requirements: ..., options: ...}' in the campaign file, or the site has to "
        "change it; to try: condor_submit -dry-run - FILE"
    )
    if "getenv" in reason.lower():
        reason += "; the factories of ndcctools write 'getenv = true' in each job"
        fix = (
            "ask the site for SUBMIT_ALLOW_GETENV = true, or submit workers by hand "
            "('workers: none', condor_submit of your own)"
        )
    return Finding(
        subject,
        "wrong",
        f"refuses the job of a worker: {reason}",
        fix,
        code=ErrorCode.BATCH_JOB_REFUSED,
    )


def _requirements(case: Case, workers: CondorWorkers) -> Iterator[Finding]:
    """What the queue itself demands of a job (SUBMIT_REQUIREMENT_NAMES), which no dry run tries."""
    if os.getuid() == 0:
        # It refuses root, but for a pool that was told which user HTCondor is.
        ids = ask(["condor_config_val", "CONDOR_IDS"], case.environ, errors="dropped")
        if ids.code != 0 and "CONDOR_IDS" not in case.environ:
            seen = "HTCondor takes no jobs of root, and you are root"
            yield Finding(
                "HTCondor user",
                "warning",
                seen,
                "su - YOU, then wqmaster doctor",
                code=ErrorCode.BATCH_USER_UNSUITABLE,
            )
    names = ask(
        ["condor_config_val", "-schedd", "SUBMIT_REQUIREMENT_NAMES"], case.environ, errors="dropped"
    )
    words = names.text.replace(",", " ").split() if names.code == 0 else []
    if "Not defined" in names.text or not words:
        if names.code != 0:
            seen = "what the queue demands of jobs could not be read: it tells strangers nothing"
            yield Finding(
                "queue's demands",
                "warning",
                seen,
                "condor_submit one job, and see",
                code=ErrorCode.BATCH_DEMANDS,
            )
        return
    concerned = []
    for name in words[:20]:
        said = ask(
            ["condor_config_val", "-schedd", f"SUBMIT_REQUIREMENT_{name}"],
            case.environ,
            errors="dropped",
        )
        demand = said.text.strip()
        environment = re.search(r"\bEnv(ironment)?\b", demand, re.IGNORECASE)
        if environment or ("projectname" in demand.lower() and not workers.project):
            concerned.append(f"{name}: {demand[:150]}")
    if concerned:
        seen = f"the queue may refuse workers by its demands: {'; '.join(concerned)}"
        fix = (
            "'workers: {project: NAME}' if it is of ProjectName; if it is of the environment, ask "
            "the site: the factories write 'getenv = true'"
        )
        yield Finding("queue's demands", "warning", seen, fix, code=ErrorCode.BATCH_DEMANDS)
    else:
        yield Finding("queue's demands", "ok", f"{len(words)}, none about workers' jobs")


def slurm(case: Case) -> Iterator[Finding]:
    """The cluster: whether it answers, and takes a job of partition and account."""
    workers = case.workers
    if workers is not None and not isinstance(workers, SlurmWorkers):
        return
    missing = _has(case, "sinfo", *Slurm.commands)
    if missing:
        seen = f"{', '.join(missing)} not on the PATH"
        if workers is not None:
            yield Finding("SLURM", "wrong", seen, _GET_SLURM, code=ErrorCode.BATCH_SYSTEM_FAILED)
        else:
            yield Finding("SLURM", "ok", f"{seen} (needed for 'workers: slurm' alone)")
        return
    said = ask(["sinfo", "--noheader", "--format", "%R|%a|%D|%T"], case.environ)
    if said.code != 0:
        reason = said.last
        fix = "sinfo; scontrol ping; export SLURM_CONF=FILE of your cluster"
        state: State = "wrong" if workers is not None else "warning"
        yield Finding(
            "SLURM",
            state,
            f"the cluster does not answer: {reason}",
            fix,
            code=ErrorCode.BATCH_SYSTEM_FAILED,
        )
        return
    rows = [line.split("|") for line in said.text.splitlines() if line.count("|") == 3]
    partitions = list(dict.fromkeys(row[0] for row in rows))
    nodes = sum(int(row[2]) for row in rows if row[2].isdigit())
    seen = f"answers: {nodes} nodes in partitions {', '.join(partitions) or '(none)'}"
    yield Finding("SLURM", "ok", seen)
    if case.campaign is not None and workers is not None:
        yield _scheduled(case, case.campaign, workers)


def _scheduled(case: Case, campaign: Campaign, workers: SlurmWorkers) -> Finding:
    """Whether sbatch would take a worker's job; nothing is submitted."""
    words = ["sbatch", "--test-only", "--wrap", "true", "--output", os.devnull]
    # As the factory asks, in its order: of two alike, sbatch takes the last.
    size = worker_size(campaign)
    words += [f"--cpus-per-task={size.cores}", f"--mem={size.memory}M"]
    words += shlex.split(Slurm().batch_options(workers, "doctor", campaign.campaign))
    said = ask(words, case.environ)
    if said.code == 0:
        return Finding("sbatch", "ok", "takes the job of a worker (tried, not submitted)")
    reason = said.last
    fix = "sinfo; 'workers: {partition: ..., project: ACCOUNT, cores: ...}' in the campaign file"
    return Finding(
        "sbatch",
        "wrong",
        f"refuses the job of a worker: {reason}",
        fix,
        code=ErrorCode.BATCH_JOB_REFUSED,
    )


CHECKS = (Check("HTCondor", condor), Check("SLURM", slurm))
