"""Energies (Eh) in ORCA's text, versions 3 to 6.1, for the final evaluation (`evaluations`)."""

from collections.abc import Iterator

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.orca.evaluations import described, final
from wqmaster.parsers.orca.final_lines import FINAL as FINAL
from wqmaster.parsers.orca.final_lines import final_energy as final_energy
from wqmaster.parsers.orca.final_lines import is_converged as is_converged
from wqmaster.parsers.orca.final_lines import label as label
from wqmaster.parsers.orca.final_lines import of_the_whole as of_the_whole
from wqmaster.parsers.orca.final_values import of_final_evaluation, of_final_state
from wqmaster.parsers.orca.roots import followed, root_of
from wqmaster.parsers.orca.text import every_beginning, last_beginning, number, whole_line

_SCF = "Total Energy       :"
_DISPERSION = "Dispersion correction "


def _usable(line: str) -> float:
    value, suffix = final_energy(line)
    if not is_converged(suffix):
        raise ParseError(f"ORCA marks the final energy as unusable: {suffix[:80]}")
    return value


@reads("stdout")
@of_final_evaluation
def total_energy(output: Output) -> float:
    """FINAL SINGLE POINT ENERGY of the final evaluation (the last one in the output), in Eh.

    It includes everything that the input asks for: dispersion, gCP, correlation. If ORCA computed
    excited states, it is the energy of one root, by default the lowest (see `roots`), and
    `scf_energy` is the energy of the ground state.

    Raises:
        ParseError: it is missing, or ORCA reports that it is not converged.
    """
    position = last_beginning(output.text, FINAL)
    if position < 0:
        raise output.missing(f"'{FINAL}'")
    return _usable(whole_line(output.text, position))


@reads("stdout")
def energy(output: Output) -> float:
    """`total_energy` under the name used for all programs: of the final evaluation, in Eh.

    It belongs to the same electronic state as `charges`, `dipole` and `gradient`.

    Raises:
        ParseError: as for `total_energy`, or excitations were computed but no excited state was
            followed: the final energy is then that of a root, all other values are those of the
            SCF state. `scf_energy` and `total_energy` name the two energies.
    """
    found: float = total_energy(output)
    text = output.text
    last = final(text)
    root = root_of(text, last)
    if root is not None and followed(text, last) is None:
        raise ParseError(
            f"the final energy of {described(text, last)} is that of {root}, but charges and other"
            " values are those of the SCF state; use 'scf_energy' for that state, or 'total_energy'"
            " for the root"
        )
    return found


@reads("stdout")
def energy_trajectory(output: Output) -> list[float]:
    """All FINAL SINGLE POINT ENERGY values (steps, jobs) in output order, in Eh.

    Their number can differ from that of `geometry_trajectory`; see `frames`. For a multilayer
    calculation (QM/MM), only the energies of the whole system are returned.

    Raises:
        ParseError: there is no such energy, or ORCA reports that one is not converged.
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
@of_final_state
def scf_energy(output: Output) -> float:
    """SCF energy from the final evaluation in Eh, without additions (D3, D4, correlation).

    If `total_energy` is that of an excited state, this is the energy of the SCF state.

    The value is the "Total Energy" below TOTAL SCF ENERGY, which has 8 decimals up to version 5 and
    14 since version 6. In later steps of an optimization, ORCA prints this line without the
    heading.

    Raises:
        ParseError: it is missing, or is that of one layer of the system.
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
@of_final_state
def dispersion_energy(output: Output) -> float:
    """Dispersion correction (D2, D3, D4) from the final evaluation in Eh, with 9 decimals."""
    for line in _dispersion_lines(output.text):
        words = line[len(_DISPERSION) :].split()
        # Gradients and Hessians print "Dispersion correction ... done" and "... in the Hessian".
        if words and not words[0].startswith(".") and not words[0].isalpha():
            return number(words[0])
    raise output.missing("'Dispersion correction'")
