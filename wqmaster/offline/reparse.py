"""Apply the current parsers to kept archives, and compare their values with the stored ones.

Only `write` changes the database. Everything that it replaces or removes is kept in a file in the
campaign's folder, so nothing is lost.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from bson import json_util

from wqmaster.checks.base import Level
from wqmaster.database import records
from wqmaster.database.attempts import key_of
from wqmaster.database.documents import Store
from wqmaster.database.results import Result
from wqmaster.engines.base import Returned
from wqmaster.errors import ArchiveError
from wqmaster.jobs.archive import Archive
from wqmaster.jobs.failures import Failure, FailureClass
from wqmaster.jobs.job import Asked, Outcome
from wqmaster.jobs.molecule import Document, shown_id
from wqmaster.recipe.judgement import Verdict, judge
from wqmaster.recipe.recipe import Recipe
from wqmaster.run.spool import OUTPUTS, Spool, read_task

# Times that differ by less are the same, because the database stores them in milliseconds.
_SAME_TIME_SECONDS = 0.002
# The fields of `_run` that come from the parsers.
_OF_PARSERS = ("program_version", "parser_version")
# The field of `_run` that comes from the checks, and its name among the values of a step.
_CHECKS = "checks"
_CHECKS_PLACE = "_run.checks"


class Kind(Enum):
    """How the current parsers' result for an archived job compares with the database."""

    SAME = "same"  # the values are as stored
    CHANGED = "changed"  # a stored value differs
    NEW = "new"  # the stored result lacks some values
    CURED = "cured"  # a failed attempt that is now a result
    FAILING = "now failing"  # a stored result that is now refused
    FAILED = "still failed"
    EARLIER = "of earlier attempts"  # the stored result is from another attempt
    SKIPPED = "skipped"  # for example because the job had another recipe or molecule


@dataclass(frozen=True)
class Difference:
    """One value of one step, as stored (None: not stored) and as read now."""

    step: str
    parser: str
    before: Any
    now: Any

    @property
    def largest(self) -> float | None:
        """The largest difference between corresponding numbers; None if the shapes differ."""
        return _largest(self.before, self.now)


@dataclass(frozen=True)
class Finding:
    """The finding for one archived job."""

    kind: Kind
    asked: Asked
    why: str = ""  # the reason, if the job failed or was skipped
    differences: tuple[Difference, ...] = ()
    # Only `write` needs the following fields; a field that does not apply is {}.
    result: dict[str, Document] = field(default_factory=dict)  # step -> its values now
    run: Document = field(default_factory=dict)  # `_run` of the stored result of this attempt
    record: Document = field(default_factory=dict)  # the failed attempt, for the ledger
    added: frozenset[str] = frozenset()  # steps whose results are not stored yet
    kept: frozenset[str] = frozenset()  # steps whose results stay though the job fails now


def _largest(before: Any, now: Any) -> float | None:
    if isinstance(before, (int, float)) and isinstance(now, (int, float)):
        return abs(before - now)
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        found = [_largest(old, new) for old, new in zip(before, now, strict=True)]
        numbers = [value for value in found if value is not None]
        return max(numbers, default=0.0) if len(numbers) == len(found) else None
    if isinstance(before, Mapping) and isinstance(now, Mapping) and before.keys() == now.keys():
        return _largest([before[key] for key in now], list(now.values()))
    return 0.0 if before == now else None


@dataclass(frozen=True)
class _Archived:
    asked: Asked
    number: int  # the job's number within its task
    returned: Returned
    outcome: Outcome | None
    place: str  # path of the archive

    def made(self, values: Document) -> bool:
        """Whether the stored `values` of a step come from this very run of the job.

        The attempt's number is not enough, because numbering starts again if a result is removed
        by hand or a step is added.
        """
        run = values.get("_run")
        if not isinstance(run, Mapping) or run.get("attempt") != self.asked.attempt:
            return False
        finished = run.get("finished")
        then = finished.timestamp() if isinstance(finished, datetime) else 0.0
        return abs(then - self.returned.finished) < _SAME_TIME_SECONDS


