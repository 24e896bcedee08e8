"""Read the output of workers, which is not trusted."""

import contextlib
from pathlib import Path

# How many bytes at the end of a file are read.
_TAIL_BYTES = 4000
# How many characters of a line are shown.
_LINE_CHARACTERS = 400


def _tail(path: Path) -> list[str]:
    """The last lines of a file that are not blank, without unprintable characters."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    cleaned = ("".join(c if c.isprintable() else " " for c in line).strip() for line in lines)
    return [line[:_LINE_CHARACTERS] for line in cleaned if line]


def said(path: Path) -> str:
    """The problems that worker.sh reported in the file `path`; if there are none, its last line."""
    lines = _tail(path)
    begin = "wqmaster worker: "
    failed = [line.removeprefix(begin) for line in lines if line.startswith(begin)]
    return ("; ".join(failed[:3]) or (lines or [""])[-1])[:_LINE_CHARACTERS]


def last(scratch: Path, count: int = 3) -> list[str]:
    """The last `count` lines of the newest log of any worker in a scratch folder."""
    newest, when = None, 0.0
    for pattern in ("worker.*.err", "worker*.log", "worker.*/err", "worker.*/worker.log"):
        for path in scratch.glob(pattern):
            with contextlib.suppress(OSError):  # workers remove and rename their logs
                status = path.stat()
                if status.st_size and status.st_mtime >= when:
                    newest, when = path, status.st_mtime
    return [] if newest is None else _tail(newest)[-count:]
