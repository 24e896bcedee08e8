"""What a program declares, without any output of it."""

from collections.abc import Iterator

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output
from wqmaster.parsers.quantities import QUANTITIES
from wqmaster.tasks.program import Program
from wqmaster.testing.conformance.calls import Fault, diagnosed, file_of, parsed, version_of


def faults(program: Program) -> Iterator[str]:
    """What of the module of parsers does not keep the contract; the module can be imported."""
    if not isinstance(program.module.VERSION, str) or not program.module.VERSION:
        yield "VERSION is a string that is not empty"
    parsers = program.own_parsers()
    if not parsers:
        yield f"{program.module_name} has no parser (a function marked with @reads)"
    for name, parser in parsers.items():
        if not (parser.__doc__ or "").strip():
            yield f"the parser {name} has no docstring, which says what it returns and its unit"
        shape = QUANTITIES[name].shape if name in QUANTITIES else None
        if shape and shape[0] == "n" and not getattr(parser, "per_atom", False):
            yield (
                f"the parser {name} returns an entry for each atom, whose number is checked if it "
                "says so: @reads(..., per_atom=True)"
            )
    yield from _of_nothing(program)
    for name, parser in parsers.items():
        found = parsed(name, parser, Output({}, file_of(parser)))
        if isinstance(found, Fault):
            yield f"{found.reason}, where its file is missing"
        elif not isinstance(found, ParseError):
            yield f"the parser {name} returns a value where its file is missing"


def _of_nothing(program: Program) -> Iterator[str]:
    output = Output({"stdout": b""})
    failure = diagnosed(program, output, None, {})
    version = version_of(program, output)
    for found in (failure, version):
        if isinstance(found, Fault):
            yield f"{found.reason} for an empty output"
    if program.has_own_format and failure is None:
        yield "diagnose takes an empty output for a result"
    if version is not None and not isinstance(version, Fault):
        yield "program_version finds a version in an empty output"
