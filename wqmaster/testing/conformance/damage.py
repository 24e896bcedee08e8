"""Damaged outputs: cut, or altered at random (always in the same way)."""

import random
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output
from wqmaster.tasks.program import Program
from wqmaster.testing.conformance.calls import (
    Fault,
    both_diagnoses,
    cause_of,
    distinct,
    parsed,
    version_of,
)
from wqmaster.testing.conformance.sample import Sample
from wqmaster.testing.conformance.values import differing
from wqmaster.testing.mutation import mutated

# Places where an output is cut, and outputs that are altered, for each sample.
_MAX_CUTS = 300
# The end is cut at each place: the last number of a file may lose its last digits.
_LAST_BYTES = 40
_MUTATIONS = 200


def faults(
    program: Program, sample: Sample, whole: Mapping[str, Any], told: Collection[str] = ()
) -> Iterator[str]:
    """What the module of parsers makes of the damaged sample that it should not, once a file.

    `whole` has the values that parsers find in the whole sample. A fault of the whole sample,
    which was `told`, is not told again.
    """
    known = set(told)
    for file in sample.files:
        for fault in _first(_cutting(program, sample, file, whole, known)):
            known.add(cause_of(fault.partition(": ")[2]))
            yield fault
    yield from _first(_altering(program, sample, known))


def _first(found: Iterator[str]) -> Iterator[str]:
    one = next(found, None)
    if one is not None:
        yield one


def _cutting(
    program: Program,
    sample: Sample,
    file: str,
    whole: Mapping[str, Any],
    told: Collection[str],
) -> Iterator[str]:
    """A cut output fails, or has all of its values: never a value that is shorter or wrong.

    Of plain text nobody can tell whether it is whole: a program without a format has its exit code
    alone.
    """
    content = sample.files[file]
    size = len(content)
    step = max(1, size // _MAX_CUTS)
    for length in sorted({*range(0, size, step), *range(max(0, size - _LAST_BYTES), size)}):
        files = {**sample.files, file: content[:length]}
        for fault in _of_a_part(program, sample, files, whole, told):
            yield f"{file} cut to {length} bytes: {fault}"
    # The streams always come back.
    if file not in ("stdout", "stderr"):
        files = {name: each for name, each in sample.files.items() if name != file}
        for fault in _of_a_part(program, sample, files, whole, told):
            yield f"without {file}: {fault}"


def _of_a_part(
    program: Program,
    sample: Sample,
    files: Mapping[str, bytes],
    whole: Mapping[str, Any],
    told: Collection[str],
) -> Iterator[str]:
    output = Output(files)
    found = both_diagnoses(program, output, sample)
    version = version_of(program, output)
    parsers = program.own_parsers()
    values = {name: parsed(name, parsers[name], output) for name in whole}
    for fault in distinct((*found, version, *values.values()), told):
        yield fault.reason
    if not program.has_own_format:
        return
    if sample.failure is not None:
        if found[0] is None:
            yield f"diagnose takes it for a result, and the whole fails ({sample.failure.label})"
        return
    # Without a file, a parser may find fewer digits, or more rows, in another.
    if None not in found or files.keys() != sample.files.keys():
        return
    for name, value in values.items():
        # Not to within a tolerance: a number may have lost its last digits.
        if not isinstance(value, (ParseError, Fault)) and value != whole[name]:
            found_here, stated = differing(value, whole[name], lambda one, other: one == other)
            yield (
                f"it is taken for a result, and the parser {name} returns {found_here} for {stated}"
            )


def _altering(program: Program, sample: Sample, told: Collection[str]) -> Iterator[str]:
    """Whatever stands in an output, a parser raises nothing but a ParseError, and in time."""
    chance = random.Random(0)  # noqa: S311  # not for secrets
    for _ in range(_MUTATIONS):
        file = chance.choice(sorted(sample.files))
        output = Output({**sample.files, file: mutated(sample.files[file], chance)})
        calls = (
            *both_diagnoses(program, output, sample),
            version_of(program, output),
            *(parsed(name, parser, output) for name, parser in program.own_parsers().items()),
        )
        for fault in distinct(calls, told):
            yield f"{file} altered: {fault.reason}"
