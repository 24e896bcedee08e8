"""The guard of a run on a large collection: it goes on comparing results while the run computes.

The results of a small collection are compared with their documents before a run begins
(`recipe_guard.check`). Comparing a million takes a minute, so that a process does it meanwhile. If
it finds stale results, the run is held.
"""

import contextlib
import logging
import os
import subprocess
import sys
import time
from types import TracebackType
from typing import IO, cast

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.run.collector.messages import Configuration, EndedJob
from wqmaster.run.guard_process import Compared
from wqmaster.run.holds import Hold, HoldKind
from wqmaster.run.progress import Progress
from wqmaster.system.files import rotate
from wqmaster.system.lines import LineBuffer, last_line
from wqmaster.system.this_command import this_command

log = logging.getLogger("wqmaster.guard")

# Seconds between two looks at what the process has found.
_LOOK_INTERVAL_SECONDS = 0.5


class Guard:
    """Compares the results of a campaign with their documents, for the duration of a `with`.

    It is a gate that holds the run if results are stale, until `release`. Remarks about results are
    added to the notes of `progress`.
    """

    def __init__(
        self, loaded: LoadedCampaign, configuration: Configuration, progress: Progress
    ) -> None:
        self._progress = progress
        self._check = f"{this_command()} check {loaded.typed}"
        self._resume = f"{this_command()} resume {loaded.typed}"
        self._run = f"{this_command()} run {loaded.typed}"
        self._errors = loaded.folder / "logs" / "guard.err"
        rotate(self._errors)
        with self._errors.open("ab") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "wqmaster.run.guard_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
            )
        self._stdin = cast("IO[bytes]", self._process.stdin)
        self._stdout = cast("IO[bytes]", self._process.stdout)
        os.set_blocking(self._stdout.fileno(), False)
        self._lines = LineBuffer()
        self._found: Compared | None = None
        self._is_over = False
        self._is_released = False
        self._next_look = 0.0
        with contextlib.suppress(BrokenPipeError):
            self._stdin.write(configuration.line())
            self._stdin.flush()

    def __enter__(self) -> "Guard":
        return self

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be found."""
        return self._is_over

    def heard(self, job: EndedJob) -> None:
        """Ignore the job."""

    def hold(self) -> Hold | None:
        """A hold if results are stale, unless a user has let the run go on."""
        now = time.monotonic()
        if self._process.returncode is None and now >= self._next_look:
            self._next_look = now + _LOOK_INTERVAL_SECONDS
            if self._is_over:
                self._process.poll()  # a process that has ended stays until somebody asks
            else:
                self._look()
        if self._found is None or self._found.stale is None or self._is_released:
            return None
        return Hold(
            HoldKind.STALE,
            self._found.stale,
            self._resume,
            afterwards=f"after that, run again: {self._run}",
        )

    def release(self) -> None:
        """Let the run go on although results are stale."""
        self._is_released = self._found is not None and self._found.stale is not None

    def _look(self) -> None:
        """Take note of what the process has reported."""
        chunk: bytes | None = self._stdout.read()
        for line in self._lines.add(chunk or b""):
            self._found = Compared.model_validate_json(line)
            self._progress.stale_survey = self._found.survey
        if self._found is not None and self._found.is_all:
            self._is_over = True
            self._note(*self._found.notes)
        elif chunk == b"":
            self._is_over = True
            self._fail()

    def _fail(self) -> None:
        """Take note that the process has ended before all results were compared."""
        self._process.wait()
        last = ""
        with contextlib.suppress(OSError):
            last = last_line(self._errors.read_text(errors="replace"))
        why = f"the process that compares them ended{f': {last}' if last else ''}"
        self._note(self._incomplete(f"{why} (log: {self._errors})"))

    def _incomplete(self, why: str) -> str:
        count = self._found.survey["checked"] if self._found else 0
        some = f"only {count:,} results were" if count else "the results were not"
        return f"{some} compared with their documents: {why}; to compare all: {self._check}"

    def _note(self, *notes: str) -> None:
        for note in notes:
            log.warning("%s", note)
        self._progress.notes += notes

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the process, and note what it has not compared."""
        if not self._is_over:
            self._look()
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()
        self._stdout.close()
        if not self._is_over:
            self._is_over = True
            self._note(self._incomplete("the run ended first"))
        hold = self.hold()
        if hold is not None:
            self._note(hold.reason)
