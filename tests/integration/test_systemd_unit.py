"""systemd itself reads the unit."""

import shutil
import subprocess
from pathlib import Path

import pytest

from wqmaster.system.systemd import Unit, unit


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_no_fault_in_a_unit(tmp_path: Path) -> None:
    file = tmp_path / "wqmaster-test.service"
    command = ["/usr/bin/env", "wqmaster", "run", "a b.yaml", "50%", '"$HOME"']
    wanted = Unit("a test", command, tmp_path, environment={"PATH": "/usr/bin"}, can_reload=True)
    words = ["systemd-analyze", "verify", "--man=no", str(file)]

    def said(text: str) -> str:
        file.write_text(text)
        return subprocess.run(words, capture_output=True, text=True, check=False).stderr

    assert "wqmaster-test.service" not in said(unit(wanted))
    assert "Unknown key" in said(unit(wanted).replace("WatchdogSec", "WatchdogSecs"))
