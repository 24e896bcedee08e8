"""A verdict as the database stores it: a result with `_run`, or a failed attempt."""

from collections.abc import Sequence
from datetime import UTC, datetime

from wqmaster.checks.base import Level, Measurement
from wqmaster.database.results import Result
from wqmaster.engines.base import Returned
from wqmaster.jobs.failures import Failure
from wqmaster.jobs.job import Asked, Outcome
from wqmaster.jobs.molecule import Document
from wqmaster.recipe.judgement import StepResult
from wqmaster.recipe.recipe import Recipe
from wqmaster.recipe.retry import WHOLE_JOB

_MAX_MESSAGE_CHARACTERS = 4000


def storable(text: str) -> str:
    """`text`, shortened and made valid UTF-8, since a user's parser can put anything into it."""
    return text[:_MAX_MESSAGE_CHARACTERS].encode(errors="replace").decode()


def summary(measurements: Sequence[Measurement]) -> Document:
    """The checks of a step as `_run.checks`: each number, and the checks that warn; {} if none."""
    if not measurements:
        return {}
    return {
        "values": {found.check.name: found.value for found in measurements},
        "warned": [found.check.name for found in measurements if found.level is not Level.PASS],
    }


def result(
    recipe: Recipe,
    asked: Asked,
    returned: Returned,
    outcome: Outcome | None,
    results: tuple[StepResult, ...],
    *,
    whole: bool = True,
) -> Result:
    """The values of all steps, each with `_run`, which records how they were computed."""
    programs = {
        wanted.request.name: program.name if (program := wanted.function.program) else None
        for wanted in recipe.steps
    }
    steps: dict[str, Document] = {}
    for step in results:
        taken = [name for of in (WHOLE_JOB, step.step) for name in asked.remedy.get(of, ())]
        run = {
            "recipe": step.recipe,
            "molecule": asked.molecule,
            **({"computed": dict(asked.computed)} if asked.computed else {}),
            "campaign": recipe.loaded.campaign.campaign,
            "program": programs[step.step],
            "program_version": step.program_version,
            "parser_version": step.parser_version,
            **({"software": step.software} if step.software else {}),
            "host": outcome.host if outcome else None,
            "attempt": asked.attempt,
            "remedy": ", ".join(taken) or None,
            "wall_time": step.wall_time,
            "finished": datetime.fromtimestamp(returned.finished, UTC),
            **({"checks": checked} if (checked := summary(step.checks)) else {}),
        }
        steps[step.step] = {**step.values, "_run": run}
    return Result(asked.document, steps, replaces=whole and recipe.commits_steps)


def failed(
    asked: Asked,
    returned: Returned,
    outcome: Outcome | None,
    failure: Failure,
    *,
    final: bool,
    number: int,
    archive: str | None,
) -> Document:
    """The record of a failed attempt; `number` is the job's position in its task and archive."""
    return {
        "document": asked.document,
        "attempt": asked.attempt,
        "final": final,
        "class": failure.kind.label,
        "family": failure.kind.family.value,
        "step": failure.step,
        "message": storable(failure.message),
        "tail": storable(failure.tail),
        **({"value": failure.value} if failure.value is not None else {}),
        "host": outcome.host if outcome else returned.host,
        "started": datetime.fromtimestamp(returned.started, UTC),
        "finished": datetime.fromtimestamp(returned.finished, UTC),
        "recipe": asked.recipe,
        "molecule": asked.molecule,
        **({"computed": dict(asked.computed)} if asked.computed else {}),
        "remedy": {step: list(names) for step, names in asked.remedy.items()},
        "wall_time": sum(step.wall_time for step in outcome.steps) if outcome else None,
        **({"memory": asked.memory} if asked.memory is not None else {}),
        "archive": archive,
        "number": number,
    }
