"""The folders of workers that share a file system with the factory; worker.sh makes them.

A folder, worker.ID, holds `about` (process id, start in seconds since 1970, host), `out`, `err`,
`worker.log`, a link `workspace` to the worker's temporary folder, and also `code` if worker.sh has
refused the host.
"""

import abc
import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from wqmaster.factory.logs import said
from wqmaster.factory.workers import Worker
from wqmaster.system.processes import is_running

# How many ended workers' folders are kept.
_KEPT_FOLDERS = 20


def remove_workspace(folder: Path) -> None:
    """Remove the temporary folder of a killed worker, whose own folder is `folder`.

    Nothing happens if the worker runs, ran on another machine, or if the link does not name such a
    folder: a job can replace it.
    """
    with contextlib.suppress(OSError, ValueError):
        pid, _, host = (folder / "about").read_text().split(maxsplit=2)
        left = (folder / "workspace").readlink()
        # worker.sh names it as the worker does.
        if left.name != f"worker-{os.getuid()}-{int(pid)}" or left.is_symlink():
            return
        if host.strip() == os.uname().nodename and not is_running(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def remove_scratch(scratch: Path) -> None:
    """Remove a factory's scratch folder, and what its killed workers left on this machine."""
    for folder in scratch.glob("worker.*/"):
        remove_workspace(folder)
    shutil.rmtree(scratch, ignore_errors=True)


class WorkerFolders(abc.ABC):
    """Watches the folders of workers in a scratch folder."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._running: dict[str, Worker] = {}
        self._done: dict[str, Worker] = {}
        self._ended: list[str] = []

    @abc.abstractmethod
    def end(self, worker: str, folder: Path) -> tuple[bool, int | None]:
        """Whether a worker has ended, and its exit code (None if unknown)."""

    def news(self) -> Iterable[Worker]:
        """The workers whose state has changed since the last call; each end is reported once."""
        found = []
        for folder in sorted(self.scratch.glob("worker.*/")):
            name = folder.name.partition(".")[2]
            begun = self._begun(name, folder)
            if begun is None:
                continue
            if self._done.get(name) == begun:
                continue
            if self._running.get(name) != begun:
                self._running[name] = begun
                found.append(begun)
            ended, code = self.end(name, folder)
            if ended:
                del self._running[name]
                self._done[name] = begun
                found.append(
                    Worker(
                        name,
                        "ended",
                        begun.started,
                        self._changed(folder),
                        code=code,
                        host=begun.host,
                        why=said(folder / "err") or said(folder / "out"),
                    )
                )
                self._keep(name)
        return found

    def _begun(self, name: str, folder: Path) -> Worker | None:
        try:
            words = (folder / "about").read_text(errors="replace").split()
            return Worker(name, "running", float(words[1]), host=words[2])
        except (OSError, ValueError, IndexError):
            return None  # worker.sh is still writing the file

    @staticmethod
    def _changed(folder: Path) -> float:
        newest = 0.0
        with contextlib.suppress(OSError):  # the worker's processes can still change the folder
            for path in folder.iterdir():
                newest = max(newest, path.lstat().st_mtime)
        return newest

    def _keep(self, name: str) -> None:
        self._ended.append(name)
        while len(self._ended) > _KEPT_FOLDERS:
            old = self._ended.pop(0)
            remove_workspace(self.scratch / f"worker.{old}")
            shutil.rmtree(self.scratch / f"worker.{old}", ignore_errors=True)
            self._done.pop(old, None)
