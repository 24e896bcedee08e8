"""Whether the campaign's programs are there, and are what they are called."""

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
from wqmaster.tasks.programs import names_of_ours

# Exit codes of what cannot be executed, or lacks a library.
_NOT_STARTED_CODES = (126, 127)


def steps(case: Case) -> Iterator[Finding]:
    """What is likely wrong with the steps of the campaign."""
    for warning in case.recipe.warnings if case.recipe is not None else ():
        yield Finding(
            "steps",
            "warning",
            warning,
            "wqmaster check, after a change of the file",
            code=ErrorCode.STEP_DOUBTFUL,
        )


def programs(case: Case) -> Iterator[Finding]:
    """The programs of the campaign, where workers of this machine run them."""
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
        ways = ", ".join(f"{name} by its {way}" for name, way in elsewhere.items())
        yield Finding("programs", "ok", f"workers have {ways}; 'wqmaster smoke' tries them here")
    if isinstance(case.workers, BatchWorkers):
        yield from _archives(case, recipe)
    # Those that workers are to have already.
    names = recipe.programs()
    subject = ", ".join(names)
    try:
        check_programs(recipe)
    except ProgramMissing as error:
        if here:
            fix = f"say where it is with 'software:' in {recipe.loaded.source.path}"
            yield Finding(subject, "wrong", error.message, fix, error.code)
        else:
            missing = [name for name in names if shutil.which(name) is None]
            why = f"{', '.join(missing)} not on this machine" if missing else error.message
            seen = f"{why}; workers elsewhere must have it"
            yield Finding(
                subject,
                "warning",
                seen,
                "wqmaster smoke, on a machine like theirs",
                code=ErrorCode.PROGRAM_MISSING,
            )
        return
    for name in names:
        found = shutil.which(name) or name
        said = ""
        program = recipe.program
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
        elif program is not None and name == recipe.software.argv(program.name)[0]:
            ours = program.name in names_of_ours()
            why = "it has no option" if ours else "PROGRAM states no version_argument"
            said = f" found; it was not run, since {why}" + " to print its version" * ours
        else:
            said = " found; it was not run"
        there = "" if here else "; workers elsewhere need one of their own"
        yield Finding(name, "ok", f"{found}{said}{there}")


def _failed(found: str, argument: str, told: Said) -> str:
    """What is wrong with a program that was asked for its version in vain."""
    tried = f"'{found} {argument}' (PROGRAM.version_argument)"
    if told.code is None or told.code in _NOT_STARTED_CODES:
        return f"{found} does not run: {told.last}; {tried} was tried"
    # The program may be well, and the argument mistyped.
    return f"{tried} was tried, and ended with exit code {told.code}: {told.last}"


def _archives(case: Case, recipe: Recipe) -> Iterator[Finding]:
    """Whether what was packed starts on the machines that it is sent to."""
    loaded = recipe.loaded
    for path in dict.fromkeys(
        loaded.source.path.parent / program.archive
        for program in loaded.campaign.software.values()
        if program.archive is not None
    ):
        needs = glibc_of(path)
        if needs is not None:
            fix = (
                "pack a build for an older Linux (conda-forge's: wqmaster software pack NAME "
                "--from PREFIX), or a container with 'image:' that has it"
            )
            yield judged(case, f"glibc of {path.name}", str(path), needs, fix)


CHECKS = (Check("steps", steps), Check("programs", programs))
