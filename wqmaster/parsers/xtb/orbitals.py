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

# 1 Eh in eV, as in xtb (xtb, src/mctc/convert.f90: autoev).
EV_PER_EH = 27.21138505
# The rule around the table of bond orders.
_RULE = f" {75 * '-'}\n"


@reads("stdout", "xtbout.json")
def orbital_energies(output: Output) -> list[float]:
    """Orbital energies in Eh, shape (number of orbitals,), lowest first.

    They come from xtbout.json (eV there; divided by 27.21138505). The printout alone leaves out
    orbitals of larger molecules, which is a ParseError. They belong to the geometry of `charges`;
    those of an ion (`--vip`) or an inner region (`--oniom`) are refused.
    """
    of_the_molecule(output, "the orbitals")
    if output.has("xtbout.json"):
        found = numbers(results(output), "orbital energies / eV", "the list of orbital energies")
        return [value / EV_PER_EH for value in found]
    return [row[1] for row in _orbitals(stdout(output))]


@reads("stdout", "xtbout.json")
def orbital_occupations(output: Output) -> list[float]:
    """Occupation of each orbital (0 to 2), in the order of `orbital_energies`."""
    of_the_molecule(output, "the orbitals")
    if output.has("xtbout.json"):
        return numbers(results(output), "fractional occupation", "the list of occupations")
    return [row[0] for row in _orbitals(stdout(output))]


def _orbitals(text: str) -> list[tuple[float, float]]:
    """(occupation, energy in Eh) of each orbital in the printout."""
    found: list[tuple[float, float]] = []
    lines = after(text, "#    Occupation            Energy/Eh")
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

    None if the basis has no LUMO (H in GFN2) or the molecule has no electron: xtb prints a number
    even then, but it is meaningless. It belongs to the orbitals of `orbital_energies`.
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
    table = text.rfind("#    Occupation            Energy/Eh")
    if table >= 0 and not ("(HOMO)" in text[table:] and "(LUMO)" in text[table:]):
        return None
    return printed / EV_PER_EH


@reads("wbo", "stdout")
def bond_orders(output: Output) -> list[list[float]]:
    """Wiberg bond orders as [i, j, order], i < j, atoms counted from 0; only those xtb prints.

    They belong to the geometry of `charges`; those of an ion (`--vip`) or an inner region
    (`--oniom`) are refused.

    Raises:
        ParseError: the file is missing, or cut short: the printout lists more.
    """
    of_the_molecule(output, "the bond orders")
    found = []
    text = output.file("wbo")
    if text and not text.endswith("\n"):  # an order may lack digits
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
    """Number of bond orders in the printout (xtb's property.F90, print_wiberg); None: no table.

    A row has an atom with its total, followed by "--", or continues the row above; then come at
    most three of its bonds: atom, element, order. Each bond is in the rows of both atoms.
    """
    start = text.rfind("Wiberg bond orders for each atom")
    if start < 0:
        return None
    _, *rows = text[start:].split(_RULE, 3)
    if len(rows) < 3:
        return None
    words = [row.rpartition("--")[2].split() for row in rows[1].splitlines()]
    if any(len(row) % 3 for row in words):
        return None  # numbers of large molecules run together
    return sum(len(row) // 3 for row in words) // 2


@reads("stdout", "xtbout.json")
def multiplicity(output: Output) -> int:
    """2 S + 1 of the molecule, from `unpaired_electrons`, with the same refusals."""
    unpaired: int = unpaired_electrons(output)
    return unpaired + 1


@reads("stdout", "xtbout.json")
def unpaired_electrons(output: Output) -> int:
    """The number of unpaired electrons, 2 S, of the molecule; GFN-FF has none.

    xtb 6.3 and 6.4 print the spin S instead; 6.5 and 6.6 print neither.

    Raises:
        ParseError: it is not stated, or only for an ion or an inner region (`--oniom`).
    """
    not_of_a_region(output, "the number of unpaired electrons")
    if output.has("xtbout.json") and not is_of_an_ion(output):
        value = entry(results(output), "number of unpaired electrons")
        if isinstance(value, bool) or not isinstance(value, int):
            raise ParseError(
                "the number of unpaired electrons in xtbout.json is not a whole number"
            )
        return value
    stated = stated_unpaired(stdout(output))
    if stated is None:
        raise NotApplicable("the output does not state the number of unpaired electrons")
    return stated
