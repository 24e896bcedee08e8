"""The writer of JSON Lines: one object per frame, with the names that `wqmaster import` expects.

Format: jsonlines.org. Numbers have all digits that distinguish them from others. The format has no
header, so the data card and docs/datasets.md state the units (eV, Angstrom, e), and `level` in each
line states the level of theory.
"""

import json
from collections.abc import Collection
from pathlib import Path

from wqmaster.datasets.base import LABELS, Level
from wqmaster.datasets.frame import Frame
from wqmaster.datasets.writers.tables import row_of


class JsonLinesWriter:
    """Writes frames as lines."""

    def __init__(self, path: Path, level: Level, labels: Collection[str] | None) -> None:
        self._file = path.open("x", encoding="ascii")
        self._level = level.name
        self.labels = frozenset(LABELS if labels is None else labels) & frozenset(LABELS)

    def add(self, frame: Frame) -> None:
        """Write a frame."""
        row = row_of(frame, self.labels) | {"level": self._level}
        self._file.write(json.dumps(row, allow_nan=False) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def abandon(self) -> None:
        """Close the file; the caller removes it."""
        self._file.close()


def create(path: Path, level: Level, labels: Collection[str] | None = None) -> JsonLinesWriter:
    """A writer of JSON Lines."""
    return JsonLinesWriter(path, level, labels)
