"""The job of RQ's and Parsl's workers: runs a program in its own folder, and reads its values."""

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any


def run(job: dict[str, Any]) -> dict[str, Any]:
    """The number that the pattern finds last in the output, and the rows of the file `reads`."""
    with tempfile.TemporaryDirectory(dir=job["folder"]) as made:
        folder = Path(made)
        (folder / job["file"]).write_text(job["content"])
        ended = subprocess.run(
            job["argv"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
        )
        found: dict[str, Any] = {"value": float(re.findall(job["pattern"], ended.stdout)[-1])}
        if job["reads"]:
            rows = [line.split() for line in (folder / job["reads"]).read_text().splitlines()]
            found["rows"] = [[float(word) for word in row] for row in rows if len(row) == 3]
        return found
