"""The programs that a campaign needs on this machine."""

import shutil
from collections.abc import Collection
from pathlib import Path

from wqmaster.campaign.models import nearest
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import ProgramMissing
from wqmaster.jobs.job import Job
from wqmaster.recipe.recipe import Recipe
from wqmaster.tasks.program import Program
from wqmaster.tasks.programs import program_called


def _installation(name: str, program: Program | None) -> str:
    """How to get the program of this name, in parentheses; "" if that is unknown."""
    known = program if program is not None and program.name == name else program_called(name)
    return f" ({known.installation})" if known is not None and known.installation else ""


def check_programs(recipe: Recipe) -> None:
    """Check that this machine, where the workers run, has the programs.

    Raises:
        ProgramMissing: one is missing, or another program has its name.
    """
    for name in recipe.programs():
        found = shutil.which(name)
        commands = recipe.software.commands
        named = [called for called in commands if recipe.software.argv(called)[0] == name]
        program = recipe.program_called(name)
        own = program.name if program is not None and program.installation else name
        what = named[0] if named else own
        if found is None and named and "/" in name:
            where = recipe.loaded.source.where("software", what)
            how = _installation(what, program)
            raise ProgramMissing(
                f"{where}: there is no program '{name}' on this machine, where the workers of this "
                f"campaign run; correct the path, or install {what}{how}"
            )
        if found is None:
            how = _installation(what, program)
            place = _where_called(recipe, name)
            prefix = f"{place}: " if place is not None else ""
            raise ProgramMissing(
                f"{prefix}'{name}' is not installed on this machine, where the workers of this "
                f"campaign run; install {what}{how}, or give its path with 'software: {{{what}: "
                f"/path/to/{what}}}' in the campaign file"
            )
        why = program.impostor(Path(found)) if program and program.impostor else None
        if why is not None:
            raise ProgramMissing(
                f"'{found}' is not {what}: {why}", code=ErrorCode.PROGRAM_UNSUITABLE
            )


def unnamed(recipe: Recipe, job: Job) -> list[str]:
    """A warning for each program that `job` calls by an unknown, perhaps mistyped, name.

    Such a name is not in `software:`, is not the recipe's program, and is not installed on this
    machine.
    """
    called = {step.argv[0] for step in job.steps}
    known = {*recipe.software.commands, *(program.name for program in recipe.known_programs)}
    known_words = {recipe.software.argv(name)[0] for name in known}
    place = recipe.loaded.source.where(*recipe.functions[0].place)
    better = known - {"command"}  # `command` is not a program, but runs any
    return [
        f"{_where_called(recipe, name) or place}: {recipe.named} calls '{name}', which is "
        f"neither in 'software:' nor installed on this machine; {_suggested(name, better)}"
        for name in sorted(called - known_words)
        if "/" not in name and shutil.which(name) is None
    ]


def _suggested(name: str, known: Collection[str]) -> str:
    return nearest(name, known) if known else "install it, or name it in 'software:'"


def _where_called(recipe: Recipe, name: str) -> str | None:
    """The place of the step's `command:` that begins with this program; None if there is none."""
    for position, step in enumerate(recipe.loaded.campaign.steps):
        command = step.options.get("command")
        words = command.split() if isinstance(command, str) else command
        if isinstance(words, list) and words and words[0] == name:
            return recipe.loaded.source.where("campaign_config", "args", position, "command")
    return None


def asked_for_version(recipe: Recipe) -> tuple[str, ...]:
    """The recipe's programs that are known to print their version, and no more, with --version."""
    known = ((name, program_called(Path(name).name)) for name in recipe.programs())
    return tuple(
        name for name, one in known if one is not None and one.version_argument == "--version"
    )
