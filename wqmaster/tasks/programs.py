"""The known programs: wqmaster's own, and those that installed packages register.

wqmaster's own are the packages in `wqmaster.tasks`, each of which has a `PROGRAM`.

Another package registers a program with an entry point in the group `wqmaster.programs`. The entry
point's value is the location of the `Program`:

    [project.entry-points."wqmaster.programs"]
    mopac = "my_package.mopac:PROGRAM"

A module next to the campaign file needs no registration: its task function names its program with
`@task(program=PROGRAM)`.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import metadata

import wqmaster.tasks
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError
from wqmaster.parsers.base import Parser
from wqmaster.system.tracebacks import told
from wqmaster.tasks.program import Program

GROUP = "wqmaster.programs"


# The package with wqmaster's own parsers, in modules or packages named after their programs.
_PARSERS = "wqmaster.parsers."


def _loaded(entry: metadata.EntryPoint) -> Program:
    try:
        found = entry.load()
    except Exception as error:  # another package can raise anything
        raise CampaignError(
            f"the program '{entry.name}', which an installed package registers ({entry.value}), "
            f"cannot be imported: {told(error)}",
            code=ErrorCode.REGISTRATION_INVALID,
        ) from error
    if not isinstance(found, Program):
        raise CampaignError(
            f"the entry point '{entry.name}' of {GROUP} ({entry.value}) is not a "
            "wqmaster.tasks.Program",
            code=ErrorCode.REGISTRATION_INVALID,
        )
    return found


def _ours(name: str) -> Program:
    place = f"{wqmaster.tasks.__name__}.{name}"
    file = f"{place.replace('.', '/')}/__init__.py"
    try:
        found = getattr(importlib.import_module(place), "PROGRAM", None)
    except (Exception, SystemExit) as error:  # the package of a new program can contain mistakes
        raise CampaignError(
            f"the program '{name}' ({place}) cannot be imported: {told(error)}",
            code=ErrorCode.REGISTRATION_INVALID,
        ) from error
    if not isinstance(found, Program):
        what = "does not name PROGRAM" if found is None else f"has PROGRAM = {found!r:.60}"
        raise CampaignError(
            f"{file} {what}: import the program's wqmaster.tasks.Program there",
            code=ErrorCode.REGISTRATION_INVALID,
        )
    if found.name != name:
        raise CampaignError(
            f"{file}: PROGRAM is named '{found.name}', but must have the name of its package: "
            f"Program('{name}', ...)",
            code=ErrorCode.REGISTRATION_INVALID,
        )
    return found


@cache
def names_of_ours() -> frozenset[str]:
    """The names of wqmaster's own programs."""
    found = pkgutil.iter_modules(wqmaster.tasks.__path__)
    return frozenset(module.name for module in found if module.ispkg)


@cache
def _registered() -> Mapping[str, metadata.EntryPoint]:
    """The entry points of installed packages, not yet loaded, by name.

    Those with the name of one of wqmaster's own programs are left out.
    """
    found = metadata.entry_points(group=GROUP)
    return {entry.name: entry for entry in found if entry.name not in names_of_ours()}


def program_called(name: str) -> Program | None:
    """The program with this name, usually that of its executable; None if it is unknown.

    Only this program is imported, so a command that needs one program does not wait for all.

    Raises:
        CampaignError: the package that should contain the program does not provide a valid one.
    """
    if name in names_of_ours():
        return _ours(name)
    entry = _registered().get(name)
    return _loaded(entry) if entry is not None else None


def program_of_package(function: str) -> Program | None:
    """The program whose package in `wqmaster.tasks` contains a task function; None if none does.

    Raises:
        CampaignError: the package does not provide a valid program.
    """
    package, _, below = function.partition(f"{wqmaster.tasks.__name__}.")
    name = below.partition(".")[0]
    return _ours(name) if not package and name in names_of_ours() else None


def program_names() -> list[str]:
    """The names of all known programs."""
    return sorted({*names_of_ours(), *_registered()})


def programs() -> Mapping[str, Program]:
    """All known programs by name.

    Raises:
        CampaignError: as in `program_called`.
    """
    found = {name: program_called(name) for name in program_names()}
    return {name: program for name, program in found.items() if program is not None}


def forget() -> None:
    """Look for programs again, after packages have been installed or removed."""
    names_of_ours.cache_clear()
    _registered.cache_clear()


def owner_of(function: Parser, program: Program | None = None) -> Program | None:
    """The program whose outputs a parser reads; None for a user's parser or one for any text.

    `program` is a program to try first, which need not be registered.
    """
    if program is not None and program.has_own_format and program.owns(function):
        return program
    module = getattr(function, "__module__", "") or ""
    if module.startswith(_PARSERS):
        ours = program_called(module.removeprefix(_PARSERS).partition(".")[0])
        return ours if ours is not None and ours.has_own_format else None
    others = (_loaded(entry) for entry in _registered().values())
    return next((one for one in others if one.has_own_format and one.owns(function)), None)


def restricting(name: str) -> Program | None:
    """The program whose license forbids distributing an executable of this name, if there is one.

    Raises:
        CampaignError: as in `program_called`.
    """
    return next((one for one in programs().values() if one.restricts(name)), None)
