"""What ORCA's text says of the last SCF of an output, versions 3 to 6.1.

Each value is that of the SCF that the final energy of the last job comes from. It is missing where
that energy does not come from an SCF (a force field, an external program) or the SCF does not print
it (Hartree-Fock integrates no density on a grid). It is never the value of an earlier SCF.
"""

from itertools import islice
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.parsers import Output, reads
from wqmaster.parsers.orca.convergence import jobs
from wqmaster.parsers.orca.energy import FINAL, of_the_whole
from wqmaster.parsers.orca.labels import value_at
from wqmaster.parsers.orca.text import every_beginning, last_beginning, line_of, lines, whole_line

_CONVERGED = "SCF CONVERGED AFTER"
_NOT_CONVERGED = "SCF NOT CONVERGED AFTER"
_LIMIT = "Maximum # iterations   MaxIter"
_DIMENSION = "Basis Dimension        Dim"
_TOTAL = "N(Total)"
_SPINS = ("N(Alpha)", "N(Beta)")
# N(Alpha) and N(Beta) stand right above N(Total), and are printed with twelve decimals.
_MOST_ABOVE = 4
_ROUNDING = 1e-6
_MOST_DIGITS = 9


def _last_job(text: str) -> tuple[int, int]:
    return jobs(text)[-1]


def _last_scf(output: Output) -> tuple[int, int]:
    """Where the last job begins, and where the SCF of its final energy says how it ended.

    Raises:
        ParseError: the last job has none, or its last energy does not come from one.
    """
    text = output.text
    start, end = _last_job(text)
    position = max(text.rfind(words, start, end) for words in (_CONVERGED, _NOT_CONVERGED))
    if position < 0:
        raise ParseError(f"there is no SCF in the last job of {output.name}")
    energies = of_the_whole(text, list(every_beginning(text, FINAL, start, end)))
    if len(energies) > 1 and position < energies[-2]:
        raise ParseError(f"the last energy of {output.name} does not come from an SCF")
    return start, position


def _count(word: str, what: str) -> int:
    if not (word.isascii() and word.isdecimal() and len(word) <= _MOST_DIGITS):
        raise ParseError(f"{word[:40]!r} is not {what}")
    return int(word)


def _setting(output: Output, label: str, start: int, end: int) -> int:
    """The last number that the SCF settings state under `label`."""
    position = last_beginning(output.text, label, start, end)
    if position < 0:
        raise output.missing(f"'{label}'")
    return _count(whole_line(output.text, position).rpartition("....")[2].strip(), "a count")


@reads("stdout")
def scf_cycles(output: Output) -> dict[str, Any]:
    """The cycles of the last SCF of the output, which its final energy comes from.

    Keys: `cycles`, the `limit` that they may not exceed (MaxIter), `converged`, and `at_limit`,
    whether they reached it.

    Raises:
        ParseError: the last job, or its last energy, has no SCF.
    """
    start, position = _last_scf(output)
    converged = output.text.startswith(_CONVERGED, position)
    said = _CONVERGED if converged else _NOT_CONVERGED
    words = whole_line(output.text, position)[len(said) :].split()
    cycles = _count(words[0] if len(words) > 1 else "", "a count of cycles")
    limit = _setting(output, _LIMIT, start, position)
    return {
        "cycles": cycles,
        "limit": limit,
        "converged": converged,
        "at_limit": cycles >= limit,
    }


@reads("stdout")
def basis_functions(output: Output) -> int:
    """The number of contracted basis functions of the last SCF of the output.

    It is the dimension of the orbital basis that the SCF settings state, without auxiliary bases.

    Raises:
        ParseError: the last job has no SCF.
    """
    start, end = _last_job(output.text)
    return _setting(output, _DIMENSION, start, end)


@reads("stdout")
def integrated_electrons(output: Output) -> dict[str, float | None]:
    """The electrons that the density of the last SCF integrates to on the DFT grid.

    Keys: `total`, `alpha` and `beta` (None where they are not printed). How far `total` is from the
    number of electrons shows the error of the grid.

    Raises:
        ParseError: the SCF of the final energy does not print it (Hartree-Fock never does), or
            alpha and beta are not the total.
    """
    text = output.text
    _, scf = _last_scf(output)
    position = last_beginning(text, _TOTAL, scf)
    if position < 0:
        raise output.missing(f"'{_TOTAL}' of the last SCF")
    total = value_at(output, position, _TOTAL)
    spins: list[float | None] = []
    for label in _SPINS:
        place = last_beginning(text, label, scf, position)
        near = place >= 0 and any(
            line.lstrip().startswith(_TOTAL) for line in islice(lines(text, place), _MOST_ABOVE)
        )
        spins.append(value_at(output, place, label) if near else None)
    alpha, beta = spins
    if alpha is not None and beta is not None and abs(alpha + beta - total) > _ROUNDING:
        raise ParseError(f"the line {line_of(text, position).strip()[:60]!r} is not alpha and beta")
    return {"total": total, "alpha": alpha, "beta": beta}
