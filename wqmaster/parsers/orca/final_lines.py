"""The line FINAL SINGLE POINT ENERGY: its number, its label and ORCA's remark on it."""

from wqmaster.errors import ParseError
from wqmaster.parsers.orca.text import line_of, number

FINAL = "FINAL SINGLE POINT ENERGY"
# Distinguishes a remark on the energy from the name of a layer, wherever ORCA puts it.
_REMARK = "converged"


def _divided(line: str) -> tuple[str, str]:
    """The label in brackets before the energy of such a line ("" if none), and the rest."""
    rest = line[len(FINAL) :].strip()
    if not rest.startswith("("):
        return "", rest
    before, _, after = rest.partition(")")
    return f"{before})", after


def final_energy(line: str) -> tuple[float, str]:
    """Energy (Eh) and suffix of a line `FINAL SINGLE POINT ENERGY (label)  energy  suffix`.

    ORCA labels the energies of multilayer and external methods, for instance "(QM/MM)", and adds
    "(SCF not fully converged!)" or "(Wavefunction not fully converged!)" to an unusable energy.

    Raises:
        ParseError: the line has no energy.
    """
    before, rest = _divided(line)
    words = rest.split(maxsplit=1)
    if not words:
        raise ParseError(f"there is no energy in the line {line.strip()[:60]!r}")
    suffix = words[1].strip() if len(words) > 1 else ""
    return number(words[0]), before if _REMARK in before else suffix


def label(line: str) -> str:
    """The label in brackets before the energy of such a line, like "(QM/MM)"; "" if none."""
    before = _divided(line)[0]
    return "" if _REMARK in before else before


def of_the_whole(text: str, positions: list[int]) -> list[int]:
    """The final energies at `positions` that belong to the whole system.

    A multilayer calculation prints one for each part first, such as "(MM)" and one without a label
    before "(QM/MM)". If the last one has a label, only those with the same label count.
    """
    wanted = label(line_of(text, positions[-1])) if positions else ""
    if not wanted:
        return positions
    longest = len(FINAL) + len(wanted) + 20
    return [place for place in positions if text.find(wanted, place, place + longest) >= 0]


def is_converged(suffix: str) -> bool:
    """Whether the suffix of a final energy reports no problem with it."""
    return not suffix or (suffix.startswith("(") and "not" not in suffix.lower())
