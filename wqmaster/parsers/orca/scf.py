"""Values from the SCF in the final evaluation (see `evaluations`), versions 3 to 6.1.

A value is missing if the final evaluation has no SCF (a force field, an external program) or the
SCF does not print it (Hartree-Fock integrates no density on a grid). It never comes from the SCF of
another evaluation. In a multilayer calculation `scf_cycles` and `basis_functions` are those of the
inner layer, the only one with an ORCA SCF before the energy of the whole system.
"""

from itertools import islice
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.orca.evaluations import Evaluation, described, evaluations, final
from wqmaster.parsers.orca.final_lines import of_the_whole
from wqmaster.parsers.orca.labels import value_at
from wqmaster.parsers.orca.text import last_beginning, lines, whole_line

_CONVERGED = "SCF CONVERGED AFTER"
_NOT_CONVERGED = "SCF NOT CONVERGED AFTER"
_LIMIT = "Maximum # iterations   MaxIter"
_DIMENSION = "Basis Dimension        Dim"
_ELECTRONS = "Number of Electrons    NEL"
_TOTAL = "N(Total)"
_SPINS = ("N(Alpha)", "N(Beta)")
# How far above N(Total) ORCA prints N(Alpha) and N(Beta), and the tolerance for their sum (they
# have twelve decimals).
_MAX_LINES_ABOVE = 4
_ROUNDING = 1e-6
_MAX_DIGITS = 9


def _last_scf(output: Output) -> tuple[int, int]:
    """The start of the final evaluation's job, and the position of the line that ends its SCF.

    Raises:
        ParseError: the final evaluation has no SCF, or its energy does not come from one.
    """
    text = output.text
    last = final(text)
    if not last.scfs:
        raise ParseError(f"there is no SCF in {described(text, last)}")
    energies = of_the_whole(text, last.energies)
    if len(energies) > 1 and last.scfs[-1] < energies[-2]:
        raise ParseError(f"the energy of {described(text, last)} does not come from an SCF")
    return _job_start(text, last), last.scfs[-1]


def _job_start(text: str, last: Evaluation) -> int:
    """The start of an evaluation's job, since ORCA does not repeat the settings in each cycle."""
    return next(one.start for one in evaluations(text) if one.job == last.job)


def _count(word: str, what: str) -> int:
    if not (word.isascii() and word.isdecimal() and len(word) <= _MAX_DIGITS):
        raise ParseError(f"{word[:40]!r} is not {what}")
    return int(word)


def _setting(output: Output, label: str, start: int, end: int) -> int:
    """The last number for `label` in the SCF settings; ParseError if there is none."""
    position = last_beginning(output.text, label, start, end)
    if position < 0:
        raise output.missing(f"'{label}'")
    return _count(whole_line(output.text, position).rpartition("....")[2].strip(), "a count")


@reads("stdout")
def scf_cycles(output: Output) -> dict[str, Any]:
    """SCF cycles in the final evaluation, that of `total_energy`.

    Keys: `cycles`, the number of cycles; `limit`, its maximum (MaxIter); `converged`; and
    `at_limit`, whether the limit was reached. `limit` and `at_limit` are None if ORCA does not
    print the limit (MiniPrint).

    Raises:
        ParseError: the final evaluation has no SCF.
    """
    start, position = _last_scf(output)
    text = output.text
    converged = text.startswith(_CONVERGED, position)
    said = _CONVERGED if converged else _NOT_CONVERGED
    words = whole_line(text, position)[len(said) :].split()
    cycles = _count(words[0] if len(words) > 1 else "", "a count of cycles")
    stated = last_beginning(text, _LIMIT, start, position) >= 0
    limit = _setting(output, _LIMIT, start, position) if stated else None
    return {
        "cycles": cycles,
        "limit": limit,
        "converged": converged,
        "at_limit": None if limit is None else cycles >= limit,
    }


@reads("stdout")
def basis_functions(output: Output) -> int:
    """Number of contracted basis functions for the SCF in the final evaluation.

    This is the dimension of the orbital basis in the SCF settings, without auxiliary bases.

    Raises:
        ParseError: the final evaluation's job has no SCF.
    """
    text = output.text
    last = final(text)
    end = last.energies[-1] if last.energies else last.end
    return _setting(output, _DIMENSION, _job_start(text, last), end)


@reads("stdout")
def electrons(output: Output) -> int:
    """Number of electrons in the SCF of the final evaluation, without those of core potentials.

    Raises:
        ParseError: it has no SCF, or it is that of one layer of the system.
    """
    text = output.text
    last = final(text)
    if last.layers:
        raise ParseError(f"{described(text, last)} has an SCF of only one layer of the system")
    start, position = _last_scf(output)
    return _setting(output, _ELECTRONS, start, position)


@reads("stdout")
def integrated_electrons(output: Output) -> dict[str, float | None]:
    """Number of electrons from integration of the final evaluation's density on the DFT grid.

    Keys: `total`, `alpha` and `beta` (None if they are not printed). The difference between `total`
    and the number of electrons is the error of the grid.

    Raises:
        ParseError: its SCF does not print it (Hartree-Fock never does), the density is that of one
            layer of the system, or alpha and beta do not add up to the total.
    """
    text = output.text
    last = final(text)
    if last.layers:
        raise ParseError(
            f"the energy of {described(text, last)} is that of all layers of the system, but ORCA"
            " integrates the density of only one layer"
        )
    _, scf = _last_scf(output)
    position = last_beginning(text, _TOTAL, scf, last.end)
    if position < 0:
        raise output.missing(f"'{_TOTAL}' of the final evaluation")
    total = value_at(output, position, _TOTAL)
    spins: list[float | None] = []
    for label in _SPINS:
        place = last_beginning(text, label, scf, position)
        near = place >= 0 and any(
            line.lstrip().startswith(_TOTAL)
            for line in islice(lines(text, place), _MAX_LINES_ABOVE)
        )
        spins.append(value_at(output, place, label) if near else None)
    alpha, beta = spins
    if alpha is not None and beta is not None and abs(alpha + beta - total) > _ROUNDING:
        raise ParseError(f"N(Alpha) and N(Beta) do not add up to N(Total), {total}")
    return {"total": total, "alpha": alpha, "beta": beta}
