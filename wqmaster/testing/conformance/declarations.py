"""What a program declares, without any output of it."""

import re
from collections.abc import Iterator

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import FailureClass
from wqmaster.parsers.base import Output
from wqmaster.parsers.quantities import QUANTITIES
from wqmaster.tasks.program import Program
from wqmaster.testing.conformance import calls
from wqmaster.testing.conformance.calls import Fault, diagnosed, file_of, parsed, version_of

# An output that no program of ours, or of anyone else's, has written.
_ANOTHER = b"Welcome to a program of another kind, version 3.2\nall is well\nnormal end\n"
_FOR_NOTHING, _FOR_ANOTHER = " for an empty output", " for the output of another program"
# How units are written in docstrings, and how in the table of quantities.
_SPELLINGS = (("Bohr", "a0"), ("**", "^"), ("cm^-1", "1/cm"), ("cm-1", "1/cm"))


def faults(program: Program) -> Iterator[str]:
    """What of the module of parsers does not keep the contract; the module can be imported."""
    if not program.module.VERSION:
        yield "VERSION is empty"
    parsers = program.own_parsers()
    if not parsers:
        yield f"{program.module_name} has no parser (a function marked with @reads)"
    for name, parser in parsers.items():
        if not (parser.__doc__ or "").strip():
            yield f"the parser {name} has no docstring, which says what it returns and its unit"
        elif name in QUANTITIES and not states_unit(parser.__doc__ or "", QUANTITIES[name].unit):
            yield (
                f"the docstring of the parser {name} does not state the unit of this quantity, "
                f"{QUANTITIES[name].unit} (wqmaster/parsers/quantities.py): convert the value, and "
                "state the unit, or rename the parser"
            )
        shape = QUANTITIES[name].shape if name in QUANTITIES else None
        if shape and shape[0] == "n" and not getattr(parser, "per_atom", False):
            yield (
                f"the parser {name} returns an entry for each atom, whose number is checked if it "
                "says so: @reads(..., per_atom=True)"
            )
    yield from _of_nothing(program)
    if program.has_own_format:
        yield from _of_another(program)
    for name, parser in parsers.items():
        found = parsed(name, parser, Output({}, file_of(parser)))
        if isinstance(found, Fault):
            yield f"{found.reason}, where its file is missing"
        elif not isinstance(found, ParseError):
            yield f"the parser {name} returns a value where its file is missing"


def cause_of(fault: str) -> str:
    """A fault in words without the output for which it was found."""
    return calls.cause_of(fault.removesuffix(_FOR_NOTHING).removesuffix(_FOR_ANOTHER))


def states_unit(docstring: str, unit: str) -> bool:
    """Whether a docstring states a unit, and not a longer one that begins or ends with it."""
    for spelling, usual in _SPELLINGS:
        docstring = docstring.replace(spelling, usual)
    return not unit or bool(re.search(rf"(?<![\w/^*]){re.escape(unit)}(?!\w|[/^*]\w)", docstring))


def _of_another(program: Program) -> Iterator[str]:
    """See that the output of another program is not taken for one that was interrupted.

    Such a failure is run again elsewhere, three times for each document, and to no avail. A class
    that says just this, that another program of its name ran, is what it is (`PROGRAM_MISSING`).
    """
    found = diagnosed(program, Output({"stdout": _ANOTHER}), None, {})
    if isinstance(found, Fault):
        yield f"{found.reason}{_FOR_ANOTHER}"
    elif found is None:
        yield "diagnose takes the output of another program for a result"
    elif found.kind.again and found.kind is not FailureClass.PROGRAM_MISSING:
        yield (
            f"diagnose finds {found.kind.label} in the output of another program, which is run "
            "again elsewhere, to no avail: look first at the banner that begins each output of "
            f"{program.name}, and return FailureClass.PARSE_ERROR where there is another text"
        )


def _of_nothing(program: Program) -> Iterator[str]:
    output = Output({"stdout": b""})
    failure = diagnosed(program, output, None, {})
    version = version_of(program, output)
    for found in (failure, version):
        if isinstance(found, Fault):
            yield f"{found.reason}{_FOR_NOTHING}"
    if program.has_own_format and failure is None:
        yield "diagnose takes an empty output for a result"
    if version is not None and not isinstance(version, Fault):
        yield "program_version finds a version in an empty output"
