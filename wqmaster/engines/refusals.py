"""Workers that a manager refused, which only its debug log reports."""

import contextlib
import logging
import os
import re
from collections import Counter
from enum import StrEnum
from pathlib import Path

log = logging.getLogger("wqmaster.engines")

_VERSION_PATTERN = re.compile(
    r"rejecting worker \((\S+?)(?::\d+)?\) as it uses protocol (\d+)\. .* protocol (\d+)\."
)
_PASSWORD_PATTERN = re.compile(r"worker (\S+?)(?::\d+)? presented the wrong password")
_SSL_PATTERN = re.compile(r"ssl accept failed from (\S+) port")
# The line in the master's log; earlier versions wrote no kind.
_LOGGED_PATTERN = re.compile(r"worker refused(?: \(([\w-]+)\))?: (.*)")
# How many hosts of refused workers are logged individually.
_MAX_LOGGED_HOSTS = 100
# How much of the debug log is read at a time.
_READ_SIZE_BYTES = 1 << 20


class RefusalKind(StrEnum):
    """Why a manager refused a worker; the values appear in the master's log."""

    VERSION = "version"
    PASSWORD = "password"  # noqa: S105  # not a secret
    ENCRYPTION = "encryption"


_DESCRIPTIONS = {
    RefusalKind.VERSION: "with another version of ndcctools",
    RefusalKind.PASSWORD: "with a wrong password",
    RefusalKind.ENCRYPTION: "without encryption",
}


class Refusals:
    """The workers that a manager refused, according to its debug log."""

    def __init__(self, path: Path, version: str, password: Path | None) -> None:
        self._path = path
        self._version = version
        self._password = password
        self._position = 0
        self._inode = 0
        self._counts: Counter[RefusalKind] = Counter()
        self._logged: set[tuple[str, RefusalKind]] = set()

    def read(self) -> None:
        """Read what was added to the debug log, and log each new host."""
        with contextlib.suppress(OSError), self._path.open("rb") as file:
            found = os.fstat(file.fileno())
            if found.st_ino != self._inode or found.st_size < self._position:
                self._inode, self._position = found.st_ino, 0  # rotated by the library
            file.seek(self._position)
            content = file.read(_READ_SIZE_BYTES)
            whole = content.rfind(b"\n") + 1
            self._position += whole
            for line in content[:whole].decode(errors="replace").splitlines():
                self._hear(line)

    def _hear(self, line: str) -> None:
        if found := _VERSION_PATTERN.search(line):
            host, theirs, ours = found.groups()
            kind = RefusalKind.VERSION
            why = (
                f"it speaks protocol {theirs}, but this master speaks {ours}; use the worker "
                f"program of ndcctools {self._version}"
            )
        elif found := _PASSWORD_PATTERN.search(line):
            host, kind = found[1], RefusalKind.PASSWORD
            why = f"its password is not the one in {self._password}; give it a copy of that file"
        elif found := _SSL_PATTERN.search(line):
            host, kind = found[1], RefusalKind.ENCRYPTION
            why = "it does not encrypt, but 'engine: {ssl: true}' requires it; start it with --ssl"
        else:
            return
        self._counts[kind] += 1
        if (host, kind) not in self._logged and len(self._logged) < _MAX_LOGGED_HOSTS:
            self._logged.add((host, kind))
            # `wqmaster doctor` reads this line: see `logged_refusal`.
            log.warning("worker refused (%s): %s: %s", kind, host, why)

    def trouble(self) -> str | None:
        """How many workers were refused, and why; None if none were."""
        self.read()
        if not self._counts:
            return None
        parts = [f"{count} {_DESCRIPTIONS[kind]}" for kind, count in self._counts.most_common()]
        return f"refused workers: {', '.join(parts)}; run 'wqmaster doctor CAMPAIGN' for details"


def logged_refusal(message: str) -> tuple[RefusalKind | None, str] | None:
    """The kind, and the host with the reason, from a line about a refused worker.

    `message` is a line of the master's log. Returns None if it reports no refused worker; the kind
    is None if this version does not know it.
    """
    found = _LOGGED_PATTERN.fullmatch(message)
    if found is None:
        return None
    return RefusalKind(found[1]) if found[1] in set(RefusalKind) else None, found[2]
