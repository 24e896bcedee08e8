"""The readers for ASE databases (.db, .json, .aselmdb) and trajectories (.traj)."""

import contextlib
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wqmaster.errors import StructureError
from wqmaster.structures.ase_atoms import fill
from wqmaster.structures.base import Options, Record, Refused
from wqmaster.structures.state import STATE_KEYS, known

# Where LMDB's first page has what `check_lmdb` looks at, and the sizes of these numbers
# (`MDB_page`, `MDB_meta` and `MDB_db` in lmdb's mdb.c, 64 bits): magic number, version, size of a
# page, number of the last page, number of the transaction.
_LMDB_META = struct.Struct("=16x I I 16x I 92x Q Q")
_LMDB_MAGIC = 0xBEEFC0DE
_LMDB_VERSION = 1


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


def check_lmdb(path: Path) -> None:
    """Check that a file is an LMDB file and whole, before lmdb opens it.

    lmdb maps the file into memory: beyond the end of a truncated one, the operating system ends the
    process (SIGBUS). For other files, the destructor of ASE's database raises an error.

    Raises:
        StructureError: it is not, or not whole.
    """
    with path.open("rb") as file:
        metas = [_meta(file.read(_LMDB_META.size))]
        if metas[0]:
            file.seek(metas[0][0])
            metas.append(_meta(file.read(_LMDB_META.size)))
    if not all(metas):
        raise StructureError(f"{path}: not an LMDB file, or damaged")
    page, last, _ = max((meta for meta in metas if meta), key=lambda meta: meta[2])
    if path.stat().st_size < (last + 1) * page:
        raise StructureError(
            f"{path}: truncated: {path.stat().st_size} of {(last + 1) * page} bytes"
        )


def _meta(start: bytes) -> tuple[int, int, int] | None:
    """Size of a page, number of the last page and of the transaction; None if it is not LMDB."""
    if len(start) < _LMDB_META.size:
        return None
    magic, version, page, last, transaction = _LMDB_META.unpack(start)
    return (page, last, transaction) if (magic, version) == (_LMDB_MAGIC, _LMDB_VERSION) else None


def read_lmdb(path: Path, options: Options) -> Iterator[Record]:
    """The rows in an ASE database in LMDB (.aselmdb), as fairchem uses them.

    Raises:
        StructureError: the file is not such a database.
    """
    import ase.db

    check_lmdb(path)
    connect: Any = ase.db.connect
    try:
        database = connect(str(path), type="aselmdb", readonly=True, use_lock_file=False)
    except Exception as error:  # lmdb, zlib and ASE raise exceptions of their own
        raise StructureError(f"{path}: not an ASE database in LMDB: {error}") from error
    try:
        for number, row_id in enumerate(database.ids, start=1):
            yield _of_row(Record(number), database, row_id, options)
    finally:
        database.close()


def _of_row(record: Record, database: Any, row_id: int, options: Options) -> Record:
    try:
        row = database.get(id=row_id)
        # For a key `charge`, ASE returns the sum of the atomic charges, or 0 if there are none. The
        # stored value is only an attribute of the row.
        keys = {str(name): vars(row)[name] for name in row.key_value_pairs}
        data = {str(name): value for name, value in dict(row.data).items()}
        for name in data.keys() & keys.keys():
            if known(name) in STATE_KEYS and data[name] != keys[name]:
                raise Refused(
                    f"its '{name}' is {keys[name]} in its keys, but {data[name]} in its data"
                )
        title = str(keys.get("title", "") or keys.get("name", "") or data.get("title", ""))
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
    from ase.io.ulm import InvalidULMFileError

    open_trajectory: Any = ase.io.trajectory.Trajectory
    try:
        images = open_trajectory(str(path))
    except InvalidULMFileError as error:
        raise StructureError(f"{path}: not an ASE trajectory") from error
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
