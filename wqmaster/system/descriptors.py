"""The file descriptors of this process."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path


def open_descriptors() -> list[int]:
    """The numbers of all open descriptors; the last may be that of the listing itself."""
    return [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]


def is_open_at(descriptor: int, path: Path) -> bool:
    """Whether `descriptor` is open at the file `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False  # a descriptor that is closed by now, such as that of the listing


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Discard what a C library prints to descriptors 1 and 2 during a `with`."""
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
