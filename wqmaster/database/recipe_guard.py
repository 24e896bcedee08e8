"""The guard, which refuses results of two recipes under one key, and results beside stale ones."""

import difflib
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo.errors import ExecutionTimeout

from wqmaster.campaign.models import GEOMETRY_FIELDS, MoleculeFields
from wqmaster.database import stale
from wqmaster.database.documents import Store
from wqmaster.database.results import StatedRecipe
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import RecipeMismatch, ResultsAdopted, StaleResults
from wqmaster.jobs.molecule import shown_id
from wqmaster.recipe.recipe import Recipe, StepRecipe
from wqmaster.system.this_command import this_command

# Time limit for each pass over all results. If a pass takes longer, only the first are compared.
_SCAN_SECONDS = 20.0
_FIRST_RESULTS = 1000
# Comparing so many results takes about a second.
_SMALL_DOCUMENTS = 10_000
# How many differences an error message lists at most.
_MAX_DIFFERENCES = 6
# How much of an adopted recipe a message shows.
_MAX_ADOPTED_CHARACTERS = 300
# The path of a step's option in what a recipe asks for (`wqmaster.recipe.hashing.asked_of`).
_STEP = re.compile(r"(?:steps|chain)\[(\d+)\]\.(?:options\.)?")


@dataclass(frozen=True)
class Note:
    """A remark about existing results that does not stop a run."""

    text: str
    code: ErrorCode

    def __str__(self) -> str:
        return self.text


def differences(before: Any, now: Any, path: str = "") -> Iterator[str]:
    """The differences between two recipes, one per line: `steps[0].gfn: 1 before, 2 now`."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}):
            below = f"{path}.{key}" if path else str(key)
            yield from differences(before.get(key), now.get(key), below)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from differences(old, new, f"{path}[{number}]")
    elif isinstance(before, str) and isinstance(now, str) and "\n" in f"{before}{now}":
        if before == now:
            return
        changed = difflib.unified_diff(before.split("\n"), now.split("\n"), n=0, lineterm="")
        lines = [line for line in list(changed)[2:] if not line.startswith("@@")]
        yield f"{path}: {'; '.join(repr(line) for line in lines)}"
    elif before != now or type(before) is not type(now):
        if path.startswith("files.") and None not in (before, now):  # hashes of contents
            yield f"the contents of {path.removeprefix('files.')} have changed"
            return
        yield f"{path}: {before!r} before, {now!r} now"


def naming_steps(difference: str, names: Sequence[str]) -> str:
    """A difference with the name of its step, as in `step 'opt', gfn: 1 before, 2 now`.

    `names` are those of the campaign's steps, in their order.
    """
    place = _STEP.match(difference)
    if place is None or int(place[1]) >= len(names):
        return difference
    return f"step '{names[int(place[1])]}', {difference[place.end() :]}"


def note(store: Store, recipe: Recipe) -> None:
    """Record what `recipe` asks for, so that a later run can report differences from it."""
    for step in recipe.steps:
        store.note_recipe(step.hash, step.asked, recipe.code)


def _there(
    store: Store, recipe: Recipe, notes: list[Note], seconds: float
) -> dict[str, dict[StatedRecipe, int]] | None:
    """For each step, the recipes that its results record, and the number of results of each.

    {} if all results are of `recipe` and were read by its parsers, which is found out faster. None
    if this takes longer than `seconds`. A note is added if not all results were read.
    """
    made = {step.request.name: (step.hash, _parsers_of(step)) for step in recipe.steps}
    try:
        if not store.results.any_other(made, seconds):
            return {}
        return store.results.recipes(seconds)
    except ExecutionTimeout:
        pass
    try:
        found = store.results.recipes(seconds, _FIRST_RESULTS)
    except ExecutionTimeout:
        text = "the recipes of existing results were not compared: it would take too long"
        notes.append(Note(text, ErrorCode.RESULTS_UNCHECKED))
        return None
    text = (
        f"only the recipes of the first {_FIRST_RESULTS} results were compared: comparing all "
        "would take too long"
    )
    notes.append(Note(text, ErrorCode.RESULTS_UNCHECKED))
    return found


def _parsers_of(step: StepRecipe) -> str | None:
    """The version of the parsers of the step's program; None if it has no program."""
    return step.diagnosis.VERSION if step.diagnosis is not None else None


def _others(found: Mapping[StatedRecipe, int], step: StepRecipe) -> Counter[str]:
    """The hashes of recipes other than that of `step`, and the number of results of each."""
    others: Counter[str] = Counter()
    for stated, count in found.items():
        # Hashes of old versions do not cover the fields of the molecule, which `stale` compares.
        same = stated.hash == step.hash or (stated.old and stated.hash == step.old_hash)
        if stated.hash is not None and not same:
            others[stated.hash] += count
    return others


