"""Run the script that reads a file with the reader of a trainer."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from wqmaster.datasets.base import Target
from wqmaster.datasets.frame import Frame
from wqmaster.datasets.readers.making import frame_from
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import ProofError

# A message quotes at most this much from the end of a script's standard error.
_END_CHARACTERS = 300


def python_of(target: Target) -> str | None:
    """This Python, if the trainer of a target is installed in it; otherwise None."""
    return sys.executable if target.trainer and find_spec(target.trainer) else None


@contextmanager
def read_by_trainer(
    path: Path, target: Target, python: str
) -> Iterator[tuple[str, Iterator[Frame]]]:
    """The name and version of the trainer's reader, and the frames that it sees.

    `python` is the Python in which the trainer is installed.

    Raises:
        ProofError: the reader fails, or a row lacks a value.
    """
    script = Path(__file__).with_name(target.script)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(
            [python, "-P", str(script), str(path.absolute())],
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            env=environment,
        ) as process,
    ):
        assert process.stdout is not None  # noqa: S101  # for mypy
        try:
            lines = _objects(process, process.stdout, complaints, path)
            head = next(lines, {})
            reader = f"{head.get('reader')} ({head.get('version')})"
            in_ev = head.get("energy") == "eV"
            rows = (
                frame_from(f"{path}: row {number} as {reader} sees it", row, in_ev=in_ev)
                for number, row in enumerate(lines, start=1)
            )
            yield reader, rows
        finally:
            process.kill()


def _objects(process: Any, lines: Any, complaints: Any, path: Path) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects that the script prints, one a line.

    Raises:
        ProofError: the script failed.
    """
    for line in lines:
        if line.startswith("{"):  # a trainer may print messages, too
            yield json.loads(line)
    if process.wait():
        complaints.seek(0)
        end = " ".join(complaints.read().split())[-_END_CHARACTERS:]
        raise ProofError(
            f"{path}: the trainer's reader failed with exit code {process.returncode}: {end}",
            code=ErrorCode.DATASET_UNREADABLE,
        )
