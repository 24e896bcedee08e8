"""The molecule of an xtb output: geometry, charge and multiplicity.

xtb prints no coordinates of its input. They come from a file that the run wrote (NAME.engrad,
xtbopt.log), or from the coordinate file that it read. The latter may have been replaced since, so
it must agree with the former, or be in a folder with no other run. If all of these are missing, the
first geometry of an optimization is unknown, and the final geometry that it prints stands for it.
"""

from collections.abc import Sequence
from itertools import pairwise

from wqmaster.errors import NotApplicable, ParseError
from wqmaster.jobs.molecule import NUMBER_OF
from wqmaster.offline.adopting.base import Reason, Stated, Unfit, unknown_molecule
from wqmaster.offline.adopting.xtb import arguments_of, coordinate_file
from wqmaster.parsers.base import Output
from wqmaster.parsers.xtb import geometry, symbols
from wqmaster.parsers.xtb.engrad import BOHR, engrad
from wqmaster.parsers.xtb.evaluation import not_of_an_ion
from wqmaster.parsers.xtb.molecular import FINAL, energy, net_charge
from wqmaster.parsers.xtb.orbitals import multiplicity
from wqmaster.parsers.xtb.text import last_line, real, setup, stdout
from wqmaster.parsers.xyz import frames

# The largest difference between the same coordinates in two files (Angstrom): molecule.engrad has
# 7 decimals in Bohr.
_SAME_PLACE_ANGSTROM = 2e-6
# The largest difference between the energies of one run in two files (Eh).
_SAME_ENERGY_EH = 2e-8

# The symbols and the coordinates (Angstrom) of a geometry.
Rows = tuple[tuple[str, ...], tuple[tuple[float, float, float], ...]]


def _written(output: Output, text: str) -> Rows | None:
    """The first geometry, from a file that this run wrote; None if there is no such file."""
    if FINAL in text:
        if not output.has("xtbopt.log"):
            return None
        first = next(frames(output.file("xtbopt.log"), "xtbopt.log"), None)
        return (first.symbols, first.coordinates) if first is not None else None
    if not output.has("molecule.engrad"):
        return None
    found = engrad(output)
    if not abs(found.energy - energy(output.beside("stdout"))) <= _SAME_ENERGY_EH:
        return None  # the file is of another run
    elements = _elements(text)
    if not elements:
        return None
    if len(elements) != len(found.geometry):
        raise ParseError("molecule.engrad has another number of atoms than the output")
    return elements, tuple((x, y, z) for x, y, z in found.geometry)


def _elements(text: str) -> tuple[str, ...]:
    """The symbol of each atom, from the table `ID Z sym. atoms`, in which `1-3` is a range.

    () before xtb 6.3, which prints no such table.
    """
    place = text.find("ID    Z sym.   atoms")
    found: dict[int, str] = {}
    symbol = ""
    for line in text[text.find("\n", place) + 1 :].splitlines() if place >= 0 else ():
        words = line.replace(",", " ").split()
        if len(words) >= 4 and words[0].isdecimal() and words[1].isdecimal():
            symbol, words = words[2], words[3:]
        elif not words or not symbol or not words[0].replace("-", "").isdecimal():
            break
        for word in words:
            first, _, last = word.partition("-")
            try:
                found |= dict.fromkeys(range(int(first), int(last or first) + 1), symbol)
            except ValueError:
                raise ParseError("the table of atoms cannot be read") from None
    if sorted(found) != list(range(1, len(found) + 1)):
        raise ParseError("the table of atoms is incomplete")
    return tuple(found[number] for number in sorted(found))


def _given(text: str, name: str) -> Rows | None:
    """The geometry in a coordinate file of the formats XYZ and Turbomole; None for others."""
    if name.endswith(".xyz"):
        found = next(frames(text, name), None)
        return (found.symbols, found.coordinates) if found is not None else None
    if text.lstrip().startswith("$coord") and "angs" not in text.split("\n", 1)[0]:
        rows = [line.split() for line in text.partition("$coord")[2].split("$")[0].split("\n")[1:]]
        atoms = [row for row in rows if len(row) >= 4]
        try:
            places = [tuple(float(word) * BOHR for word in row[:3]) for row in atoms]
        except ValueError as error:
            raise ParseError(f"{name} is not a file with coordinates: {error}") from error
        return tuple(row[3] for row in atoms), tuple((x, y, z) for x, y, z in places)
    return None


def _capitals(symbols: Sequence[str]) -> tuple[str, ...]:
    return tuple(symbol.capitalize() for symbol in symbols)


def _agree(one: Rows, other: Rows) -> bool:
    return _capitals(one[0]) == _capitals(other[0]) and all(
        abs(x - y) <= _SAME_PLACE_ANGSTROM
        for row, row2 in zip(one[1], other[1], strict=True)
        for x, y in zip(row, row2, strict=True)
    )


