"""Refuses to mix results of two recipes under one key: a data set of two levels of theory."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from pymongo.errors import ExecutionTimeout

from wqmaster.errors import RecipeMismatch
from wqmaster.recipe import Recipe
from wqmaster.store import Store

# Seconds that looking at all results may take, and where that is too long, at the first of them.
_TIME = 20.0
_FIRST = 1000
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
    elif before != now or type(before) is not type(now):
        yield f"{path}: {before!r} before, {now!r} now"


def note(store: Store, recipe: Recipe) -> None:
    """Keep what `recipe` asks for, so that later what differs from it can be said."""
    for step in recipe.steps:
        store.note_recipe(step.hash, step.asked)


def _there(store: Store, notes: list[str]) -> dict[str, dict[str | None, int]]:
    """By step: the recipes of the results there are, and how many results each."""
    try:
        return store.recipes(_TIME)
    except ExecutionTimeout:
        pass
    try:
        found = store.recipes(_TIME, _FIRST)
    except ExecutionTimeout:
        notes.append("the recipes of the results there are were not compared: it takes too long")
        return {}
    notes.append(
        f"only the recipes of the first {_FIRST} results were compared: all would take too long"
    )
    return found


def check(store: Store, recipe: Recipe) -> list[str]:
    """See that the results there are were made with `recipe`; what could not be seen.

    Raises:
        RecipeMismatch: some were made with another; says how many, and what differs.
    """
    steps = {step.request.name: step for step in recipe.steps}
    notes: list[str] = []
    for name, found in _there(store, notes).items():
        place = f"{store.documents.full_name}, {store.campaign.output_key}.{name}"
        unsaid = found.pop(None, 0)
        if unsaid:
            notes.append(f"{place}: {unsaid} results do not say which recipe they were made with")
        others = {stated: count for stated, count in found.items() if stated != steps[name].hash}
        if not others:
            continue
        stated = max(others, key=lambda stated: (others[stated], stated))
        before = store.recipe(str(stated))
        told = ["what differs is not known: they were made elsewhere"]
        if before is not None:
            told = list(differences(before, steps[name].asked))
        lines = "\n  ".join(told[:_TOLD])
        which = "another recipe" if len(others) == 1 else f"{len(others)} other recipes, the most"
        raise RecipeMismatch(
            f"{place}: {sum(others.values())} results were made with {which} ({stated}, now "
            f"{steps[name].hash}):\n  {lines}\nKeep the two apart with another "
            "'mongo_output_key' or step name, or set the campaign back to what it was"
        )
    return notes
