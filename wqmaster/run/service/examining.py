"""The broker's side of the examiner: questions are asked one after another, and none waits."""

import logging
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from wqmaster.run.service.examiner import Answer, Examine, Look
from wqmaster.run.service.pipes import Child, Flooded

log = logging.getLogger("wqmaster.service")

# How long one question may take; a query over many failed documents is slow.
ANSWER_TIMEOUT_SECONDS = 180.0
# The pause after the process could not be started.
_RETRY_SECONDS = 10.0


class Examining:
    """Asks an examiner process, which exists only while there are questions.

    Each file of a user's module is read by a new process, because Python caches modules.
    """

    def __init__(self, errors: Path) -> None:
        self._errors = errors
        self._questions: deque[Examine | Look] = deque()
        self._child: Child | None = None
        self._asked: Examine | Look | None = None
        self._until = self._retry_at = 0.0

    def ask(self, question: Examine | Look) -> None:
        """Ask a question; `answers` has the answer later."""
        self._questions.append(question)

    def descriptors(self) -> list[int]:
        """The descriptor on which an answer arrives, if there is a question."""
        return [self._child.fileno()] if self._child is not None else []

    def answers(self) -> Iterator[tuple[Examine | Look, Answer]]:
        """The answers that have arrived since the last call, with their questions."""
        if self._child is not None and self._asked is not None:
            try:
                lines, alive = self._child.hear()
            except Flooded:
                lines, alive = [], False
            if lines:
                asked, self._asked = self._asked, None
                yield asked, Answer.model_validate_json(lines[0])
            elif not alive or time.monotonic() > self._until:
                why = "reading it took too long"
                if not alive:
                    why = f"the process that reads it crashed (log: {self._errors})"
                path = self._asked.start.path
                yield self._asked, Answer(path=path, error=f"{path}: {why}")
                self._asked = None
                self.close()
        self._next()

    def _next(self) -> None:
        if self._asked is not None or time.monotonic() < self._retry_at:
            return
        if not self._questions:
            self.close()
            return
        question = self._questions.popleft()
        # A module of the user can have changed since an earlier question of this kind.
        if isinstance(question, Examine):
            self.close()
        if self._child is None:
            try:
                self._child = Child("wqmaster.run.service.examiner", self._errors)
            except OSError as error:
                log.error("files cannot be examined: %s", error)
                self._questions.appendleft(question)
                self._retry_at = time.monotonic() + _RETRY_SECONDS
                return
        self._asked = question
        self._until = time.monotonic() + ANSWER_TIMEOUT_SECONDS
        self._child.tell(question.model_dump_json().encode() + b"\n")

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.close()
            self._child = None
