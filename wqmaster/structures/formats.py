"""The choice of a file's reader by the file's name, and advice for unsupported formats."""

import difflib
import gzip
import lzma
import re
import shlex
import zlib
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from wqmaster.campaign.base import available, nearest
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import StructureError, UsageError
from wqmaster.structures import (
    ase_files,
    embedding,
    hdf5,
    json_lines,
    molfile,
    parquet,
    smiles,
    xyz,
)
from wqmaster.structures.base import Options, Record
from wqmaster.structures.files import is_compressed, opened

Reader = Callable[[Path, Options], Iterator[Record]]
_READERS: dict[str, Reader] = {
    "sdf": molfile.read,
    "sd": molfile.read,
    "mol": molfile.read,
    "smi": smiles.read,
    "smiles": smiles.read,
    "csv": smiles.read_table,
    "tsv": smiles.read_table,
    "xyz": xyz.read,
    "extxyz": xyz.read,
    "exyz": xyz.read,
    "db": ase_files.read_database,
    "json": ase_files.read_database,
    "traj": ase_files.read_trajectory,
    "jsonl": json_lines.read,
    "ndjson": json_lines.read,
    "aselmdb": ase_files.read_lmdb,
    "h5": hdf5.read,
    "hdf5": hdf5.read,
    "parquet": parquet.read,
}
# The file name endings that messages suggest.
_KNOWN = (
    *("aselmdb", "csv", "db", "extxyz", "h5", "json", "jsonl", "mol", "parquet", "sdf", "smi"),
    *("traj", "tsv", "xyz"),
)
# The module that each reader imports, the name of its library, and the extra that installs it.
_NEEDS: dict[Reader, tuple[str, str, str]] = {
    **dict.fromkeys(
        (molfile.read, smiles.read, smiles.read_table), ("rdkit", "RDKit", "structures")
    ),
    **dict.fromkeys(
        (xyz.read, ase_files.read_database, ase_files.read_trajectory), ("ase", "ASE", "structures")
    ),
    ase_files.read_lmdb: ("ase_db_backends", "ase-db-backends", "datasets"),
    hdf5.read: ("h5py", "h5py", "datasets"),
    parquet.read: ("pyarrow", "pyarrow", "datasets"),
}
# The readers for files that a library opens by name and does not decompress.
_UNCOMPRESSED = {
    ase_files.read_database: "ASE",
    ase_files.read_trajectory: "ASE",
    ase_files.read_lmdb: "ASE",
    hdf5.read: "h5py",
    parquet.read: "pyarrow",
}
_BY_OPEN_BABEL = "obabel {name} -O {sdf}"
# Formats without reliable charges, bonds or hydrogens, and how to convert a file in each of them.
_CONVERT = {
    "pdb": f"{_BY_OPEN_BABEL} -h, and check charges and hydrogens",
    "ent": f"{_BY_OPEN_BABEL} -h, and check charges and hydrogens",
    "pdbqt": _BY_OPEN_BABEL,
    "mol2": _BY_OPEN_BABEL,
    "cml": _BY_OPEN_BABEL,
    "cdx": _BY_OPEN_BABEL,
    "mrv": _BY_OPEN_BABEL,
    "rxn": "import its reactants and products as molfiles",
    "inchi": "obabel {name} -O {smi}",
    "cif": "ase convert {name} {extxyz} (only for molecules; write charge=0 in its comments)",
    "mae": "structconvert {name} {sdf}",
    "maegz": "structconvert {name} {sdf}",
    "xlsx": "save it as CSV, with a column of SMILES",
    "lmdb": "write it as an ASE database (.db)",
}
# The exceptions that a file raises if it cannot be read or decompressed.
_BROKEN = (OSError, EOFError, lzma.LZMAError, zlib.error)
_YAML = ("yaml", "yml")
_ENDING = re.compile(r"\.([A-Za-z0-9]+)(\.(gz|bz2|xz))?$", re.IGNORECASE)


def stem(path: Path) -> str:
    """The file's name without its format and compression endings."""
    found = _ENDING.search(path.name)
    if found and found[1].lower() in {*_READERS, *_CONVERT}:
        return path.name[: found.start()] or path.name
    return re.sub(r"\.(gz|bz2|xz)$", "", path.name)


def records_of(path: Path, options: Options) -> Iterator[Record]:
    """The records in a structure file, in order.

    Raises:
        StructureError: immediately if there is no such file, its format is not supported, or a
            library is missing; during iteration if the content does not have that format.
    """
    reader = reader_of(path, options)
    return _read(path, reader, options)