class Reparse:
    """Applies the current parsers to the archives of a campaign, one task at a time."""

    def __init__(self, recipe: Recipe, store: Store, spool: Spool, folder: Path) -> None:
        self._recipe = recipe
        self._store = store
        self._spool = spool
        self._folder = folder
        # The `key_of` of each document for which an archive has results that are not stored yet.
        self._taken: set[str] = set()
        self.counts: Counter[Kind] = Counter()
        # How many archived jobs each check warns about, and how many it refuses.
        self.warned: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.written = 0
        # Documents whose field of results holds something else, and why that is in the way.
        self.not_stored: list[tuple[Any, str]] = []
        self.unreadable = 0  # damaged archives
        self.log: Path | None = None  # the file with the replaced values

    def findings(self) -> Iterator[Finding]:
        """Yield one finding for each archived job."""
        for folder in self._spool.archived():
            try:
                asked, returned, path = read_task(folder)
                archive = self._spool.opened(path, returned)
            except (ArchiveError, ValueError, TypeError, KeyError, OSError):
                self.unreadable += 1  # its failure was recorded when the task returned
                continue
            with archive:
                yield from self._of_task(folder, asked, returned, archive)

    def _of_task(
        self, folder: Path, asked: list[Asked], returned: Returned, archive: Archive
    ) -> Iterator[Finding]:
        documents = [job.document for job in asked]
        stored = self._store.results.of(documents)
        molecules = self._store.molecules(documents)
        histories = self._store.ledger.histories(documents)
        for number, job in enumerate(asked):
            key = key_of(job.document)
            kept = histories[key].archives if key in histories else {}
            # A failed attempt is kept in a separate folder, together with the other jobs of its
            # bundle, which are read from their own folders.
            own = Path(kept.get(job.attempt, "")).parent
            if own.parent.name == self._spool.failed.name:
                if (folder.parent.name, folder.name) != (own.parent.name, own.name):
                    continue
            elif folder.parent == self._spool.failed:
                continue
            outcome: Outcome | None = None
            try:
                outcome = archive.outcome(number, self._recipe.read_files)
                verdict = judge(self._recipe, job, outcome)
            except ArchiveError as error:
                verdict = Verdict(failure=Failure(FailureClass.TRUNCATED, error.message))
            self._count_checks(verdict)
            archived = _Archived(job, number, returned, outcome, str(folder / OUTPUTS))
            finding = self._compare(archived, verdict, stored.get(key), molecules.get(key))
            self.counts[finding.kind] += 1
            yield finding

    def _count_checks(self, verdict: Verdict) -> None:
        found = [one for result in verdict.results for one in result.checks]
        for one in (*found, *verdict.checks):
            if one.level is Level.WARN:
                self.warned[one.check.name] += 1
            elif one.level is Level.REFUSE:
                self.refused[one.check.name] += 1

    def _compare(
        self,
        archived: _Archived,
        verdict: Verdict,
        stored: dict[str, Document] | None,
        molecule: str | None,
    ) -> Finding:
        asked = archived.asked
        if asked.recipe != self._recipe.hash:
            return Finding(Kind.SKIPPED, asked, "it was computed with another recipe")
        if stored is None:
            return Finding(Kind.SKIPPED, asked, "the document is no longer in the collection")
        if molecule != asked.molecule:
            return Finding(Kind.SKIPPED, asked, "the document's molecule has changed since")
        mine = {step: values for step, values in stored.items() if archived.made(values)}
        key = key_of(asked.document)
        if (stored and not mine) or key in self._taken:
            return Finding(Kind.EARLIER, asked, "the stored result is from another attempt")
        run: Document = next((values["_run"] for values in mine.values()), {})
        # With `commit: step`, the results of the steps before a failure are results too.
        passed = verdict.results if self._recipe.commits_steps else ()
        if verdict.failure is not None and not mine.keys() <= {one.step for one in passed}:
            before = mine.get(verdict.failure.step or "", {})
            kept = frozenset(one.step for one in passed)
            return self._failed(archived, verdict.failure, run, before, kept)
        made = records.result(
            self._recipe, asked, archived.returned, archived.outcome, verdict.results
        )
        result = dict(made.steps) if verdict.failure is None or passed else {}
        added = frozenset(result.keys() - stored.keys())
        if added:
            self._taken.add(key)
        found = tuple(_differences(mine, result))
        if verdict.failure is None and added:
            return Finding(Kind.CURED, asked, "", found, result, run, added=added)
        found += tuple(_differences({step: {} for step in added}, result))
        if verdict.failure is not None and not found:
            # As recorded: the job failed after the steps whose results are stored.
            return self._failed(archived, verdict.failure, {}, {})
        kind = Kind.SAME
        if found:
            new = all(difference.before is None for difference in found)
            kind = Kind.NEW if new else Kind.CHANGED
        return Finding(kind, asked, "", found, result, run, added=added)

    def _failed(
        self,
        archived: _Archived,
        failure: Failure,
        run: Document,
        before: Document,
        kept: frozenset[str] = frozenset(),
    ) -> Finding:
        asked = archived.asked
        # A parser that was added later must not invalidate the values of the others.
        added = failure.parser is not None and failure.parser not in before
        if run and (added or failure.kind is FailureClass.MISSING_OUTPUT):
            return Finding(Kind.SKIPPED, asked, f"its archive is insufficient: {failure.message}")
        record = records.failed(
            asked,
            archived.returned,
            archived.outcome,
            failure,
            final=True,
            number=archived.number,
            archive=archived.place,
        )
        why = f"{failure.kind.label}: {failure.message}"
        kind = Kind.FAILING if run else Kind.FAILED
        return Finding(kind, asked, why, record=record, run=run, kept=kept)

    # --- writing -----------------------------------------------------------------------------

    def write(self, finding: Finding) -> None:
        """Store new or changed values, the result of a cured attempt, or a new failure.

        Other kinds of findings change nothing.
        """
        document = finding.asked.document
        if finding.kind in (Kind.CHANGED, Kind.NEW, Kind.CURED):
            if finding.run:
                self._note(finding)
            for step in {one.step for one in finding.differences} - finding.added:
                values = {**finding.result[step]}
                versions = {name: values["_run"][name] for name in _OF_PARSERS}
                of_step = (one for one in finding.differences if one.step == step)
                checks = next((one.now for one in of_step if one.parser == _CHECKS_PLACE), None)
                values["_run"] = {
                    **versions,
                    "reparsed": datetime.now(UTC),
                    **({_CHECKS: checks} if checks is not None else {}),
                }
                self._store.results.replace(document, step, finding.run, values)
            new = {step: finding.result[step] for step in finding.added}
            if new:
                refused = self._store.results.commit([Result(document, new)])
                for why in refused.values():
                    self.not_stored.append((document, why))
                if refused:
                    return
            if finding.kind is Kind.CURED:
                self._store.ledger.cured(document)
        elif finding.kind is Kind.FAILING:
            self._note(finding)
            self._store.ledger.give_up(finding.record)
            self._store.results.withdraw(document, finding.run, finding.kept)
        else:
            return
        self.written += 1

    def _note(self, finding: Finding) -> None:
        """Save to a file the stored values that are about to be replaced."""
        if self.log is None:
            self.log = self._folder / f"reparse-{datetime.now(UTC):%Y%m%d-%H%M%S}.jsonl"
        key = key_of(finding.asked.document)
        before = self._store.results.of([finding.asked.document]).get(key)
        line = {"document": finding.asked.document, "why": finding.why, "before": before}
        with self.log.open("a") as file:
            file.write(json_util.dumps(line) + "\n")


