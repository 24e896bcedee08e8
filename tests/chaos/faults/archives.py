"""Archives of returned tasks are damaged before they are collected.

The collectors are stopped meanwhile, as if they were busy, so that there are such tasks.
"""

import contextlib
import functools
import os
import random
import signal
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos import processes
from tests.chaos.faults.base import NotDone, fault, found_soon

if TYPE_CHECKING:
    from tests.chaos.system import System

Damage = Callable[[list[Path], random.Random], None]
_LONGEST_SECONDS = 6.0
_MOST_DAMAGED = 4
_BOMB_MEGABYTES = (50, 200, 1000)


def _replaced(path: Path, content: bytes) -> None:
    part = path.with_name(".part")
    part.write_bytes(content)
    part.rename(path)


def truncated(paths: list[Path], chance: random.Random) -> None:
    """Only the beginning of each archive is left."""
    for path in paths:
        os.truncate(path, chance.randrange(path.stat().st_size))


def flipped(paths: list[Path], chance: random.Random) -> None:
    """A few bits of each archive are flipped."""
    for path in paths:
        content = bytearray(path.read_bytes())
        for _ in range(chance.randint(1, 20)):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        _replaced(path, bytes(content))


def swapped(paths: list[Path], chance: random.Random) -> None:
    """Each task has the archive of another."""
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, contents[1:] + contents[:1], strict=True):
        _replaced(path, content)


@functools.cache
def _bomb(megabytes: int) -> bytes:
    machine = zlib.compressobj(9, zlib.DEFLATED, 31)
    part = machine.compress(b"./0.sum/answer".ljust(100, b"\0"))
    return (
        part
        + b"".join(machine.compress(bytes(1 << 20)) for _ in range(megabytes))
        + (machine.flush())
    )


def bomb(paths: list[Path], chance: random.Random) -> None:
    """Each archive becomes a small file that is huge when it is decompressed."""
    for path in paths:
        _replaced(path, _bomb(chance.choice(_BOMB_MEGABYTES)))


def _damaging(damage: Damage, fewest: int) -> Callable[["System", random.Random], str]:
    def do(system: "System", chance: random.Random) -> str:
        def collectors() -> list[int]:
            return processes.by_role(system.folder).get("collector", [])

        def returned() -> list[Path]:
            return sorted(system.home.glob("*.run/spool/returned/*/outputs.tar"))

        pids = found_soon(collectors, "collector")
        for pid in pids:
            processes.send(pid, signal.SIGSTOP)
        try:
            time.sleep(chance.uniform(1.0, _LONGEST_SECONDS))
            paths = returned()
            if len(paths) < fewest:
                raise NotDone("too few tasks have returned")
            hit = chance.sample(paths, min(len(paths), chance.randint(fewest, _MOST_DAMAGED)))
            with contextlib.suppress(FileNotFoundError):
                damage(hit, chance)
        finally:
            for pid in pids:
                processes.send(pid, signal.SIGCONT)
        return f"{len(hit)} archives"

    return do


for _damage, _fewest in ((truncated, 1), (flipped, 1), (swapped, 2), (bomb, 1)):
    fault(f"archives-{_damage.__name__}")(_damaging(_damage, _fewest))
