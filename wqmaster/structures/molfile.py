"""The reader for SDF files and molfiles (V2000, V3000).

This module splits a file into records. RDKit parses the molecule in each.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wqmaster.jobs.molecule import Document
from wqmaster.structures.base import (
    MAX_RECORD_BYTES,
    Note,
    Options,
    Record,
    Refused,
    add_fields,
)
from wqmaster.structures.ctfile import Table, table_of
from wqmaster.structures.embedding import (
    conformers,
    documents_of,
    isotope_notes,
    quiet,
    reason,
    with_hydrogens,
)
from wqmaster.structures.files import numbered_lines, text_of
from wqmaster.structures.state import Implied, has_metal, multiplicity_of, set_state

_END = b"$$$$"
_FIELD = re.compile(r"^>[^<]*<([^>]*)>")
_PLAIN_NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d{1,17}([eE][-+]?\d{1,3})?)?")
# The largest deviation (Angstrom) of coordinates that count as equal, as all z in a drawing.
_FLAT = 1e-4
# The elements whose open valences RDKit counts correctly: B to F, Si to Cl, As to Br, Te, I.
_NONMETALS = frozenset((*range(5, 10), *range(14, 18), *range(33, 36), 52, 53))
# The Sgroup types ("CTfile Formats", "Sgroup Type") that describe only part of a substance.
_POLYMERS = frozenset(("SRU", "MON", "MER", "COP", "CRO", "MOD", "GRA", "ANY"))


def read(path: Path, options: Options) -> Iterator[Record]:
    """The records in an SDF file, or the single record in a molfile."""
    for record, fits in _divided(path):
        if record.why is not None or not fits:
            too_large = f"the record is larger than {MAX_RECORD_BYTES >> 20} MB"
            yield record.refuse(record.why if fits else too_large)
            continue
        try:
            with quiet():
                _fill(record, options)
        except Refused as error:
            yield record.refuse(error)
        except Exception as error:  # RDKit can raise any exception
            yield record.refuse(f"RDKit cannot read it: {error!r:.200}")
        else:
            yield record


def _divided(path: Path) -> Iterator[tuple[Record, bool]]:
    """Each record, which ends with `$$$$`, and whether its text is within the size limit."""
    number, first, size = 1, 1, 0
    lines: list[bytes] = []
    blank = True
    for count, line in numbered_lines(path):
        if line.startswith(_END):
            yield _raw(number, first, [*lines, _END]), size <= MAX_RECORD_BYTES
            number, first, size, lines, blank = number + 1, count + 1, 0, [], True
            continue
        size += len(line) + 1
        blank = blank and not line.strip()
        if size <= MAX_RECORD_BYTES:
            lines.append(line)
    if not blank:
        record = _raw(number, first, lines)
        if number > 1 or any(line.startswith(b">") for line in lines):
            record.refuse("the file ends before its '$$$$'; if it is complete, add that line")
        yield record, size <= MAX_RECORD_BYTES


def _raw(number: int, first: int, lines: list[bytes]) -> Record:
    title = text_of(lines[0]).strip() if lines[0] != _END else ""
    return Record(number, first, title, b"\n".join(lines) + b"\n")


def _fill(record: Record, options: Options) -> None:
    lines = text_of(record.raw).split("\n")
    end = next((n for n, line in enumerate(lines) if line.startswith("M  END")), len(lines))
    table = table_of(lines[: end + 1])
    fields = dict(_data(lines[end + 1 :]))
    block = "\n".join(lines[: end + 1]) + "\n"
    molecule = _molecule(block, table)
    document: Document = {"title": table.title} if table.title else {}
    add_fields(document, fields, options)
    implied = Implied(
        charges={"formal charges": table.charge},
        unpaired={"radicals": table.unpaired} if table.radicals else {},
        is_choice=table.centers > 1,
        is_closed_shell=True,
        has_metal=has_metal(atom.GetAtomicNum() for atom in molecule.GetAtoms()),
    )
    flat = _is_flat(molecule, table)
    if flat and options.flat == "refuse":
        raise Refused(
            "it is a 2D structure (no z coordinates), not a geometry; --flat embed builds a "
            "geometry, --flat keep uses the coordinates as they are",
            option="--flat",
        )
    stated = multiplicity_of(fields, implied, options)
    if stated is None:
        _check_valences(block, table)
    if flat and options.flat == "embed":
        molecule, found = conformers(_sanitized(block), options)
        record.notes |= {Note.EMBEDDED, *found}
    elif options.hydrogens != "keep":
        molecule = _whole(molecule, block, options, (stated or 1) - 1, record.notes)
    set_state(record, document, fields, implied, options)
    record.notes |= isotope_notes(molecule)
    record.documents = list(documents_of(document, molecule, options))


def _data(lines: list[str]) -> Iterator[tuple[str, Any]]:
    """The name and value of each data item: a line `> <NAME>`, the value, and an empty line.

    Raises:
        Refused: an item has no name, the last one is truncated, two with the same name have
            different values, or a line does not belong to an item.
    """
    seen: dict[str, Any] = {}
    rows = iter(lines)
    for line in rows:
        if not line.startswith(">"):
            if line.strip() and not line.startswith("$$$$"):
                raise Refused(f"the line {line.strip()[:40]!r} does not belong to a data item")
            continue
        found = _FIELD.match(line)
        if found is None:
            raise Refused(f"a data item has no name: {line[:40]!r}")
        value: list[str] = []
        ended = False
        for row in rows:
            if not row.strip() or row.startswith("$$$$"):
                ended = True
                break
            value.append(row.rstrip("\r"))
        if not ended:
            raise Refused(f"the data item '{found[1]}' is truncated")
        content = typed("\n".join(value))
        if found[1] in seen and seen[found[1]] != content:
            raise Refused(f"it has two data items '{found[1]}'")
        seen[found[1]] = content
        yield found[1], content


def typed(text: str) -> Any:
    """The text as a number if it has the usual form of one; 007 and 1E10 remain text."""
    found = _PLAIN_NUMBER.fullmatch(text.strip())
    if found is None:
        return text
    return float(text) if found[2] else int(text)


def _molecule(block: str, table: Table) -> Any:
    """The molecule as RDKit reads it, without sanitization.

    Raises:
        Refused: RDKit cannot read it or disagrees with `table`, an atom does not have a specific
            element, there are no coordinates, or it is a polymer.
    """
    from rdkit import Chem

    found = Chem.MolFromMolBlock(block, sanitize=False, removeHs=False, strictParsing=False)
    if found is None:
        raise Refused(f"RDKit cannot read it: {reason()}")
    if found.GetNumAtoms() != table.natoms:
        raise Refused(
            f"it has {found.GetNumAtoms()} atoms, but its counts line says {table.natoms}"
        )
    if not table.natoms:
        raise Refused("it has no atoms")
    for atom in found.GetAtoms():
        if atom.GetAtomicNum() == 0 or atom.HasQuery():
            name = atom.GetPropsAsDict().get("dummyLabel") or atom.GetSymbol()
            raise Refused(f"atom {atom.GetIdx() + 1} ({name}) is not a specific element")
    kinds = {group.GetProp("TYPE") for group in Chem.GetMolSubstanceGroups(found)}
    if kinds & _POLYMERS:
        raise Refused("it is a polymer or a mixture of unknown composition, not a molecule")
    charge = sum(atom.GetFormalCharge() for atom in found.GetAtoms())
    if charge != table.charge:
        raise Refused(f"its charge is ambiguous ({table.charge}, or {charge} according to RDKit)")
    places = found.GetConformer().GetPositions() if found.GetNumConformers() else []
    if len(places) == 0 or (len(places) > 1 and (abs(places - places[0]) < _FLAT).all()):
        raise Refused("it has no coordinates: all its atoms are in the same place")
    return found


def _is_flat(molecule: Any, table: Table) -> bool:
    places = molecule.GetConformer().GetPositions()
    return len(places) > 1 and table.dimension != "3D" and bool((abs(places[:, 2]) < _FLAT).all())


def _sanitized(block: str) -> Any:
    from rdkit import Chem

    found = Chem.MolFromMolBlock(block, sanitize=True, removeHs=False, strictParsing=False)
    if found is None:
        raise Refused(f"RDKit rejects the molecule: {reason()}")
    return found


def _check_valences(block: str, table: Table) -> None:
    """Check that no atom has several open valences unless the file states a radical there.

    Such an atom has either unpaired electrons or empty orbitals, and the file does not state which.
    RDKit writes an oxygen atom in this way.

    Raises:
        Refused: there is such an atom.
    """
    from rdkit import Chem

    found = Chem.MolFromMolBlock(block, sanitize=True, removeHs=False, strictParsing=False)
    for atom in found.GetAtoms() if found is not None else ():
        count = atom.GetNumRadicalElectrons()
        if (
            count < 2
            or atom.GetAtomicNum() not in _NONMETALS
            or atom.GetIdx() + 1 in table.radicals
        ):
            continue
        raise Refused(
            f"atom {atom.GetIdx() + 1} ({atom.GetSymbol()}) has {count} electrons outside of bonds"
            " and lone pairs, and the file states neither a radical (M  RAD) nor a multiplicity;"
            " state the multiplicity with --multiplicity or in a data item"
        )


def _whole(molecule: Any, block: str, options: Options, unpaired: int, notes: set[Note]) -> Any:
    """The molecule with all its hydrogens; missing ones are added if the options allow it.

    A stated unpaired electron can explain a hydrogen that seems to be missing.

    Raises:
        Refused: hydrogens are missing, and the options do not allow adding them.
    """
    molecule.UpdatePropertyCache(strict=False)
    counts = {atom.GetIdx(): atom.GetNumImplicitHs() for atom in molecule.GetAtoms()}
    missing = sum(counts.values())
    marked = sum(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())
    if missing <= max(0, unpaired - marked):
        return molecule
    if options.hydrogens == "add":
        notes.add(Note.HYDROGENS_ADDED)
        return with_hydrogens(_sanitized(block))
    place = next(index for index, count in counts.items() if count)
    symbol = molecule.GetAtomWithIdx(place).GetSymbol()
    raise Refused(
        f"{missing} hydrogen{'s are' if missing > 1 else ' is'} missing (the first on atom "
        f"{place + 1}, {symbol}); --hydrogens add adds them, --hydrogens keep uses the atoms as "
        "they are",
        option="--hydrogens",
    )
