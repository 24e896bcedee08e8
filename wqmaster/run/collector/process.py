"""A process that checks, parses, judges and commits what is in the spool.

    python -m wqmaster.run.collector.process

It hears its configuration, then one task a line, on standard input, and tells the master on
standard output what it begins and what became of it; all as JSON. It ends when standard input
closes, so that it never outlives the master by more than the tasks in its hands.
"""

import errno
import hashlib
import itertools
import json
import logging
import logging.handlers
import os
import re
import select
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bson import ObjectId, json_util
from pymongo.errors import PyMongoError

from wqmaster.campaign.loading import LoadedCampaign, Source
from wqmaster.campaign.models import Campaign
from wqmaster.database import records
from wqmaster.database.attempts import History, key_of
from wqmaster.database.documents import Store
from wqmaster.engines.base import Returned
from wqmaster.errors import ArchiveError, CampaignError, DatabaseError
from wqmaster.jobs.failures import Failure, FailureClass
from wqmaster.jobs.job import Asked, Outcome
from wqmaster.jobs.molecule import Document
from wqmaster.jobs.wire import Archive
from wqmaster.recipe import retry
from wqmaster.recipe.judgement import Verdict, judge
from wqmaster.recipe.recipe import Recipe, resolve
from wqmaster.recipe.retry import Past, plan_of
from wqmaster.run.spool import Spool

log = logging.getLogger("wqmaster.collector")

# Tasks, and bytes of values, that are committed in one go.
BATCH = 50
BATCH_BYTES = 32 << 20
# Seconds between two tries to reach a database that went away.
_PAUSE = 2.0
# With a pattern of at most 60 characters, less than the 255 bytes of a file system.
_LONGEST_NAME = 180
# Strings that a number or an object id would be printed like.
_LIKE_OTHERS = re.compile(r"-?[0-9]+|[0-9a-f]{24}")
# Troubles of a disk that pass.
_PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE)

# In the place of a job's number: the archive of all of them.
WHOLE = -1
_CRASHED = Failure(
    FailureClass.COLLECTOR_CRASH, "a collector crashed or hung on this output, twice"
)

_BY_RESULT = {
    "lost": FailureClass.WORKER_LOST,
    "time_limit": FailureClass.TIME_LIMIT,
    "disk_limit": FailureClass.DISK_LIMIT,
    "memory_limit": FailureClass.MEMORY,
    "no_output": FailureClass.TRANSFER,
    "error": FailureClass.TRANSFER,
}


def safe_name(document_id: Any) -> str:
    """A document's `_id` as part of a file name; different ids have different ones.

    Strings, whole numbers and object ids are as they are printed. What `quote` never makes tells
    the rest apart: a letter or digit written as %XX, and %00.
    """
    if isinstance(document_id, str):
        name = quote(document_id, safe=" ,=+@()[]")
        if _LIKE_OTHERS.fullmatch(name) or name.startswith("."):
            name = f"%{ord(name[0]):02X}{name[1:]}"
    elif isinstance(document_id, (int, ObjectId)) and not isinstance(document_id, bool):
        name = str(document_id)
    else:
        name = "%00" + quote(json_util.dumps(document_id), safe="")
    if len(name) > _LONGEST_NAME:
        return "%00" + hashlib.sha256(name.encode()).hexdigest()
    return name or "%00"


@dataclass
class _Judged:
    """A job with its verdict, and where it came from."""

    task: str
    number: int  # within the task
    asked: Asked
    returned: Returned
    outcome: Outcome | None
    verdict: Verdict
    final: bool = False  # given up


@dataclass
class _Batch:
    jobs: list[_Judged] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    size: int = 0


