"""Fixtures for the acceptance tests: an xtb that waits, and the running processes."""

import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import Cli


def processes_of(folder: Path) -> dict[int, str]:
    """The processes that run in `folder` or name it in their command line: pid -> command line.

    Workers run elsewhere; they are found by their environment, which names their factory.
    """
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            place = str((entry / "cwd").readlink())
            environ = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        ours = any(name.startswith(f"WQMASTER_FACTORY={folder}/") for name in environ)
        if line and (ours or str(folder) in line or f"{place}/".startswith(f"{folder}/")):
            found[int(entry.name)] = line.strip()
    return found


def each(cli: Cli, *commands: Sequence[str | Path]) -> list[tuple[int, str, str]]:
    """Run several commands; return exit code, output and errors of each."""
    return [cli.run(*words) for words in commands]


class HeldXtb:
    """An xtb that waits for `let_go()` before it computes, and records each start."""

    def __init__(self, folder: Path, xtb: str) -> None:
        self._gate = folder / "gate"
        self._begun = folder / "begun"
        self._begun.mkdir(parents=True)
        self.command = folder / "held-xtb"
        self.command.write_text(
            "#!/bin/sh\n"
            f': > "{self._begun}/$$"\n'
            f'while [ ! -e "{self._gate}" ]; do sleep 0.05; done\n'
            f'exec "{xtb}" "$@"\n'
        )
        self.command.chmod(self.command.stat().st_mode | stat.S_IXUSR)

    @property
    def software(self) -> dict[str, str]:
        """The `software:` key of a campaign that uses this xtb."""
        return {"xtb": str(self.command)}

    def begun(self) -> int:
        """How many times this xtb was started."""
        return sum(1 for _ in self._begun.iterdir())

    def let_go(self) -> None:
        """Let every xtb compute, both those that wait and those started later."""
        self._gate.touch()


@pytest.fixture
def held_xtb(tmp_path: Path) -> HeldXtb:
    """An xtb that waits until the test lets it go."""
    xtb = shutil.which("xtb")
    if xtb is None:
        pytest.skip("xtb is not installed")
    return HeldXtb(tmp_path / "held", xtb)
