"""The types with which a task function states what a step does not produce."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Remark:
    """Something that is certainly or probably wrong with a step, found before anything runs."""

    message: str
    # The step's option that the remark is about.
    key: str
    # The line within that option's text, counted from 1; None for the option as a whole.
    line: int | None = None
    # True: an error; False: a warning.
    certain: bool = True


@dataclass(frozen=True)
class Lack:
    """Why a step does not produce a file or a quantity, and what to write instead."""

    reason: str
    instead: str
    # True: the step certainly does not produce it (an error). False: it probably does not (a
    # warning).
    certain: bool = True


def _any(name: str) -> Lack | None:
    return None


@dataclass(frozen=True)
class Leaves:
    """The quantities and files that a step does not produce. It can produce anything else."""

    # Quantities that are not printed, by their names in `wqmaster.parsers.PROGRAM.needs`.
    quantities: Mapping[str, Lack] = field(default_factory=dict)
    # Returns why a file with this name is not written; None if it can be.
    file: Callable[[str], Lack | None] = _any


def no_such_file(program: str, name: str, known: Iterable[str]) -> Lack:
    """A warning that `program` is not known to write a file with this name."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if name.endswith((".out", ".log")):
        hint = "the program's output is in the file 'stdout'"
    elif near:
        hint = f"did you mean '{near[0]}'?"
    else:
        hint = f"it is known to write {', '.join(sorted(known))}"
    return Lack(f"{program} is not known to write a file with this name", hint, certain=False)
