"""The file descriptors of this process."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path


def open_descriptors() -> list[int]:
    """All open descriptors, and perhaps the one that listed them, which is closed by now."""
    # A Path for each of 10,000 takes five times as long.
    return list(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208


def is_open_at(descriptor: int, path: Path) -> bool:
    """Whether `descriptor` refers to the file `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False  # the descriptor has been closed, or there is no such file


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Discard the output of a C library to descriptors 1 and 2 within a `with` block."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(number) for number in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in (1, 2):
            os.dup2(nowhere, number)
        yield
    finally:
        for number, other in zip((1, 2), kept, strict=True):
            os.dup2(other, number)
            os.close(other)
        os.close(nowhere)