def _outdated(
    found: Mapping[StatedRecipe, int],
    recipe: Recipe,
    step: StepRecipe,
    place: str,
    *,
    archived: bool,
) -> Iterator[Note]:
    """A note if some results were read by another version of the program's parsers."""
    now = _parsers_of(step)
    others: Counter[str] = Counter()
    for stated, count in found.items():
        if stated.parser_version not in (None, now):
            others[str(stated.parser_version)] += count
    if now is None or not others:
        return
    versions = ", ".join(sorted(others))
    command = recipe.loaded.typed
    how = (
        f"to apply it to the kept archives: {this_command()} reparse {command} --write"
        if archived
        else "their outputs were not kept ('archive: {keep: all}' keeps them for reparse)"
    )
    text = (
        f"{place}: version {versions} of the parsers read {_results(sum(others.values()))}; the "
        f"current version is {now}; {how}"
    )
    yield Note(text, ErrorCode.RESULTS_OUTDATED)


def check_recipes(
    store: Store, recipe: Recipe, seconds: float = _SCAN_SECONDS, *, archived: bool = False
) -> list[Note]:
    """Refuse to continue if existing results were made with another recipe.

    Returns notes on results that could not be compared, on results of older parsers, and on a
    user's own task function that has been edited since.

    Raises:
        RecipeMismatch: such results exist; the message states how many, and what differs.
        ResultsAdopted: such results were adopted from existing outputs.
    """
    steps = {step.request.name: step for step in recipe.steps}
    path = recipe.loaded.typed
    notes: list[Note] = []
    there = _there(store, recipe, notes, seconds)
    if recipe.code is not None and (
        there is None
        or any(_are_of(found, recipe) for found in there.values())
        or (not there and store.results.any_there())
    ):
        notes += _of_code(store, recipe)
    for name, found in (there or {}).items():
        place = f"{store.documents.full_name}, {store.campaign.output_key}.{name}"
        unsaid = sum(count for stated, count in found.items() if stated.hash is None)
        if unsaid:
            text = f"{place}: no recipe is recorded for {_results(unsaid)}"
            notes.append(Note(text, ErrorCode.RESULTS_UNDECLARED))
        notes += _outdated(found, recipe, steps[name], place, archived=archived)
        others = _others(found, steps[name])
        if not others:
            continue
        stated = max(others, key=lambda stated: (others[stated], stated))
        before = store.recipe(stated)
        told = ["the differences are unknown, since this database has no record of that recipe"]
        if before is not None:
            lines = differences(_completed(before), _completed(steps[name].asked))
            told = [naming_steps(line, list(steps)) for line in lines]
        shown = "\n  ".join(told[:_MAX_DIFFERENCES])
        total = sum(others.values())
        if before is not None and "adopted" in before:
            asked = ", ".join(f"{key}: {value}" for key, value in before.items() if value)
            many, mostly = "", ""
            if len(others) > 1:
                many, mostly = f" of {len(others)} recipes", "mostly "
            raise ResultsAdopted(
                f"{place}: {_results(total)}{many} {'was' if total == 1 else 'were'} adopted from "
                f"existing outputs, {mostly}of recipe {stated} "
                f"({asked[:_MAX_ADOPTED_CHARACTERS]}); to compute documents with this "
                "campaign, store the new results under another 'mongo_output_key'"
            )
        which = "another recipe" if len(others) == 1 else f"{len(others)} other recipes, mostly"
        raise RecipeMismatch(
            f"{place}: {_results(total)} {'was' if total == 1 else 'were'} made with {which} "
            f"({stated}, now {steps[name].hash}):\n  {shown}\nstore the new results under another "
            "'mongo_output_key' or step name, undo the change, or compute all results again: "
            f"{this_command()} rerun {path} --query '{{}}'"
        )
    return notes


def _results(count: int) -> str:
    return "1 result" if count == 1 else f"{count:,} results"


def _documents(count: int) -> str:
    return "1 document" if count == 1 else f"{count:,} documents"


def _completed(asked: Mapping[str, Any]) -> dict[str, Any]:
    """`asked` with the molecule's default fields, which a recipe leaves out, added."""
    usual = {key: getattr(MoleculeFields(), key) for key in GEOMETRY_FIELDS}
    return {**asked, "molecule": {**usual, **asked.get("molecule", {})}}


def check_molecules(store: Store, recipe: Recipe) -> list[Note]:
    """Refuse to continue if existing results are stale.

    Returns notes on results that could not be compared.

    Raises:
        StaleResults: some results are; the message states how many, and what differs.
    """
    made = stale.survey(store, recipe, _SCAN_SECONDS)
    if made.stale:
        raise StaleResults(stale_message(store, recipe, made))
    notes = []
    if not made.complete:
        text = (
            f"only the first {made.checked} results were compared with their documents: comparing "
            f"all would take too long; '{this_command()} check {recipe.loaded.typed}' compares all"
        )
        notes.append(Note(text, ErrorCode.RESULTS_UNCHECKED))
    return [*notes, *unrecorded(made)]


