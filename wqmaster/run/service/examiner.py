"""A process that examines campaign files for a service, so that the broker reads none itself.

    python -m wqmaster.run.service.examiner

It reads questions from standard input, one line each, and answers each with a line. A file can
import modules of users, which can hang or crash, and its database can be slow: the broker ends an
examiner that takes too long.
"""

import os
import sys
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.errors import WqmasterError
from wqmaster.recipe.hashing import hash_of
from wqmaster.recipe.recipe import Recipe
from wqmaster.recipe.resolving import resolve
from wqmaster.run.feed import Feed
from wqmaster.run.opening import opened
from wqmaster.run.programs import check_programs
from wqmaster.run.service.files import check_settings, loaded_from
from wqmaster.run.service.messages import Start
from wqmaster.run.spool import Spool


class Examine(BaseModel):
    """The question of whether a file is a valid campaign."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["examine"] = "examine"
    start: Start


class Look(BaseModel):
    """The question of whether a campaign that had come to its end has anything to do again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["look"] = "look"
    start: Start


class Answer(BaseModel):
    """The answer to a question about the file at `path`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    error: str | None = None  # why the file is invalid, or why the question has no answer
    # What follows is known only of a valid campaign.
    name: str = ""
    # What may not change while there are results or running tasks.
    recipe: str = ""
    place: str = ""  # where documents, results and spool are
    cores: int = 1  # of one job
    priority: int = 0
    weight: float = 1.0
    variables: tuple[str, ...] = ()  # environment variables whose values can be secret
    has_audit: bool = False
    has_work: bool = False  # the answer to Look


_QUESTIONS: TypeAdapter[Examine | Look] = TypeAdapter(
    Annotated[Examine | Look, Field(discriminator="kind")]
)


def _place(loaded: LoadedCampaign, recipe: Recipe) -> str:
    database = loaded.campaign.database
    server = database.uri or str(loaded.mongod_folder)
    where = [str(loaded.folder), recipe.target, server, database.name, database.collection]
    return hash_of(where)  # an address can hold a password


def _has_work(recipe: Recipe) -> bool:
    """Whether a run would compute anything."""
    if any(Spool(recipe.loaded.folder / "spool").waiting()):
        return True
    with opened(recipe.loaded, existing=True) as store:
        if store.commands.orders().pause is not None:
            return False
        feed = Feed(store, lambda key: False, fields=recipe.fields)
        while not feed.take(1):
            if feed.exhausted:
                return False
    return True


def answer(question: Examine | Look) -> Answer:
    """Answer a question."""
    path = question.start.path
    try:
        check_settings(question.start)
        loaded = loaded_from(question.start)
        recipe = resolve(loaded)
        campaign, submit = loaded.campaign, loaded.campaign.submit
        if campaign.workers.on_this_machine or question.start.engine == "local":
            check_programs(recipe)
        found: dict[str, Any] = {
            "path": path,
            "name": campaign.campaign,
            "recipe": recipe.hash,
            "place": _place(loaded, recipe),
            "cores": campaign.resources.cores,
            "priority": submit.level,
            "weight": submit.weight,
            "variables": tuple(sorted(loaded.variables)),
            "has_audit": campaign.audit is not None,
        }
        if isinstance(question, Look):
            found["has_work"] = _has_work(recipe)
        return Answer(**found)
    except WqmasterError as error:
        return Answer(path=path, error=error.message)


def main() -> None:
    """Answer questions until standard input closes."""
    writes = os.dup(sys.stdout.fileno())
    os.set_inheritable(writes, False)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin.buffer:
        rest = answer(_QUESTIONS.validate_json(line)).model_dump_json().encode() + b"\n"
        while rest:
            rest = rest[os.write(writes, rest) :]


if __name__ == "__main__":
    main()
