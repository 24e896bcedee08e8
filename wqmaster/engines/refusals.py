"""The workers that a manager refused; only its debug log reports them."""

import contextlib
import logging
import os
import re
from collections import Counter
from enum import StrEnum
from pathlib import Path

from wqmaster.system.this_command import this_command

log = logging.getLogger("wqmaster.engines")

_VERSION_PATTERN = re.compile(
    r"rejecting worker \((\S+?)(?::\d+)?\) as it uses protocol (\d+)\. .* protocol (\d+)\."
)
_PASSWORD_PATTERN = re.compile(r"worker (\S+?)(?::\d+)? presented the wrong password")
_SSL_PATTERN = re.compile(r"ssl accept failed from (\S+) port")
# A refused worker in the master's log. Earlier versions of wqmaster did not log the kind.
_LOGGED_PATTERN = re.compile(r"worker refused(?: \(([\w-]+)\))?: (.*)")
# How many hosts with refused workers are logged individually.
_MAX_LOGGED_HOSTS = 100
# How many bytes of the debug log are read at a time.
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

    def __init__(self, path: Path, version: str, password: Path | None, campaign_file: str) -> None:
        self._path = path
        self._version = version
        self._password = password
        self._campaign_file = campaign_file
        self._position = 0
        self._inode = 0
        self._counts: Counter[RefusalKind] = Counter()
        self._logged: set[tuple[str, RefusalKind]] = set()

    def read(self) -> None:
        """Read the new lines of the debug log, and log each new host."""
        with contextlib.suppress(OSError), self._path.open("rb") as file:
            found = os.fstat(file.fileno())
            if found.st_ino != self._inode or found.st_size < self._position:
                self._inode, self._position = found.st_ino, 0  # the library has rotated the log
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
        command = f"{this_command()} doctor {self._campaign_file}"
        return f"refused workers: {', '.join(parts)}; run '{command}' for details"


def logged_refusal(message: str) -> tuple[RefusalKind | None, str] | None:
    """The kind of a refusal, and "HOST: REASON", from `message`, a line in the master's log.

    Returns None if the line does not report a refused worker. The kind is None if the line has
    none, or one that this version does not know.
    """
    found = _LOGGED_PATTERN.fullmatch(message)
    if found is None:
        return None
    return RefusalKind(found[1]) if found[1] in set(RefusalKind) else None, found[2]
