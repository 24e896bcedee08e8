"""What a step leaves: the words in which a task function says it."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Remark:
    """Something that is wrong with a step, or likely is, found before anything runs."""

    message: str
    # The option of the step that it is about.
    key: str
    # The line within that option's text, counted from 1; None for the option as a whole.
    line: int | None = None
    # Whether it is an error. Else it is a warning.
    certain: bool = True


@dataclass(frozen=True)
class Lack:
    """Why a step does not leave a file or a quantity, and what to write instead."""

    reason: str
    instead: str
    # Whether that is certain, and an error. Else it is likely, and a warning.
    certain: bool = True


def _any(name: str) -> Lack | None:
    return None


@dataclass(frozen=True)
class Leaves:
    """What a step does not leave. Of everything else it is not known that it is missing."""

    # Quantities that are not printed, by the names in `wqmaster.parsers.PROGRAM.needs`.
    quantities: Mapping[str, Lack] = field(default_factory=dict)
    # Why a file of this name is not written; None if nothing speaks against it.
    file: Callable[[str], Lack | None] = _any


def no_such_file(program: str, name: str, known: Iterable[str]) -> Lack:
    """The warning that `program` is not known to write a file of this name."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if name.endswith((".out", ".log")):
        hint = "what a program prints is in the file 'stdout'"
    elif near:
        hint = f"did you mean '{near[0]}'?"
    else:
        hint = f"it is known to write {', '.join(sorted(known))}"
    return Lack(f"{program} is not known to write a file of this name", hint, certain=False)
