"""Refuses to mix results of two recipes under one key: a data set of two levels of theory."""

import difflib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from pymongo.errors import ExecutionTimeout

from wqmaster.errors import RecipeMismatch
from wqmaster.recipe import Recipe
from wqmaster.store import Store

log = logging.getLogger("wqmaster.guard")

# Seconds that looking at all results may take.
_TIME = 60.0
# Differences that are told.
_TOLD = 6


def differences(before: Any, now: Any, path: str = "") -> Iterator[str]:
    """What differs between two recipes, a line each: `steps[0].gfn: 1 before, 2 now`."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}):
            below = f"{path}.{key}" if path else str(key)
            yield from differences(before.get(key), now.get(key), below)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from differences(old, new, f"{path}[{number}]")
    elif isinstance(before, str) and isinstance(now, str) and before != now:
        changed = difflib.unified_diff(before.split("\n"), now.split("\n"), n=0, lineterm="")
        lines = [line for line in list(changed)[2:] if not line.startswith("@@")]
        yield f"{path}: {'; '.join(repr(line) for line in lines)}"
    elif before != now:
        yield f"{path}: {before!r} before, {now!r} now"


def note(store: Store, recipe: Recipe) -> None:
    """Keep what `recipe` asks for, so that later what differs from it can be said."""
    for step in recipe.steps:
        store.note_recipe(step.hash, step.asked)


def check(store: Store, recipe: Recipe) -> None:
    """See that the results there are were made with `recipe`.

    Raises:
        RecipeMismatch: some were made with another; says how many, and what differs.
    """
    steps = {step.request.name: step for step in recipe.steps}
    try:
        there = store.recipes(_TIME)
    except ExecutionTimeout:
        log.warning("the recipes of the results there are were not compared: it takes too long")
        there = {}
    for name, found in there.items():
        place = f"{store.documents.full_name}, {store.campaign.output_key}.{name}"
        for stated, count in found.items():
            if stated is None:
                log.warning("%s: %d results do not say their recipe", place, count)
            elif stated != steps[name].hash:
                before = store.recipe(stated)
                told = ["what differs is not known: they were made elsewhere"]
                if before is not None:
                    told = list(differences(before, steps[name].asked))
                lines = "\n  ".join(told[:_TOLD])
                raise RecipeMismatch(
                    f"{place}: {count} results were made with another recipe ({stated}, now "
                    f"{steps[name].hash}):\n  {lines}\nKeep the two apart with another "
                    "'mongo_output_key' or step name, or set the campaign back to what it was"
                )
