"""Parsers and `keep_files` of a step, held against what the step leaves."""

import importlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wqmaster.campaign.models import nearest
from wqmaster.parsers.base import Parser
from wqmaster.tasks.base import Traits
from wqmaster.tasks.leaves import Lack, Leaves

# Programs whose outputs only their own parsers can read, by the names of the parsers' packages.
_WITH_OWN_FORMAT = frozenset(("orca", "python", "vina", "xtb"))
_PARSERS = "wqmaster.parsers."
_STREAMS = frozenset(("stdout", "stderr"))


@dataclass(frozen=True)
class Asked:
    """A parser that a step asks for."""

    name: str  # as the campaign file has it
    function: Parser
    file: str  # the file it is to read
    explicit: bool  # whether the campaign file names that file


def program_of(function: Parser) -> str | None:
    """The program whose parser this is; None for a user's own, and for those of any text."""
    module = getattr(function, "__module__", "") or ""
    program = module.removeprefix(_PARSERS).split(".")[0] if module.startswith(_PARSERS) else ""
    return program if program in _WITH_OWN_FORMAT else None


def needs_of(function: Parser) -> tuple[str, ...]:
    """The quantities that a parser of ours needs."""
    program = program_of(function)
    if program is None:
        return ()
    try:
        table = importlib.import_module(f"{_PARSERS}{program}.needs")
    except ModuleNotFoundError:
        return ()
    needs: Mapping[str, tuple[str, ...]] = table.NEEDS
    return needs.get(getattr(function, "__name__", ""), ())


def parser_lack(asked: Asked, program: str | None, leaves: Leaves) -> Lack | None:
    """Why the parser will find nothing in a step of `program`, or None."""
    own = program_of(asked.function)
    if program in _WITH_OWN_FORMAT and own is not None and own != program:
        if asked.explicit and asked.file not in _STREAMS:
            # A file that the other program may have written, as xtb does below ORCA.
            return leaves.file(asked.file)
        return _of_another(asked, own, str(program))
    lacks = [leaves.file(asked.file)] if asked.file not in _STREAMS else []
    if asked.file == getattr(asked.function, "files", ("stdout",))[0]:
        lacks += [leaves.quantities.get(need) for need in needs_of(asked.function)]
    found = [lack for lack in lacks if lack is not None]
    return min(found, key=lambda lack: not lack.certain, default=None)


def _of_another(asked: Asked, own: str, program: str) -> Lack:
    there: dict[str, Any] = vars(importlib.import_module(f"{_PARSERS}{program}"))
    known = [name for name, value in there.items() if hasattr(value, "files")]
    short = asked.name.rpartition(".")[2]
    hint = (
        f"did you mean '{_PARSERS}{program}.{short}'?"
        if short in known
        else (f"parsers of {program}: {nearest(short, known)}")
    )
    return Lack(f"it is a parser of {own}, and this step runs {program}", hint)


@dataclass(frozen=True)
class Complaint:
    """Something of a step that is wrong, or likely is."""

    message: str
    certain: bool  # whether it is an error; else it is a warning
    keys: tuple[str | int, ...]  # where in the step it is
    line: int | None = None  # the line of the text there, counted from 1


def complaints(
    traits: Traits,
    options: Any,
    parsers: Iterable[tuple[Asked, tuple[str | int, ...]]],
    keep_files: Iterable[str],
) -> Iterator[Complaint]:
    """What is wrong with a step of a task function of these traits.

    `parsers` come with their places in the step.
    """
    for remark in traits.remarks(options):
        yield Complaint(remark.message, remark.certain, (remark.key,), remark.line)
    if traits.leaves is None:
        return
    leaves = traits.leaves(options)
    for asked, keys in parsers:
        lack = parser_lack(asked, traits.program, leaves)
        if lack is not None:
            finds = "will find nothing" if lack.certain else "may find nothing, or the wrong value"
            message = f"the parser '{asked.name}' {finds}: {lack.reason}; {lack.instead}"
            yield Complaint(message, lack.certain, keys)
    for file in keep_files:
        lack = None if file in _STREAMS else leaves.file(file)
        if lack is not None:
            written = "will not be written" if lack.certain else "may not be written"
            message = f"the file '{file}' {written}: {lack.reason}; {lack.instead}"
            yield Complaint(message, lack.certain, ("keep_files", file))
