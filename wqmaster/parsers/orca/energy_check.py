"""Check that a job has a final energy and that it is plausible for the job's atoms.

A multilayer calculation (QM/MM, QM/QM2, QM/XTB) prints only the atoms in its inner layer, but the
energy of the whole system. It also prints the energies of the parts. These are either `(MM)` and
the inner layer, whose sum is the total, or `(L-QM2)`, `(S-QM2)` and the inner layer, where the
total is large - small + inner (ORCA's manual, "ORCA Multiscale Implementation"). Both sums hold in
public outputs.
"""

import math
from collections.abc import Iterator

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import Failure, FailureClass
from wqmaster.parsers.orca.convergence import BAND_CONVERGED
from wqmaster.parsers.orca.energy import FINAL, final_energy, label
from wqmaster.parsers.orca.geometry import HEADING, is_atom, labels_and_coordinates
from wqmaster.parsers.orca.plausibility import atomic_number, implausible
from wqmaster.parsers.orca.run import stated_charges, stated_electrons
from wqmaster.parsers.orca.text import every_beginning, last, last_beginning, line_of, whole_line

# Molecular dynamics prints its energies in separate tables.
_DYNAMICS = "Molecular Dynamics"
# Semiempirical methods print this. Their zero of energy is not that of separate nuclei and
# electrons.
_ZERO_DIFFERENTIAL_OVERLAP = "ZDO-Hamiltonian"
_FORCE_FIELD = "(MM)"
# The largest charge, as a fraction of the total nuclear charge, at which a molecule's energy is
# still close to that of the neutral atoms.
_SMALL_CHARGE = 0.2
# The tolerance (Eh) for sums of energies. Energies have twelve decimals; the tolerance allows for
# versions that print fewer.
_ROUNDING = 1e-6
_SIZE = "Size of QMMM System"


def atoms(text: str, start: int, end: int) -> list[str]:
    """The labels in the last geometry between `start` and `end`, or [] if it cannot be read."""
    position = last(text, HEADING, start, end)
    if position < 0:
        return []
    try:
        return labels_and_coordinates(text, position)[0]
    except ParseError:
        return []


def sizes(text: str) -> set[int]:
    """The total numbers of atoms that multilayer calculations in the text report."""
    found = set()
    for position in every_beginning(text, _SIZE):
        word = line_of(text, position).rpartition("...")[2].strip()
        if word.isdecimal() and word.isascii() and len(word) < 10:
            found.add(int(word))
    return found


def _of_evaluation(text: str, start: int, position: int) -> Iterator[tuple[str, float]]:
    """The label and energy of each layer, which ORCA prints before the total at `position`."""
    whole = label(line_of(text, position))
    before = [
        place
        for place in every_beginning(text, FINAL, start, position)
        if label(line_of(text, place)) == whole
    ]
    for place in every_beginning(text, FINAL, before[-1] + 1 if before else start, position):
        line = line_of(text, place)
        yield label(line), final_energy(line)[0]


def _is_sum(whole: float, parts: list[tuple[str, float]]) -> bool:
    """Whether the parts add up to the whole; True if it is not known how they should."""
    energies = {name.strip("()"): energy for name, energy in parts}
    outer = {name[2:] for name in energies if name[:2] in ("L-", "S-")}
    if len(energies) != len(parts) or "" not in energies:
        return True
    if set(energies) == {"", "MM"}:
        total = energies[""] + energies["MM"]
    elif len(outer) == 1 and set(energies) == {
        "",
        *(f"{size}-{name}" for size in "LS" for name in outer),
    }:
        name = outer.pop()
        total = energies[""] + energies[f"L-{name}"] - energies[f"S-{name}"]
    else:
        return True
    return abs(total - whole) <= _ROUNDING


def _implausible(text: str, start: int, end: int, position: int, value: float) -> str | None:
    """Why the final energy at `position` is impossible for the job's atoms, or None."""
    labels = atoms(text, start, end)
    if any(not is_atom(name) for name in labels):
        # Point charges in the geometry contribute an energy of either sign.
        return None
    charges, electrons = stated_charges(text, start, end), stated_electrons(text, start, end)
    numbers = [atomic_number(name) for name in labels]
    total = sum(numbers)
    all_electrons = (
        bool(charges and electrons and numbers)
        and electrons[-1] == total - charges[-1]
        and abs(charges[-1]) <= _SMALL_CHARGE * total
    )
    if not label(line_of(text, position)) and not any(size > len(labels) for size in sizes(text)):
        return implausible(value, numbers, all_electrons)
    # The energy includes atoms that are not printed, so the printed atoms' lower bound does not
    # apply.
    parts = list(_of_evaluation(text, start, position))
    for name, energy in parts:
        wrong = None if name else implausible(energy, numbers, all_electrons)
        if wrong is not None:
            return wrong
    if not _is_sum(value, parts):
        return f"the energy of {value} Eh is not the sum of the energies of its layers"
    return implausible(value, numbers, all_electrons, of_more=True)


def wrong_energy(text: str, start: int, end: int) -> Failure | None:
    """Why the final energy of the job between `start` and `end` is wrong, or None."""
    position = last_beginning(text, FINAL, start, end)
    if position < 0:
        # Only the last job must have a final energy, since earlier jobs can be mere preparation.
        if end < len(text) or _DYNAMICS in text or BAND_CONVERGED in text:
            return None
        return Failure(FailureClass.PARSE_ERROR, f"ORCA: there is no '{FINAL}' in the output")
    try:
        line = whole_line(text, position)
        value, _ = final_energy(line)
        if not math.isfinite(value):
            return Failure(FailureClass.NOT_FINITE, f"ORCA: the final energy is {value}")
        if label(line) == _FORCE_FIELD or text.find(_ZERO_DIFFERENTIAL_OVERLAP, start, end) >= 0:
            return None
        wrong = _implausible(text, start, end, position, value)
    except ParseError as error:
        return Failure(FailureClass.PARSE_ERROR, f"ORCA: {error.message}")
    return Failure(FailureClass.IMPLAUSIBLE_ENERGY, f"ORCA: {wrong}") if wrong else None
