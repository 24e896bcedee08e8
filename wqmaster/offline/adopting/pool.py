"""Judge outputs in several processes, in order, with a bounded number of outputs in memory.

Each process reads the campaign file itself. Only plain data of this package (paths, names, BSON)
pass between the processes and the command, never an object made from an output.
"""

import contextlib
import itertools
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from wqmaster.campaign.loading import load
from wqmaster.jobs.failures import FailureClass
from wqmaster.offline.adopting.base import Found, Taken
from wqmaster.offline.adopting.judging import Judge, Options
from wqmaster.recipe.resolving import resolve

# How many outputs a process receives at once, and how many batches wait for each process.
BATCH_OUTPUTS = 16
_BATCHES_PER_PROCESS = 3
# An output, and the `_run` of the existing document with its `_id`, if there is one.
Item = tuple[Found, Mapping[str, Any] | None]

_judge: Judge | None = None


def _begin(campaign: str, options: Options) -> None:
    """Prepare a process: it ignores Ctrl-C, which is for the command, and ends with the command."""
    global _judge  # one for each process
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.redirect_stdout(sys.stderr):
        _judge = Judge(resolve(load(Path(campaign)), runs=False), options)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _take(items: Sequence[Item]) -> list[Taken]:
    assert _judge is not None  # noqa: S101  # set by `_begin`
    with contextlib.redirect_stdout(sys.stderr):  # a user's parser can print
        return [_judge.take(found, known) for found, known in items]


class Pool:
    """Processes that judge outputs for a campaign; a context manager that ends them."""

    def __init__(self, campaign: Path, options: Options, processes: int) -> None:
        self._arguments = (str(campaign), options)
        self._processes = processes
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def _end(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None

    def _started(self, processes: int) -> ProcessPoolExecutor:
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                processes, multiprocessing.get_context("spawn"), _begin, self._arguments
            )
        return self._executor

    def taken(self, batches: Iterable[Sequence[Item]]) -> Iterator[Taken]:
        """Yield what became of each output, in order.

        If a process dies, for instance because memory is short, its outputs are judged again one by
        one, and only the one at which it dies again is refused.
        """
        source = iter(batches)
        most = self._processes * _BATCHES_PER_PROCESS
        waiting: deque[tuple[Sequence[Item], Future[list[Taken]]]] = deque()
        while True:
            for batch in itertools.islice(source, most - len(waiting)):
                waiting.append((batch, self._submit(batch)))
            if not waiting:
                return
            batch, future = waiting.popleft()
            try:
                yield from future.result()
            except BrokenProcessPool:
                self._end()
                yield from self._one_by_one(batch)
                waiting = deque((items, self._submit(items)) for items, _ in waiting)

    def _submit(self, items: Sequence[Item]) -> "Future[list[Taken]]":
        try:
            return self._started(self._processes).submit(_take, items)
        except BrokenProcessPool as error:
            broken: Future[list[Taken]] = Future()
            broken.set_exception(error)
            return broken

    def _one_by_one(self, items: Sequence[Item]) -> Iterator[Taken]:
        for item in items:
            try:
                yield from self._started(1).submit(_take, [item]).result()
            except BrokenProcessPool:
                self._end()
                yield Taken(
                    item[0].relative,
                    reason=FailureClass.COLLECTOR_CRASH.label,
                    message="the process that read it died, perhaps because memory was short",
                )
        self._end()
