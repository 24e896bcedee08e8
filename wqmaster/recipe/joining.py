"""Join the jobs of the task functions of a chain into one job.

Each function builds a job for its own steps. Their executions run in the order of the campaign, in
one sandbox. A step with `geometry: STEP` finds that step's final geometry in the file STEP.xyz.
Pure functions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from wqmaster.jobs.job import Execution, Input, Job

_Kept = TypeVar("_Kept", bytes, Input)


class FilesCollide(TypeError):
    """Two task functions of a chain send different files by the same name."""


def joined(jobs: Sequence[Job], order: Sequence[str]) -> Job:
    """One job with the steps of all `jobs`, in the `order` of their names.

    Raises:
        FilesCollide: two jobs send different files by the same name.
    """
    if len(jobs) == 1:
        return jobs[0]
    files: dict[str, bytes] = {}
    inputs: dict[str, Input] = {}
    for job in jobs:
        for name, content in job.files.items():
            _add(files, name, content)
        for shared in job.inputs:
            _add(inputs, shared.name, shared)
    steps = {step.name: step for job in jobs for step in job.steps}
    return Job(
        tuple(steps[name] for name in order),
        files,
        tuple(inputs.values()),
        tuple(dict.fromkeys(supply for job in jobs for supply in job.supplies)),
    )


def _add(found: dict[str, _Kept], name: str, item: _Kept) -> None:
    if found.setdefault(name, item) != item:
        raise FilesCollide(
            f"two task functions of the chain send different files named '{name}'; rename one"
        )


def with_geometries(job: Job, final: Mapping[str, str]) -> Job:
    """`job` with copies of final geometries as STEP.xyz, made when the next step begins.

    `final` maps each step that another one starts from to its file with the final geometry.
    """
    if not final:
        return job
    files = dict(job.files)
    steps: list[Execution] = []
    replaced: set[str] = set()  # files of the job that copies have replaced
    for before, step in zip((None, *job.steps), job.steps, strict=False):
        copies = list(step.copy)
        passed = final.get(step.name)
        if passed is not None:
            # The file is returned so that it can be compared with the document, and an earlier
            # step's file of this name is removed first.
            step = replace(
                step,
                outputs=tuple(dict.fromkeys((*step.outputs, passed))),
                rescue=tuple(name for name in step.rescue if name != passed),
            )
        if before is not None and before.name in final:
            copies.insert(0, (final[before.name], f"{before.name}.xyz"))
        made = {new for _, new in copies}
        # A step that starts from the document's geometry must find the file as it was sent.
        for name in sorted(replaced - made):
            files[_original(name)] = job.files[name]
            copies.append((_original(name), name))
        replaced = (replaced | made) & job.files.keys()
        steps.append(replace(step, copy=tuple(copies)))
    return replace(job, steps=tuple(steps), files=files)


def _original(name: str) -> str:
    return f"original.{name}"
