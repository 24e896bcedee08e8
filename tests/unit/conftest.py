"""Unit tests start no processes; tests that start some are integration tests."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Python's audit events for starting a process (Python documentation, "Audit events table").
_STARTS_A_PROCESS = frozenset(
    ("subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system")
)
_FOLDER = Path(__file__).parent
_in_a_test = False


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if _in_a_test and event in _STARTS_A_PROCESS:
        raise RuntimeError(f"a unit test starts a process ({event}): move it to tests/integration")


sys.addaudithook(_refuse)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Refuse to start processes, from a test's first fixture until its end."""
    global _in_a_test
    _in_a_test = item.path.is_relative_to(_FOLDER)  # pytest calls this hook for all tests
    try:
        return (yield)
    finally:
        _in_a_test = False
