"""Checks with damaged outputs: cut, or altered at random (reproducibly)."""

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

# For each sample: how often a file is cut, and how often one is altered.
_MAX_CUTS = 300
# The end is cut at each byte, since the last number of a file may lose digits.
_LAST_BYTES = 40
_MUTATIONS = 200


def faults(
    program: Program, sample: Sample, whole: Mapping[str, Any], reported: Collection[str] = ()
) -> Iterator[str]:
    """The faults of the module of parsers with the damaged sample, at most one per file.

    `whole` has the values that parsers find in the undamaged sample. Its faults, which were
    `reported`, are not reported again.
    """
    known = set(reported)
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
    reported: Collection[str],
) -> Iterator[str]:
    """Check that a cut output either fails or has all its values, none of them shorter or wrong.

    Plain text does not show whether it is complete; a program without its own format has only its
    exit code.
    """
    content = sample.files[file]
    size = len(content)
    step = max(1, size // _MAX_CUTS)
    for length in sorted({*range(0, size, step), *range(max(0, size - _LAST_BYTES), size)}):
        files = {**sample.files, file: content[:length]}
        for fault in _of_a_part(program, sample, files, whole, reported):
            yield f"{file} cut to {length} bytes: {fault}"
    # stdout and stderr are always returned.
    if file not in ("stdout", "stderr"):
        files = {name: each for name, each in sample.files.items() if name != file}
        for fault in _of_a_part(program, sample, files, whole, reported):
            yield f"without {file}: {fault}"


def _of_a_part(
    program: Program,
    sample: Sample,
    files: Mapping[str, bytes],
    whole: Mapping[str, Any],
    reported: Collection[str],
) -> Iterator[str]:
    output = Output(files)
    found = both_diagnoses(program, output, sample)
    version = version_of(program, output)
    parsers = program.own_parsers()
    values = {name: parsed(name, parsers[name], output) for name in whole}
    for fault in distinct((*found, version, *values.values()), reported):
        yield fault.reason
    if not program.has_own_format:
        return
    if sample.failure is not None:
        if found[0] is None:
            label = sample.failure.label
            yield f"diagnose accepts it as a result, but the complete output is a failure ({label})"
        return
    # Without a file, a parser may find fewer digits or more rows in another file.
    if None not in found or files.keys() != sample.files.keys():
        return
    for name, value in values.items():
        # Compared exactly, since a number may have lost its last digits.
        if not isinstance(value, (ParseError, Fault)) and value != whole[name]:
            found_here, stated = differing(value, whole[name], lambda one, other: one == other)
            yield (
                f"diagnose accepts it as a result, but the parser {name} returns {found_here} "
                f"instead of {stated}"
            )


def _altering(program: Program, sample: Sample, reported: Collection[str]) -> Iterator[str]:
    """Check that parsers only raise ParseError, and are fast, whatever an output contains."""
    chance = random.Random(0)  # noqa: S311  # not for secrets
    for _ in range(_MUTATIONS):
        file = chance.choice(sorted(sample.files))
        output = Output({**sample.files, file: mutated(sample.files[file], chance)})
        calls = (
            *both_diagnoses(program, output, sample),
            version_of(program, output),
            *(parsed(name, parser, output) for name, parser in program.own_parsers().items()),
        )
        for fault in distinct(calls, reported):
            yield f"{file} altered: {fault.reason}"
