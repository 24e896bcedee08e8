"""Atomic charges (e), spin populations and bond orders in ORCA's text, versions 3 to 6.1.

Values have 6 decimals. Tables of an unrestricted run have a column of spin populations: "SPIN
DENSITIES" until version 4.1, "SPIN POPULATIONS" since. For correlated densities ORCA prints the
tables again, and the last ones count.

All values belong to the final evaluation (`evaluations`). If ORCA followed an excited state, they
must be those of its density; if it only computed excitations, they are those of the SCF state, to
which `scf_energy` belongs but `total_energy` does not (`roots`).
"""

from wqmaster.errors import NotApplicable, ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.orca.final_values import of_final_density
from wqmaster.parsers.orca.geometry import check_count
from wqmaster.parsers.orca.text import atom_rows, every, last, last_of, lines, number

_KINDS = ("", " AND SPIN POPULATIONS", " AND SPIN DENSITIES")
_MULLIKEN = tuple(f"MULLIKEN ATOMIC CHARGES{kind}" for kind in _KINDS)
_LOEWDIN = tuple(f"LOEWDIN ATOMIC CHARGES{kind}" for kind in _KINDS)
_HIRSHFELD = "HIRSHFELD ANALYSIS"
_MBIS = "MBIS ANALYSIS"
_CHELPG = "CHELPG Charges"
_MAYER = "Mayer bond orders larger than"
# ORCA 6 prints this line if no bond order is larger than its limit.
_NO_BONDS = "=> no bond orders to print"
_SUM = "Sum of atomic charges"
_SUM_OF_CHELPG = "Total charge"
# The largest number of lines between the heading of a Hirshfeld or MBIS analysis and its table.
_MAX_LINES_BEFORE = 30
# The rounding error of one charge (e).
_ROUNDING = 1e-6
_MAX_LINE_CHARACTERS = 500


def _column(rows: list[list[float]], column: int, what: str) -> list[float]:
    if column >= len(rows[0]):
        raise NotApplicable(f"there are no spin populations in {what}: the run is restricted")
    return [row[column] for row in rows]


def _check_sum(line: str, rows: list[list[float]], what: str) -> None:
    printed = number(line.rpartition(":")[2].strip())
    computed = sum(row[0] for row in rows)
    if abs(printed - computed) > _ROUNDING * (len(rows) + 2):
        raise ParseError(f"the sum in {what} is {computed:.6f} e, but ORCA printed {printed:.6f} e")


def _rows(text: str, position: int, what: str) -> list[list[float]]:
    """The rows right below the heading at `position`, after a check of the sum of their charges.

    Raises:
        ParseError: the table is damaged, or its sum differs or is missing (only Loewdin tables have
            no sum).
    """
    below = lines(text, position)
    rows, end = atom_rows(below, what, (_SUM, "-----"))
    if end.startswith("-----"):
        end = next(below, "").strip()
    if end.startswith((_SUM, _SUM_OF_CHELPG)):
        _check_sum(end, rows, what)
    elif not text.startswith(_LOEWDIN[0], position):
        raise ParseError(f"{what} ends without its sum")
    return rows


def _table(output: Output, column: int, what: str, *headings: str) -> list[float]:
    """One column in the last table that follows one of `headings`."""
    text = output.text
    position = last_of(text, *headings)
    if position < 0:
        raise output.missing(f"'{headings[0]}'")
    rows = _rows(text, position, what)
    check_count(text, position, len(rows), what)
    return _column(rows, column, what)


def _trajectory(output: Output, what: str, *headings: str) -> list[list[float]]:
    """The charges in all tables that follow one of `headings`, in output order."""
    text = output.text
    positions = sorted(position for heading in headings for position in every(text, heading))
    if not positions:
        raise output.missing(f"'{headings[0]}'")
    return [_column(_rows(text, position, what), 0, what) for position in positions]


def _analysis(output: Output, name: str, heading: str, what: str) -> list[float]:
    """The column `name` in an analysis whose table has the columns ATOM CHARGE ... SPIN."""
    text = output.text
    position = last(text, heading)
    if position < 0:
        raise output.missing(f"'{heading}'")
    rows = lines(text, position)
    for _, line in zip(range(_MAX_LINES_BEFORE), rows, strict=False):
        names = line.split()
        if names[:2] == ["ATOM", "CHARGE"]:
            break
    else:
        raise ParseError(f"{what} is missing")
    found, _ = atom_rows(rows, what)
    if len(found[0]) != len(names) - 1 or name not in names:
        raise ParseError(f"{what} has {len(found[0])} columns but names for {len(names) - 1}")
    totals = next(rows, "").split()
    if totals[:1] == ["TOTAL"]:
        _check_sum(f":{totals[1] if len(totals) > 1 else ''}", found, what)
    check_count(text, position, len(found), what)
    return _column(found, names.index(name) - 1, what)


