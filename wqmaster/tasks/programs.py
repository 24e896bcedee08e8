"""The programs that are known: those of wqmaster, and those that installed packages register.

Ours are the packages of `wqmaster.tasks`, each of which has a `PROGRAM`.

A package registers a program by an entry point of the group `wqmaster.programs`, whose value is the
place of the `Program`:

    [project.entry-points."wqmaster.programs"]
    mopac = "my_package.mopac:PROGRAM"

A module beside the campaign file needs no registration: its task function names its program itself,
`@task(program=PROGRAM)`.
"""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import metadata

import wqmaster.tasks
from wqmaster.errors import CampaignError
from wqmaster.parsers.base import Parser
from wqmaster.tasks.program import Program

GROUP = "wqmaster.programs"


def _registered() -> Iterator[tuple[str, Program]]:
    for entry in metadata.entry_points(group=GROUP):
        try:
            found = entry.load()
        except Exception as error:  # a package of others may raise anything
            raise CampaignError(
                f"the program '{entry.name}' that an installed package registers ({entry.value}) "
                f"fails to import: {error!r}"
            ) from error
        if not isinstance(found, Program):
            raise CampaignError(
                f"the entry point '{entry.name}' of {GROUP} ({entry.value}) is not a "
                "wqmaster.tasks.Program"
            )
        yield entry.name, found


@cache
def programs() -> Mapping[str, Program]:
    """All known programs by name. Those of wqmaster come before others of their names.

    Raises:
        CampaignError: an installed package registers what is not a program.
    """
    packages = [
        found.name for found in pkgutil.iter_modules(wqmaster.tasks.__path__) if found.ispkg
    ]
    ours = {name: importlib.import_module(f"wqmaster.tasks.{name}").PROGRAM for name in packages}
    return {**dict(_registered()), **ours}


def owner_of(function: Parser, *others: Program | None) -> Program | None:
    """The program whose parser this is; None for a user's own, and for those of any text."""
    known = [*programs().values(), *(program for program in others if program is not None)]
    return next((one for one in known if one.has_own_format and one.owns(function)), None)


def program_called(command: str) -> Program | None:
    """The program whose executable is usually called like this; None if it is not known."""
    return programs().get(command)


def restricting(name: str) -> Program | None:
    """The program whose licence does not allow an executable of this name to be given away."""
    return next((one for one in programs().values() if one.restricts(name)), None)
