"""Orbital energies and occupations in the final evaluation (see `evaluations`).

They come from its last table ORBITAL ENERGIES, which has the same format from 2.6 to 6.1.
"""

from collections.abc import Iterator
from itertools import islice

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.orca.final_values import of_final_state
from wqmaster.parsers.orca.text import block, number

_BLOCK = "ORBITAL ENERGIES"
# Each row has the energy in Eh and eV. The factor is 27.2107 in 2.6 and 27.21138 since 2.8, which
# the tolerance allows for.
_EV_PER_EH = 27.21138
_SAME_ENERGY_RELATIVE = 3e-5
# The characters of a dashed line.
_RULE = " -\r"
# The largest numbers of lines above the first row, and of rows.
_MAX_LINES_ABOVE_ROWS = 3
_MAX_ROWS = 100_000
# The possible beginnings of the line after the last row, if that line is not empty.
_AFTER = ("*", "---", "Total SCF time")
# The tolerance for occupations of 0, 1 or 2. Averaged and correlated states have fractional ones.
_WHOLE_TOLERANCE = 1e-3

# The energies (Eh) and occupations of the orbitals of one spin.
_Spin = tuple[list[float], list[float]]


def _row(line: str, expected: int) -> tuple[float, float]:
    """The energy (Eh) and occupation in a row `NO OCC E(Eh) E(eV) [irrep]`."""
    words = line.split()
    if len(words) not in (4, 5) or words[0] != str(expected):
        raise ParseError(f"orbital {expected} is missing or its line is damaged")
    occupation, energy, volts = (number(word) for word in words[1:4])
    if not -_WHOLE_TOLERANCE < occupation < 2 + _WHOLE_TOLERANCE:
        raise ParseError(f"orbital {expected} has an impossible occupation of {occupation}")
    if abs(energy * _EV_PER_EH - volts) > 1e-3 + _SAME_ENERGY_RELATIVE * abs(volts):
        raise ParseError(f"the energies of orbital {expected} in Eh and eV disagree")
    return energy, occupation


def _spin(rows: Iterator[str], output: Output) -> _Spin:
    """The orbitals of one spin, whose rows end with a blank line or a note."""
    energies: list[float] = []
    occupations: list[float] = []
    if not any(line.split()[:2] == ["NO", "OCC"] for line in islice(rows, _MAX_LINES_ABOVE_ROWS)):
        raise ParseError(f"the table '{_BLOCK}' in {output.name} has no column headings")
    for line in islice(rows, _MAX_ROWS):
        if not line.strip() or line.startswith(_AFTER):
            break
        energy, occupation = _row(line, len(energies))
        energies.append(energy)
        occupations.append(occupation)
    else:
        raise ParseError(f"the table '{_BLOCK}' in {output.name} is truncated")
    if not energies:
        raise ParseError(f"the table '{_BLOCK}' in {output.name} is empty")
    return energies, occupations


def _tables(output: Output) -> list[_Spin]:
    """One table if the run is restricted, otherwise two, spin up and spin down."""
    rows = block(output, _BLOCK)
    for line in rows:
        if line.strip() == "SPIN UP ORBITALS":
            up = _spin(rows, output)
            if any(
                after.strip() == "SPIN DOWN ORBITALS"
                for after in islice(rows, _MAX_LINES_ABOVE_ROWS)
            ):
                return [up, _spin(rows, output)]
            raise output.missing("'SPIN DOWN ORBITALS'")
        if not line.strip():
            return [_spin(rows, output)]
        if line.strip(_RULE):
            break
    raise ParseError(f"the table '{_BLOCK}' in {output.name} cannot be read")


def _by_spin(columns: list[list[float]]) -> list[float] | list[list[float]]:
    return columns[0] if len(columns) == 1 else columns


@reads("stdout")
@of_final_state
def orbital_energies(output: Output) -> list[float] | list[list[float]]:
    """Orbital energies from the final evaluation in Eh, lowest first; [up, down] if unrestricted.

    ORCA 6 prints all occupied orbitals but, by default, only the first few virtual ones ("*Only the
    first 10 virtual orbitals were printed."). The list then contains only these.

    Raises:
        ParseError: the table is missing or incomplete.
    """
    return _by_spin([energies for energies, _ in _tables(output)])


@reads("stdout")
@of_final_state
def orbital_occupations(output: Output) -> list[float] | list[list[float]]:
    """Occupations of the orbitals in `orbital_energies`, in the same shape.

    Raises:
        ParseError: the table is missing or incomplete.
    """
    return _by_spin([occupations for _, occupations in _tables(output)])


@reads("stdout")
@of_final_state
def homo_lumo_gap(output: Output) -> float:
    """HOMO-LUMO gap in Eh: lowest empty minus highest occupied orbital energy, over both spins.

    Singly occupied orbitals (ROHF) count as occupied. The gap is negative if the occupation does
    not follow the Aufbau principle.

    Raises:
        ParseError: the table is missing, it has no empty orbital, or it has fractional occupations
            (CASSCF, thermal smearing), for which the gap is undefined.
    """
    occupied: list[float] = []
    empty: list[float] = []
    for energies, occupations in _tables(output):
        for energy, occupation in zip(energies, occupations, strict=True):
            if not any(abs(occupation - whole) < _WHOLE_TOLERANCE for whole in (0, 1, 2)):
                raise ParseError(f"an occupation of {occupation} makes the HOMO-LUMO gap undefined")
            (occupied if occupation > _WHOLE_TOLERANCE else empty).append(energy)
    if not occupied or not empty:
        raise ParseError("too few orbitals were printed for a HOMO-LUMO gap")
    return min(empty) - max(occupied)
