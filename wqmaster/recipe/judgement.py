"""Judge a job's outcome by exit codes, diagnosis, parsers and checks. All functions are pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wqmaster.checks.base import Level, Measurement
from wqmaster.errors import OutputTooLarge, ParseError
from wqmaster.jobs.failures import NO_SPACE_MESSAGE, Failure, FailureClass
from wqmaster.jobs.job import Asked, Outcome, StepOutcome
from wqmaster.parsers.base import Output, ProgramParsers
from wqmaster.parsers.quantities import not_numeric
from wqmaster.recipe.checking import checked, refused
from wqmaster.recipe.diagnosing import diagnosed
from wqmaster.recipe.passed_geometry import passed_geometry_failure
from wqmaster.recipe.recipe import ParserCall, Recipe, StepRecipe
from wqmaster.recipe.values import not_finite, not_storable, plain
from wqmaster.system.lines import last_line
from wqmaster.system.tracebacks import told

_STREAMS = {"stdout", "stderr"}
_TAIL_LINES = 15
_TAIL_BYTES = 4000
# The exit codes of a shell that cannot execute a program or cannot find it (POSIX, "Exit status").
_NOT_FOUND_CODES = (126, 127)
_KILLED_CODE = 128 + 9
# The dynamic loader's message if a library is older than the one that a program was built with.
_NOT_LOADED = re.compile(r"version `(GLIBC|GLIBCXX|GCC|CXXABI)_[0-9.]+' not found")
# The messages of strerror(3) for EDQUOT and EFBIG, and a shell's message for SIGXFSZ.
_OVER_QUOTA = ("Disk quota exceeded", "File too large", "File size limit exceeded")


@dataclass(frozen=True)
class StepResult:
    """The values of one step, and how they were computed."""

    step: str
    recipe: str  # `StepRecipe.hash`
    values: Mapping[str, Any]
    program_version: str | None
    parser_version: str | None
    wall_time: float  # seconds
    software: str | None = None  # key of the supply that contained the program, if there was one
    checks: tuple[Measurement, ...] = ()  # the checks that applied; none of them refuses


@dataclass(frozen=True)
class Verdict:
    """The outcome of a job: the results of all its steps, or one failure."""

    results: tuple[StepResult, ...] = ()  # with a failure, those of the steps before it
    failure: Failure | None = None
    checks: tuple[Measurement, ...] = ()  # of the step that failed, if its values could be checked

    @property
    def is_warned(self) -> bool:
        """Whether a check warns about a result."""
        found = (one for result in self.results for one in result.checks)
        return any(one.level is not Level.PASS for one in found)


def _tail(step: StepOutcome) -> str:
    text = b"\n".join(step.tail(name, _TAIL_BYTES).strip() for name in ("stdout", "stderr"))
    return "\n".join(text.decode(errors="replace").strip().splitlines()[-_TAIL_LINES:])


def _by_exit_code(step: StepOutcome, memory: int | None) -> Failure | None:
    """The failure shown by the time limit, the exit code or stderr; None if they show none.

    `memory` is how much memory the job could use, in MB, if that is known. The runner ends a
    program that uses more, or the operating system does.
    """
    if step.timed_out:
        return Failure(FailureClass.TIME_LIMIT, "the job reached its time limit")
    errors = step.tail("stderr", _TAIL_BYTES).decode(errors="replace")
    last = last_line(errors)
    if step.exit_code == _NOT_FOUND_CODES[1] and "error while loading shared libraries" in errors:
        return Failure(FailureClass.LIBRARY_MISSING, last)
    # If a program was built for a newer Linux than the worker's, the loader exits with code 1.
    if step.exit_code and (found := _NOT_LOADED.search(errors)):
        line = next(line for line in errors.splitlines() if found[0] in line)
        return Failure(FailureClass.LIBRARY_MISSING, line.strip())
    if step.exit_code in _NOT_FOUND_CODES:
        return Failure(FailureClass.PROGRAM_MISSING, last or f"exit code {step.exit_code}")
    if NO_SPACE_MESSAGE in errors and step.exit_code:
        return Failure(FailureClass.DISK_FULL, last)
    if step.exit_code and any(words in errors for words in _OVER_QUOTA):
        return Failure(FailureClass.DISK_LIMIT, last)
    if step.exit_code == _KILLED_CODE and memory is not None and step.memory is not None:
        used = step.memory.megabytes
        if used > memory:
            return Failure(
                FailureClass.MEMORY,
                f"the job used {used:,.0f} MB of memory, more than the {memory:,} MB that it had",
            )
    if step.exit_code == _KILLED_CODE:
        return Failure(FailureClass.KILLED, "the program was killed (SIGKILL)")
    return None


def _step_failure(
    step: StepOutcome, output: Output, wanted: StepRecipe, asked: Asked | None, passed: str | None
) -> Failure | None:
    """The step's failure, judged before its values are read; None if it did not fail.

    `passed` is the file with the geometry from which a later step starts. Without `asked`, the
    output is not compared with what a job was asked to compute.
    """
    failure = _by_exit_code(step, asked.memory if asked else None) or _too_large(step, wanted)
    diagnosis = wanted.diagnosis
    if failure is None and diagnosis is not None:
        try:
            failure = diagnosed(diagnosis.diagnose, output, asked, wanted.options)
        except OutputTooLarge as error:
            failure = Failure(FailureClass.OUTPUT_TOO_LARGE, error.message)
        except Exception as error:  # an output can contain anything
            failure = Failure(
                FailureClass.PARSE_ERROR, f"the output cannot be judged: {told(error)}"
            )
    if failure is None and step.exit_code:
        return Failure(FailureClass.PROGRAM_ERROR, f"exit code {step.exit_code}")
    if failure is None:
        missing = sorted(wanted.needed - step.names)
        if missing:
            return Failure(FailureClass.MISSING_OUTPUT, _missing(missing, step, wanted))
    if failure is None and passed is not None and asked is not None:
        failure = passed_geometry_failure(step, passed, asked)
    return failure


def _too_large(step: StepOutcome, wanted: StepRecipe) -> Failure | None:
    """The failure of a step that returned more than may be read; None if it did not.

    A file that is only kept may have any size.
    """
    sizes = {**{name: found.size for name, found in step.large.items()}, **step.cut}
    for name in sorted(sizes.keys() & {*_STREAMS, *wanted.read_files}):
        message = (
            f"{name} has {sizes[name]:,} bytes; the outputs of the job are larger than "
            "'archive: {max_size: ...}' allows"
        )
        return Failure(FailureClass.OUTPUT_TOO_LARGE, message)
    return None


def _missing(missing: Sequence[str], step: StepOutcome, wanted: StepRecipe) -> str:
    """A message with the missing files, what needs them, and the files that the step wrote."""
    readers = [call.name for call in wanted.parsers if call.file in missing]
    kept = [file for file, _ in wanted.keep_files if file in missing]
    be, them = ("is", "it") if len(missing) == 1 else ("are", "them")
    why = [f"{', '.join(readers)} read{'s' if len(readers) == 1 else ''} {them}"] if readers else []
    why += [f"'keep_files' names {', '.join(kept)}"] if kept else []
    left = ", ".join(sorted(step.names - _STREAMS))
    why.append(f"the step wrote: {left}" if left else "the step wrote no files")
    return f"{', '.join(missing)} {be} missing: {'; '.join(why)}"


def _of(call: ParserCall, kind: FailureClass, message: str) -> Failure:
    return Failure(kind, message, parser=call.name)


def _values(output: Output, wanted: StepRecipe) -> dict[str, Any] | Failure:
    program = wanted.function.program
    values: dict[str, Any] = {}
    for call in wanted.parsers:
        try:
            value = plain(call.function(output.beside(call.file)))
        except OutputTooLarge as error:
            return _of(call, FailureClass.OUTPUT_TOO_LARGE, f"{call.name}: {error.message}")
        except ParseError as error:
            return _of(call, FailureClass.PARSE_ERROR, f"{call.name}: {error.message}")
        except (Exception, SystemExit) as error:  # a user's parser can raise anything
            return _of(
                call, FailureClass.PARSE_ERROR, f"{call.name}: the parser raised {told(error)}"
            )
        why = not_storable(value, call.name)
        # A user's parser for another program's outputs can give this name a different meaning.
        if why is None and program is not None and program.owns(call.function):
            why = not_numeric(call.name, value)
        if why is not None:
            return _of(call, FailureClass.PARSE_ERROR, why)
        place = not_finite(value, call.name)
        if place:
            return _of(call, FailureClass.NOT_FINITE, f"{place} is not finite")
        values[call.name] = value
    return values


def _counts(values: Mapping[str, Any], wanted: StepRecipe, natoms: int) -> Failure | None:
    for call in wanted.parsers:
        value = values[call.name]
        if not getattr(call.function, "per_atom", False):
            continue
        if not isinstance(value, list):
            return _of(call, FailureClass.PARSE_ERROR, f"{call.name}: not a list: {value!r:.60}")
        if len(value) != natoms:
            message = f"{call.name} covers {len(value)} atoms, but the document has {natoms}"
            return _of(call, FailureClass.ATOM_COUNT, message)
    return None


def _version(diagnosis: ProgramParsers | None, step: StepOutcome) -> str | Failure | None:
    if diagnosis is None:
        return None
    try:
        found: object = diagnosis.program_version(Output(step.files))
    except ParseError:
        return None
    except Exception as error:  # a user's module can raise anything
        message = f"the program's version cannot be read: {told(error)}"
        return Failure(FailureClass.PARSE_ERROR, message)
    if found is None or isinstance(found, str):
        return found
    message = f"program_version returns {found!r:.60}, which is not a string"
    return Failure(FailureClass.PARSE_ERROR, message)


def judge(recipe: Recipe, asked: Asked, outcome: Outcome, *, of_a_job: bool = True) -> Verdict:
    """Judge one job.

    Every step must have run, and its output must pass the diagnosis, the parsers and the checks.
    The first failure ends the judgement; the verdict then has the results of the steps before it.
    If the output is not `of_a_job`, `asked` was itself read from it, so that only the number of
    atoms is compared.
    """
    results: list[StepResult] = []
    came_back = {step.name: step for step in outcome.steps}
    passed = recipe.passed_geometries
    for wanted in recipe.steps:
        name = wanted.request.name
        step = came_back.get(name)
        if step is None:
            failure = Failure(FailureClass.TRUNCATED, "the step never ran", name)
            return Verdict(tuple(results), failure)
        output = Output.of(step)
        measurements: list[Measurement] = []
        named = asked if of_a_job else None
        failure_of_step = _step_failure(step, output, wanted, named, passed.get(name))
        found = failure_of_step or _values(output, wanted)
        if isinstance(found, dict):
            found = _counts(found, wanted, asked.natoms) or found
        if isinstance(found, dict):
            measurements = checked(recipe.checks, wanted, asked, output, found)
            found = refused(measurements) or found
        diagnosis = wanted.diagnosis
        version = _version(diagnosis, step)
        if isinstance(found, Failure):
            failure = replace(found, step=name, tail=_tail(step))
            return Verdict(tuple(results), failure, tuple(measurements))
        if isinstance(version, Failure):
            return Verdict(tuple(results), replace(version, step=name, tail=_tail(step)))
        results.append(
            StepResult(
                step=name,
                recipe=wanted.hash,
                values=found,
                program_version=version,
                parser_version=diagnosis.VERSION if diagnosis else None,
                wall_time=step.wall_time,
                software=step.software,
                checks=tuple(measurements),
            )
        )
    return Verdict(results=tuple(results))
