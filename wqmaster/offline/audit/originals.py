"""The labels that an audit compares: stored results, and values that a check refused.

A campaign whose settings are too coarse can lose most of its results to the checks. The noise of
these labels matters most, so an audit reads them from the kept archives of the refused attempts. It
never stores them as results.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from wqmaster.checks.atoms import CLOSEST_ATOMS
from wqmaster.checks.table import CHECKS
from wqmaster.database import records
from wqmaster.database.attempts import key_of
from wqmaster.database.documents import Store
from wqmaster.database.result_reader import WithValues
from wqmaster.datasets.frame import Frame
from wqmaster.datasets.labels import Labels
from wqmaster.datasets.source import LeftOut, Selection, Source
from wqmaster.jobs.molecule import Document
from wqmaster.recipe.judgement import judge
from wqmaster.recipe.recipe import Recipe
from wqmaster.run.spool import Spool
from wqmaster.system.this_command import this_command

# The classes of failures by checks of values. `closest_atoms` acts before anything is computed.
_REFUSALS = tuple(
    check.kind.label
    for check in CHECKS.values()
    if check.kind is not None and check is not CLOSEST_ATOMS
)
_NO_RESULT = "it has no result"
_BATCH_DOCUMENTS = 1000
# How many refused attempts are searched for the program's version, if no result states it.
_VERSION_ATTEMPTS = 10

# What identifies one run of a job: attempt, end and the molecule's fingerprint.
RunId = tuple[Any, Any, Any]


class _Unreadable(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Originals:
    """The labels of a campaign's step: those that are stored, and those that a check refused."""

    def __init__(self, recipe: Recipe, store: Store, labels: Labels) -> None:
        self._recipe = recipe
        # The checks still measure, so that an audit can say which of them find the noise.
        self._unchecked = replace(recipe, checks=recipe.checks.without_limits())
        self._store = store
        self._labels = labels
        self._path = f"{store.campaign.output_key}.{labels.name}"
        self._spool = Spool(
            recipe.loaded.folder / "spool", recipe.loaded.campaign.archive.most_bytes
        )

    def sizes(self) -> Iterator[tuple[Any, int]]:
        """Yield `_id` and number of atoms of each document with a result, or with a refused one."""
        yield from self._store.sizes({f"{self._path}._run.recipe": self._labels.step.hash})
        entries = self._store.ledger.finals(_REFUSALS, self._recipe.hash)
        while ids := [one["document"] for one in itertools.islice(entries, _BATCH_DOCUMENTS)]:
            yield from self._store.sizes({"_id": {"$in": ids}, self._path: None})

    def version(self) -> str | None:
        """The version of the program that computed the labels; None if it is unknown."""
        name = self._labels.name
        found = self._store.reader.version(name, self._labels.step.hash)
        if found is not None:
            return found
        entries = self._store.ledger.finals(_REFUSALS, self._recipe.hash)
        for entry in itertools.islice(entries, _VERSION_ATTEMPTS):
            try:
                version = self._steps(entry)[name]["_run"]["program_version"]
            except _Unreadable:
                continue
            return version if isinstance(version, str) else None
        return None

    def refusals(self, ids: Sequence[Any]) -> dict[str, Document]:
        """The refused final attempt of each document without a stored result, by `key_of(_id)`."""
        entries = self._store.ledger.finals(_REFUSALS, self._recipe.hash, ids)
        found = {key_of(entry["document"]): entry for entry in entries}
        if not found:
            return {}
        undone = self._store.selected({self._path: None}, ids)
        return {key: found[key] for key in map(key_of, undone) if key in found}

    def runs(self, ids: Sequence[Any]) -> dict[str, RunId]:
        """What identifies the runs that computed the labels, by `key_of(_id)`."""
        name = self._labels.name
        found: dict[str, RunId] = {}
        for one in self._store.reader.values({name: []}, {"_id": {"$in": list(ids)}}):
            run = one.steps[name].get("_run") or {}
            found[key_of(one.document["_id"])] = _identity(run)
        refused = {key: _identity(entry) for key, entry in self.refusals(ids).items()}
        return {**refused, **found}

    def frames(self, ids: Sequence[Any]) -> tuple[dict[str, Frame], LeftOut]:
        """The usable labels of these documents, by `key_of(_id)`, and why others are not usable."""
        source = source_of(self._recipe, self._store, self._labels, {"_id": {"$in": list(ids)}})
        stored = {key_of(frame.document): frame for frame in source.frames()}
        refused = source.frames_of(self._refused(ids, source.left_out))
        return stored | {key_of(frame.document): frame for frame in refused}, source.left_out

    def _refused(self, ids: Sequence[Any], left_out: LeftOut) -> Iterator[WithValues]:
        """Yield the values that a check refused; add those that cannot be read to `left_out`."""
        for entry in self.refusals(ids).values():
            document = self._store.one(entry["document"])
            if document is None:
                left_out.add(_NO_RESULT, entry["document"])
                continue
            try:
                yield WithValues(document, self._steps(entry), {})
            except _Unreadable as error:
                left_out.add(error.reason, entry["document"])

    def _steps(self, entry: Document) -> Mapping[str, Document]:
        """The values of the steps of a refused attempt, each with `_run`, as a result has them.

        Raises:
            _Unreadable: its archive is not kept, is damaged, or holds no such values.
        """
        label = entry["class"]
        again = (
            f"'{this_command()} failures {self._recipe.loaded.typed} --retry {label}' and run again"
        )
        if not entry.get("archive"):
            raise _Unreadable(
                f"refused by {label}, and its archive was not kept; set 'archive: {{keep: "
                f"failed}}', then {again}"
            )
        came = self._spool.attempt(entry["archive"], entry["number"])
        if came is None:
            raise _Unreadable(f"refused by {label}, and its archive is gone or damaged; {again}")
        asked, returned, outcome = came
        now = (key_of(asked.document), asked.attempt, asked.molecule, asked.recipe)
        then = (entry["attempt"], entry["molecule"], entry["recipe"])
        if now != (key_of(entry["document"]), *then):
            raise _Unreadable(f"refused by {label}, and its archive holds another job; {again}")
        verdict = judge(self._unchecked, asked, outcome)
        steps = records.result(self._recipe, asked, returned, outcome, verdict.results).steps
        if not self._labels.fetched().keys() <= steps.keys():
            why = verdict.failure.kind.label if verdict.failure is not None else "no values"
            raise _Unreadable(f"refused by {label}, and its archive cannot be read: {why}")
        return steps


def _identity(run: Mapping[str, Any]) -> RunId:
    return run.get("attempt"), run.get("finished"), run.get("molecule")


def source_of(recipe: Recipe, store: Store, labels: Labels, query: Document) -> Source:
    """A source of the results that `query` selects; it accepts only the labels' own recipe."""
    source = Source(recipe, store, labels, Selection(query))
    source.accepted = frozenset({labels.step.hash})
    return source
