"""Workers that a manager refused, which nothing but its debug log reports."""

import contextlib
import logging
import os
import re
from collections import Counter
from pathlib import Path

log = logging.getLogger("wqmaster.engines")

_VERSION_PATTERN = re.compile(
    r"rejecting worker \((\S+?)(?::\d+)?\) as it uses protocol (\d+)\. .* protocol (\d+)\."
)
_PASSWORD_PATTERN = re.compile(r"worker (\S+?)(?::\d+)? presented the wrong password")
_SSL_PATTERN = re.compile(r"ssl accept failed from (\S+) port")
# How many hosts of refused workers are logged one by one.
_MAX_LOGGED_HOSTS = 100
# How much of the debug log is read at a time.
_READ_SIZE_BYTES = 1 << 20


class Refusals:
    """The workers that a manager refused, as its debug log reports them."""

    def __init__(self, path: Path, version: str, password: Path | None) -> None:
        self._path = path
        self._version = version
        self._password = password
        self._position = 0
        self._inode = 0
        self._counts: Counter[str] = Counter()
        self._logged: set[tuple[str, str]] = set()

    def read(self) -> None:
        """Read what was added to the log, and log each host that is new."""
        with contextlib.suppress(OSError), self._path.open("rb") as file:
            found = os.fstat(file.fileno())
            if found.st_ino != self._inode or found.st_size < self._position:
                self._inode, self._position = found.st_ino, 0  # begun anew by the library
            file.seek(self._position)
            content = file.read(_READ_SIZE_BYTES)
            whole = content.rfind(b"\n") + 1
            self._position += whole
            for line in content[:whole].decode(errors="replace").splitlines():
                self._hear(line)

    def _hear(self, line: str) -> None:
        if found := _VERSION_PATTERN.search(line):
            host, theirs, ours = found.groups()
            short = "of another version of ndcctools"
            why = (
                f"it is {short} (it speaks protocol {theirs}, this master {ours}): send out the "
                f"worker program of ndcctools {self._version}"
            )
        elif found := _PASSWORD_PATTERN.search(line):
            host, short = found[1], "with a wrong password"
            why = f"its password is not that of {self._password}: give it a copy of that file"
        elif found := _SSL_PATTERN.search(line):
            host, short = found[1], "that do not encrypt"
            why = "it does not encrypt, as 'engine: {ssl: true}' asks: start it with --ssl"
        else:
            return
        self._counts[short] += 1
        if (host, short) not in self._logged and len(self._logged) < _MAX_LOGGED_HOSTS:
            self._logged.add((host, short))
            log.warning("worker refused: %s: %s", host, why)

    def trouble(self) -> str | None:
        """How many were refused and why, in words; None if none was."""
        self.read()
        if not self._counts:
            return None
        parts = [f"{count} {short}" for short, count in self._counts.most_common()]
        return f"workers were refused: {', '.join(parts)} (wqmaster doctor says more)"
