"""Workers that a manager turned away: its debug log tells of them, and nothing else does."""

import contextlib
import logging
import os
import re
from collections import Counter
from pathlib import Path

log = logging.getLogger("wqmaster.engines")

_VERSION = re.compile(
    r"rejecting worker \((\S+?)(?::\d+)?\) as it uses protocol (\d+)\. .* protocol (\d+)\."
)
_PASSWORD = re.compile(r"worker (\S+?)(?::\d+)? presented the wrong password")
_SSL = re.compile(r"ssl accept failed from (\S+) port")
# Hosts of refused workers that are told one by one.
_MOST_TOLD = 100


class Refusals:
    """The workers that a manager turned away, as its debug log tells them."""

    def __init__(self, path: Path, version: str, password: Path | None) -> None:
        self._path = path
        self._version = version
        self._password = password
        self._position = 0
        self._inode = 0
        self._counts: Counter[str] = Counter()
        self._told: set[tuple[str, str]] = set()

    def read(self) -> None:
        """Read what the log has more, and tell each host that is new to it."""
        with contextlib.suppress(OSError), self._path.open("rb") as file:
            found = os.fstat(file.fileno())
            if found.st_ino != self._inode or found.st_size < self._position:
                self._inode, self._position = found.st_ino, 0  # begun anew by the library
            file.seek(self._position)
            content = file.read(1 << 20)
            whole = content.rfind(b"\n") + 1
            self._position += whole
            for line in content[:whole].decode(errors="replace").splitlines():
                self._hear(line)

    def _hear(self, line: str) -> None:
        if found := _VERSION.search(line):
            host, theirs, ours = found.groups()
            short = "of another version of ndcctools"
            why = (
                f"it is {short} (it speaks protocol {theirs}, this master {ours}): send out the "
                f"worker program of ndcctools {self._version}"
            )
        elif found := _PASSWORD.search(line):
            host, short = found[1], "with a wrong password"
            why = f"its password is not that of {self._password}: give it a copy of that file"
        elif found := _SSL.search(line):
            host, short = found[1], "that do not encrypt"
            why = "it does not encrypt, as 'engine: {ssl: true}' asks: start it with --ssl"
        else:
            return
        self._counts[short] += 1
        if (host, short) not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add((host, short))
            log.warning("worker refused: %s: %s", host, why)

    def trouble(self) -> str | None:
        """How many were refused and why, in words; None if none was."""
        self.read()
        if not self._counts:
            return None
        parts = [f"{count} {short}" for short, count in self._counts.most_common()]
        return f"workers were refused: {', '.join(parts)} (wqmaster doctor says more)"
