"""Judge returned jobs, and commit their results and failures to the database."""

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from wqmaster.database import records
from wqmaster.database.attempts import History, key_of
from wqmaster.database.base import CampaignStore
from wqmaster.database.reasons import is_about_access, reason
from wqmaster.engines.base import Returned, TaskResult
from wqmaster.errors import ArchiveError, ArchiveTooLarge
from wqmaster.jobs.archive import Archive
from wqmaster.jobs.failures import NO_SPACE_MESSAGE, Failure, FailureClass
from wqmaster.jobs.job import Asked, Outcome, StepOutcome
from wqmaster.jobs.molecule import Document
from wqmaster.recipe import retry
from wqmaster.recipe.judgement import Verdict, judge
from wqmaster.recipe.recipe import Recipe
from wqmaster.recipe.retry import GiveUp, Past, plan_of
from wqmaster.run.collector.messages import (
    WHOLE_ARCHIVE,
    Begins,
    Collect,
    Commits,
    Ended,
    EndedJob,
    JobFailure,
    Waits,
)
from wqmaster.run.collector.refusals import (
    STORING_ERRORS,
    can_be_about_data,
    is_about_data,
)
from wqmaster.run.kept_files import KeptFiles, safe_name
from wqmaster.run.spool import Spool
from wqmaster.system.lines import last_line
from wqmaster.system.passing import can_pass

log = logging.getLogger("wqmaster.collector")

# How many tasks, and about how many bytes of their files, are committed together.
BATCH_TASKS = 50
BATCH_BYTES = 32 << 20
# Seconds between two attempts to store results if the database does not respond.
_RETRY_SECONDS = 2.0

_CRASHED = Failure(FailureClass.COLLECTOR_CRASH, "a collector crashed or hung twice on this output")

# The exit code of runner.sh if the disk is full.
_DISK_FULL_EXIT_CODE = 28
_BY_RESULT = {
    TaskResult.LOST: FailureClass.WORKER_LOST,
    TaskResult.TIME_LIMIT: FailureClass.TIME_LIMIT,
    TaskResult.DISK_LIMIT: FailureClass.DISK_LIMIT,
    TaskResult.MEMORY_LIMIT: FailureClass.MEMORY,
    TaskResult.NO_OUTPUT: FailureClass.TRANSFER,
    TaskResult.ERROR: FailureClass.TRANSFER,
}


@dataclass
class _Judged:
    """A job with its verdict and its origin."""

    task: str
    number: int  # the job's number within the task
    asked: Asked
    returned: Returned
    outcome: Outcome | None
    verdict: Verdict
    final: bool = False  # whether the job's document has failed
    is_refused: bool = False  # whether the database refuses it, so that little is recorded

    @property
    def steps(self) -> tuple[StepOutcome, ...]:
        return self.outcome.steps if self.outcome else ()


@dataclass
class _Batch:
    jobs: list[_Judged] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    size: int = 0
    # Archives with large files to keep, which are open until the batch is stored.
    archives: list[Archive] = field(default_factory=list)


