"""Pack jobs into a task's inputs.tar; `Archive` reads their outcomes from its outputs.tar."""

import io
import shlex
import tarfile
from collections.abc import Mapping, Sequence

from wqmaster.jobs.archive import Archive
from wqmaster.jobs.job import SOFTWARE, SOFTWARE_SCRIPT, Execution, Job, Supply

__all__ = ["Archive", "job_script", "pack"]


def _use(program: str, supplies: Mapping[str, Supply]) -> str:
    """The shell command that makes `program` ready: a call of `use` in software.sh."""
    key, _, command = program.removeprefix(SOFTWARE).partition("/")
    if key not in supplies or not command:
        raise ValueError(f"'{program}' belongs to none of the job's supplies")
    supply = supplies[key]
    source = supply.key if supply.kind == "archive" else supply.source
    return shlex.join(["use", key, supply.kind, source, supply.sha256, command])


def _line(step: Execution, removed: Sequence[str], supplies: Mapping[str, Supply]) -> str:
    outputs = [*step.outputs, *(f"+{name}" for name in step.rescue if name not in step.outputs)]
    first = [
        *(f"{old}:{new}" for old, new in step.copy),
        *(f"{old}={new}" for old, new in step.rename),
        *removed,
    ]
    words = ["step", step.name, " ".join(outputs), " ".join(first)]
    if step.environment:
        words.append("env")
        words += [f"{name}={value}" for name, value in sorted(step.environment.items())]
    program, *arguments = step.argv
    if not program.startswith(SOFTWARE):
        return shlex.join([*words, *step.argv])
    called = f'{shlex.join(words)} "$program" {shlex.join(arguments)}'.rstrip()
    return f"{_use(program, supplies)} && {called}"


def job_script(job: Job, number: int = 0) -> str:
    """The part of jobs.sh for a job: calls of the runner's `step`, which end at the first failure.

    The job runs in the folder of its last step.
    """
    supplies = {supply.key: supply for supply in job.supplies}
    calls = [
        _line(step, job.removed_before(position), supplies)
        for position, step in enumerate(job.steps)
    ]
    source = f'[ -n "${{software-}}" ] || . "$top/shared/{SOFTWARE_SCRIPT}"\n' if supplies else ""
    return f"job {number} {job.steps[-1].name}\n{source}" + " &&\n".join(calls) + "\n"


def pack(jobs: Sequence[Job], most_bytes: int | None = None) -> bytes:
    """The content of inputs.tar: jobs.sh, and a folder JOB.STEP for each step of each job.

    Jobs are numbered from 0 in the order of `jobs`, and the folder of the last step has the job's
    files. The folder `shared`, with the shared inputs, is beside these folders. Of a standard
    output that is longer than `most_bytes`, only the beginning and the end come back; None: the
    runner's default.
    """
    bound = "" if most_bytes is None else f"bound={most_bytes}\n"
    script = bound + "".join(job_script(job, number) for number, job in enumerate(jobs))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, "jobs.sh", script.encode())
        for number, job in enumerate(jobs):
            for step in job.steps:
                folder = tarfile.TarInfo(f"{number}.{step.name}")
                folder.type, folder.mode = tarfile.DIRTYPE, 0o700
                tar.addfile(folder)
            for name, content in job.files.items():
                _add(tar, f"{number}.{job.steps[-1].name}/{name}", content)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o600
    tar.addfile(member, io.BytesIO(content))