class Collector:
    """Judges returned tasks and commits them, a batch at a time."""

    def __init__(self, recipe: Recipe, store: Store, spool: Spool, kept: Path) -> None:
        self._recipe = recipe
        self._store = store
        self._spool = spool
        self._kept = kept

    def process(self, requests: list[Document]) -> Iterator[Document]:
        """Bring the tasks of `requests` to an end; what the master is to hear."""
        batch = _Batch()
        for request in requests:
            yield from self._judge_task(request, batch)
            if batch.size > BATCH_BYTES:
                yield from self._commit(batch)
                batch = _Batch()
        yield from self._commit(batch)

    # --- judging -----------------------------------------------------------------------------

    def _judge_task(self, request: Document, batch: _Batch) -> Iterator[Document]:
        task = request["task"]
        try:
            asked, returned, archive_path = self._spool.read(task)
        except FileNotFoundError:
            # A collector of a master that was killed has brought it to an end; what is left of it
            # is removed.
            self._spool.remove(task)
            yield {"ended": task, "jobs": []}
            return
        except (ValueError, TypeError, KeyError) as error:
            log.error("the records of task %s are torn, it will run again: %s", task, error)
            self._spool.remove(task)
            yield {"ended": task, "jobs": []}
            return
        batch.tasks.append(task)
        skip = request.get("skip", ())
        archive: Archive | None = None
        if WHOLE in skip:
            problem: Failure | None = _CRASHED
        else:
            yield {"begins": task, "job": WHOLE}
            archive, problem = _open(archive_path, returned)
        try:
            for number, job in enumerate(asked):
                yield {"begins": task, "job": number}
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
                archive.close()

    def _judge_job(
        self, archive: Archive, number: int, asked: Asked
    ) -> tuple[Outcome | None, Verdict]:
        try:
            outcome = archive.outcome(number)
        except ArchiveError as error:
            return None, Verdict(failure=Failure(FailureClass.TRUNCATED, error.message))
        return outcome, judge(self._recipe, asked, outcome)

    def _without_files(self, outcome: Outcome, verdict: Verdict) -> Outcome:
        """The outcome with no files but those that will be kept: a bundle may have many jobs."""
        kept: dict[str, set[str]] = {}
        if verdict.failure is None:
            kept = {
                step.request.name: {file for file, _ in step.keep_files}
                for step in self._recipe.steps
            }
        steps = (
            replace(
                step,
                files={
                    name: content
                    for name, content in step.files.items()
                    if name in kept.get(step.name, ())
                },
            )
            for step in outcome.steps
        )
        return replace(outcome, steps=tuple(steps))

    # --- committing --------------------------------------------------------------------------

    def _commit(self, batch: _Batch) -> Iterator[Document]:
        if not batch.tasks:
            return
        yield {"commits": len(batch.jobs)}
        while True:
            try:
                self._store_batch(batch)
                break
            except (PyMongoError, OSError) as error:
                # Of the database, or of a full disk: nothing is lost by trying again.
                log.warning("results cannot be stored, trying again: %s", error)
                yield {"waits": f"results cannot be stored: {str(error)[:200]}"}
                time.sleep(_PAUSE)
        ended: dict[str, list[Document]] = {task: [] for task in batch.tasks}
        for job in batch.jobs:
            ended[job.task].append(self._told(job))
        for task, jobs in ended.items():
            self._spool.remove(task, keep=self._store.campaign.archive.keep == "all")
            yield {"ended": task, "jobs": jobs}

    def _store_batch(self, batch: _Batch) -> None:
        good = [job for job in batch.jobs if job.verdict.failure is None]
        now = self._store.molecules([job.asked.document for job in good])
        stored = self._stored(good)
        for job in list(good):
            key = key_of(job.asked.document)
            if key in now and now[key] != job.asked.molecule:
                failure = Failure(
                    FailureClass.DOCUMENT_CHANGED, "the molecule was changed while its job was away"
                )
                job.verdict = Verdict(failure=failure)
                good.remove(job)
                continue
            try:
                self._keep_files(job, stored.get(key, frozenset()))
            except OSError as error:
                if error.errno in _PASSING:
                    raise
                failure = Failure(FailureClass.NOT_STORED, f"a file cannot be kept: {error}")
                job.verdict = Verdict(failure=failure)
                good.remove(job)
        refused = self._store.results.commit(
            [
                records.result(
                    self._recipe, job.asked, job.returned, job.outcome, job.verdict.results
                )
                for job in good
            ]
        )
        for job in good:
            why = refused.get(key_of(job.asked.document))
            if why is not None:
                job.verdict = Verdict(failure=Failure(FailureClass.NOT_STORED, why))
        failed = [job for job in batch.jobs if job.verdict.failure is not None]
        histories = self._store.ledger.histories([job.asked.document for job in failed])
        for job in failed:
            history = histories.get(key_of(job.asked.document), History())
            job.final = self._is_final(job, history)
        self._store.ledger.record([self._record(job) for job in failed])

    def _is_final(self, job: _Judged, history: History) -> bool:
        failure = job.verdict.failure
        assert failure is not None  # noqa: S101  # only failed ones come here
        asked = job.asked
        now = Past(asked.attempt, failure.kind, failure.step, plan_of(asked.remedy))
        # A batch that is stored for the second time finds this attempt recorded.
        earlier = history.of(asked.recipe, asked.molecule)
        before = [past for past in earlier if past.attempt < now.attempt]
        return retry.plan(self._recipe.ladders, [*before, now]) is None

    def _stored(self, jobs: Sequence[_Judged]) -> dict[str, frozenset[str]]:
        """By document: the steps that have a result, whose kept files are of that result."""
        if not any(step.keep_files for step in self._recipe.steps):
            return {}
        found = self._store.results.of([job.asked.document for job in jobs])
        return {key: frozenset(steps) for key, steps in found.items()}

    def _keep_files(self, job: _Judged, stored: frozenset[str]) -> None:
        steps = {step.name: step for step in job.outcome.steps} if job.outcome else {}
        for wanted in self._recipe.steps:
            if wanted.request.name in stored:
                continue
            for file, pattern in wanted.keep_files:
                name = pattern.replace("{id}", safe_name(job.asked.document))
                content = steps[wanted.request.name].files[file]
                part = self._kept / f".{os.getpid()}.part"
                part.write_bytes(content)
                part.rename(self._kept / name)

    def _record(self, job: _Judged) -> Document:
        failure = job.verdict.failure
        assert failure is not None  # noqa: S101  # only failed ones come here
        name = f"{safe_name(job.asked.document)}.{job.asked.attempt}"
        kept = None
        if self._store.campaign.archive.keep != "none":
            kept = self._spool.keep_failed(job.task, name)
        return records.failed(
            job.asked,
            job.returned,
            job.outcome,
            failure,
            final=job.final,
            number=job.number,
            archive=str(kept) if kept else None,
        )

    def _told(self, job: _Judged) -> Document:
        told: Document = {
            "key": key_of(job.asked.document),
            "host": job.returned.host,  # as the engine calls it
        }
        failure = job.verdict.failure
        if failure is not None:
            told["class"] = failure.kind.label
            told["message"] = records.storable(failure.message)
            told["final"] = job.final
        return told


