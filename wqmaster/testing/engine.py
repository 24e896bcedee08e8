"""An engine without processes: a Python function returns the outcome of each job."""

import io
import re
import tarfile
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from wqmaster.engines.base import EngineStats, Returned, RunningTask, TaskResult
from wqmaster.jobs.job import Outcome, StepOutcome, Task

HOST = "memory"
# A job begins here in jobs.sh.
_BEGIN = re.compile(r"^(?=job [0-9]+ \S+$)", re.MULTILINE)


@dataclass(frozen=True)
class SandboxedJob:
    """A job as a worker receives it."""

    task: Task
    number: int  # the job's number in its task, counted from 0
    files: Mapping[str, bytes]  # the files in the job's sandbox
    script: str  # the part of jobs.sh for this job


# A `TaskResult` applies to the whole task, for example TaskResult.LOST for a lost worker.
Answer = Outcome | TaskResult


def outcome(*steps: StepOutcome, host: str = HOST) -> Outcome:
    """The outcome of a job with these steps."""
    return Outcome(host, steps)


def step_outcome(
    name: str,
    stdout: bytes = b"",
    *,
    exit_code: int = 0,
    wall_time: float = 1.0,
    timed_out: bool = False,
    **files: bytes,
) -> StepOutcome:
    """The outcome of one step; `files` are the returned files besides stdout."""
    return StepOutcome(
        name, exit_code, wall_time, timed_out, {"stdout": stdout, "stderr": b"", **files}
    )


def packed_outcomes(outcomes: list[Outcome], inputs: bytes | None = None) -> bytes:
    """Pack outcomes as outputs.tar, which runner.sh writes and `jobs/archive.py` reads.

    `inputs` is the content of the task's inputs.tar, if the archive shall name its checksum.
    """
    content: dict[str, bytes] = {}
    lines = ["wqmaster 1", f"host {outcomes[0].host}"]
    if inputs is not None:
        lines.append(f"inputs {sha256(inputs).hexdigest()}")
    for number, one in enumerate(outcomes):
        for step in one.steps:
            hundredths = round(step.wall_time * 100)
            words = (number, step.name, step.exit_code, hundredths, int(step.timed_out))
            lines.append(f"step {' '.join(map(str, words))}")
            if step.memory is not None:
                used, until = step.memory.megabytes * 1024, step.memory.until * 100
                lines.append(f"memory {number} {step.name} {round(used)} {round(until)}")
            for name, data in step.files.items():
                separator = ":" if name in ("stdout", "stderr") else "/"
                content[f"{number}.{step.name}{separator}{name}"] = data
    lines += [f"size {len(data)} {name}" for name, data in content.items()]
    lines += [f"{sha256(data).hexdigest()}  {name}" for name, data in content.items()]
    body = "".join(f"{line}\n" for line in lines).encode()
    content["manifest"] = body + f"end {sha256(body).hexdigest()}\n".encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@dataclass
class MemoryEngine:
    """An engine that runs one task per call of `wait`, by calling `answer` for each job.

    At most `slots` tasks count as running, and the others wait. Tests can inspect the submitted
    tasks, the ids of canceled tasks and the blocked hosts.
    """

    answer: Callable[[SandboxedJob], Answer]
    slots: int = 8
    name: str = "memory"
    port: int | None = None
    # While this is False, no task ends.
    working: bool = True
    submitted: list[Task] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)  # codespell:ignore cancelled
    blocked: list[str] = field(default_factory=list)
    closed: bool = False
    _queue: deque[tuple[Task, Path]] = field(default_factory=deque)

    def submit(self, task: Task, folder: Path) -> None:
        """Queue `task`, whose inputs.tar is in `folder`."""
        self.submitted.append(task)
        self._queue.append((task, folder))

    def wait(self, seconds: float) -> Returned | None:
        """Run the oldest task and return it; return None at once if there is no task."""
        if not self.working or not self._queue:
            return None
        task, folder = self._queue.popleft()
        answers = [self.answer(job) for job in _jobs(task, folder)]
        outcomes = [one for one in answers if isinstance(one, Outcome)]
        result = next((one for one in answers if isinstance(one, TaskResult)), TaskResult.OK)
        if result is TaskResult.OK:
            inputs = (folder / "inputs.tar").read_bytes()
            (folder / "outputs.tar").write_bytes(packed_outcomes(outcomes, inputs))
        host = outcomes[0].host if outcomes else HOST
        return Returned(task.id, result, 0, host, started=1.0, finished=2.0)

    def hungry(self, priority: int | None = None) -> int:
        """How many more tasks the engine can place, whatever their priority."""
        return self.slots - len(self._queue)

    def waiting(self) -> list[str]:
        """The ids of the tasks beyond `slots`."""
        return [task.id for task, _ in list(self._queue)[self.slots :]]

    def cancel(self, task_id: str) -> None:
        """Remove the task, so that it is never returned."""
        self.cancelled.append(task_id)  # codespell:ignore cancelled
        self._queue = deque(one for one in self._queue if one[0].id != task_id)

    def cancel_waiting(self) -> list[str]:
        """Remove the tasks beyond `slots`, and return their ids."""
        waiting = self.waiting()
        for task_id in waiting:
            self.cancel(task_id)
        return waiting

    def block_host(self, host: str, seconds: float) -> None:
        """Add the host to `blocked`, without any other effect."""
        self.blocked.append(host)

    def unblock_host(self, host: str) -> None:
        """Remove the host from `blocked`."""
        self.blocked = [one for one in self.blocked if one != host]

    def running(self) -> list[RunningTask]:
        """The oldest tasks, as many as there are slots."""
        return [RunningTask(task.id, HOST, 1.0) for task, _ in list(self._queue)[: self.slots]]

    def stats(self) -> EngineStats:
        """Count the tasks that run and wait, as if there were one worker with `slots` cores."""
        running = min(self.slots, len(self._queue))
        return EngineStats(
            workers=1, cores=self.slots, running=running, waiting=len(self._queue) - running
        )

    def trouble(self) -> str | None:
        """None, since nothing can keep a task from running."""
        return None

    def how_to_connect(self) -> str | None:
        """None, since no workers connect."""
        return None

    def close(self) -> None:
        """Remove all tasks."""
        self._queue.clear()
        self.closed = True


def _jobs(task: Task, folder: Path) -> list[SandboxedJob]:
    files: list[dict[str, bytes]] = [{} for _ in range(task.jobs)]
    scripts: list[str] = []
    with tarfile.open(folder / "inputs.tar") as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is None:
                continue
            content = file.read()
            if member.name == "jobs.sh":
                scripts = _BEGIN.split(content.decode())[1:]
            else:
                number = member.name.partition(".")[0]
                files[int(number)][member.name.rpartition("/")[2]] = content
    return [
        SandboxedJob(task, number, one, script)
        for number, (one, script) in enumerate(zip(files, scripts, strict=True))
    ]
