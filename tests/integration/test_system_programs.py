"""Queries to programs that hang or print without end."""

import os
import signal
import threading
from pathlib import Path

import pytest

from tests.conftest import wait_until
from wqmaster.system import programs
from wqmaster.system.programs import Errors, Said, ask


def test_a_program_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    script = f"echo begun; sleep 600 & echo $! > {tmp_path}/pid; wait"
    said = ask(["sh", "-c", script], {"PATH": "/usr/bin:/bin"}, seconds=1.0)
    assert said.code is None
    assert said.last == "no answer in time; last output: begun"
    pid = int((tmp_path / "pid").read_text())

    def ended() -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        return state == "Z"

    wait_until(ended)  # a killed process ends only when it is next scheduled


def test_the_program_of_a_hanging_check_is_ended(tmp_path: Path) -> None:
    """After its program has been ended, the check cannot start another one."""
    begun, refused = tmp_path / "begun", threading.Event()

    def hangs() -> None:
        environ = {"PATH": "/usr/bin:/bin"}
        assert ask(["sh", "-c", f"echo $$ > {begun}; sleep 600"], environ, seconds=600).code == -9
        try:
            ask(["true"], environ)
        except OSError:
            refused.set()

    thread = threading.Thread(target=hangs, daemon=True)
    thread.start()
    pid = int(wait_until(lambda: begun.exists() and begun.read_text().strip()))
    programs.end_all([thread])
    thread.join(60)
    assert refused.is_set()
    assert not Path(f"/proc/{pid}").exists()
    assert ask(["true"], {"PATH": "/usr/bin:/bin"}).code == 0


def test_a_program_that_prints_endlessly_is_cut_short() -> None:
    said = ask(["sh", "-c", "while :; do echo y; done"], {"PATH": "/usr/bin:/bin"}, seconds=60)
    assert said.code is None
    assert len(said.text) <= 1 << 20


def test_a_child_left_by_a_program_does_not_delay_its_answer(tmp_path: Path) -> None:
    """A child in a separate session survives the program and keeps its output open."""
    script = f"echo begun; setsid sleep 600 & echo $! > {tmp_path}/pid"
    said = ask(["sh", "-c", script], {"PATH": "/usr/bin:/bin"}, seconds=1.0)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert said.code is None
    assert said.text == "begun\n"


def test_a_program_that_closes_its_output_and_continues_is_ended() -> None:
    said = ask(["sh", "-c", "exec >&- 2>&-; sleep 600"], {"PATH": "/usr/bin:/bin"}, seconds=1.0)
    assert said.code is None


@pytest.mark.parametrize(
    ("errors", "text", "beside", "last"),
    [
        ("merged", "answer\ncomplaint\n\n", "", "complaint"),
        ("apart", "answer\n", "complaint\n\n", "complaint"),
        ("dropped", "answer\n", "", "answer"),
    ],
)
def test_standard_error_goes_where_it_is_requested(
    errors: Errors, text: str, beside: str, last: str
) -> None:
    script = "echo answer; echo complaint >&2; echo >&2; exit 3"
    said = ask(["sh", "-c", script], {"PATH": "/usr/bin:/bin"}, seconds=60, errors=errors)
    assert said == Said(3, text, beside)
    assert said.last == last


def test_a_long_answer_is_complete_without_a_limit() -> None:
    script = "i=0; while [ $i -lt 200 ]; do printf '%010000d' 0; i=$((i + 1)); done"
    said = ask(["sh", "-c", script], {"PATH": "/usr/bin:/bin"}, seconds=60, max_bytes=None)
    assert said == Said(0, "0" * 2_000_000)