def _open(path: Path, returned: Returned) -> tuple[Archive | None, Failure | None]:
    """The archive of a returned task, or why there is none."""
    if returned.result == "ok":
        try:
            return Archive(path), None
        except ArchiveError as error:
            return None, Failure(FailureClass.TRUNCATED, error.message)
    last = next((line for line in reversed(returned.message.splitlines()) if line.strip()), "")
    kind = _BY_RESULT.get(returned.result, FailureClass.TRANSFER)
    if "disk full" in last or "No space left on device" in returned.message:
        kind = FailureClass.DISK_FULL
    message = f"{returned.result.replace('_', ' ')} (exit code {returned.exit_code}): {last}"
    return None, Failure(kind, message.rstrip(": "), tail=returned.message)


# --- the process -------------------------------------------------------------------------------


def _lines(descriptor: int) -> Iterator[list[bytes]]:
    """What has arrived, as whole lines, at most a batch of them at a time; until it closes."""
    rest = b""
    waiting: list[bytes] = []
    while True:
        while len(waiting) < BATCH and (not waiting or select.select([descriptor], [], [], 0)[0]):
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                # The master is gone: what was not begun waits in the spool for the next one.
                return
            *whole, rest = (rest + chunk).split(b"\n")
            waiting += whole
        yield waiting[:BATCH]
        del waiting[:BATCH]


class _Channel:
    """To the master. What a user's parser prints goes to standard error instead."""

    def __init__(self) -> None:
        self._descriptor = os.dup(sys.stdout.fileno())
        os.set_inheritable(self._descriptor, False)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def tell(self, message: Document) -> None:
        """Send a message, whole."""
        rest = json.dumps(message).encode() + b"\n"
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


def configuration(loaded: LoadedCampaign, uri: str, recipe: str) -> Document:
    """What a collector needs to know. It holds secrets: it goes through a pipe, nowhere else."""
    campaign = loaded.campaign.model_dump(exclude={"folder"})
    return {
        "recipe": recipe,
        # Paths as their text; all else that JSON has not is MongoDB's.
        "campaign": json_util.dumps(campaign, default=os.fspath),
        "path": str(loaded.source.path.absolute()),
        "folder": str(loaded.folder),
        "uri": uri,
    }


def main() -> None:
    """Run until standard input closes."""
    channel = _Channel()
    batches = _lines(sys.stdin.fileno())
    first, *waiting = next(batches, [b""])
    if not first:
        return
    configured = json.loads(first)
    folder = Path(configured["folder"])
    handler = logging.handlers.RotatingFileHandler(
        folder / "logs" / f"collector-{configured['number']}.log",
        maxBytes=5_000_000,
        backupCount=3,
        delay=True,
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
    logging.getLogger("wqmaster").addHandler(handler)

    campaign = Campaign.model_validate(
        {**json_util.loads(configured["campaign"]), "folder": folder}
    )
    loaded = LoadedCampaign(campaign, Source(Path(configured["path"]), None), frozenset())
    spool = Spool(folder / "spool")
    kept = folder / "kept"
    kept.mkdir(exist_ok=True)
    recipe = resolve(loaded, runs=False)
    if recipe.hash != configured["recipe"]:
        # One that is started anew reads the user's files again: what it judged would be stored
        # under a recipe that it was not computed with.
        raise CampaignError(
            "files that the campaign's recipe is made of were changed since the run began; what "
            "has come back is kept, start the run again"
        )
    store: Store | None = None
    while store is None:
        try:
            store = Store(configured["uri"], campaign)
        except DatabaseError as error:
            channel.tell({"waits": error.message})
            time.sleep(_PAUSE)
    try:
        collector = Collector(recipe, store, spool, kept)
        for batch in itertools.chain([waiting], batches):
            for message in collector.process([json.loads(line) for line in batch]):
                channel.tell(message)
    finally:
        store.close()


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        # The master is gone; what was begun is committed or stays in the spool.
        sys.exit(0)
    except Exception:
        log.exception("the collector ends")
        raise
