"""The durable directory between engine and database.

`running/ID` holds a task that the engine has, `returned/ID` one that has come back. One atomic
rename moves a task from one to the other, and the task is removed once the database has
acknowledged its results. If a master is killed, its jobs in `running` run again, and its tasks in
`returned` are replayed. Files are not synced to disk: checksums reveal a file that a power failure
has torn, and its task runs again.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bson import json_util

from wqmaster.database.attempts import Rescue
from wqmaster.engines.base import Returned, TaskResult
from wqmaster.errors import ArchiveError
from wqmaster.jobs.archive import MAX_JOB_BYTES, Archive
from wqmaster.jobs.job import Asked, Outcome
from wqmaster.system.files import check_writable
from wqmaster.system.private import is_plain_file, set_mode

INPUTS = "inputs.tar"
OUTPUTS = "outputs.tar"
JOBS = "jobs.json"
RESULT = "result.json"


class Spool:
    """The spool of one campaign, in the folder `root`.

    `most_bytes` limits how much of a job's files is held in memory.
    """

    def __init__(self, root: Path, most_bytes: int = MAX_JOB_BYTES) -> None:
        self.root = root
        self.most_bytes = most_bytes
        self._sums: dict[str, str] = {}  # of the inputs of running tasks
        self.running = root / "running"
        self.returned = root / "returned"
        self.failed = root / "failed"
        self.archive = root / "archive"

    def prepare(self, kept: Collection[str] = ()) -> None:
        """Create the folders, and remove the tasks that a killed master left running.

        Those in `kept` stay.

        Raises:
            FolderError: the spool is not writable.
        """
        for folder in (self.root, self.running, self.returned, self.failed):
            check_writable(folder)
        for left in self.running.iterdir():
            if left.name in kept:
                continue
            shutil.rmtree(left, ignore_errors=True)

    def submit(self, task_id: str, jobs: Sequence[Asked], inputs: bytes) -> Path:
        """Create and fill the folder of a task that is about to run; return its path.

        Raises:
            OSError: the disk is full, for example; nothing of the task is left.
        """
        folder = self.running / task_id
        record = json_util.dumps([asdict(job) for job in jobs])
        try:
            folder.mkdir()
            (folder / INPUTS).write_bytes(inputs)
            (folder / JOBS).write_text(record)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._sums[task_id] = hashlib.sha256(inputs).hexdigest()
        return folder

    def asked(self, task_id: str) -> list[Asked]:
        """The jobs of a task that is running.

        Raises:
            OSError, ValueError, TypeError, KeyError: its record is missing or torn.
        """
        record = (self.running / task_id / JOBS).read_text()
        return [Asked(**job) for job in json_util.loads(record)]

    def give_back(self, result: Returned) -> None:
        """Record how the task ended, and move it to `returned` in one step."""
        folder = self.running / result.task_id
        set_mode(folder / OUTPUTS)
        inputs = self._sums.pop(result.task_id, None)
        if inputs is None:  # another process submitted the task
            inputs = hashlib.sha256((folder / INPUTS).read_bytes()).hexdigest()
        (folder / RESULT).write_text(json.dumps({**asdict(result), "inputs": inputs}))
        folder.rename(self.returned / result.task_id)

    def size(self, task_id: str) -> int:
        """How many bytes the files of a returned task have; 0 if it is gone."""
        try:
            with os.scandir(self.returned / task_id) as entries:
                return sum(entry.stat().st_size for entry in entries)
        except OSError:
            return 0

    def waiting(self) -> Iterator[str]:
        """The tasks in `returned`, sorted by name."""
        if not self.returned.exists():
            return iter(())
        return iter(sorted(entry.name for entry in self.returned.iterdir()))

    def read(self, task_id: str) -> tuple[list[Asked], Returned, Path]:
        """The jobs of a returned task, how it ended, and its archive's path.

        The path is returned even if the archive is missing.

        Raises:
            FileNotFoundError: the task is not, or no longer, in `returned`.
            ValueError: its records are torn.
        """
        return read_task(self.returned / task_id)

    def keep_failed(self, task_id: str, name: str) -> Path | None:
        """Keep the archive of a returned task in `failed/NAME/`, with its records.

        Returns:
            the path of the kept archive; None if the task has no archive.
        """
        folder = self.returned / task_id
        kept = self.failed / name
        if not is_plain_file(folder / OUTPUTS):
            return None
        if kept.is_symlink():
            kept.unlink()
        kept.mkdir(exist_ok=True)
        for file in (JOBS, RESULT, OUTPUTS):
            (kept / file).unlink(missing_ok=True)
            try:
                os.link(folder / file, kept / file)
            except FileNotFoundError:
                shutil.rmtree(kept)
                return None
            except OSError:
                shutil.copyfile(folder / file, kept / file)
        return kept / OUTPUTS

    def _kept(self, archive: str, place: Path) -> Path | None:
        """The folder in `place` that holds an archive; None if there is none.

        It is found even if the campaign's folder has been moved since.
        """
        folder = Path(archive).parent
        kept = place / folder.name
        if folder.parent.name != place.name or folder.name == ".." or not kept.is_dir():
            return None
        return kept

    def attempt(self, archive: str, number: int) -> tuple[Asked, Returned, Outcome] | None:
        """A failed attempt, from its kept archive, in which its job has this number.

        None if the archive is gone or damaged. It can belong to another job, since attempts at a
        document with the same id in another collection are kept under the same name.
        """
        # A result that `reparse` refuses later stays in `archive/`.
        folder = self._kept(archive, self.failed) or self._kept(archive, self.archive)
        if folder is None:
            return None
        try:
            asked, returned, path = read_task(folder)
            with self.opened(path, returned) as opened:
                return asked[number], returned, opened.outcome(number)
        except (ArchiveError, OSError, ValueError, TypeError, KeyError, IndexError):
            return None

    def opened(self, path: Path, returned: Returned) -> Archive:
        """The archive at `path` of a returned task.

        Raises:
            ArchiveError: it is damaged, too large, or belongs to another task.
        """
        return Archive(path, inputs=returned.inputs or None, most_bytes=self.most_bytes)

    def rescued(self, left: Rescue) -> dict[str, bytes]:
        """The files that a step of a failed attempt left, by name, from the kept archive.

        {} if the archive is gone or damaged, or if it now belongs to another job.
        """
        found = self.attempt(left.archive, left.number)
        if found is None:
            return {}
        asked, _, outcome = found
        if (asked.molecule, asked.recipe) != (left.molecule, left.recipe):
            return {}
        return next((dict(came.files) for came in outcome.steps if came.name == left.step), {})

    def discard(self, archive: str) -> bool:
        """Remove a kept archive, but only from `failed/`; return whether there was one."""
        folder = self._kept(archive, self.failed)
        if folder is None:
            return False
        shutil.rmtree(folder)
        return True

    def archived(self) -> Iterator[Path]:
        """The folders of returned tasks whose archives were kept, including failed attempts."""
        for place in (self.archive, self.failed):
            if place.exists():
                folders = (place / name for name in sorted(entry.name for entry in place.iterdir()))
                yield from (folder for folder in folders if (folder / OUTPUTS).exists())

    @property
    def keeps_results(self) -> bool:
        """Whether archives of successful tasks were kept (`archive: {keep: all}`)."""
        return self.archive.is_dir() and any(self.archive.iterdir())

    def set_aside(self, task_id: str) -> Path:
        """Move a returned task out of the way, to `set-aside/`; return its new path."""
        place = self.root / "set-aside" / task_id
        place.parent.mkdir(exist_ok=True)
        (self.returned / task_id).rename(place)
        return place

    def jobs_returned(self) -> int:
        """The number of jobs that wait in `returned`; a task that cannot be read counts as one."""
        count = 0
        for task_id in self.waiting():
            try:
                count += len(self.read(task_id)[0])
            except (OSError, ValueError, TypeError, KeyError):
                count += 1
        return count

    def remove(self, task_id: str, *, keep: bool = False) -> None:
        """Remove a returned task that is committed; with `keep`, move it to `archive/` instead."""
        folder = self.returned / task_id
        if keep and is_plain_file(folder / OUTPUTS):
            self.archive.mkdir(exist_ok=True)
            (folder / INPUTS).unlink(missing_ok=True)
            folder.rename(self.archive / task_id)
        # The records go first, so that a kill never leaves an archive that would be judged again.
        (folder / JOBS).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def drop(self, task_id: str) -> None:
        """Remove a task that was canceled before it came back."""
        self._sums.pop(task_id, None)
        shutil.rmtree(self.running / task_id, ignore_errors=True)


def read_task(folder: Path) -> tuple[list[Asked], Returned, Path]:
    """The jobs of the task in `folder`, how it ended, and its archive's path; see `Spool.read`."""
    jobs: list[dict[str, Any]] = json_util.loads((folder / JOBS).read_text())
    found = json.loads((folder / RESULT).read_text())
    result = Returned(**{**found, "result": TaskResult(found["result"])})
    return [Asked(**job) for job in jobs], result, folder / OUTPUTS
