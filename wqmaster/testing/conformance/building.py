"""Check task functions: where a document's values appear in a job, and what the job returns."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from wqmaster.errors import BadDocument, WqmasterError
from wqmaster.jobs.job import Job
from wqmaster.jobs.molecule import SYMBOLS, Molecule
from wqmaster.tasks import stages
from wqmaster.tasks.base import StepRequest, Traits, traits_of
from wqmaster.tasks.calling import BrokenTrait, called, file_lack, left, listed
from wqmaster.tasks.leaves import Remark
from wqmaster.tasks.program import Program
from wqmaster.testing.conformance.calls import Fault, built, file_of
from wqmaster.testing.conformance.sample import Sample

# A text that must not reach a command line.
_HOSTILE = "$(touch x); `id` \"' {} %s \n"
_STREAMS = frozenset({"stdout", "stderr"})
# A file that none of the program's parsers reads. `keep_files` or a user's parser can request any
# file.
_FURTHER_FILE = "further.dat"
# The difference in atomic number between an element in the second period and the one below it. Both
# have the same number of unpaired electrons.
_NEXT_PERIOD = 8


def step_of(program: Program, sample: Sample) -> StepRequest:
    """The sample's step, as the task function receives it.

    Raises:
        ValueError: the sample's options, or a step with them, are refused.
        WqmasterError: the files that the step's jobs share cannot be made.
    """
    traits = traits_of(sample.function)
    options = traits.options.model_validate(dict(sample.options))
    parsers = program.own_parsers() if program.lacks() is None else {}
    read = {file_of(parsers[name]) for name in sample.values if name in parsers}
    request = StepRequest("one", options, frozenset(read | {"stdout", _FURTHER_FILE}))
    step = stages.loaded(traits, request, sample.software)
    if sample.software.cache is not None:
        step = stages.prepared(traits, step, sample.software)
    if traits.check is not None:
        called(traits, "check", [step], sample.software)
    return step


def faults(program: Program, sample: Sample) -> Iterator[str]:
    """Yield the faults of the sample's task function."""
    traits, name = traits_of(sample.function), sample.function_name
    if traits.program != program and traits.program != program.name:
        yield f"{name} is not marked with this program: @task(program=...)"
    try:
        step = step_of(program, sample)
    except BrokenTrait as error:
        yield f"{name}: {error}"
        return
    except (ValueError, WqmasterError) as error:
        yield f"{name} refuses the sample's options: {error}"
        return
    yield from _declared(traits, sample, step)
    yield from _inspection(traits, sample, step)
    job = built(sample, sample.molecule, step)
    if isinstance(job, BadDocument):
        # The output of a failure can come from a molecule that the function now refuses.
        if sample.failure is None:
            yield f"{name} refuses the sample's molecule: {job.message}"
        return
    if isinstance(job, Fault):
        yield job.reason
        return
    if built(sample, sample.molecule, step) != job:
        yield f"{name} builds a different job when called again for the same document"
    missing = sorted(step.files - _STREAMS - set(job.steps[0].outputs))
    if missing:
        yield (
            f"{name} does not return {', '.join(missing)}; all of step.files, which parsers and "
            "keep_files read, must be among the outputs"
        )
    yield from _continued(name, job)
    yield from _leaks(sample, step, job)
    two = built(sample, sample.molecule, step, replace(step, name="two"))
    if not isinstance(two, Job):
        reason = two.reason if isinstance(two, Fault) else two.message
        yield f"{name} does not build a job with two steps: {reason}"
    else:
        yield from _continued(name, two)


def _declared(traits: Traits, sample: Sample, step: StepRequest) -> Iterator[str]:
    """Yield the faults of the traits that `wqmaster check` calls for a step."""
    calls: tuple[Callable[[], Any], ...] = (
        lambda: listed(traits, "uses", str, step.loaded),
        lambda: listed(traits, "fields", str, step.loaded),
        lambda: listed(traits, "remarks", Remark, step.options),
        lambda: [file_lack(left(traits, step.options), name) for name in step.files],
        lambda: traits.runs and listed(traits, "runs", str, step.options, sample.software),
    )
    for call in calls:
        try:
            call()
        except BrokenTrait as error:
            yield f"{sample.function_name}: {error}"


