"""Check a program's declarations, without any of its outputs."""

import re
from collections.abc import Iterator

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import FailureClass
from wqmaster.parsers.base import Output
from wqmaster.parsers.quantities import QUANTITIES
from wqmaster.tasks.program import Program
from wqmaster.testing.conformance import calls
from wqmaster.testing.conformance.calls import Fault, diagnosed, file_of, parsed, version_of

# An output that no real program writes.
_ANOTHER = b"Welcome to a program of another kind, version 3.2\nall is well\nnormal end\n"
_FOR_NOTHING, _FOR_ANOTHER = " for an empty output", " for the output of another program"
# Spellings of units in docstrings, with their spellings in the table of quantities.
_SPELLINGS = (("Bohr", "a0"), ("**", "^"), ("cm^-1", "1/cm"), ("cm-1", "1/cm"))


def faults(program: Program) -> Iterator[str]:
    """Yield the faults of the program's module of parsers, which must be importable."""
    if not program.module.VERSION:
        yield "VERSION is empty"
    parsers = program.own_parsers()
    if not parsers:
        yield f"{program.module_name} has no parser (a function marked with @reads)"
    for name, parser in parsers.items():
        if not (parser.__doc__ or "").strip():
            yield f"the parser {name} has no docstring, which states what it returns and the unit"
        elif name in QUANTITIES and not states_unit(parser.__doc__ or "", QUANTITIES[name].unit):
            yield (
                f"the docstring of the parser {name} does not state the unit of this quantity, "
                f"{QUANTITIES[name].unit} (wqmaster/parsers/quantities.py); convert the value and "
                "state the unit, or rename the parser"
            )
        shape = QUANTITIES[name].shape if name in QUANTITIES else None
        if shape and shape[0] == "n" and not getattr(parser, "per_atom", False):
            yield (
                f"the parser {name} returns an entry for each atom; write "
                "@reads(..., per_atom=True), so that their number is checked"
            )
    yield from _of_nothing(program)
    if program.has_own_format:
        yield from _of_another(program)
    for name, parser in parsers.items():
        found = parsed(name, parser, Output({}, file_of(parser)))
        if isinstance(found, Fault):
            yield f"{found.reason} if its file is missing"
        elif not isinstance(found, ParseError):
            yield f"the parser {name} returns a value although its file is missing"


def cause_of(fault: str) -> str:
    """The description of a fault, without the output for which it was found."""
    return calls.cause_of(fault.removesuffix(_FOR_NOTHING).removesuffix(_FOR_ANOTHER))


def states_unit(docstring: str, unit: str) -> bool:
    """Whether a docstring states this unit, rather than a longer one that contains it."""
    for spelling, usual in _SPELLINGS:
        docstring = docstring.replace(spelling, usual)
    return not unit or bool(re.search(rf"(?<![\w/^*]){re.escape(unit)}(?!\w|[/^*]\w)", docstring))


def _of_another(program: Program) -> Iterator[str]:
    """Check that another program's output is not mistaken for that of an interrupted run.

    An interrupted job runs again elsewhere, up to three times per document, which would be in vain.
    `PROGRAM_MISSING` is allowed, because it means that a different program of the same name ran.
    """
    found = diagnosed(program, Output({"stdout": _ANOTHER}), None, {})
    if isinstance(found, Fault):
        yield f"{found.reason}{_FOR_ANOTHER}"
    elif found is None:
        yield "diagnose accepts the output of another program as a result"
    elif found.kind.again and found.kind is not FailureClass.PROGRAM_MISSING:
        yield (
            f"diagnose returns {found.kind.label} for the output of another program, so the job "
            "runs again in vain; check first for the banner at the beginning of each output of "
            f"{program.name}, and return FailureClass.PARSE_ERROR if it is missing"
        )


def _of_nothing(program: Program) -> Iterator[str]:
    output = Output({"stdout": b""})
    failure = diagnosed(program, output, None, {})
    version = version_of(program, output)
    for found in (failure, version):
        if isinstance(found, Fault):
            yield f"{found.reason}{_FOR_NOTHING}"
    if program.has_own_format and failure is None:
        yield "diagnose accepts an empty output as a result"
    if version is not None and not isinstance(version, Fault):
        yield "program_version finds a version in an empty output"