@reads("stdout", per_atom=True)
@of_final_density
def mulliken_charges(output: Output) -> list[float]:
    """Mulliken charges from the final evaluation in e, shape (n,)."""
    return _table(output, 0, "the table of Mulliken charges", *_MULLIKEN)


@reads("stdout", per_atom=True)
def charges(output: Output) -> list[float]:
    """`mulliken_charges` under the name that all programs share, in e."""
    found: list[float] = mulliken_charges(output)
    return found


@reads("stdout", per_atom=True)
@of_final_density
def mulliken_spins(output: Output) -> list[float]:
    """Mulliken spin populations from the final evaluation, shape (n,).

    Raises a ParseError for a restricted run.
    """
    return _table(output, 1, "the table of Mulliken charges", *_MULLIKEN)


@reads("stdout")
def mulliken_charges_trajectory(output: Output) -> list[list[float]]:
    """All Mulliken charges in output order, in e, shape (m, n).

    In an optimization, ORCA prints them for the first and the last step.
    """
    return _trajectory(output, "the table of Mulliken charges", *_MULLIKEN)


@reads("stdout", per_atom=True)
@of_final_density
def loewdin_charges(output: Output) -> list[float]:
    """Loewdin charges from the final evaluation in e, shape (n,)."""
    return _table(output, 0, "the table of Loewdin charges", *_LOEWDIN)


@reads("stdout", per_atom=True)
@of_final_density
def loewdin_spins(output: Output) -> list[float]:
    """Loewdin spin populations from the final evaluation, shape (n,).

    Raises a ParseError for a restricted run.
    """
    return _table(output, 1, "the table of Loewdin charges", *_LOEWDIN)


@reads("stdout", per_atom=True)
@of_final_density
def hirshfeld_charges(output: Output) -> list[float]:
    """Hirshfeld charges from the final evaluation in e, shape (n,)."""
    return _analysis(output, "CHARGE", _HIRSHFELD, "the table of Hirshfeld charges")


@reads("stdout", per_atom=True)
@of_final_density
def hirshfeld_spins(output: Output) -> list[float]:
    """Hirshfeld spin populations from the final evaluation, shape (n,).

    They are zeros for a restricted run.
    """
    return _analysis(output, "SPIN", _HIRSHFELD, "the table of Hirshfeld charges")


@reads("stdout", per_atom=True)
@of_final_density
def mbis_charges(output: Output) -> list[float]:
    """MBIS charges from the final evaluation in e, shape (n,)."""
    return _analysis(output, "CHARGE", _MBIS, "the table of MBIS charges")


@reads("stdout", per_atom=True)
@of_final_density
def mbis_spins(output: Output) -> list[float]:
    """MBIS spin populations from the final evaluation, shape (n,).

    They are zeros for a restricted run.
    """
    return _analysis(output, "SPIN", _MBIS, "the table of MBIS charges")


@reads("stdout", per_atom=True)
@of_final_density
def chelpg_charges(output: Output) -> list[float]:
    """CHELPG charges from the final evaluation in e, shape (n,)."""
    return _table(output, 0, "the table of CHELPG charges", _CHELPG)


def _bond(entry: str) -> list[float]:
    """The bond [i, j, order] in `  0-O ,  1-H ) :   1.0013`."""
    atoms, closed, order = entry.partition(")")
    first, comma, second = atoms.partition(",")
    pair = [atom.partition("-")[0].strip() for atom in (first, second)]
    if not (closed and comma and all(word.isascii() and word.isdecimal() for word in pair)):
        raise ParseError(f"the bond order {entry.strip()[:40]!r} cannot be read")
    return [int(pair[0][:9]), int(pair[1][:9]), number(order.replace(":", " ", 1).strip())]


@reads("stdout")
@of_final_density
def mayer_bond_orders(output: Output) -> list[list[float]]:
    """Mayer bond orders from the final evaluation as [i, j, order], atoms counted from 0.

    Only bond orders that ORCA prints are included, by default those larger than 0.1. [] if there
    are none.
    """
    text = output.text
    position = text.rfind(_MAYER)
    if position < 0:
        raise output.missing(f"'{_MAYER}'")
    found: list[list[float]] = []
    for line in lines(text, position):
        if not line.strip() or (not found and line.strip() == _NO_BONDS):
            return found
        before, *entries = line[:_MAX_LINE_CHARACTERS].split("B(")
        if before.strip() or not entries or len(line) > _MAX_LINE_CHARACTERS:
            raise ParseError(f"the line {line.strip()[:60]!r} has no bond orders")
        found.extend(_bond(entry) for entry in entries)
    raise ParseError("the Mayer bond orders are truncated")


@reads("stdout")
def bond_orders(output: Output) -> list[list[float]]:
    """`mayer_bond_orders` under the name that all programs share."""
    found: list[list[float]] = mayer_bond_orders(output)
    return found
