"""Orbitals, bond orders and unpaired electrons at the geometry of `charges`."""

from wqmaster.errors import NotApplicable, ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.xtb.evaluation import is_of_an_ion, not_of_a_region, of_the_molecule
from wqmaster.parsers.xtb.text import (
    after,
    boxed,
    entry,
    numbers,
    real,
    results,
    single,
    stated_unpaired,
    stdout,
)

# 1 Eh in eV, with xtb's value (xtb, src/mctc/convert.f90: autoev).
EV_PER_EH = 27.21138505
# The dashed line above and below the table of bond orders.
_RULE = f" {75 * '-'}\n"
_ORBITALS = "#    Occupation            Energy/Eh"
# The printout gives occupations with four decimals.
_WHOLE_TOLERANCE = 1e-4


@reads("stdout", "xtbout.json")
def orbital_energies(output: Output) -> list[float]:
    """Orbital energies in Eh, shape (number of orbitals,), lowest first.

    They belong to the geometry of `charges`. They come from xtbout.json, where they are in eV
    (divided by 27.21138505), or from the printout, which omits some orbitals of larger molecules.

    Raises:
        ParseError: they are missing or incomplete, or they belong to an ion (`--vip` and so on) or
            to the inner region of `--oniom`.
    """
    of_the_molecule(output, "the orbitals")
    if output.has("xtbout.json"):
        found = numbers(results(output), "orbital energies / eV", "the list of orbital energies")
        return [value / EV_PER_EH for value in found]
    return [row[1] for row in _orbitals(stdout(output))]


@reads("stdout", "xtbout.json")
def orbital_occupations(output: Output) -> list[float]:
    """Occupation of each orbital (0 to 2), in the order of `orbital_energies`.

    Raises what `orbital_energies` raises.
    """
    of_the_molecule(output, "the orbitals")
    if output.has("xtbout.json"):
        return numbers(results(output), "fractional occupation", "the list of occupations")
    return [row[0] for row in _orbitals(stdout(output))]


def _orbitals(text: str) -> list[tuple[float, float]]:
    """Occupation and energy (Eh) of each orbital in the printout."""
    found: list[tuple[float, float]] = []
    lines = after(text, _ORBITALS)
    next(lines, None)
    for line in lines:
        words = line.split()
        if words and set(words[0]) == {"-"}:
            if not found:
                break
            return found
        if "..." in words or words[:1] != [str(len(found) + 1)]:
            raise ParseError("the table of orbitals in stdout leaves some out")
        values = [real(w, "an orbital") for w in words[1:] if w not in ("(HOMO)", "(LUMO)")]
        if len(values) not in (2, 3):
            break
        found.append((values[0] if len(values) == 3 else 0.0, values[-2]))
    raise ParseError("the table of orbitals in stdout is truncated")


@reads("stdout", "xtbout.json")
def homo_lumo_gap(output: Output) -> float | None:
    """HOMO-LUMO gap in Eh (xtb prints eV; divided by 27.21138505).

    It belongs to the orbitals of `orbital_energies`. None if there is no LUMO (H in GFN2) or the
    molecule has no electrons: the number that xtb prints is then meaningless.

    Raises:
        ParseError: it is missing (GFN-FF has none), or it belongs to an ion (`--vip` and so on) or
            to the inner region of `--oniom`.
    """
    of_the_molecule(output, "the gap")
    if output.has("xtbout.json"):
        found = results(output)
        value = single(found, "HOMO-LUMO gap / eV")
        occupied = found.get("fractional occupation")
        if isinstance(occupied, list):
            levels = numbers(found, "fractional occupation", "the list of occupations")
            if not any(level > 0 for level in levels) or not any(level < 1 for level in levels):
                return None
        return value / EV_PER_EH
    text = stdout(output)
    printed = boxed(text, "HOMO-LUMO GAP")
    if printed is None:
        raise ParseError("the block 'HOMO-LUMO GAP' is missing from stdout (GFN-FF has none)")
    table = text.rfind(_ORBITALS)
    if table >= 0 and not ("(HOMO)" in text[table:] and "(LUMO)" in text[table:]):
        return None
    return printed / EV_PER_EH


