"""Whether a program keeps the contract of `docs/adding-a-program.md`: a suite for anyone's program.

from wqmaster.testing import Sample, check_program

def test_my_program_keeps_the_contract():
    check_program(PROGRAM, [Sample(count, files={"stdout": OUTPUT}, values={"energy": -1.5})])
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from wqmaster.errors import BadDocument, ParseError
from wqmaster.jobs.failures import Failure
from wqmaster.jobs.job import Asked, Job
from wqmaster.jobs.molecule import Molecule
from wqmaster.parsers.base import Output, Parser
from wqmaster.parsers.quantities import misfit
from wqmaster.recipe.judgement import not_finite, plain
from wqmaster.tasks import stages
from wqmaster.tasks.base import Build, Software, StepRequest, traits_of
from wqmaster.tasks.program import Program
from wqmaster.testing.mutation import mutated

# Places where an output is cut, and outputs that are altered, for each sample.
_MAX_CUTS = 300
_MUTATIONS = 200
# One parser on one output (README, "Parsers"): a table must not be searched again and again.
_MAX_PARSER_SECONDS = 1.0

WATER = Molecule(
    "sample",
    (8, 1, 1),
    ((0.0, 0.0, 0.1173), (0.0, 0.7572, -0.4692), (0.0, -0.7572, -0.4692)),
    document={},
)
# What must not reach a command line.
_HOSTILE_ID = "$(touch x); `id` \"' {} %s \n"


@dataclass(frozen=True)
class Sample:
    """A real output of a program, with what it holds."""

    function: Build  # the task function whose step wrote it
    files: Mapping[str, bytes]  # "stdout", and the other files that parsers read
    values: Mapping[str, Any] = field(default_factory=dict)  # by parser: what it must return
    version: str | None = None  # of the program, where it states one
    options: Mapping[str, Any] = field(default_factory=dict)  # of the step
    molecule: Molecule = WATER
    software: Software = field(default_factory=Software)


def check_program(program: Program, samples: Sequence[Sample]) -> None:
    """Check the program's declarations, and building, parsing and diagnosis with `samples`.

    Outputs are cut at many lengths and altered at random (always in the same way).

    Raises:
        AssertionError: lists all that does not keep the contract.
    """
    found = list(_declarations(program))
    if not samples:
        found.append("there is no sample: a real output is needed to check the parsers with")
    for number, sample in enumerate(samples):
        for fault in _sample_faults(program, sample):
            found.append(f"sample {number}: {fault}")
    unread = set(program.own_parsers()) - {name for sample in samples for name in sample.values}
    if samples and unread == set(program.own_parsers()):
        found.append("no sample states a value, so that no parser was held against one")
    if found:
        raise AssertionError(
            f"{program} does not keep the contract:\n" + "\n".join(f"- {one}" for one in found)
        )


def _declarations(program: Program) -> Iterator[str]:
    why = program.lacks()
    if why is not None:
        yield why
        return
    if not isinstance(program.module.VERSION, str) or not program.module.VERSION:
        yield "VERSION is a string that is not empty"
    if not program.own_parsers():
        yield f"{program.module_name} has no parser (a function marked with @reads)"
    for name, parser in program.own_parsers().items():
        if not (parser.__doc__ or "").strip():
            yield f"the parser {name} has no docstring, which says what it returns and its unit"
    output = Output({"stdout": b""})
    try:
        if program.has_own_format and program.module.diagnose(output, None, {}) is None:
            yield "diagnose takes an empty output for a result"
        if program.module.program_version(output) is not None:
            yield "program_version finds a version in an empty output"
    except Exception as error:  # anything may be raised here
        yield f"diagnose or program_version raises {error!r} for an empty output"
    for name, parser in program.own_parsers().items():
        try:
            parser(Output({}, _file_of(parser)))
        except ParseError:
            continue
        except Exception as error:  # anything may be raised here
            yield f"the parser {name} raises {error!r} where its file is missing, not a ParseError"
        else:
            yield f"the parser {name} returns a value where its file is missing"


def _sample_faults(program: Program, sample: Sample) -> Iterator[str]:
    yield from _building(program, sample)
    if program.lacks() is None:
        yield from _parsing(program, sample)
        yield from _cutting(program, sample)
        yield from _altering(program, sample)


# --- building ------------------------------------------------------------------------------------


def _building(program: Program, sample: Sample) -> Iterator[str]:
    traits = traits_of(sample.function)
    name = getattr(sample.function, "__name__", repr(sample.function))
    if traits.program != program and traits.program != program.name:
        yield f"{name} is not marked with this program: @task(program=...)"
    try:
        options = traits.options.model_validate(dict(sample.options))
    except ValueError as error:
        yield f"{name} refuses the options of the sample: {error}"
        return
    wanted = frozenset(_files_of(program, sample)) - {"stdout", "stderr"}
    try:
        step = stages.loaded(traits, StepRequest("one", options, wanted), sample.software)
        if sample.software.cache is not None:
            step = stages.prepared(traits, step, sample.software)
        if traits.check is not None:
            traits.check([step], sample.software)
    except ValueError as error:
        yield f"{name} refuses the step of the sample: {error}"
        return

    def build(molecule: Molecule, *steps: StepRequest) -> Any:
        return sample.function(molecule, list(steps), sample.software)

    job = build(sample.molecule, step)
    if not isinstance(job, Job):
        yield f"{name} returns {type(job).__name__}, not a Job"
        return
    if [one.name for one in job.steps] != ["one"]:
        yield f"{name} returns other steps than it was asked for"
        return
    if build(sample.molecule, step) != job:
        yield f"{name} builds another job for the same document"
    missing = sorted(wanted - set(job.steps[0].outputs))
    if missing:
        yield f"{name} does not return {', '.join(missing)}, which parsers read (outputs)"
    other = replace(sample.molecule, id=_HOSTILE_ID)
    if sample.molecule.numbers:
        moved = tuple((x + 0.123456789, y, z) for x, y, z in sample.molecule.coordinates)
        other = replace(other, coordinates=moved)
    try:
        if build(other, step).steps[0].argv != job.steps[0].argv:
            yield f"{name} puts something of the document into the command line"
    except BadDocument:
        pass
    two = build(sample.molecule, step, replace(step, name="two"))
    if [one.name for one in two.steps] != ["one", "two"]:
        yield f"{name} does not build a job of two steps"


def _files_of(program: Program, sample: Sample) -> set[str]:
    parsers = program.own_parsers()
    return {_file_of(parsers[name]) for name in sample.values if name in parsers}


def _file_of(parser: Parser) -> str:
    return str(parser.files[0])  # type: ignore[attr-defined]


# --- parsing -------------------------------------------------------------------------------------


def _asked(sample: Sample) -> Asked:
    molecule = sample.molecule
    return Asked(
        document=molecule.id,
        attempt=1,
        natoms=len(molecule.numbers),
        charge=molecule.charge,
        multiplicity=molecule.multiplicity,
        molecule=molecule.fingerprint,
        recipe="",
        target="",
    )


def _options(sample: Sample) -> dict[str, Any]:
    model = traits_of(sample.function).options
    try:
        return model.model_validate(dict(sample.options)).model_dump(mode="json", exclude_none=True)
    except ValueError:
        return dict(sample.options)


def _parsing(program: Program, sample: Sample) -> Iterator[str]:
    output = Output(sample.files)
    failure = program.module.diagnose(output, _asked(sample), _options(sample))
    if failure is not None:
        yield f"diagnose takes it for a failure: {failure.kind.label}: {failure.message}"
    stated = program.module.program_version(output)
    if stated != sample.version:
        yield f"program_version returns {stated!r}, and should return {sample.version!r}"
    parsers = program.own_parsers()
    for name, value in sample.values.items():
        if name not in parsers:
            yield f"there is no parser {name}"
            continue
        try:
            found = plain(parsers[name](output.beside(_file_of(parsers[name]))))
        except ParseError as error:
            yield f"the parser {name} finds nothing: {error}"
            continue
        if found != plain(value):
            yield f"the parser {name} returns {found!r:.200}, and should return {value!r:.200}"
        why = misfit(name, found, len(sample.molecule.numbers))
        if why is not None:
            yield f"the parser {name} returns another shape than that of its quantity: {why}"
        if not_finite(found, name):
            yield f"{not_finite(found, name)} is not finite"


def _cutting(program: Program, sample: Sample) -> Iterator[str]:
    """A cut output fails, or has all of its values: never a value that is shorter or wrong.

    Of plain text nobody can tell whether it is whole: a program without a format has its exit code
    alone.
    """
    parsers = program.own_parsers()
    wanted = {name: plain(value) for name, value in sample.values.items() if name in parsers}
    for file, content in sample.files.items():
        step = max(1, len(content) // _MAX_CUTS)
        for length in range(0, len(content), step):
            output = Output({**sample.files, file: content[:length]})
            failure = _diagnosed(program, output, sample)
            if isinstance(failure, str):
                yield f"{file} cut to {length} bytes: {failure}"
                return
            for name, value in wanted.items():
                found = _parsed(name, parsers[name], output)
                if isinstance(found, _Fault):
                    yield f"{file} cut to {length} bytes: {found.reason}"
                    return
                taken = failure is None and program.has_own_format
                if taken and not isinstance(found, ParseError) and found != value:
                    yield (
                        f"{file} cut to {length} bytes is taken for a result, and the parser "
                        f"{name} returns {found!r:.100} for {value!r:.100}"
                    )
                    return


def _altering(program: Program, sample: Sample) -> Iterator[str]:
    """Whatever stands in an output, a parser raises nothing but a ParseError, and in time."""
    chance = random.Random(0)  # noqa: S311  # not for secrets
    for _ in range(_MUTATIONS):
        file = chance.choice(sorted(sample.files))
        altered = {**sample.files, file: mutated(sample.files[file], chance)}
        output = Output(altered)
        failure = _diagnosed(program, output, sample)
        if isinstance(failure, str):
            yield f"{file} altered: {failure}"
            return
        for name, parser in program.own_parsers().items():
            found = _parsed(name, parser, output)
            if isinstance(found, _Fault):
                yield f"{file} altered: {found.reason}"
                return


@dataclass(frozen=True)
class _Fault:
    reason: str


def _parsed(name: str, parser: Parser, output: Output) -> Any:
    """The value, the ParseError, or what a parser must not do."""
    return _timed(f"the parser {name}", lambda: plain(parser(output.beside(_file_of(parser)))))


def _timed(who: str, call: Callable[[], Any]) -> Any:
    started = time.process_time()
    try:
        found = call()
    except ParseError as error:
        found = error
    except Exception as error:  # anything may be raised here
        return _Fault(f"{who} raises {error!r}, not a ParseError")
    taken = time.process_time() - started
    if taken > _MAX_PARSER_SECONDS:
        return _Fault(f"{who} takes {taken:.1f} s")
    return found


def _diagnosed(program: Program, output: Output, sample: Sample) -> Failure | str | None:
    """The diagnosis, or in words what `diagnose` must not do."""
    try:
        found: Any = program.module.diagnose(output, _asked(sample), _options(sample))
        program.module.program_version(output)
    except Exception as error:  # anything may be raised here
        return f"diagnose or program_version raises {error!r}"
    if found is not None and not isinstance(found, Failure):
        return f"diagnose returns {type(found).__name__}, not a Failure or None"
    if found is not None and "\n" in found.message:
        return f"diagnose returns a message of several lines: {found.message!r}"
    return found if isinstance(found, Failure) else None
