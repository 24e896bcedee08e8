"""The readers for SMILES files (lines `SMILES title`) and tables (CSV, TSV) with SMILES."""

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wqmaster.errors import StructureError
from wqmaster.jobs.molecule import Document
from wqmaster.structures.base import Options, Record, Refused, add_fields
from wqmaster.structures.embedding import conformers, documents_of, isotope_notes, quiet, reason
from wqmaster.structures.files import numbered_lines, text_of
from wqmaster.structures.molfile import typed
from wqmaster.structures.state import Implied, has_metal, set_state
from wqmaster.system.tracebacks import described

# The parts of RDKit's message that repeat the SMILES or state only that it cannot be read.
_PARSE_ERROR = re.compile(
    r"^SMILES Parse Error: |Failed parsing SMILES '.*?'(?= for input: )| for input: '.*"
)
_COLUMNS = ("smiles", "canonical_smiles", "isomeric_smiles")
_TITLES = ("title", "name", "id")


def read(path: Path, options: Options) -> Iterator[Record]:
    """The records in a file with lines `SMILES title`; lines that begin with `#` are comments."""
    number = 0
    for line, raw in numbered_lines(path):
        words = text_of(raw).strip().split(maxsplit=1)
        if not words or words[0].startswith("#"):
            continue
        number += 1
        if number == 1 and words[0].lower() in _COLUMNS:
            number = 0
            continue  # a header line
        smiles, title = words[0], words[1].strip() if len(words) > 1 else ""
        end = title.find("|", 1)
        if title.startswith("|") and end > 0:  # a CXSMILES extension, part of the molecule
            smiles, title = f"{smiles} {title[: end + 1]}", title[end + 1 :].strip()
        record = Record(number, line, title, raw + b"\n")
        if b"\r" in raw:
            yield record.refuse("there is a CR within the line; replace it with LF")
            continue
        yield _read(record, smiles, {}, options)


def read_table(path: Path, options: Options) -> Iterator[Record]:
    """The records in a table with a header line.

    Raises:
        StructureError: there is no column with SMILES.
    """
    delimiter = _delimiter(path)
    last = [0]  # the number of the line that was read last
    taken: list[bytes] = []  # the lines of the row that is being read

    def lines() -> Iterator[str]:
        for place, raw in numbered_lines(path):
            last[0] = place
            taken.append(raw + b"\n")
            yield text_of(raw).removeprefix("\ufeff") + "\n"

    rows = csv.reader(lines(), delimiter=delimiter, strict=True)
    try:
        header = next(rows, None)
    except csv.Error as error:
        raise StructureError(f"{path}: line 1 is not the header of a table: {error}") from error
    if header is None:
        return  # the file is empty
    names = [name.strip() for name in header]
    column = _column(path, names, options)
    title = next((name for known in _TITLES for name in names if name.lower() == known), None)
    number = 0
    while True:
        first = last[0] + 1
        taken.clear()
        try:
            row = next(rows, None)
        except csv.Error as error:
            number += 1
            why = f"not a row of a table: {error}"
            if last[0] > first:
                why = f"lines {first} to {last[0]} are {why}; a quote is probably not closed"
            yield Record(number, first, "", b"".join(taken)).refuse(why)
            continue
        if row is None:
            return
        if not any(word.strip() for word in row):
            continue
        number += 1
        yield _row(Record(number, first), row, names, column, title, delimiter, options)


def _delimiter(path: Path) -> str:
    """The column separator: tab, comma, or the semicolon that some spreadsheets write."""
    if ".tsv" in path.name.lower():
        return "\t"
    first = next((text_of(raw) for _, raw in numbered_lines(path)), "")
    return ";" if ";" in first and "," not in first else ","


def _column(path: Path, names: list[str], options: Options) -> str:
    wanted = (options.smiles_column,) if options.smiles_column else _COLUMNS
    for known in wanted:
        for name in names:
            if name.lower() == known.lower():
                return name
    asked = options.smiles_column
    column = f"column '{asked}'" if asked else "column of SMILES"
    how = "name one of these" if asked else "name the column"
    raise StructureError(
        f"{path}: line 1 has no {column} (columns: {', '.join(names)[:200] or 'none'}); "
        f"{how} with --smiles-column"
    )


def _row(
    record: Record,
    row: list[str],
    names: list[str],
    column: str,
    title: str | None,
    delimiter: str,
    options: Options,
) -> Record:
    record.raw = (delimiter.join(_quoted(word, delimiter) for word in row) + "\n").encode()
    if len(row) != len(names):
        return record.refuse(f"it has {len(row)} columns, but the header has {len(names)}")
    if len(set(names)) != len(names):
        return record.refuse("two columns have the same name")
    values = dict(zip(names, row, strict=True))
    record.title = values[title].strip() if title else ""
    fields = {name: typed(text) for name, text in values.items() if name != column and text.strip()}
    return _read(record, values[column].strip(), fields, options)


def _quoted(word: str, delimiter: str) -> str:
    if any(sign in word for sign in (delimiter, '"', "\n")):
        return '"' + word.replace('"', '""') + '"'
    return word


def _read(record: Record, smiles: str, fields: Mapping[str, Any], options: Options) -> Record:
    try:
        with quiet():
            _fill(record, smiles, fields, options)
    except Refused as error:
        return record.refuse(error)
    except Exception as error:  # RDKit can raise any exception
        why = f"{described(error):.200}"
        return record.refuse(f"RDKit cannot read the SMILES {smiles[:60]!r}: {why}")
    return record


def _fill(record: Record, smiles: str, fields: Mapping[str, Any], options: Options) -> None:
    from rdkit import Chem

    if not smiles:
        raise Refused("the SMILES is empty")
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or not molecule.GetNumAtoms():
        why = _PARSE_ERROR.sub("", reason())
        raise Refused(f"{smiles[:60]!r} is not valid SMILES{f': {why}' if why else ''}")
    for atom in molecule.GetAtoms():
        if atom.GetAtomicNum() == 0:
            raise Refused(f"{smiles[:60]!r} has an atom that is not a specific element")
    document: Document = {"smiles": smiles}
    if record.title:
        document["title"] = record.title
    add_fields(document, fields, options)
    # For a metal, RDKit derives this number from the electron count, so it is meaningless.
    radicals = [
        0 if has_metal([atom.GetAtomicNum()]) else atom.GetNumRadicalElectrons()
        for atom in molecule.GetAtoms()
    ]
    implied = Implied(
        charges={"formal charges": Chem.GetFormalCharge(molecule)},
        unpaired={"radicals": sum(radicals)} if any(radicals) else {},
        # Two electrons can pair, as in a singlet carbene or a biradical.
        is_choice=sum(radicals) > 1,
        is_closed_shell=True,
        has_metal=has_metal(atom.GetAtomicNum() for atom in molecule.GetAtoms()),
    )
    set_state(record, document, fields, implied, options)
    whole, notes = conformers(molecule, options)
    record.notes |= notes | isotope_notes(whole)
    record.documents = list(documents_of(document, whole, options))
