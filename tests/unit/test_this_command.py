"""Commands and paths in messages, as they work where the user reads them."""

from pathlib import Path

import pytest

from wqmaster.system.this_command import seen_by_user


def test_a_program_of_the_private_root_has_the_path_that_the_users_shell_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, `scp` was to copy /usr/bin/work_queue_worker, which only ./shell has."""
    program, other = tmp_path / "bin" / "worker", tmp_path / "bin" / "other"
    program.parent.mkdir()
    program.touch()
    other.touch()
    checkout = tmp_path / "checkout"
    outside = checkout.joinpath(".environment", "root", *program.parts[1:])
    outside.parent.mkdir(parents=True)
    outside.hardlink_to(program)
    outside.with_name("other").touch()  # another file of the same name
    monkeypatch.setenv("WQMASTER_INSIDE", str(checkout))
    assert seen_by_user(program) == outside
    assert seen_by_user(other) == other
    monkeypatch.delenv("WQMASTER_INSIDE")
    assert seen_by_user(program) == program