class Collector:
    """Judges returned tasks and commits them, a batch at a time."""

    def __init__(self, recipe: Recipe, store: CampaignStore, spool: Spool, kept: Path) -> None:
        self._recipe = recipe
        self._store = store
        self._spool = spool
        self._kept = KeptFiles(kept)

    def process(self, requests: Sequence[Collect]) -> Iterator[Begins | Commits | Waits | Ended]:
        """Judge and commit the tasks of `requests`; yield the messages to the master."""
        batch = _Batch()
        for request in requests:
            yield from self._judge_task(request, batch)
            if batch.size > BATCH_BYTES:
                yield from self._commit(batch)
                batch = _Batch()
        yield from self._commit(batch)

    # --- judging -----------------------------------------------------------------------------

    def _judge_task(self, request: Collect, batch: _Batch) -> Iterator[Begins | Waits | Ended]:
        task, skip = request.task, request.skip
        while not self._spool.returned.is_dir():
            # Without its folder, the task would seem to be committed.
            yield Waits(reason=f"the folder {self._spool.returned} is gone")
            time.sleep(_RETRY_SECONDS)
        try:
            asked, returned, archive_path = self._spool.read(task)
        except FileNotFoundError:
            # A killed master's collector has already committed it; only remnants are left.
            self._spool.remove(task)
            yield Ended(task=task)
            return
        except (ValueError, TypeError, KeyError) as error:
            log.error("the records of task %s are torn; its jobs will run again: %s", task, error)
            self._spool.remove(task)
            yield Ended(task=task)
            return
        batch.tasks.append(task)
        archive: Archive | None = None
        if WHOLE_ARCHIVE in skip:
            problem: Failure | None = _CRASHED
        else:
            yield Begins(task=task, job=WHOLE_ARCHIVE)
            archive, problem = _open(self._spool, archive_path, returned)
        try:
            for number, job in enumerate(asked):
                yield Begins(task=task, job=number)
                outcome: Outcome | None = None
                if number in skip:
                    verdict = Verdict(failure=_CRASHED)
                elif archive is None:
                    verdict = Verdict(failure=problem)
                else:
                    outcome, verdict = self._judge_job(archive, number, job)
                    batch.size += sum(
                        len(c) for s in (outcome.steps if outcome else ()) for c in s.files.values()
                    )
                    outcome = outcome and self._without_files(outcome, verdict)
                batch.jobs.append(_Judged(task, number, job, returned, outcome, verdict))
        finally:
            if archive is not None:
                if any(step.large for job in batch.jobs if job.task == task for step in job.steps):
                    batch.archives.append(archive)
                else:
                    archive.close()

    def _judge_job(
        self, archive: Archive, number: int, asked: Asked
    ) -> tuple[Outcome | None, Verdict]:
        try:
            outcome = archive.outcome(number, self._recipe.read_files)
        except ArchiveError as error:
            return None, Verdict(failure=Failure(FailureClass.TRUNCATED, error.message))
        return outcome, judge(self._recipe, asked, outcome)

    def _without_files(self, outcome: Outcome, verdict: Verdict) -> Outcome:
        """The outcome with only the files to keep, since a bundle's files can fill the memory."""
        if verdict.failure is None:
            passed = {step.request.name for step in self._recipe.steps}
        elif self._recipe.commits_steps:
            passed = {result.step for result in verdict.results}
        else:
            passed = set()
        kept = {
            step.request.name: {file for file, _ in step.keep_files}
            for step in self._recipe.steps
            if step.request.name in passed
        }
        steps = (
            replace(
                step,
                files=_only(step.files, kept.get(step.name, ())),
                large=_only(step.large, kept.get(step.name, ())),
            )
            for step in outcome.steps
        )
        return replace(outcome, steps=tuple(steps))

    # --- committing --------------------------------------------------------------------------

    def _commit(self, batch: _Batch) -> Iterator[Commits | Waits | Ended]:
        if not batch.tasks:
            return
        yield Commits(jobs=len(batch.jobs))
        while True:
            try:
                self._store_batch(batch.jobs)
                break
            except STORING_ERRORS as error:
                # The database or the disk can recover, and nothing is lost by trying again.
                log.warning("results cannot be stored; trying again: %s", error)
                yield Waits(
                    reason=records.storable(f"results cannot be stored: {reason(error)}"),
                    lasts=is_about_access(error),
                )
                time.sleep(_RETRY_SECONDS)
        ended: dict[str, list[EndedJob]] = {task: [] for task in batch.tasks}
        for job in batch.jobs:
            ended[job.task].append(_ended(job))
        for archive in batch.archives:
            archive.close()
        for task, jobs in ended.items():
            self._spool.remove(task, keep=self._store.campaign.archive.keep == "all")
            yield Ended(task=task, jobs=tuple(jobs))

    def _store_batch(self, jobs: Sequence[_Judged]) -> None:
        """Store jobs. If the database refuses them as a whole, those that it refuses fail alone.

        Raises:
            Exception: one of `STORING_ERRORS`, which is no job's fault.
        """
        refused = self._store_parts(jobs)
        if not refused:
            return
        first = refused[0][1]
        if len(refused) == len(jobs) > 1 and not any(is_about_data(error) for _, error in refused):
            raise first  # the database seems to be at fault
        for job, error in refused:
            log.error("document %s cannot be stored: %s", job.asked.document, error)
            why = f"the database refuses the result: {reason(error)}"
            job.verdict = Verdict(failure=Failure(FailureClass.NOT_STORED, why))
            job.is_refused = True
            self._store_jobs([job])

    def _store_parts(self, jobs: Sequence[_Judged]) -> list[tuple[_Judged, Exception]]:
        """Store jobs, divided until all are stored but those that the database refuses."""
        try:
            self._store_jobs(jobs)
            return []
        except STORING_ERRORS as error:
            if not can_be_about_data(error):
                raise
            if len(jobs) == 1:
                return [(jobs[0], error)]
        middle = len(jobs) // 2
        return self._store_parts(jobs[:middle]) + self._store_parts(jobs[middle:])

    def _store_jobs(self, jobs: Sequence[_Judged]) -> None:
        good = [
            job
            for job in jobs
            if job.verdict.failure is None or (self._recipe.commits_steps and job.verdict.results)
        ]
        now = self._store.molecules([job.asked.document for job in good])
        stored = self._stored(good)
        for job in list(good):
            key = key_of(job.asked.document)
            if key in now and now[key] != job.asked.molecule:
                failure = job.verdict.failure or Failure(
                    FailureClass.DOCUMENT_CHANGED, "the molecule changed while its job was running"
                )
                job.verdict = Verdict(failure=failure)
                good.remove(job)
                continue
            try:
                self._keep_files(job, stored.get(key, frozenset()))
            except (OSError, ArchiveError) as error:
                if isinstance(error, OSError) and can_pass(error):
                    raise
                failure = Failure(FailureClass.NOT_STORED, f"a file cannot be kept: {error}")
                if isinstance(error, ArchiveError):
                    failure = Failure(FailureClass.TRUNCATED, error.message)
                job.verdict = Verdict(failure=job.verdict.failure or failure)
                good.remove(job)
        refused = self._store.results.commit(
            [
                records.result(
                    self._recipe,
                    job.asked,
                    job.returned,
                    job.outcome,
                    job.verdict.results,
                    whole=job.verdict.failure is None,
                )
                for job in good
            ]
        )
        for job in good:
            why = refused.get(key_of(job.asked.document))
            if why is not None and job.verdict.failure is None:
                job.verdict = Verdict(failure=Failure(FailureClass.NOT_STORED, why))
        failed = [job for job in jobs if job.verdict.failure is not None]
        histories = self._store.ledger.histories([job.asked.document for job in failed])
        for job in failed:
            history = histories.get(key_of(job.asked.document), History())
            job.final = self._is_final(job, history)
        self._store.ledger.record([self._record(job) for job in failed])

    def _is_final(self, job: _Judged, history: History) -> bool:
        failure = job.verdict.failure
        assert failure is not None  # noqa: S101  # only failed jobs come here
        asked = job.asked
        now = Past(asked.attempt, failure.kind, failure.step, plan_of(asked.remedy))
        # If a batch is stored a second time, this attempt is already in the ledger.
        earlier = history.of(asked.recipe, asked.molecule)
        before = [past for past in earlier if past.attempt < now.attempt]
        return isinstance(retry.decide(self._recipe.ladders, [*before, now]), GiveUp)

    def _stored(self, jobs: Sequence[_Judged]) -> dict[str, frozenset[str]]:
        """For each document, the steps that already have a result, whose kept files must stay.

        {} if the campaign keeps no files.
        """
        if not any(step.keep_files for step in self._recipe.steps):
            return {}
        found = self._store.results.of([job.asked.document for job in jobs])
        return {key: frozenset(steps) for key, steps in found.items()}

    def _keep_files(self, job: _Judged, stored: frozenset[str]) -> None:
        steps = {step.name: step for step in job.steps}
        passed = {result.step for result in job.verdict.results}
        if self._recipe.commits_steps and job.verdict.failure is None:
            stored = frozenset()  # the results that they belong to are replaced
        for wanted in self._recipe.steps:
            if wanted.request.name in stored or wanted.request.name not in passed:
                continue
            for file, pattern in wanted.keep_files:
                name = pattern.replace("{id}", safe_name(job.asked.document))
                step = steps[wanted.request.name]
                with self._kept.replacing(name) as target:
                    if file in step.large:
                        step.large[file].copy_to(target)
                    else:
                        target.write(step.files[file])

    def _record(self, job: _Judged) -> Document:
        failure = job.verdict.failure
        assert failure is not None  # noqa: S101  # only failed jobs come here
        name = f"{safe_name(job.asked.document)}.{job.asked.attempt}"
        kept = None
        if self._store.campaign.archive.keep != "none":
            kept = self._spool.keep_failed(job.task, name)
        return records.failed(
            job.asked,
            job.returned,
            None if job.is_refused else job.outcome,
            failure,
            final=job.final,
            number=job.number,
            archive=str(kept) if kept else None,
        )


