"""Energies in ORCA's text, versions 3 to 6.1, in Eh."""

from collections.abc import Iterator

from wqmaster.errors import ParseError
from wqmaster.parsers import Output, reads
from wqmaster.parsers.orca.text import (
    every_beginning,
    last_beginning,
    line_of,
    number,
    whole_line,
)

FINAL = "FINAL SINGLE POINT ENERGY"
_SCF = "Total Energy       :"
_DISPERSION = "Dispersion correction "


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


def _usable(line: str) -> float:
    value, suffix = final_energy(line)
    if not is_converged(suffix):
        raise ParseError(f"ORCA says of the final energy: {suffix[:80]}")
    return value


@reads("stdout")
def total_energy(output: Output) -> float:
    """The last FINAL SINGLE POINT ENERGY, in Eh.

    It holds all that was asked for: dispersion, gCP, correlation, an excited state's energy.

    Raises:
        ParseError: there is none, or ORCA says that it is not converged.
    """
    position = last_beginning(output.text, FINAL)
    if position < 0:
        raise output.missing(f"'{FINAL}'")
    return _usable(whole_line(output.text, position))


@reads("stdout")
def energy_trajectory(output: Output) -> list[float]:
    """All FINAL SINGLE POINT ENERGYs in the order of the text (steps, jobs), in Eh.

    Of a calculation in layers (QM/MM) those of the whole system alone.

    Raises:
        ParseError: there is none, or ORCA says of one that it is not converged.
    """
    text = output.text
    positions = of_the_whole(text, list(every_beginning(text, FINAL)))
    found = [_usable(whole_line(text, position)) for position in positions]
    if not found:
        raise output.missing(f"'{FINAL}'")
    return found


def _in_eh(line: str, label: str) -> float:
    words = line[len(label) :].split()
    if len(words) < 2 or words[1] != "Eh":
        raise ParseError(f"there is no energy in the line {line.strip()[:60]!r}")
    return number(words[0])


@reads("stdout")
def scf_energy(output: Output) -> float:
    """The energy of the last SCF in Eh, without what is added after it (D3, D4, correlation).

    The "Total Energy" of TOTAL SCF ENERGY, which ORCA prints with 8 decimals until version 5 and
    with 14 from version 6 on. In later steps of an optimisation it prints the line alone.
    """
    position = last_beginning(output.text, _SCF)
    if position < 0:
        raise output.missing("'TOTAL SCF ENERGY'")
    return _in_eh(whole_line(output.text, position), _SCF)


def _dispersion_lines(text: str) -> Iterator[str]:
    end = len(text)
    while True:
        position = last_beginning(text, _DISPERSION, 0, end)
        if position < 0:
            return
        yield whole_line(text, position)
        end = position


@reads("stdout")
def dispersion_energy(output: Output) -> float:
    """The last dispersion correction (D2, D3, D4) in Eh, 9 decimals."""
    for line in _dispersion_lines(output.text):
        words = line[len(_DISPERSION) :].split()
        # Gradient and Hessian say "Dispersion correction ... done" and "... in the Hessian".
        if words and not words[0].startswith(".") and not words[0].isalpha():
            return number(words[0])
    raise output.missing("'Dispersion correction'")