def _inspection(traits: Traits, sample: Sample, step: StepRequest) -> Iterator[str]:
    if traits.inspect is None:
        return
    try:
        called(traits, "inspect", sample.molecule, step.options)
    except BadDocument as error:
        if sample.failure is None:
            yield f"`inspect` refuses the sample's molecule: {error.message}"
    except BrokenTrait as error:
        yield f"{sample.function_name}: {error}"


def _continued(name: str, job: Job) -> Iterator[str]:
    """Check that the files from which steps continue exist and are not removed."""
    there = set(job.files)
    for step in job.steps:
        there |= {*step.outputs, *(new for _, new in step.rename)}
        for file in step.continues:
            if file not in there:
                yield (
                    f"{name}: the step {step.name} continues from {file}, which is neither a file "
                    "of the job nor an output"
                )
            if file in step.clean:
                yield (
                    f"{name}: the step {step.name} continues from {file}, but removes it first "
                    "(clean)"
                )


def _others(molecule: Molecule) -> Iterator[tuple[str, Molecule]]:
    """Yield the name of a property, and a molecule that differs from this one only in it.

    The number of electrons stays the same or changes by two or by a multiple of eight, so most of
    these molecules can be computed if this one can.
    """
    yield "_id", replace(molecule, id=_HOSTILE)
    yield "charge", replace(molecule, charge=molecule.charge + 2)
    yield "multiplicity", replace(molecule, multiplicity=molecule.multiplicity + 2)
    for field, value in molecule.document.items():
        if field != "_id" and isinstance(value, str):
            yield (
                f"field '{field}'",
                replace(molecule, document={**molecule.document, field: _HOSTILE}),
            )
    if not molecule.numbers:
        return
    moved = tuple((x + 0.123456789, y, z) for x, y, z in molecule.coordinates)
    yield "coordinates", replace(molecule, coordinates=moved)
    yield "elements", replace(molecule, numbers=tuple(map(_other_element, molecule.numbers)))
    far = max(x for x, _, _ in molecule.coordinates) + 10.0
    more = replace(
        molecule,
        numbers=(*molecule.numbers, 2),
        coordinates=(*molecule.coordinates, (far, 0.0, 0.0)),
    )
    yield "number of atoms", more


def _other_element(number: int) -> int:
    more = number + _NEXT_PERIOD
    return more if more < len(SYMBOLS) else number - _NEXT_PERIOD


def _leaks(sample: Sample, step: StepRequest, job: Job) -> Iterator[str]:
    """Yield a fault for each property of a document that appears outside the content of files."""
    name = sample.function_name
    for what, molecule in _others(sample.molecule):
        other = built(sample, molecule, step)
        if isinstance(other, BadDocument):
            continue
        if isinstance(other, Fault):
            yield (
                f"{other.reason} for another {what} of the document; if it cannot be computed, "
                "raise BadDocument"
            )
            continue
        for place, one, two in (
            ("command line", _words(job), _words(other)),
            ("environment", _environments(job), _environments(other)),
        ):
            if one != two:
                yield f"{name} puts the {what} of the document into the {place}"
        # The document may decide whether a file exists, but not which name it has.
        ours, theirs = _names(job), _names(other)
        if not (ours <= theirs or theirs <= ours):
            odd = ", ".join(sorted(map(repr, ours ^ theirs)))
            yield f"{name} puts the {what} of the document into the names of files: {odd}"


def _words(job: Job) -> list[Any]:
    return [step.argv for step in job.steps]


def _environments(job: Job) -> list[Any]:
    return [dict(step.environment) for step in job.steps]


def _names(job: Job) -> set[str]:
    """The names of all files of a job except the inputs, which belong to the campaign."""
    found = set(job.files)
    for step in job.steps:
        found |= {*step.outputs, *step.continues, *step.clean, *step.rescue}
        found |= {name for pair in step.rename for name in pair}
    return found
