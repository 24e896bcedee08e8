"""Compare a step's parsers and `keep_files` with the files and values that the step produces."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from wqmaster.parsers.base import Parser
from wqmaster.tasks.base import Traits
from wqmaster.tasks.calling import file_lack, left, listed
from wqmaster.tasks.leaves import Lack, Leaves, Remark
from wqmaster.tasks.program import Program
from wqmaster.tasks.programs import owner_of

_STREAMS = frozenset(("stdout", "stderr"))


@dataclass(frozen=True)
class Asked:
    """A parser that a step asks for."""

    name: str  # the parser's name, as written in the campaign file
    function: Parser
    file: str  # the file that the parser reads
    explicit: bool  # whether the campaign file names the file that the parser reads


def parser_lack(asked: Asked, program: Program | None, leaves: Leaves) -> Lack | None:
    """Why the parser will find nothing in a step of `program`; None if it can find something."""
    own = owner_of(asked.function, program)
    if program is not None and program.has_own_format and own is not None and own is not program:
        if asked.explicit and asked.file not in _STREAMS:
            # The other program might have written this file, as xtb does when ORCA calls it.
            return file_lack(leaves, asked.file)
        return _of_another(asked, own, program)
    lacks = [file_lack(leaves, asked.file)] if asked.file not in _STREAMS else []
    why = own.lacks() if own is not None and own is not program else None
    if own is not None and why is not None:
        return Lack(f"the program '{own.name}' cannot be used: {why}", "fix that module")
    if own is not None and asked.file == getattr(asked.function, "files", ("stdout",))[0]:
        needs = own.needs.get(getattr(asked.function, "__name__", ""), ())
        lacks += [leaves.quantities.get(need) for need in needs]
    found = [lack for lack in lacks if lack is not None]
    return min(found, key=lambda lack: not lack.certain, default=None)


def _of_another(asked: Asked, own: Program, program: Program) -> Lack:
    known = program.own_parsers()
    short = asked.name.rpartition(".")[2]
    hint = (
        f"did you mean '{program.module_name}.{short}'?"
        if short in known
        else f"parsers of {program.name}: {', '.join(sorted(known))}"
    )
    return Lack(f"it is a parser of {own.name}, but this step runs {program.name}", hint)


@dataclass(frozen=True)
class Complaint:
    """Something that is certainly or probably wrong with a step."""

    message: str
    certain: bool  # True: an error; False: a warning
    keys: tuple[str | int, ...]  # the keys within the step that lead to the faulty value
    line: int | None = None  # the line within that value's text, counted from 1


def complaints(
    traits: Traits,
    program: Program | None,
    options: Any,
    parsers: Iterable[tuple[Asked, tuple[str | int, ...]]],
    keep_files: Iterable[str],
) -> Iterator[Complaint]:
    """Yield everything that is certainly or probably wrong with a step.

    `traits` are those of the step's task function. Each parser in `parsers` comes with the keys
    within the step that lead to it.

    Raises:
        BrokenTrait: `remarks` or `leaves` raised an error or returned a value of the wrong type.
    """
    wrong = False
    for remark in listed(traits, "remarks", Remark, options):
        yield Complaint(remark.message, remark.certain, (remark.key,), remark.line)
        wrong = wrong or remark.certain
    if wrong:
        return  # what a wrong option produces would be a second complaint about one mistake
    leaves = left(traits, options)
    for asked, keys in parsers:
        lack = parser_lack(asked, program, leaves)
        if lack is not None:
            finds = "will find nothing" if lack.certain else "may find nothing or a wrong value"
            message = f"the parser '{asked.name}' {finds}: {lack.reason}; {lack.instead}"
            yield Complaint(message, lack.certain, keys)
    for file in keep_files:
        lack = None if file in _STREAMS else file_lack(leaves, file)
        if lack is not None:
            written = "will not be written" if lack.certain else "will probably not be written"
            message = f"the file '{file}' {written}: {lack.reason}; {lack.instead}"
            yield Complaint(message, lack.certain, ("keep_files", file))
