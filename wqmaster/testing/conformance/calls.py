"""Call a program's module and task functions, which can raise anything."""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wqmaster.errors import BadDocument, ParseError
from wqmaster.jobs.failures import Failure
from wqmaster.jobs.job import Asked, Job
from wqmaster.jobs.molecule import Molecule
from wqmaster.parsers.base import Output, Parser
from wqmaster.recipe.diagnosing import misfit
from wqmaster.recipe.values import plain
from wqmaster.system.tracebacks import described
from wqmaster.tasks.base import Software, StepRequest
from wqmaster.tasks.program import Program
from wqmaster.testing.conformance.sample import Sample

# The longest time that one parser may take for one output (README, "Parsers"). A parser that
# searches a table repeatedly takes longer.
_MAX_PARSER_SECONDS = 1.0


_WITHOUT_CAMPAIGN = " without a campaign (asked=None)"


@dataclass(frozen=True)
class Fault:
    """A description of the mistake that a call revealed."""

    reason: str

    @property
    def cause(self) -> str:
        """The reason without the circumstances of the call, so each mistake is reported once."""
        return cause_of(self.reason)


def cause_of(fault: str) -> str:
    """The description of a fault, which is the same with and without a campaign."""
    return fault.replace(_WITHOUT_CAMPAIGN, "")


def file_of(parser: Parser) -> str:
    """The name of the file that a parser reads by default."""
    return str(parser.files[0])  # type: ignore[attr-defined]


def parsed(name: str, parser: Parser, output: Output) -> Any:
    """The value that a parser returns as plain data, its ParseError, or its Fault."""
    started = time.process_time()
    try:
        found = plain(parser(output.beside(file_of(parser))))
    except ParseError as error:
        found = error
    except Exception as error:  # a program can raise anything
        return Fault(f"the parser {name} raises {described(error)}, not a ParseError")
    taken = time.process_time() - started
    if taken > _MAX_PARSER_SECONDS:
        return Fault(f"the parser {name} takes {taken:.1f} s")
    return found


def diagnosed(
    program: Program, output: Output, asked: Asked | None, options: Mapping[str, Any]
) -> Failure | Fault | None:
    """The result of `diagnose`, or its Fault. `wqmaster parse` passes None as `asked`."""
    who = "diagnose" if asked is not None else f"diagnose{_WITHOUT_CAMPAIGN}"
    try:
        found: Any = program.module.diagnose(output, asked, options)
    except Exception as error:  # a program can raise anything
        return Fault(f"{who} raises {described(error)}")
    if found is None:
        return None
    why = misfit(found)
    if why is not None:
        return Fault(f"{who} {why}")
    failure: Failure = found
    if "\n" in failure.message:
        return Fault(f"{who} returns a message with several lines: {failure.message!r}")
    return failure


def distinct(found: Iterable[Any], reported: Collection[str] = ()) -> Iterator[Fault]:
    """Yield each fault in `found` once, except those whose cause is in `reported`."""
    seen = set(reported)
    for one in found:
        if isinstance(one, Fault) and one.cause not in seen:
            seen.add(one.cause)
            yield one


def both_diagnoses(
    program: Program, output: Output, sample: Sample
) -> tuple[Failure | Fault | None, Failure | Fault | None]:
    """The diagnoses as a campaign and as `wqmaster parse` request them, in this order."""
    return (
        diagnosed(program, output, sample.asked, sample.plain_options),
        diagnosed(program, output, None, {}),
    )


def version_of(program: Program, output: Output) -> Any:
    """The value of `program_version`, or its Fault."""
    try:
        return program.module.program_version(output)
    except Exception as error:  # a program can raise anything
        return Fault(f"program_version raises {described(error)}")


def built(
    sample: Sample, molecule: Molecule, *steps: StepRequest, software: Software | None = None
) -> Job | BadDocument | Fault:
    """Build a job with these steps; return it, the BadDocument, or the task function's Fault."""
    name = sample.function_name
    try:
        job: Any = sample.function(molecule, list(steps), software or sample.software)
    except BadDocument as error:
        return error
    except Exception as error:  # a program can raise anything
        return Fault(f"{name} raises {described(error)}")
    if not isinstance(job, Job):
        return Fault(f"{name} returns {type(job).__name__}, not a Job")
    if [one.name for one in job.steps] != [step.name for step in steps]:
        return Fault(f"{name} returns other steps than those requested")
    return job
