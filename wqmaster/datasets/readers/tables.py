"""The readers of the plain formats, JSON Lines and Parquet."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wqmaster.datasets.frame import Frame
from wqmaster.datasets.readers.making import frame_from
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import ProofError
from wqmaster.structures.parquet import rows

_LABELS = ("energy", "forces", "charges", "spins", "dipole", "quadrupole")


def _frame(place: str, row: Mapping[str, Any]) -> Frame:
    said = {name: row.get(name) for name in ("coordinates", "charge", "multiplicity", *_LABELS)}
    return frame_from(place, said | {"id": row.get("_id"), "numbers": row.get("atomic_numbers")})


def read_jsonl(path: Path) -> Iterator[Frame]:
    """The lines of a file.

    Raises:
        ProofError: a line is not JSON, or lacks a value.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            place = f"{path}:{number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                why = f"{place}: {error}"
                raise ProofError(why, code=ErrorCode.DATASET_UNREADABLE) from error
            yield _frame(place, row)


def read_parquet(path: Path) -> Iterator[Frame]:
    """The rows of a file.

    Raises:
        ProofError: the file is not a Parquet file, or a row lacks a value.
    """
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(str(path)) as file:
            for row in rows(file):
                number += 1
                yield _frame(f"{path}: row {number}", row)
    except pyarrow.ArrowException as error:
        why = f"{path}: not a Parquet file: {error}"
        raise ProofError(why, code=ErrorCode.DATASET_UNREADABLE) from error
