"""Parsing and diagnosis of whole outputs."""

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

# Words for the fields of `Asked`.
_WORDS = {"natoms": "number of atoms", "charge": "charge", "multiplicity": "multiplicity"}


def values_found(program: Program, sample: Sample) -> dict[str, Any]:
    """The values that parsers find in the whole sample, by parser."""
    output = Output(sample.files)
    found = {name: parsed(name, one, output) for name, one in program.own_parsers().items()}
    return {
        name: value for name, value in found.items() if not isinstance(value, (ParseError, Fault))
    }


def faults(program: Program, sample: Sample) -> Iterator[str]:
    """What the module of parsers makes of the sample that it should not."""
    output = Output(sample.files)
    version = version_of(program, output)
    if isinstance(version, Fault):
        yield version.reason
    elif version != sample.version:
        yield (
            f"program_version returns {version!r}, and should return {sample.version!r}; the "
            f"sample says which version its output states, None for none: Sample(version=...)"
        )
    for name in sorted(set(sample.values) - set(program.own_parsers())):
        yield f"there is no parser {name}"
    if sample.failure is not None:
        yield from _as_failure(program, sample, output)
        return
    diagnoses = both_diagnoses(program, output, sample)
    yield from (fault.reason for fault in distinct(diagnoses))
    for found, where in zip(diagnoses, ("", " without a campaign (asked=None)"), strict=True):
        if isinstance(found, Failure):
            yield f"diagnose{where} takes it for a failure: {found.kind.label}: {found.message}"
    yield from _values(program, sample, output)
    if program.has_own_format:
        yield from _of_others(program, sample, output)


def _as_failure(program: Program, sample: Sample, output: Output) -> Iterator[str]:
    assert sample.failure is not None  # noqa: S101  # of an output that fails
    found, alone = both_diagnoses(program, output, sample)
    yield from (fault.reason for fault in distinct((found, alone)))
    if found is None:
        yield f"diagnose takes it for a result, and should find {sample.failure.label}"
    elif not isinstance(found, Fault) and found.kind is not sample.failure:
        yield (
            f"diagnose finds {found.kind.label} ({found.message}), and should find "
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
                yield f"the parser {name} returns {here}, and should return {wanted}"
            per_atom = bool(getattr(parser, "per_atom", False))
            yield from _kind(name, found, natoms, per_atom)


def _kind(name: str, found: Any, natoms: int, per_atom: bool) -> Iterator[str]:
    """What is wrong with a value of this parser, whatever it should be."""
    why = misfit(name, found, natoms)
    if why is not None:
        yield f"the parser {name} returns another shape than that of its quantity: {why}"
    elif per_atom and not (isinstance(found, list) and len(found) == natoms):
        yield f"the parser {name} returns no list of {natoms} entries, one for each atom (per_atom)"
    why = not_storable(found, name)
    if why is not None:
        yield f"the parser {name} returns what is not plain: {why}"
    place = not_finite(found, name)
    if place is not None:
        yield f"the parser {name} returns what is not finite: {place}"


def _of_others(program: Program, sample: Sample, output: Output) -> Iterator[str]:
    """See that the output is no result where another molecule was asked for (`judge`).

    A campaign may ask for any of the parsers alone. So a number of atoms that only a parser with
    `per_atom` is held against is not compared where another is asked for.
    """
    parsers = program.own_parsers()
    per_atom = [
        bool(getattr(parsers[name], "per_atom", False)) for name in sample.values if name in parsers
    ]
    for what in ("charge", "multiplicity"):
        if what in sample.values and what not in sample.states:
            yield f"the parser {what} finds what the sample leaves out: Sample(states=...)"
    for what in (one for one in STATED if one in sample.states):
        if what == "natoms" and per_atom and all(per_atom):
            continue
        for asked in _others(sample.asked, what):
            found = diagnosed(program, output, asked, sample.plain_options)
            if isinstance(found, Fault):
                yield found.reason
            elif found is None:
                yield (
                    f"diagnose takes it for a result where the {_WORDS[what]} that was asked for "
                    f"is {getattr(asked, what)} (asked.{what}); if the output does not state it, "
                    "the sample leaves it out: Sample(states=...)"
                )
            if not isinstance(found, Failure):
                break


def _others(asked: Asked, what: str) -> Iterator[Asked]:
    """What was asked for, with one more and one less of `what`."""
    value: int = getattr(asked, what)
    changed: dict[str, Any] = {}
    for changed[what] in (value + 1, value - 1):
        if what == "charge" or changed[what] > 0:
            yield replace(asked, **changed)
