"""The line FINAL SINGLE POINT ENERGY: the energy, its label and ORCA's remark on it."""

from wqmaster.errors import ParseError
from wqmaster.parsers.orca.text import line_of, number

FINAL = "FINAL SINGLE POINT ENERGY"
# The word that distinguishes a remark on the energy from the name of a layer. ORCA prints remarks
# before or after the energy.
_REMARK = "converged"


def _divided(line: str) -> tuple[str, str]:
    """The brackets before the energy on such a line ("" if there are none), and the rest of it."""
    rest = line[len(FINAL) :].strip()
    if not rest.startswith("("):
        return "", rest
    before, _, after = rest.partition(")")
    return f"{before})", after


def final_energy(line: str) -> tuple[float, str]:
    """Energy (Eh) and suffix in a line `FINAL SINGLE POINT ENERGY (label)  energy  suffix`.

    ORCA prints a label, such as "(QM/MM)", for multilayer and external methods. It adds "(SCF not
    fully converged!)" or "(Wavefunction not fully converged!)" to an unusable energy.

    Raises:
        ParseError: there is no energy in the line.
    """
    before, rest = _divided(line)
    words = rest.split(maxsplit=1)
    if not words:
        raise ParseError(f"there is no energy in the line {line.strip()[:60]!r}")
    suffix = words[1].strip() if len(words) > 1 else ""
    return number(words[0]), before if _REMARK in before else suffix


def label(line: str) -> str:
    """The label before the energy in such a line, like "(QM/MM)", or "" if there is none."""
    before = _divided(line)[0]
    return "" if _REMARK in before else before


def of_the_whole(text: str, positions: list[int]) -> list[int]:
    """The final energies that belong to the whole system, among those at `positions`.

    A multilayer calculation first prints the energy of each part, such as "(MM)" and one without a
    label before "(QM/MM)". If the last energy has a label, only those with the same label count.
    """
    wanted = label(line_of(text, positions[-1])) if positions else ""
    if not wanted:
        return positions
    longest = len(FINAL) + len(wanted) + 20
    return [place for place in positions if text.find(wanted, place, place + longest) >= 0]


def is_converged(suffix: str) -> bool:
    """Whether the suffix of a final energy reports no problem with it."""
    return not suffix or (suffix.startswith("(") and "not" not in suffix.lower())
