"""What parsers need, held against what the steps of the samples leave."""

from collections.abc import Collection, Iterator, Sequence

from wqmaster.tasks.base import traits_of
from wqmaster.tasks.calling import BrokenTrait, left
from wqmaster.tasks.program import Program
from wqmaster.testing.conformance.sample import Sample


def faults(program: Program, samples: Sequence[Sample], untested: Collection[str]) -> Iterator[str]:
    """The quantities of `needs.py` that no step is known to lack: they may be misspelled.

    A parser that needs one is asked for in any step without a word of `wqmaster check`.
    """
    known: set[str] = set()
    for sample in samples:
        traits = traits_of(sample.function)
        try:
            options = traits.options.model_validate(dict(sample.options))
            known |= left(traits, options).quantities.keys()
        except (ValueError, BrokenTrait):
            continue  # told where the sample is built
    parsers: dict[str, list[str]] = {}
    for name, needs in program.needs.items():
        for need in needs:
            if need not in known and name not in untested:
                parsers.setdefault(need, []).append(name)
    for need, names in parsers.items():
        yield (
            f"{program.module_name}.needs says that {', '.join(sorted(names))} needs '{need}', "
            "and `leaves` knows this quantity for no step of a sample: correct its name, or add a "
            "sample of a step that lacks it"
        )
