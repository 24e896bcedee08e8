"""Readiness and watchdog for systemd, and the text of a unit.

The protocol is that of sd_notify(3): datagrams of lines VARIABLE=VALUE to the Unix socket that
NOTIFY_SOCKET names, in which a first '@' stands for the null byte of an abstract socket. Nothing
needs systemd's library, and without NOTIFY_SOCKET nothing happens.
"""

import contextlib
import os
import shlex
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# How long a status line may be; systemd shows one line.
_MAX_STATUS_CHARACTERS = 500


class Notifier:
    """Tells the service manager how this process is doing.

    It reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from `environ`, as sd_notify(3) and
    sd_watchdog_enabled(3) describe.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        named = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{named[1:]}" if named.startswith("@") else named
        self._interval = _watchdog_seconds(environ)
        self._next = 0.0
        self._status = ""

    @property
    def watchdog_seconds(self) -> float | None:
        """The time between two signs of life, half of what systemd waits; None: not asked for."""
        return self._interval

    def ready(self) -> None:
        """Report that the start is complete."""
        self._send("READY=1")

    def stopping(self) -> None:
        """Report that the process is ending."""
        self._send("STOPPING=1")

    def reloading(self) -> None:
        """Report that the configuration is being read again; `ready` ends that."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def status(self, text: str) -> None:
        """Report what the process is doing, in one line, if that has changed."""
        line = " ".join(text.split())[:_MAX_STATUS_CHARACTERS]
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def lives(self, now: float | None = None) -> None:
        """Send a sign of life if one is due at `now` (in seconds of `time.monotonic`)."""
        now = time.monotonic() if now is None else now
        if self._interval is not None and now >= self._next:
            self._next = now + self._interval
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        # The service manager must not be able to stop a run.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out,
        ):
            out.setblocking(False)
            out.sendto(message.encode(errors="replace"), self._address)


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", ""))
        owner = int(environ.get("WATCHDOG_PID", "") or os.getpid())
    except ValueError:
        return None
    return microseconds / 2e6 if microseconds > 0 and owner == os.getpid() else None


@dataclass(frozen=True)
class Unit:
    """What a unit file depends on."""

    description: str
    command: Sequence[str]  # the command line, with an absolute path of the program
    folder: Path  # the working directory, which the service writes to
    # How long systemd waits for a sign of life. A heartbeat can take as long as the database.
    watchdog_seconds: int = 180
    # How long running tasks may take to finish after `systemctl stop`.
    stop_seconds: int = 120
    # Variables that the service needs, such as PATH; never secrets, since everyone can read them.
    environment: Mapping[str, str] | None = None
    environment_file: Path | None = None  # defines further variables, also secret ones
    can_reload: bool = False  # whether the service reads its configuration again on SIGHUP
    remarks: Sequence[str] = ()  # comments at the top, such as what to do with the file


def unit(wanted: Unit) -> str:
    """The text of a systemd unit, for the system's manager or a user's.

    Workers run in the service's control group, and chemistry programs map memory as they like, use
    /tmp, load modules and start shells. So the unit leaves out what would break them:
    MemoryDenyWriteExecute, PrivateTmp (the private database's socket can be there), ProtectHome,
    SystemCallFilter and RestrictNamespaces.
    """
    lines = [
        *(f"# {remark}" for remark in wanted.remarks),
        "[Unit]",
        f"Description={_escaped(wanted.description)}",
        "After=network-online.target remote-fs.target",
        "Wants=network-online.target",
        "# Never give up starting it.",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=notify",
        # The process that reports is a child of the main one, which starts it again after a crash.
        "NotifyAccess=all",
        f"WorkingDirectory={_escaped(str(wanted.folder))}",
        *(
            f"Environment={_quoted(f'{name}={value}')}"
            for name, value in sorted((wanted.environment or {}).items())
        ),
        *(
            [f"EnvironmentFile={_escaped(str(wanted.environment_file))}"]
            if wanted.environment_file
            else ()
        ),
        f"ExecStart={' '.join(_quoted(word, of_a_command=True) for word in wanted.command)}",
        *(["ExecReload=/bin/kill -HUP $MAINPID"] if wanted.can_reload else ()),
        "Restart=always",
        "RestartSec=5",
        "# A private database can take minutes to recover.",
        "TimeoutStartSec=15min",
        f"WatchdogSec={wanted.watchdog_seconds}",
        "# SIGTERM goes to the master alone, which lets its tasks finish and ends all it started.",
        "KillMode=mixed",
        f"TimeoutStopSec={wanted.stop_seconds}",
        "LimitNOFILE=65536",
        "UMask=0077",
        "NoNewPrivileges=yes",
        "ProtectSystem=full",
        "ProtectKernelTunables=yes",
        "ProtectKernelModules=yes",
        "ProtectControlGroups=yes",
        "RestrictSUIDSGID=yes",
        "LockPersonality=yes",
        "",
        "[Install]",
        "WantedBy=default.target",
    ]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Text of a setting, in which '%' would begin a specifier (systemd.unit(5))."""
    if "\n" in text or "\r" in text:
        raise ValueError("a setting of a unit must be one line")
    return text.replace("%", "%%")


def _quoted(word: str, *, of_a_command: bool = False) -> str:
    """A word of a setting, quoted as systemd.syntax(7) and systemd.service(5) require."""
    escaped = _escaped(word).replace("\\", "\\\\")
    if of_a_command:
        escaped = escaped.replace("$", "$$")
    plain = shlex.quote(word) == word and escaped == word
    return escaped if plain else '"' + escaped.replace('"', '\\"') + '"'
