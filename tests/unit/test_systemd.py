"""What a service manager hears, through a real socket, and the text of a unit."""

import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from wqmaster.system.systemd import Notifier, Unit, unit


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A socket like systemd's, and its name in NOTIFY_SOCKET."""
    name = str(tmp_path / "notify")
    if request.param == "abstract":
        name = f"@wqmaster-test-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        listening.setblocking(False)
        yield name, listening


def heard(listening: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(listening.recv(4096).decode())
        except BlockingIOError:
            return found


def test_a_service_reports_its_life(manager: tuple[str, socket.socket]) -> None:
    name, listening = manager
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "6000000"})
    notifier.ready()
    notifier.status("10 done\nand more")
    notifier.status("10 done\nand more")
    notifier.stopping()
    assert heard(listening) == ["READY=1", "STATUS=10 done and more", "STOPPING=1"]
    notifier.reloading()
    reload, clock = heard(listening)[0].split("\n")
    assert reload == "RELOADING=1"
    assert int(clock.removeprefix("MONOTONIC_USEC=")) > 0


def test_signs_of_life_are_sent_at_half_of_the_watchdog_time(
    manager: tuple[str, socket.socket],
) -> None:
    name, listening = manager
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "6000000"})
    assert notifier.watchdog_seconds == 3.0
    for now in (100.0, 101.0, 102.9, 103.0, 104.0):
        notifier.lives(now)
    assert heard(listening) == ["WATCHDOG=1"] * 2


@pytest.mark.parametrize(
    "environ", [{}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}]
)
def test_without_a_watchdog_for_this_process_no_sign_is_sent(
    environ: dict[str, str], manager: tuple[str, socket.socket]
) -> None:
    name, listening = manager
    notifier = Notifier({"NOTIFY_SOCKET": name, **environ})
    notifier.lives(1e9)
    assert heard(listening) == []
    mine = {"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}
    assert Notifier(mine).watchdog_seconds == 1.0


def test_a_service_manager_that_is_gone_does_no_harm(tmp_path: Path) -> None:
    for environ in ({}, {"NOTIFY_SOCKET": str(tmp_path / "nobody")}, {"NOTIFY_SOCKET": "@no\0"}):
        notifier = Notifier(environ)
        notifier.ready()
        notifier.status("well")


def a_unit(folder: Path, *words: str) -> str:
    return unit(Unit("wqmaster: 100 % of 'it'", ["/usr/bin/env", *words], folder))


def test_a_unit_is_ready_restarted_and_watched(tmp_path: Path) -> None:
    lines = a_unit(tmp_path, "wqmaster", "serve").splitlines()
    for line in (
        "Type=notify",
        "Restart=always",
        "StartLimitIntervalSec=0",
        "KillMode=mixed",
        "WatchdogSec=180",
        "ExecStart=/usr/bin/env wqmaster serve",
        "Description=wqmaster: 100 %% of 'it'",
        f"WorkingDirectory={tmp_path}",
    ):
        assert line in lines
    assert not any(line.startswith(("ExecReload", "MemoryDeny", "PrivateTmp")) for line in lines)
    more = Unit("x", ["/bin/x"], tmp_path, can_reload=True, environment={"PATH": "/a b:/c"})
    assert "ExecReload=/bin/kill -HUP $MAINPID" in unit(more)
    assert 'Environment="PATH=/a b:/c"' in unit(more)


def test_words_of_a_command_are_quoted_as_systemd_reads_them(tmp_path: Path) -> None:
    text = a_unit(tmp_path, "a b", 'say "x"', "$HOME", "50%", "back\\slash")
    line = next(one for one in text.splitlines() if one.startswith("ExecStart="))
    assert line == 'ExecStart=/usr/bin/env "a b" "say \\"x\\"" "$$HOME" "50%%" "back\\\\slash"'
    with pytest.raises(ValueError, match="one line"):
        a_unit(tmp_path, "two\nlines")
