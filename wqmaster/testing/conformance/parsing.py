"""Check parsers and the diagnosis with undamaged outputs."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import Failure
from wqmaster.jobs.job import Asked
from wqmaster.parsers.base import Output
from wqmaster.parsers.quantities import misfit
from wqmaster.recipe.values import not_finite, not_storable, plain
from wqmaster.tasks.program import Program
from wqmaster.testing.conformance.calls import (
    Fault,
    both_diagnoses,
    diagnosed,
    distinct,
    parsed,
    version_of,
)
from wqmaster.testing.conformance.sample import STATED, Sample
from wqmaster.testing.conformance.values import agree, differing

# The names of fields of `Asked` in messages.
_WORDS = {"natoms": "number of atoms", "charge": "charge", "multiplicity": "multiplicity"}


def values_found(program: Program, sample: Sample) -> dict[str, Any]:
    """The values that parsers find in the undamaged sample, by parser."""
    output = Output(sample.files)
    found = {name: parsed(name, one, output) for name, one in program.own_parsers().items()}
    return {
        name: value for name, value in found.items() if not isinstance(value, (ParseError, Fault))
    }


def faults(program: Program, sample: Sample) -> Iterator[str]:
    """Yield the faults that the module of parsers shows with the sample."""
    output = Output(sample.files)
    version = version_of(program, output)
    if isinstance(version, Fault):
        yield version.reason
    elif version != sample.version:
        yield (
            f"program_version returns {version!r}, but should return {sample.version!r}; "
            "Sample(version=...) is the version that the output states, or None"
        )
    for name in sorted(set(sample.values) - set(program.own_parsers())):
        yield f"there is no parser {name}"
    if sample.failure is not None:
        yield from _as_failure(program, sample, output)
        return
    diagnoses = both_diagnoses(program, output, sample)
    yield from (fault.reason for fault in distinct(diagnoses))
    for found, who in zip(diagnoses, ("", " without a campaign (asked=None)"), strict=True):
        if isinstance(found, Failure):
            yield f"diagnose{who} reports it as a failure: {found.kind.label}: {found.message}"
    yield from _values(program, sample, output)
    if program.has_own_format:
        yield from _of_others(program, sample, output)


def _as_failure(program: Program, sample: Sample, output: Output) -> Iterator[str]:
    assert sample.failure is not None  # noqa: S101  # the caller has checked it
    found, alone = both_diagnoses(program, output, sample)
    yield from (fault.reason for fault in distinct((found, alone)))
    if found is None:
        yield f"diagnose accepts it as a result, but should return {sample.failure.label}"
    elif not isinstance(found, Fault) and found.kind is not sample.failure:
        yield (
            f"diagnose returns {found.kind.label} ({found.message}), but should return "
            f"{sample.failure.label}"
        )
    for name, parser in program.own_parsers().items():
        value = parsed(name, parser, output)
        if isinstance(value, Fault):
            yield value.reason


def _values(program: Program, sample: Sample, output: Output) -> Iterator[str]:
    natoms = len(sample.molecule.numbers)
    for name, parser in program.own_parsers().items():
        found = parsed(name, parser, output)
        if isinstance(found, Fault):
            yield found.reason
        elif isinstance(found, ParseError):
            if name in sample.values:
                yield f"the parser {name} finds nothing: {found}"
        else:
            if name in sample.values and not agree(found, stated := plain(sample.values[name])):
                here, wanted = differing(found, stated)
                yield f"the parser {name} returns {here}, but should return {wanted}"
            per_atom = bool(getattr(parser, "per_atom", False))
            yield from _kind(name, found, natoms, per_atom)


def _kind(name: str, found: Any, natoms: int, per_atom: bool) -> Iterator[str]:
    """Yield the faults in the shape and type of a value from this parser."""
    why = misfit(name, found, natoms)
    if why is not None:
        yield f"the parser {name} returns a value whose shape is wrong for its quantity: {why}"
    elif per_atom and not (isinstance(found, list) and len(found) == natoms):
        yield f"the parser {name} does not return {natoms} entries, one per atom (per_atom)"
    why = not_storable(found, name)
    if why is not None:
        yield f"the parser {name} returns a value that cannot be stored: {why}"
    place = not_finite(found, name)
    if place is not None:
        yield f"the parser {name} returns a number that is not finite: {place}"


def _of_others(program: Program, sample: Sample, output: Output) -> Iterator[str]:
    """Check that the output is not accepted as a result if another molecule was requested.

    A campaign can use any single parser, so `diagnose` must compare the number of atoms. If all of
    the sample's parsers are `per_atom`, `judge` compares it instead.
    """
    parsers = program.own_parsers()
    per_atom = [
        bool(getattr(parsers[name], "per_atom", False)) for name in sample.values if name in parsers
    ]
    for what in ("charge", "multiplicity"):
        if what in sample.values and what not in sample.states:
            yield f"the parser {what} finds a value that Sample(states=...) omits"
    for what in (one for one in STATED if one in sample.states):
        if what == "natoms" and per_atom and all(per_atom):
            continue
        for asked in _others(sample.asked, what):
            found = diagnosed(program, output, asked, sample.plain_options)
            if isinstance(found, Fault):
                yield found.reason
            elif found is None:
                yield (
                    f"diagnose accepts it as a result although the requested {_WORDS[what]} is "
                    f"{getattr(asked, what)} (asked.{what}); if the output does not state it, omit "
                    "it from Sample(states=...)"
                )
            if not isinstance(found, Failure):
                break


def _others(asked: Asked, what: str) -> Iterator[Asked]:
    """Yield `asked` with the field `what` increased and decreased by one, if that is possible."""
    value: int = getattr(asked, what)
    changed: dict[str, Any] = {}
    for changed[what] in (value + 1, value - 1):
        if what == "charge" or changed[what] > 0:
            yield replace(asked, **changed)
