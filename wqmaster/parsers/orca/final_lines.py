"""The line FINAL SINGLE POINT ENERGY: its number, its label and what ORCA writes behind it."""

from wqmaster.errors import ParseError
from wqmaster.parsers.orca.text import line_of, number

FINAL = "FINAL SINGLE POINT ENERGY"
# What tells a remark on the energy from the name of a layer, wherever ORCA puts it.
_REMARK = "converged"


def _divided(line: str) -> tuple[str, str]:
    """What stands in brackets before the energy of such a line ("" if nothing), and the rest."""
    rest = line[len(FINAL) :].strip()
    if not rest.startswith("("):
        return "", rest
    before, _, after = rest.partition(")")
    return f"{before})", after


def final_energy(line: str) -> tuple[float, str]:
    """Energy (Eh) and suffix of a line `FINAL SINGLE POINT ENERGY (label)  energy  suffix`.

    ORCA labels the energies of multi-layer and external methods, as in "(QM/MM)", and writes
    "(SCF not fully converged!)" or "(Wavefunction not fully converged!)" behind one that is not
    to be used.

    Raises:
        ParseError: there is no energy in it.
    """
    before, rest = _divided(line)
    words = rest.split(maxsplit=1)
    if not words:
        raise ParseError(f"there is no energy in the line {line.strip()[:60]!r}")
    suffix = words[1].strip() if len(words) > 1 else ""
    return number(words[0]), before if _REMARK in before else suffix


def label(line: str) -> str:
    """What stands in brackets before the energy of such a line, as "(QM/MM)"; "" without it."""
    before = _divided(line)[0]
    return "" if _REMARK in before else before


def of_the_whole(text: str, positions: list[int]) -> list[int]:
    """Those of the final energies at `positions` that are of the whole system.

    A calculation in layers prints one for each part before it, as "(MM)" and one without a label
    before "(QM/MM)": if the last one has a label, those with the same one count.
    """
    wanted = label(line_of(text, positions[-1])) if positions else ""
    if not wanted:
        return positions
    longest = len(FINAL) + len(wanted) + 20
    return [place for place in positions if text.find(wanted, place, place + longest) >= 0]


def is_converged(suffix: str) -> bool:
    """Whether the suffix of a final energy says nothing against it."""
    return not suffix or (suffix.startswith("(") and "not" not in suffix.lower())
