"""Checks of the campaign's steps and programs."""

import re
import shutil
from collections.abc import Iterator

from wqmaster.campaign.workers import BatchWorkers, LocalWorkers
from wqmaster.doctor.finding import Case, Check, Finding
from wqmaster.doctor.glibc import judged
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import ProgramMissing
from wqmaster.recipe.recipe import Recipe
from wqmaster.run.programs import check_programs
from wqmaster.software.pack.making import glibc_of
from wqmaster.system.programs import Said, ask
from wqmaster.system.this_command import this_command
from wqmaster.tasks.programs import names_of_ours

# The exit codes of a program that cannot be executed or lacks a library.
_NOT_STARTED_CODES = (126, 127)
_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+)+")


def steps(case: Case) -> Iterator[Finding]:
    """Report what is probably wrong in the campaign's steps."""
    if case.recipe is None:
        return
    for warning in case.recipe.warnings:
        yield Finding(
            "steps",
            "warning",
            warning,
            f"correct the campaign file, then: {this_command()} check {case.recipe.loaded.typed}",
            code=ErrorCode.STEP_DOUBTFUL,
        )


def programs(case: Case) -> Iterator[Finding]:
    """Check the campaign's programs, as far as they can be checked on this machine."""
    recipe = case.recipe
    if recipe is None:
        return
    here = isinstance(case.workers, LocalWorkers) or case.engine == "local"
    elsewhere = {
        name: way
        for name, program in recipe.loaded.campaign.software.items()
        for way in ("archive", "url", "module")
        if getattr(program, way) is not None
    }
    if elsewhere:
        ways = ", ".join(f"{name} ({way})" for name, way in elsewhere.items())
        smoke = f"{this_command()} smoke {recipe.loaded.typed}"
        seen = f"the campaign provides {ways}; '{smoke}' tests them"
        yield Finding("programs", "ok", seen)
    if isinstance(case.workers, BatchWorkers):
        yield from _archives(case, recipe)
    # These are only the programs that the campaign does not provide.
    names = recipe.programs()
    subject = ", ".join(names)
    try:
        check_programs(recipe)
    except ProgramMissing as error:
        if here:
            seen, _, fix = error.message.partition("; ")
            fix = fix or f"give its path under 'software:' in {recipe.loaded.source.path}"
            yield Finding(subject, "wrong", seen, fix, error.code)
        else:
            missing = [name for name in names if shutil.which(name) is None]
            why = f"{', '.join(missing)} not on this machine" if missing else error.message
            seen = f"{why}; workers on other machines must have it"
            yield Finding(
                subject,
                "warning",
                seen,
                f"run '{this_command()} smoke {recipe.loaded.typed}' on a machine like theirs",
                code=ErrorCode.PROGRAM_MISSING,
            )
        return
    for name in names:
        found = shutil.which(name) or name
        said = ""
        program = recipe.program_called(name)
        argument = program.version_argument if program is not None else None
        if program is not None and argument and name == recipe.software.argv(program.name)[0]:
            told = ask([found, argument], case.environ)
            if told.code != 0:
                seen = _failed(found, argument, told)
                yield Finding(
                    name,
                    "wrong" if here else "warning",
                    seen,
                    f"{found} {argument}",
                    code=ErrorCode.PROGRAM_UNSUITABLE,
                )
                continue
            line = next((line for line in told.text.splitlines() if "version" in line.lower()), "")
            said = f": {line.strip(' *')[:80] or told.last}"
            if _is_older(line, program.oldest_version):
                yield Finding(
                    name,
                    "wrong" if here else "warning",
                    f"{found}{said}, but the parsers need {program.oldest_version} or newer",
                    f"install {program} {program.oldest_version} or newer"
                    + (f" ({program.installation})" if program.installation else ""),
                    code=ErrorCode.PROGRAM_UNSUITABLE,
                )
                continue
        elif program is not None and name == recipe.software.argv(program.name)[0]:
            ours = program.name in names_of_ours()
            why = "it has no option" if ours else "PROGRAM states no version_argument"
            said = f" found, but not run, since {why}" + " to print its version" * ours
        else:
            said = " found, but not run"
        there = "" if here else "; workers on other machines need their own copy"
        yield Finding(name, "ok", f"{found}{said}{there}")


def _is_older(line: str, oldest: str) -> bool:
    """Whether the version in `line` is older than `oldest`; False if either states none."""
    stated = _VERSION.search(line)
    if stated is None or not oldest:
        return False
    return [int(part) for part in stated[0].split(".")] < [int(part) for part in oldest.split(".")]


def _failed(found: str, argument: str, told: Said) -> str:
    """A description of what is wrong with a program that did not print its version."""
    tried = f"'{found} {argument}' (PROGRAM.version_argument)"
    if told.code is None or told.code in _NOT_STARTED_CODES:
        return f"{found} does not run: {told.last}; the command was {tried}"
    # The program may work if only the argument is wrong, so the message names the argument.
    return f"{tried} failed with exit code {told.code}: {told.last}"


def _archives(case: Case, recipe: Recipe) -> Iterator[Finding]:
    """Check whether packed software can start on the machines that receive it."""
    loaded = recipe.loaded
    for path in dict.fromkeys(
        loaded.source.path.parent / program.archive
        for program in loaded.campaign.software.values()
        if program.archive is not None
    ):
        needs = glibc_of(path)
        if needs is not None:
            fix = (
                "pack a build for an older Linux (from conda-forge: "
                f"{this_command()} software pack NAME --from PREFIX), or name a container that "
                "has it with 'image:'"
            )
            yield judged(case, f"glibc of {path.name}", str(path), needs, fix)


CHECKS = (Check("steps", steps), Check("programs", programs))