@reads("wbo", "stdout")
def bond_orders(output: Output) -> list[list[float]]:
    """Wiberg bond orders as [i, j, order], i < j, atoms counted from 0; only those xtb prints.

    They belong to the geometry of `charges`.

    Raises:
        ParseError: the file is missing or has fewer bond orders than the printout, or they belong
            to an ion (`--vip` and so on) or to the inner region of `--oniom`.
    """
    of_the_molecule(output, "the bond orders")
    found = []
    text = output.file("wbo")
    if text and not text.endswith("\n"):  # the last bond order can lack digits
        raise ParseError("wbo is truncated: its last line is incomplete")
    for line in text.splitlines():
        words = line.split()
        try:
            first, second, order = int(words[0]) - 1, int(words[1]) - 1, float(words[2])
        except (ValueError, IndexError) as error:
            raise ParseError(f"the line {line.strip()!r} in wbo is not a bond order") from error
        found.append([min(first, second), max(first, second), order])
    printed = _printed_bonds(stdout(output))
    if printed is not None and printed != len(found):
        raise ParseError(f"wbo has {len(found)} of the {printed} bond orders in stdout")
    return found


def _printed_bonds(text: str) -> int | None:
    """The number of bond orders in the printout, or None if there is no readable table.

    A row begins with an atom, its total bond order and "--", or it continues the row above. At most
    three bonds follow, each with atom, element and order. Each bond is in the rows of both atoms
    (xtb's property.F90, print_wiberg).
    """
    start = text.rfind("Wiberg bond orders for each atom")
    if start < 0:
        return None
    _, *rows = text[start:].split(_RULE, 3)
    if len(rows) < 3:
        return None
    words = [row.rpartition("--")[2].split() for row in rows[1].splitlines()]
    if any(len(row) % 3 for row in words):
        return None  # for large molecules, numbers are printed without blanks between them
    return sum(len(row) // 3 for row in words) // 2


@reads("stdout", "xtbout.json")
def multiplicity(output: Output) -> int:
    """The molecule's multiplicity 2 S + 1, from `unpaired_electrons`.

    Raises what `unpaired_electrons` raises.
    """
    unpaired: int = unpaired_electrons(output)
    return unpaired + 1


@reads("stdout", "xtbout.json")
def unpaired_electrons(output: Output) -> int:
    """The molecule's number of unpaired electrons, 2 S.

    xtb 6.3 and 6.4 print the spin S instead. 6.5 and 6.6 print neither, but the occupations of the
    orbitals show none or one unpaired electron. Two orbitals with one electron each do not show
    their number, since the electronic temperature occupies degenerate orbitals of a singlet alike.

    Raises:
        ParseError: it is not stated (GFN-FF never states it), or it is stated only for an ion or
            for the inner region of `--oniom`.
    """
    not_of_a_region(output, "the number of unpaired electrons")
    if output.has("xtbout.json") and not is_of_an_ion(output):
        value = entry(results(output), "number of unpaired electrons")
        if isinstance(value, bool) or not isinstance(value, int):
            raise ParseError(
                "the number of unpaired electrons in xtbout.json is not a whole number"
            )
        return value
    text = stdout(output)
    stated = stated_unpaired(text)
    if stated is None and not is_of_an_ion(output):
        stated = _unpaired_by_occupation(text)
    if stated is None:
        raise NotApplicable("the output does not state the number of unpaired electrons")
    return stated


def _unpaired_by_occupation(text: str) -> int | None:
    """The number of unpaired electrons if it is 0 or 1, from the orbitals around the HOMO."""
    if _ORBITALS not in text:
        return None
    occupations: list[float] = []
    has_homo = False
    rows = after(text, _ORBITALS)
    next(rows, None)
    for line in rows:
        words = line.split()
        if words and set(words[0]) == {"-"}:
            break
        has_homo |= "(HOMO)" in words
        values = [word for word in words if word not in ("(HOMO)", "(LUMO)")]
        if len(values) == 4 and "..." not in values:
            occupations.append(real(values[1], "an occupation"))
    near = [min((0, 1, 2), key=lambda whole: abs(whole - one)) for one in occupations]
    if not has_homo or any(
        abs(one - whole) > _WHOLE_TOLERANCE for one, whole in zip(occupations, near, strict=True)
    ):
        return None
    return near.count(1) if near.count(1) < 2 else None
