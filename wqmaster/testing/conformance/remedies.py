"""Check that a job can be built with each remedy, and that a remedy with settings changes it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from wqmaster.errors import WqmasterError
from wqmaster.jobs.job import Job
from wqmaster.tasks.base import Rung, StepRequest, Traits, traits_of
from wqmaster.tasks.program import Program
from wqmaster.testing.conformance.building import step_of
from wqmaster.testing.conformance.calls import Fault, built
from wqmaster.testing.conformance.sample import Sample

# With a single core, a remedy that reduces the number of processes would change nothing.
_CORES = 4


def faults(program: Program, samples: Sequence[Sample]) -> Iterator[str]:
    """Yield what is wrong with the remedies that the samples' task functions have.

    A program's task functions can share ladders in which a rung serves only one of them, so a rung
    must change the job of at least one sample.
    """
    idle: dict[str, bool] = {}  # rung -> whether it has changed no job yet
    blind: dict[str, bool] = {}  # rung -> whether rescued files have changed no job yet
    reported: set[str] = set()
    for sample in samples:
        traits = traits_of(sample.function)
        try:
            step = step_of(program, sample)
        except (ValueError, WqmasterError):
            continue  # `building` reports it
        if not isinstance(built(sample, sample.molecule, step), Job):
            continue
        found = [*_declarations(traits)]
        for rung in _rungs(traits):
            reason = _broken(sample, step, rung)
            if reason is not None:
                found.append(reason)
            elif _has_settings(rung):
                idle[rung.name] = idle.get(rung.name, True) and not _changes(sample, step, rung)
        for rung in traits.ladders.get(sample.failure, ()) if sample.failure is not None else ():
            uses = _uses_rescued(sample, step, rung) if rung.restart else None
            if uses is not None:
                blind[rung.name] = blind.get(rung.name, True) and not uses
        yield from (fault for fault in found if fault not in reported)
        reported |= set(found)
    for name, is_idle in idle.items():
        if is_idle:
            yield f"the remedy {name} changes nothing in the job of any sample"
    for name, is_blind in blind.items():
        if is_blind:
            yield (
                f"the remedy {name} declares `restart`, but the files of a failed attempt do not "
                "change its job; build it from step.rescued"
            )


def _declarations(traits: Traits) -> Iterator[str]:
    named: dict[str, Rung] = {}
    for rung in (rung for ladder in traits.ladders.values() for rung in ladder):
        if not isinstance(rung, traits.rung):
            yield (
                f"the remedy {rung.name} is a {type(rung).__name__}, but the task function expects "
                f"{traits.rung.__name__}; write @task(rung={type(rung).__name__})"
            )
        if named.setdefault(rung.name, rung) != rung:
            yield f"two different remedies are named {rung.name}"


def _rungs(traits: Traits) -> Iterator[Rung]:
    """Yield the rungs of all ladders, and the rung `disk_2x`, which every program has."""
    yield from (rung for ladder in traits.ladders.values() for rung in ladder)
    yield traits.rung(name="disk_2x", disk=2)


def _has_settings(rung: Rung) -> bool:
    """Whether a rung changes settings of the program, apart from factors and `restart`."""
    fields = type(rung).model_fields
    own = fields.keys() - Rung.model_fields.keys()
    return any(getattr(rung, name) != fields[name].get_default() for name in own)


def _broken(sample: Sample, step: StepRequest, rung: Rung) -> str | None:
    job = built(sample, sample.molecule, replace(step, remedies=(rung,)))
    if isinstance(job, Job):
        return None
    reason = job.reason if isinstance(job, Fault) else f"it refuses the molecule: {job.message}"
    return f"{reason} (with the remedy {rung.name})"


def _uses_rescued(sample: Sample, step: StepRequest, rung: Rung) -> bool | None:
    """Whether the job uses the files of the failed sample; None if that cannot be determined.

    It can be if the sample has a file, besides stdout and stderr, that the job returns.
    """
    fresh = built(sample, sample.molecule, replace(step, remedies=(rung,)))
    if not isinstance(fresh, Job):
        return None  # already reported
    (one,) = fresh.steps
    back = {*one.outputs, *one.rescue}
    if not back & sample.files.keys():
        return None
    rescued = {
        name: content
        for name, content in sample.files.items()
        if name in back or name in ("stdout", "stderr")
    }
    begun = built(sample, sample.molecule, replace(step, remedies=(rung,), rescued=rescued))
    return bool(_content(begun) != _content(fresh))


def _changes(sample: Sample, step: StepRequest, rung: Rung) -> bool:
    several = replace(sample.software, cores=_CORES)
    return any(
        _content(built(sample, sample.molecule, step, software=software))
        != _content(
            built(sample, sample.molecule, replace(step, remedies=(rung,)), software=software)
        )
        for software in (sample.software, several)
    )


def _content(job: Any) -> Any:
    """The files, command lines and environments of a job, which determine its result."""
    if not isinstance(job, Job):
        return None
    return job.files, [(step.argv, dict(step.environment)) for step in job.steps]
