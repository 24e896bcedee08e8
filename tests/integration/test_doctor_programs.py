"""Programs that the doctor asks: those that hang, and those that print for ever."""

import threading
from pathlib import Path

from tests.conftest import wait_until
from wqmaster.doctor import programs
from wqmaster.doctor.programs import ask


def test_a_program_that_does_not_end_is_ended_with_what_it_started(tmp_path: Path) -> None:
    script = f"echo begun; sleep 600 & echo $! > {tmp_path}/pid; wait"
    said = ask(["sh", "-c", script], {"PATH": "/usr/bin:/bin"}, seconds=1.0)
    assert said.code is None
    assert said.last == "no answer in time; last words: begun"
    pid = int((tmp_path / "pid").read_text())

    def ended() -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        return state == "Z"

    wait_until(ended)  # a killed process that is busy ends when it is next scheduled


def test_what_a_check_that_hangs_has_started_is_ended(tmp_path: Path) -> None:
    """And what it would start next is not."""
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


def test_a_program_that_prints_for_ever_is_cut_short() -> None:
    said = ask(["sh", "-c", "while :; do echo y; done"], {"PATH": "/usr/bin:/bin"}, seconds=60)
    assert said.code is None
    assert len(said.text) <= 1 << 20