def _differences(stored: dict[str, Document], now: dict[str, Document]) -> Iterator[Difference]:
    for step, before in stored.items():
        for parser, value in now[step].items():
            if parser != "_run" and before.get(parser) != value:
                yield Difference(step, parser, before.get(parser), value)
        run = before.get("_run")
        earlier = run.get(_CHECKS) if isinstance(run, Mapping) else None
        checks = _merged(earlier, now[step]["_run"].get(_CHECKS))
        if checks != earlier:
            is_new = earlier is None or checks == _merged(checks, earlier)
            yield Difference(step, _CHECKS_PLACE, None if is_new else earlier, checks)


def _merged(earlier: Any, now: Any) -> Any:
    """The checks of a step as they are now, and stored ones that no longer apply.

    The latter belong to the values of parsers that the campaign no longer names; these values also
    stay in the database.
    """
    if not isinstance(earlier, Mapping) or not isinstance(now, Mapping):
        return earlier if now is None else now
    stays = [name for name in earlier.get("warned", ()) if name not in now["values"]]
    return {
        "values": {**earlier.get("values", {}), **now["values"]},
        "warned": [*stays, *now["warned"]],
    }


def told(finding: Finding) -> list[str]:
    """A finding in words, with one line per difference."""
    name = f"document {shown_id(finding.asked.document)}"
    attempt = f"attempt {finding.asked.attempt}"
    if finding.kind in (Kind.FAILING, Kind.SKIPPED, Kind.FAILED):
        return [f"{name}: {attempt}: {finding.kind.value}: {finding.why}"]
    if finding.kind is Kind.CURED:
        return [f"{name}: {attempt}: {finding.kind.value}: it now gives a result"]
    lines = []
    for difference in finding.differences:
        place = f"{name}: {difference.step}.{difference.parser}"
        if difference.before is None:
            lines.append(f"{place}: new")
        elif difference.largest is not None:
            lines.append(f"{place}: changed by at most {difference.largest:.6g}")
        else:
            lines.append(f"{place}: changed in shape or type")
    return lines
