"""The reader of ASE's databases in LMDB, by ase-db-backends."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wqmaster.datasets.frame import Frame
from wqmaster.datasets.readers.making import frame_from
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import ProofError, StructureError
from wqmaster.structures.ase_files import check_lmdb

# The names under which fairchem and MACE look for the same value.
_STATE = (("charge", "total_charge"), ("spin", "total_spin"))


def read(path: Path) -> Iterator[Frame]:
    """The rows of a database.

    Raises:
        ProofError: the file is not such a database, or a row lacks a value or contradicts itself.
    """
    import ase.db

    connect: Any = ase.db.connect
    try:
        check_lmdb(path)
        database = connect(str(path), type="aselmdb", readonly=True, use_lock_file=False)
    except StructureError as error:
        raise ProofError(error.message, code=ErrorCode.DATASET_UNREADABLE) from error
    except Exception as error:  # lmdb and ASE raise exceptions of their own
        why = f"{path}: not a database of ASE: {error}"
        raise ProofError(why, code=ErrorCode.DATASET_UNREADABLE) from error
    try:
        for number in database.ids:
            place = f"{path}: row {number}"
            row = database.get(id=number)
            data = dict(row.data)
            for one, other in _STATE:
                if data.get(one) != data.get(other):
                    raise ProofError(
                        f"{place}: {one} is {data.get(one)}, but {other} is {data.get(other)}"
                    )
            said = {
                "id": data.get("_id"),
                "numbers": row.numbers,
                "coordinates": row.positions,
                "charge": data.get("charge"),
                "multiplicity": data.get("spin"),
                "quadrupole": data.get("quadrupole"),
                "spins": row.get("magmoms"),
            }
            said |= {name: row.get(name) for name in ("energy", "forces", "charges", "dipole")}
            yield frame_from(place, said)
    finally:
        database.close()
