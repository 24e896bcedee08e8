"""The reader for Parquet files with one molecule per row."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wqmaster.errors import StructureError
from wqmaster.jobs.molecule import Document
from wqmaster.structures.ase_atoms import is_own_id, plain
from wqmaster.structures.base import LABELS, Note, Options, Record, Refused, add_fields, put
from wqmaster.structures.state import Implied, set_state

# The names of the columns, besides those that the campaign uses: the first one that a file has.
_NUMBERS = ("atomic_numbers", "numbers")
_COORDINATES = ("coordinates", "positions")
_ROWS_PER_BATCH = 500


def read(path: Path, options: Options) -> Iterator[Record]:
    """The rows; columns with energies and other results are not imported.

    Raises:
        StructureError: the file is not a Parquet file, or has no columns with atoms.
    """
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(str(path)) as file:
            names = file.schema_arrow.names
            atoms = _found(path, names, (options.fields.atomic_numbers, *_NUMBERS))
            places = _found(path, names, (options.fields.coordinates, *_COORDINATES))
            for row in rows(file):
                number += 1
                record = Record(number)
                try:
                    _fill(record, row, atoms, places, options)
                except Refused as error:
                    record.refuse(error)
                yield record
    except pyarrow.ArrowException as error:
        raise StructureError(
            f"{path}: not a Parquet file, or damaged: {str(error).rstrip('.')}"
        ) from error


def rows(file: Any) -> Iterator[dict[str, Any]]:
    """The rows of an open `pyarrow.parquet.ParquetFile`, in constant memory.

    A reader of batches holds each group of rows that it has read until it ends (seen with pyarrow
    26), so each group gets its own.
    """
    for group in range(file.num_row_groups):
        for batch in file.iter_batches(batch_size=_ROWS_PER_BATCH, row_groups=[group]):
            yield from batch.to_pylist()


def _found(path: Path, names: list[str], wanted: tuple[str, ...]) -> str:
    for name in wanted:
        if name in names:
            return name
    raise StructureError(
        f"{path}: it has no column '{wanted[0]}'; its columns are: {', '.join(names)[:200]}"
    )


def _fill(
    record: Record, row: Mapping[str, Any], atoms: str, places: str, options: Options
) -> None:
    values = {name: value for name, value in row.items() if value is not None}
    document: Document = {}
    put(document, options.fields.atomic_numbers, values.pop(atoms, None))
    put(document, options.fields.coordinates, values.pop(places, None))
    own = values.pop("_id", None)
    if is_own_id(own):
        document["_id"] = own
    record.title = str(values.get("title", "") or own or "")
    state = {name: value for name, value in values.items() if not isinstance(value, list)}
    set_state(record, document, state, Implied(), options)
    stated = {options.fields.charge, options.fields.multiplicity}
    given = {
        name: plain(value)
        for name, value in values.items()
        if name not in stated and name not in LABELS
    }
    if LABELS & values.keys():
        record.notes.add(Note.NO_LABELS)
    lost = sorted(name for name, value in given.items() if value is None)
    if lost:
        raise Refused(f"the value of its column '{lost[0]}' cannot be stored in a document")
    add_fields(document, given, options)
    record.documents = [document]
