"""The line FINAL SINGLE POINT ENERGY: its number, its label and what ORCA writes behind it."""

from wqmaster.errors import ParseError
from wqmaster.parsers.orca.text import line_of, number

FINAL = "FINAL SINGLE POINT ENERGY"


def final_energy(line: str) -> tuple[float, str]:
    """Energy (Eh) and suffix of a line `FINAL SINGLE POINT ENERGY (label)  energy  suffix`.

    ORCA labels the energies of multi-layer and external methods, as in "(QM/MM)", and writes
    "(SCF not fully converged!)" or "(Wavefunction not fully converged!)" behind one that is not
    to be used.

    Raises:
        ParseError: there is no energy in it.
    """
    rest = line[len(FINAL) :].strip()
    if rest.startswith("("):
        rest = rest.partition(")")[2]
    words = rest.split(maxsplit=1)
    if not words:
        raise ParseError(f"there is no energy in the line {line.strip()[:60]!r}")
    return number(words[0]), words[1].strip() if len(words) > 1 else ""


def label(line: str) -> str:
    """What stands in brackets before the energy of such a line, as "(QM/MM)"; "" without it."""
    rest = line[len(FINAL) :].strip()
    return rest[: rest.find(")") + 1] if rest.startswith("(") else ""


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
