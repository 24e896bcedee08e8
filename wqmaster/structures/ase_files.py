"""The readers for ASE databases (.db, .json) and trajectories (.traj)."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wqmaster.errors import StructureError
from wqmaster.structures.ase_atoms import fill
from wqmaster.structures.base import Options, Record, Refused
from wqmaster.structures.state import STATE_KEYS, known


def read_database(path: Path, options: Options) -> Iterator[Record]:
    """The rows in an ASE database; charge and spin can be among the keys or in `data`.

    Raises:
        StructureError: the file is not an ASE database.
    """
    import ase.db

    kind = _check_database(path)
    connect: Any = ase.db.connect
    # ASE derives the type from the file's name only if the ending is in lower case.
    with connect(str(path), type=kind) as database:
        try:
            ids = sorted(row.id for row in database.select(columns=["id"], include_data=False))
        except Exception as error:  # ASE can raise any exception
            raise StructureError(f"{path}: not an ASE database: {error}") from error
        for number, row_id in enumerate(ids, start=1):
            yield _of_row(Record(number), database, row_id, options)


def _check_database(path: Path) -> str:
    """Check that the file is an ASE database, and return its type as ASE names it: json or db.

    ASE would turn any other SQLite file into one when it opens the file.

    Raises:
        StructureError: the file is not an ASE database.
    """
    wrong = StructureError(f"{path}: not an ASE database")
    if path.suffix.lower() == ".json":
        with path.open("rb") as file:
            if not file.read(1000).lstrip().startswith(b"{"):
                raise wrong
        return "json"
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
            names = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error as error:
        raise wrong from error
    if not {"systems", "keys", "information"} <= names:
        raise wrong
    return "db"


def _of_row(record: Record, database: Any, row_id: int, options: Options) -> Record:
    try:
        row = database.get(id=row_id)
        # For a key `charge`, ASE returns the sum of the atomic charges, or 0 if there are none. The
        # stored value is only an attribute of the row.
        keys = {str(name): vars(row)[name] for name in row.key_value_pairs}
        data = {str(name): value for name, value in dict(row.data).items()}
        for name in data.keys() & keys.keys():
            if known(name) in STATE_KEYS and data[name] != keys[name]:
                raise Refused(f"its '{name}' is {keys[name]} in its keys, {data[name]} in its data")
        title = str(keys.get("title", "") or keys.get("name", ""))
        atoms = row.toatoms()
        try:
            fill(record, atoms, options, {**data, **keys})
        finally:
            record.title = title
    except Refused as error:
        record.refuse(error)
    except Exception as error:
        record.refuse(f"ASE cannot read it: {error!r:.200}")
    return record


def read_trajectory(path: Path, options: Options) -> Iterator[Record]:
    """The images in an ASE trajectory.

    Raises:
        StructureError: the file is not an ASE trajectory.
    """
    import ase.io.trajectory

    open_trajectory: Any = ase.io.trajectory.Trajectory
    try:
        images = open_trajectory(str(path))
    except Exception as error:
        raise StructureError(f"{path}: not an ASE trajectory: {error}") from error
    with images:
        for number in range(1, len(images) + 1):
            record = Record(number)
            try:
                fill(record, images[number - 1], options)
            except Refused as error:
                record.refuse(error)
            except Exception as error:
                record.refuse(f"ASE cannot read it: {error!r:.200}")
            yield record
