"""Compare the quantities that parsers need with those that the samples' steps do not produce."""

from collections.abc import Collection, Iterator, Sequence

from wqmaster.tasks.base import traits_of
from wqmaster.tasks.calling import BrokenTrait, left
from wqmaster.tasks.program import Program
from wqmaster.testing.conformance.sample import Sample


def faults(program: Program, samples: Sequence[Sample], untested: Collection[str]) -> Iterator[str]:
    """Yield a fault for each quantity in `needs.py` that no sample's step lacks.

    Such a quantity might be misspelled, and then `wqmaster check` never warns about its parsers.
    """
    known: set[str] = set()
    for sample in samples:
        traits = traits_of(sample.function)
        try:
            options = traits.options.model_validate(dict(sample.options))
            known |= left(traits, options).quantities.keys()
        except (ValueError, BrokenTrait):
            continue  # `building` reports it
    parsers: dict[str, list[str]] = {}
    for name, needs in program.needs.items():
        for need in needs:
            if need not in known and name not in untested:
                parsers.setdefault(need, []).append(name)
    for need, names in parsers.items():
        yield (
            f"{program.module_name}.needs states '{need}' for {', '.join(sorted(names))}, but "
            "`leaves` names this quantity for none of the samples; correct its name, or add a "
            "sample of a step that lacks it"
        )
