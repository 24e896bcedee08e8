"""Check parsers and the diagnosis with outputs that are cut or altered at random (reproducibly)."""

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

# The approximate number of evenly spaced lengths at which each file is cut.
_MAX_CUTS = 300
# Each file is also cut at each of its last bytes (this many), since its last number can lose digits
# there.
_LAST_BYTES = 40
# How many times a file of each sample is altered.
_MUTATIONS = 200


def faults(
    program: Program, sample: Sample, whole: Mapping[str, Any], reported: Collection[str] = ()
) -> Iterator[str]:
    """Yield the faults that the module of parsers shows with the damaged sample.

    At most one fault is reported for each file that is cut, and one for altered files. `whole` maps
    parsers to the values that they find in the undamaged sample. The causes in `reported`, which
    the undamaged sample showed, are not reported again.
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
    """Check that a cut output either fails or gives all values, none of them shorter or wrong.

    For a program without its own format, accepted outputs are not examined, because plain text does
    not show whether it is complete. Such a program has only its exit code.
    """
    content = sample.files[file]
    size = len(content)
    step = max(1, size // _MAX_CUTS)
    for length in sorted({*range(0, size, step), *range(max(0, size - _LAST_BYTES), size)}):
        files = {**sample.files, file: content[:length]}
        for fault in _of_a_part(program, sample, files, whole, reported):
            yield f"{file} cut to {length} bytes: {fault}"
    # stdout and stderr are always returned, but any other file can be missing.
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
    # If a file is missing, a parser can find fewer digits or more rows in another file.
    if None not in found or files.keys() != sample.files.keys():
        return
    for name, value in values.items():
        # The comparison is exact, because a number might have lost its last digits.
        if not isinstance(value, (ParseError, Fault)) and value != whole[name]:
            found_here, stated = differing(value, whole[name], lambda one, other: one == other)
            yield (
                f"diagnose accepts it as a result, but the parser {name} returns {found_here} "
                f"instead of {stated}"
            )


def _altering(program: Program, sample: Sample, reported: Collection[str]) -> Iterator[str]:
    """Check that parsers are fast and raise nothing but ParseError, whatever an output contains."""
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