def _read(path: Path, reader: Reader, options: Options) -> Iterator[Record]:
    try:
        yield from reader(path, options)
    except _BROKEN as error:
        raise StructureError(f"{path}: cannot read the whole file: {_why(error)}") from error


def _why(error: Exception) -> str:
    if isinstance(error, gzip.BadGzipFile):
        return "it is not compressed with gzip, or is damaged"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def reader_of(path: Path, options: Options) -> Reader:
    """The reader for a file, after checks that the file and the reader's library are usable.

    Raises:
        StructureError: there is no such file, its format is not supported, or a library is missing.
    """
    if not path.exists():
        raise StructureError(f"{path}: there is no such file", code=ErrorCode.STRUCTURES_NOT_FOUND)
    if not path.is_file():
        raise StructureError(
            f"{path}: it is a folder or device, not a file", code=ErrorCode.STRUCTURES_NOT_FOUND
        )
    found = _ENDING.search(path.name)
    ending = found[1].lower() if found else ""
    if ending in _CONVERT:
        how = _CONVERT[ending].format(
            name=shlex.quote(str(path)),
            sdf=shlex.quote(f"{stem(path)}.sdf"),
            smi=shlex.quote(f"{stem(path)}.smi"),
            extxyz=shlex.quote(f"{stem(path)}.extxyz"),
        )
        raise StructureError(
            f"{path}: {ending} files are not imported, since charges, spins or hydrogens would be "
            f"lost; convert the file first: {how}",
            code=ErrorCode.FORMAT_UNKNOWN,
        )
    if ending in _YAML:
        raise StructureError(
            f"{path}: a YAML file, such as a campaign file, holds no structures; "
            f"{available(_KNOWN)}",
            code=ErrorCode.FORMAT_UNKNOWN,
        )
    if ending not in _READERS:
        raise _unknown(path, ending)
    reader = _READERS[ending]
    if reader in _UNCOMPRESSED and is_compressed(path):
        library = _UNCOMPRESSED[reader]
        raise StructureError(f"{path}: decompress it first; {library} cannot read compressed files")
    _check_installed(path, reader)
    if options.optimize == "gfnff":
        embedding.check_gfnff()
    try:
        with opened(path) as file:
            file.read(1)
    except _BROKEN as error:
        raise StructureError(f"{path}: cannot read the file: {_why(error)}") from error
    return reader


def check_of_smiles(paths: Sequence[Path], options: Options) -> None:
    """Check that options for SMILES, if any are set, have a file among `paths` to apply to.

    Raises:
        UsageError: none of the files holds SMILES.
    """
    readers = [reader_of(path, options) for path in paths]
    for option, is_set, suitable in (
        ("--conformers", options.conformers != 1, (smiles.read, smiles.read_table)),
        ("--smiles-column", options.smiles_column is not None, (smiles.read_table,)),
    ):
        if is_set and not any(reader in suitable for reader in readers):
            to_what = "SMILES" if len(suitable) > 1 else "tables with SMILES (.csv, .tsv)"
            named = ", ".join(map(str, paths))
            raise UsageError(f"{option} applies only to {to_what}; remove it for {named}")


def _check_installed(path: Path, reader: Reader) -> None:
    module, name, extra = _NEEDS.get(reader, ("", "", ""))
    if module and find_spec(module) is None:
        raise StructureError(
            f"{path}: reading this format needs {name}: pip install 'wqmaster[{extra}]'",
            code=ErrorCode.LIBRARY_MISSING,
        )


def _unknown(path: Path, ending: str) -> StructureError:
    """The error about a file whose ending is missing or unknown."""
    if not ending:
        why = (
            f"its name has no ending, which states the format; rename the file, for example to "
            f"{path.name}.xyz; {available(_KNOWN)}"
        )
    elif difflib.get_close_matches(ending, _KNOWN, n=1):
        why = f"unknown format '{ending}'; {nearest(ending, _KNOWN)}"
    else:
        source, target = shlex.quote(str(path)), shlex.quote(f"{path.stem}.extxyz")
        why = (
            f"unknown format '{ending}'; ASE converts many others: ase convert {source} {target} "
            f"(then add charge= and multiplicity= to its comments); {available(_KNOWN)}"
        )
    return StructureError(f"{path}: {why}", code=ErrorCode.FORMAT_UNKNOWN)
