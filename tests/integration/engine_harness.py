"""An engine with its workers, for tests of engines."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import wait_until
from wqmaster.engines.base import Engine, Returned
from wqmaster.jobs import wire
from wqmaster.jobs.job import Execution, Input, Job, Outcome, Task

# An environment variable that marks every process that a harness starts.
MARK = "WQMASTER_TEST_HARNESS"


def processes(words: str, mark: Path | None = None) -> list[int]:
    """The processes whose command line or working folder contains `words`.

    With `mark`, only processes that the harness in this folder started.
    """
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
                folder = str((entry / "cwd").readlink())
                environ = (entry / "environ").read_bytes()
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if mark is not None and f"{MARK}={mark}".encode() not in environ.split(b"\0"):
                continue
            if state != "Z" and (words in command.replace("\0", " ") or words in folder):
                found.append(int(entry.name))
    return found


def shell_job(script: str, *, outputs: tuple[str, ...] = (), inputs: tuple[Input, ...] = ()) -> Job:
    """A job of one step that runs `script`."""
    return Job((Execution("work", ("sh", "script"), outputs),), {"script": script.encode()}, inputs)


@dataclass
class Harness:
    """An engine with its workers, and the folders of its tasks."""

    engine: Engine
    folder: Path
    worker: Callable[[], list[int]]  # the processes of the workers, one of which a test kills
    returned: dict[str, Returned] = field(default_factory=dict)

    @property
    def port(self) -> int:
        """The port that workers connect to."""
        assert self.engine.port is not None
        return self.engine.port

    def submit(self, name: str, *jobs: Job, limit: int = 30, **more: Any) -> Task:
        """Submit a task of `jobs` to the engine; `more` are fields of Task."""
        folder = self.folder / name
        folder.mkdir()
        (folder / "inputs.tar").write_bytes(wire.pack(jobs))
        inputs = tuple(dict.fromkeys(shared for job in jobs for shared in job.inputs))
        task = Task(name, len(jobs), limit, inputs, **more)
        self.engine.submit(task, folder)
        return task

    def wait_for(self, count: int) -> None:
        """Wait until `count` tasks in total have come back, each of them once."""

        def enough() -> bool:
            returned = self.engine.wait(1)
            if returned is not None:
                assert returned.task_id not in self.returned, "a task came back twice"
                self.returned[returned.task_id] = returned
            return len(self.returned) >= count

        wait_until(enough)

    def outcome(self, name: str, job: int = 0) -> Outcome:
        """The outcome of one job of a task."""
        archive = self.folder / name / "outputs.tar"
        assert archive.exists(), self.returned.get(name)
        with wire.Archive(archive) as opened:
            return opened.outcome(job)