def unrecorded(made: stale.Survey) -> list[Note]:
    """A note if no molecule is recorded for some results, so that they cannot be compared."""
    if not made.unknown:
        return []
    text = f"no molecule is recorded for {_results(made.unknown)}"
    return [Note(text, ErrorCode.RESULTS_UNDECLARED)]


def stale_message(store: Store, recipe: Recipe, made: stale.Survey) -> str:
    """The message about stale results: how many there are, what differs, and what to do."""
    differing = ", ".join(
        f"{part} in {_documents(count)}" for part, count in made.differing.most_common()
    )
    examples = "\n  ".join(
        f"document {shown_id(found.document)}: {'; '.join(found.differences)}"
        for found in made.examples
    )
    path = recipe.loaded.typed
    were = "was" if made.stale == 1 else "were"
    return (
        f"{store.documents.full_name}, {store.campaign.output_key}: {made.stale:,} of "
        f"{_documents(made.checked)} {were} changed after the results were computed; what "
        f"changed: {differing}\n  {examples}\n"
        f"compute the results again with '{this_command()} rerun {path} --stale' (the old "
        "results are moved to wqmaster.history), or restore the documents"
    )


def stale_reason(store: Store, recipe: Recipe, made: stale.Survey) -> str:
    """Why a run on which stale results were found is held, in one line, and what to do."""
    parts = [f"{part} in {_documents(n)}" for part, n in made.differing.most_common()]
    first = made.examples[0]
    were = "was" if made.stale == 1 else "were"
    return (
        f"{made.stale:,} of the first {_documents(made.checked)} {were} changed after the results "
        f"in {store.campaign.output_key} were computed ({', '.join(parts)}), for example document "
        f"{shown_id(first.document)}: {'; '.join(first.differences)}; restore the documents, or "
        f"let this run compute them again: {this_command()} rerun {recipe.loaded.typed} --stale"
    )


def check_parsers(store: Store, recipe: Recipe, *, archived: bool) -> list[Note]:
    """Notes on results that lack a value because a parser was added to their step later.

    `archived` states whether outputs were kept, from which `reparse` can read the value.
    """
    notes = []
    path = recipe.loaded.typed
    for step in recipe.steps:
        name = step.request.name
        names = [call.name for call in step.parsers]
        try:
            if not store.results.any_lacking(name, names, _SCAN_SECONDS):
                continue
            total, lacking = store.results.lacking(name, names, _SCAN_SECONDS)
        except ExecutionTimeout:
            text = f"step {name}: missing values of parsers were not counted: it takes too long"
            notes.append(Note(text, ErrorCode.RESULTS_UNCHECKED))
            continue
        for parser, count in lacking.items():
            if not count:
                continue
            missing = f"{store.campaign.output_key}.{name}.{parser}"
            query = shlex.quote(json.dumps({missing: {"$exists": False}}))
            ways = []
            if archived:
                ways.append(
                    f"to read it from the kept archives: {this_command()} reparse {path} --write"
                )
            which = "it" if count == 1 else "them"
            if archived:
                which = "those without an archive"
            ways.append(f"to compute {which} again: {this_command()} rerun {path} --query {query}")
            lack = "lacks" if count == 1 else "lack"
            text = (
                f"{count} of {_results(total)} of step {name} {lack} '{parser}'; {'; '.join(ways)}"
            )
            notes.append(Note(text, ErrorCode.RESULTS_INCOMPLETE))
    return notes


def _are_of(found: Mapping[StatedRecipe, int], recipe: Recipe) -> bool:
    """Whether a step of `recipe` produced any of these results."""
    return bool({stated.hash for stated in found} & {step.hash for step in recipe.steps})


def _of_code(store: Store, recipe: Recipe) -> list[Note]:
    """A note if the user's own task function was edited since the recipe's last run."""
    known = store.codes(recipe.hash)
    if recipe.code is None or not known or recipe.code in known:
        return []
    text = (
        f"the file of {recipe.named} was edited since the last run; if its jobs now give other "
        "results, give it another version, such as @task(version='2'), to distinguish old and new "
        "results"
    )
    return [Note(text, ErrorCode.FUNCTION_EDITED)]


def is_small(store: Store) -> bool:
    """Whether all results can be compared with their documents before a run begins."""
    return store.size() <= _SMALL_DOCUMENTS


def check(
    store: Store, recipe: Recipe, *, archived: bool = False, values: bool = True
) -> list[Note]:
    """Check recipes and, with `values`, molecules and parsers; return the notes of all checks.

    Raises:
        RecipeMismatch: existing results were made with another recipe.
        StaleResults: existing results are stale.
    """
    notes = check_recipes(store, recipe, archived=archived)
    if values:
        notes += check_molecules(store, recipe)
        notes += check_parsers(store, recipe, archived=archived)
    return notes
