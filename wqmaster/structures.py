"""Structure files -> documents. ASE (the extra `structures`) reads every format but JSON lines."""

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bson import encode, json_util

from wqmaster.campaign import MoleculeFields
from wqmaster.errors import BadDocument, StructureError
from wqmaster.ledger import Document
from wqmaster.molecule import from_document

_SUFFIXES = re.compile(r"(\.(extxyz|xyz|jsonl|json|sdf|mol|pdb|cif|traj|db))?(\.(gz|bz2|xz))?$")


def documents(path: Path, fields: MoleculeFields, prefix: str | None = None) -> Iterator[Document]:
    """The structures of a file as documents, in order, each with its molecule checked.

    Their `_id` is `PREFIX-NUMBER`, the number counted from 1; the prefix is the file's name unless
    one is given. JSON lines may have their own `_id`. `charge` and `multiplicity` come from the
    structure's information, else they are 0 and 1; all else in there becomes fields as well (but
    energies and forces, which ASE keeps elsewhere).

    Raises:
        StructureError: the file cannot be read, or a structure holds no molecule.
    """
    prefix = prefix if prefix is not None else _SUFFIXES.sub("", path.name)
    read = _json_lines if re.search(r"\.jsonl(\.gz)?$", path.name) else _structures
    number = 1
    try:
        for number, document in enumerate(read(path, fields), start=1):
            if not isinstance(document, dict):
                raise StructureError(f"{path}: structure {number} is no document: {document!r:.60}")
            document.setdefault("_id", f"{prefix}-{number:07d}")
            from_document(document, fields)
            encode(document)  # what MongoDB cannot hold is refused here, with its number
            yield document
            number += 1
    except BadDocument as error:
        raise StructureError(f"{path}: structure {number}: {error.message}") from error
    except StructureError:
        raise
    except FileNotFoundError as error:
        raise StructureError(f"{path}: there is no such file") from error
    except Exception as error:  # ASE's readers raise whatever they stumble on
        raise StructureError(f"{path}: structure {number} cannot be read: {error}") from error


def _json_lines(path: Path, fields: MoleculeFields) -> Iterator[Document]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as handle:
        for line in handle:
            if line.strip():
                yield json_util.loads(line)


def _plain(value: Any) -> Any:
    """`value` as BSON can hold it; None for what it cannot."""
    if hasattr(value, "tolist"):
        return value.tolist()
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return None
    return value


def _structures(path: Path, fields: MoleculeFields) -> Iterator[Document]:
    try:
        from ase.io import iread
    except ImportError as error:
        raise StructureError(
            f"{path}: reading structure files needs ASE: pip install 'wqmaster[structures]'"
        ) from error
    if not path.exists():
        raise FileNotFoundError(path)
    for atoms in iread(str(path), index=":"):
        info: Mapping[str, Any] = atoms.info
        document: Document = {}
        for name, value in info.items():
            plain = _plain(value)
            if plain is not None and isinstance(name, str) and "." not in name and name[:1] != "$":
                document[name] = plain
        _put(document, fields.atomic_numbers, atoms.numbers.tolist())
        _put(document, fields.coordinates, atoms.positions.tolist())
        _put(document, fields.charge, _whole(info.get("charge", 0)))
        _put(document, fields.multiplicity, _whole(info.get("multiplicity", 1)))
        yield document


def _whole(value: Any) -> Any:
    """2 for 2.0; what is no whole number is left, for the molecule's check to refuse."""
    plain = _plain(value)
    return int(plain) if isinstance(plain, float) and plain.is_integer() else plain


def _put(document: Document, name: str, value: Any) -> None:
    *above, last = name.split(".")
    for part in above:
        document = document.setdefault(part, {})
    document[last] = value