def _ended(job: _Judged) -> EndedJob:
    found, failure = job.verdict.failure, None
    if found is not None:
        failure = JobFailure(
            failure_class=found.kind.label,
            message=records.storable(found.message),
            final=job.final,
        )
    seconds = None
    if job.outcome is not None and not job.asked.remedy:
        seconds = sum(step.wall_time for step in job.outcome.steps)
    return EndedJob(
        key=key_of(job.asked.document),
        host=records.storable(job.returned.host),
        failure=failure,
        warned=found is None and job.verdict.is_warned,
        natoms=job.asked.natoms,
        seconds=seconds,
        size=job.asked.size,
        memory=job.asked.memory,
        used=job.outcome.memory if job.outcome else None,
    )


def _only(files: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: found for name, found in files.items() if name in names}


def _open(spool: Spool, path: Path, returned: Returned) -> tuple[Archive | None, Failure | None]:
    """The archive of a returned task; if it is unusable, the failure of the task's jobs instead."""
    is_full = returned.exit_code == _DISK_FULL_EXIT_CODE or NO_SPACE_MESSAGE in returned.message
    if returned.result is TaskResult.OK:
        try:
            return spool.opened(path, returned), None
        except ArchiveTooLarge as error:
            return None, Failure(FailureClass.OUTPUT_TOO_LARGE, error.message)
        except ArchiveError as error:
            kind = FailureClass.DISK_FULL if is_full else FailureClass.TRUNCATED
            return None, Failure(kind, error.message, tail=returned.message)
    kind = FailureClass.DISK_FULL if is_full else _BY_RESULT[returned.result]
    last = last_line(returned.message)
    message = f"{returned.result.replace('_', ' ')} (exit code {returned.exit_code}): {last}"
    return None, Failure(kind, message.rstrip(": "), tail=returned.message)
