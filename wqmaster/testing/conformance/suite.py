"""The whole test suite, which checks a program and its samples against the contract."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from wqmaster.tasks.program import Program
from wqmaster.testing.conformance import (
    building,
    damage,
    declarations,
    leaving,
    parsing,
    remedies,
)
from wqmaster.testing.conformance.calls import cause_of
from wqmaster.testing.conformance.sample import Sample


def check_program(
    program: Program, samples: Sequence[Sample], *, untested: Collection[str] = ()
) -> None:
    """Check a program's declarations, and check building, parsing and diagnosis with `samples`.

    The samples' outputs are also cut at many lengths and altered at random (reproducibly).

    Each parser must find a value in at least one sample, unless `untested` names it, which shows
    readers of the test that it is not tested. A parser in `untested` must not find any value. For
    the other parsers, the needs in `needs.py` are compared with `leaves` for the samples' steps.

    Raises:
        AssertionError: the program breaks the contract; the message lists every fault.
    """
    found = list(_faults(program, samples, untested))
    if found:
        raise AssertionError(
            f"{program} breaks the contract:\n" + "\n".join(f"- {one}" for one in found)
        )


def _faults(
    program: Program, samples: Sequence[Sample], untested: Collection[str]
) -> Iterator[str]:
    why = program.lacks()
    declared = [why] if why is not None else list(declarations.faults(program))
    of_samples: dict[str, list[int]] = {}  # fault -> numbers of the samples in which it occurs
    seen: set[str] = set()
    for number, sample in enumerate(samples):
        found = list(building.faults(program, sample))
        if why is None:
            whole = parsing.values_found(program, sample)
            if sample.failure is None:
                seen |= {name for name in whole if _is_found(name, whole[name], sample)}
            found += parsing.faults(program, sample)
            found += damage.faults(program, sample, whole, set(map(cause_of, found)))
        for fault in dict.fromkeys(found):
            of_samples.setdefault(fault, []).append(number)
    # The fault of a damaged sample begins with a description of the damage.
    causes = {cause_of(text) for one in of_samples for text in (one, one.partition(": ")[2])}
    yield from (fault for fault in declared if declarations.cause_of(fault) not in causes)
    if not samples:
        yield "there is no sample; checking the parsers requires a real output"
        return
    for fault, numbers in of_samples.items():
        which = f"sample{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
        yield f"{which}: {fault}"
    yield from remedies.faults(program, samples)
    if why is None:
        yield from leaving.faults(program, samples, untested)
        yield from _coverage(program, samples, seen, set(untested))


def _is_found(name: str, value: Any, sample: Sample) -> bool:
    """Whether a parser found a value. None counts as one only if the sample states it."""
    return value is not None or name in sample.values


def _coverage(
    program: Program, samples: Sequence[Sample], seen: set[str], untested: set[str]
) -> Iterator[str]:
    parsers = set(program.own_parsers())
    if all(sample.failure is not None for sample in samples):
        yield "every sample is a failure; add the output of a successful run"
    elif not any(parsers & sample.values.keys() for sample in samples):
        yield "no sample states a value, so no parser was compared with one"
    for name in sorted(untested - parsers):
        yield f"there is no parser {name}, which `untested` names"
    for name in sorted(untested & seen):
        yield f"the parser {name} finds a value in a sample, but `untested` names it"
    unseen = sorted(parsers - seen - untested)
    if unseen:
        yield (
            f"these parsers find no value in any sample: {', '.join(unseen)}; add a sample, or "
            "name them in check_program(..., untested=[...])"
        )