def _final(output: Output, text: str) -> Rows:
    """The optimized geometry, which xtb prints and writes to xtbopt.xyz; both must agree."""
    printed = None
    lines = text[text.rfind(FINAL) :].split("\n")[1:]
    if len(lines) > 1 and set(lines[0].strip()) == {"="} and lines[1].strip().isdecimal():
        block = lines[1 : int(lines[1].strip()[:9]) + 3]
        printed = next(frames("\n".join(block) + "\n", "the printed final structure"), None)
    if output.has("xtbopt.xyz"):
        rows = tuple((x, y, z) for x, y, z in geometry(output.beside("xtbopt.xyz")))
        written = tuple(symbols(output.beside("xtbopt.xyz"))), rows
        if printed is None or _agree(written, (printed.symbols, printed.coordinates)):
            return written
        raise ParseError("xtbopt.xyz has another geometry than the printed final structure")
    if printed is None:
        raise ParseError("the final geometry is unknown: there is no xtbopt.xyz")
    return printed.symbols, printed.coordinates


def _start(output: Output, text: str, alone: bool) -> tuple[Rows, str] | None:
    """The first geometry, and the file that it comes from; None if it is unknown."""
    name = coordinate_file(text) or ""
    written = _written(output, text)
    source = "xtbopt.log" if FINAL in text else "molecule.engrad"
    given = _given(output.file(name), name) if name and output.has(name) else None
    if given is not None and written is not None:
        if not _agree(given, written):
            raise ParseError(f"{name} has another geometry than {source}; it was changed since")
        return given, name  # the coordinate file has more digits
    if written is not None:
        return written, source
    if given is None or not alone:
        return None
    elements = _elements(text)
    count = (last_line(text, "number of atoms            :") or str(len(elements))).strip()
    if str(len(given[0])) != count or (elements and _capitals(given[0]) != _capitals(elements)):
        raise ParseError(f"{name} has other atoms than the output; it was changed since")
    return given, name


def _charge(output: Output, text: str) -> float:
    """The charge in the SUMMARY; up to xtb 6.3, which prints none there, the one that was set."""
    not_of_an_ion(output, "the charge in the output")
    given = last_line(text, "charge                     :")
    if last_line(text, ":: total charge ") is None and given is not None:
        return real(given.strip(), "the charge")
    return float(net_charge(output))


def _multiplicity(output: Output, text: str) -> int:
    """The multiplicity; xtb 6.5 and 6.6 state it only in a command line with `--uhf`."""
    try:
        found: int = multiplicity(output)
    except NotApplicable:
        words = arguments_of(text)
        for flag, value in pairwise(words):
            if flag in ("--uhf", "-u") and value.isascii() and value.isdecimal():
                return int(value) + 1
        raise
    return found


def _alone_in_space(text: str) -> None:
    """Refuse energies with restraints, walls, or point charges.

    Raises:
        Unfit: the energy has such a term.
    """
    what = "point charges" if setup(text, "PC potential") == "true" else None
    stated = last_line(text, ":: add. restraining ")
    try:
        if stated is not None and real(stated.split()[0], "the restraint") != 0:
            what = f"a restraint of {stated.split()[0]} Eh"
    except (ParseError, IndexError) as error:
        raise Unfit(Reason.RECIPE_UNKNOWN, "the energy of restraints cannot be read") from error
    if what is not None:
        message = f"the energy includes {what}, which a document cannot hold"
        raise Unfit(Reason.EXTERNAL_TERMS, message)


def stated(output: Output, *, alone: bool) -> Stated:
    """The molecule of an output that has passed the diagnosis.

    `alone`: whether the folder has no output of another run.

    Raises:
        Unfit: the files do not state the whole molecule, or the energy includes a restraint, a
            wall or point charges.
    """
    text = stdout(output)
    _alone_in_space(text)
    try:
        final = _final(output, text) if FINAL in text else None
        start = _start(output, text, alone)
        if start is None and final is not None:
            start = final, "final structure"
        if start is None:
            raise ParseError(
                "the geometry is unknown: neither an .engrad file nor a coordinate file in the "
                "format XYZ or Turbomole can be ascribed to this run"
            )
        (elements, places), source = start
        if final is not None and _capitals(final[0]) != _capitals(elements):
            raise ParseError("the first and the final geometry are of different molecules")
        charge = _charge(output, text)
        spin = _multiplicity(output, text)
    except ParseError as error:
        raise unknown_molecule(error) from error
    if abs(charge - round(charge)) > 1e-3:
        raise Unfit(Reason.MOLECULE_UNKNOWN, f"the charge {charge} is not a whole number")
    unknown = sorted({one for one in _capitals(elements) if one not in NUMBER_OF})
    if unknown:
        raise Unfit(Reason.MOLECULE_UNKNOWN, f"unknown elements: {', '.join(unknown)[:100]}")
    return Stated(
        numbers=tuple(NUMBER_OF[one] for one in _capitals(elements)),
        coordinates=places,
        final=places if final is None else final[1],
        charge=round(charge),
        multiplicity=spin,
        host=(last_line(text, "hostname ") or "").strip(" :") or None,
        source=source,
    )
