"""Excited states and their oscillator strengths, and the static polarizability.

TD-DFT, CIS and RPA print `STATE 1: E= 0.19 au 5.2 eV 42048.8 cm**-1` below a heading "... EXCITED
STATES (SINGLETS)" or "... (TRIPLETS)", or without brackets in unrestricted runs. EOM, STEOM and ADC
print `IROOT= 1:` below "... RESULTS". The module `absorption` describes the formats of the spectra.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.orca.absorption import WAVENUMBERS_PER_EH, Line, absorption_spectrum
from wqmaster.parsers.orca.final_values import of_final_evaluation, of_final_state, of_scf_state
from wqmaster.parsers.orca.text import block, line_end, line_start, number

_STATE = re.compile(r"(?:STATE|IROOT=) *(\d{1,6}): +(?:E= *)?(\S+) au +\S+ eV +(\S+) cm\*\*-1(.*)")
_STATES = re.compile(r"[\w/() -]*[ -]EXCITED STATES(?: \((SINGLETS|TRIPLETS)\))?")
_ROOTS = re.compile(
    r"(?:[\w()/-]*EOM-[\w()/-]*|ADC\(\d\)) RESULTS(?: \((RHS|SINGLETS|TRIPLETS)\))?"
)
_MULTIPLICITY = re.compile(r"\bMult +(\d{1,3})")
_OF_HEADING = {"SINGLETS": 1, "TRIPLETS": 3}
_RULE = re.compile(r"\n---+[ \r]*(?:\n|\Z)")
# The largest number of states below one heading; no calculation has more.
_MAX_STATES = 100_000
_END = "FINAL SINGLE POINT ENERGY"
_MAX_LINES = 60
_POLARIZABILITIES = (
    "THE POLARIZABILITY TENSOR",
    "STATIC POLARIZABILITY TENSOR (Dipole/Dipole)",
    "STATIC POLARIZABILITY TENSOR",
)
# The tolerances for a wavenumber (1/cm) in two tables, both with one decimal. ORCA 2.6 uses two
# different conversion factors.
_ROUNDING = 0.25
_RELATIVE_ROUNDING = 1e-8


@dataclass(frozen=True)
class _State:
    energy: float  # Eh
    wavenumber: float  # cm^-1
    multiplicity: int | None


def _headings(text: str, word: str, pattern: re.Pattern[str]) -> Iterator[tuple[int, str | None]]:
    """The position and bracket of each underlined heading that matches, the last one first."""
    position = text.rfind(word)
    while position >= 0:
        begin, end = line_start(text, position), line_end(text, position)
        if text.startswith("---", end + 1) and end - begin < 200:
            found = pattern.fullmatch(text[begin:end].strip())
            if found:
                yield begin, found[1]
        position = text.rfind(word, 0, begin)


def _listed(output: Output, position: int, bracket: str | None, before: int = 0) -> list[_State]:
    """The states under one heading, which follow `before` states under the previous one."""
    text = output.text
    start = line_end(text, line_end(text, position) + 1)  # below the dashed line under the heading
    # The line "----- Handle with Care -----" below a STEOM state does not end the table.
    rule = _RULE.search(text, start - 1)
    ends = [end for end in (rule.start() if rule else -1, text.find("***", start)) if end >= 0]
    if not ends:
        raise ParseError(f"the excited states in {output.name} are truncated")
    label = "\nIROOT=" if text.find("\nIROOT=", start, min(ends)) >= 0 else "\nSTATE"
    found: list[_State] = []
    first = 1
    # In ORCA 6, the numbers of the triplets continue those of the singlets.
    firsts = ("1", str(before + 1))
    place = text.find(label, start, min(ends))
    while place >= 0 and len(found) < _MAX_STATES:
        match = _STATE.match(text, place + 1, line_end(text, place + 1))
        if match is None:
            raise ParseError(f"an excited state in {output.name} cannot be read")
        if not found and match[1] in firsts:
            first = int(match[1])
        if int(match[1]) != first + len(found):
            raise ParseError(f"excited state {first + len(found)} is missing")
        stated = _MULTIPLICITY.search(match[4])
        multiplicity = int(stated[1]) if stated else _OF_HEADING.get(bracket or "")
        energy, wavenumber = number(match[2]), number(match[3])
        if abs(energy * WAVENUMBERS_PER_EH - wavenumber) > 0.3 + 1e-5 * abs(wavenumber):
            raise ParseError(f"the energies of excited state {match[1]} in au and cm**-1 disagree")
        found.append(_State(energy, wavenumber, multiplicity))
        place = text.find(label, match.end(), min(ends))
    if not found:
        raise ParseError(f"there are no excited states below their heading in {output.name}")
    return found


def _last_heading(text: str) -> tuple[int, str | None, bool] | None:
    """Position and bracket of the last heading of excited states, and whether it is from TD-DFT."""
    states = next(_headings(text, "EXCITED STATES", _STATES), None)
    kind = len(text)
    for position, bracket in _headings(text, " RESULTS", _ROOTS):
        if states and position < states[0]:
            break
        # The roots that IP- and EA-EOM print are not excitations.
        if kind > position:
            kind = text.rfind("\nEOM type ", 0, position)
        line = text[kind + 1 : line_end(text, kind + 1)] if kind >= 0 else ""
        if not line.rstrip().endswith(("IP-EOM", "EA-EOM")):
            return position, bracket, False
    return (*states, True) if states else None


def _states(output: Output) -> tuple[int, list[_State]] | None:
    """The position of the last excited states and all states in that calculation, or None."""
    text = output.text
    found = _last_heading(text)
    if found is None:
        return None
    position, bracket, of_tddft = found
    singlets: list[_State] = []
    if bracket == "TRIPLETS":
        word, pattern = ("EXCITED STATES", _STATES) if of_tddft else (" RESULTS", _ROOTS)
        since = text.rfind(_END, 0, position)
        for earlier, other in _headings(text[:position], word, pattern):
            if earlier < since:
                break
            if other == "SINGLETS":
                singlets = _listed(output, earlier, other)
                break
    return position, singlets + _listed(output, position, bracket, len(singlets))


def _paired(states: list[_State], spectrum: list[Line]) -> list[Line]:
    """The lines of the spectrum in the order of the states.

    Raises:
        ParseError: the spectrum does not match the states.
    """
    if len(states) != len(spectrum):
        raise ParseError(f"{len(states)} excited states but {len(spectrum)} lines in the spectrum")
    order = list(range(len(states)))
    row_order = list(range(len(spectrum)))
    if all(line.multiplicity for line in spectrum):
        # This spectrum is sorted by energy; the multiplicity distinguishes states of equal energy.
        known = sorted(state.multiplicity or 0 for state in states) == sorted(
            line.multiplicity or 0 for line in spectrum
        )

        def state_key(place: int) -> tuple[int, float]:
            return (states[place].multiplicity or 0) if known else 0, states[place].wavenumber

        def row_key(place: int) -> tuple[int, float]:
            return (spectrum[place].multiplicity or 0) if known else 0, spectrum[place].wavenumber

        order.sort(key=state_key)
        row_order.sort(key=row_key)
    found: dict[int, Line] = {}
    for place, row in zip(order, row_order, strict=True):
        state, line = states[place], spectrum[row]
        allowed = _ROUNDING + _RELATIVE_ROUNDING * abs(state.wavenumber)
        if not abs(state.wavenumber - line.wavenumber) <= allowed:
            raise ParseError(
                f"the state at {state.wavenumber} cm**-1 is not in the spectrum, which has"
                f" {line.wavenumber} cm**-1 in its place"
            )
        found[place] = line
    return [found[place] for place in range(len(states))]


@reads("stdout")
@of_final_evaluation
def excitation_energies(output: Output) -> list[float]:
    """Vertical excitation energies from the final evaluation in Eh: singlets, then triplets.

    They come from the lines `STATE` or `IROOT` (6 decimals) in the last excited-state calculation:
    TD-DFT, CIS, RPA, EOM-CCSD, STEOM, ADC(2). If there are no such lines (ROCIS, CASSCF, NEVPT2),
    they come from the last absorption spectrum, in which ROCIS, and CASSCF up to 5.0, list only
    states with the multiplicity of the ground state.

    Raises:
        ParseError: they are missing or incomplete.
    """
    found = _states(output)
    if found is None:
        return [line.energy for line in absorption_spectrum(output, 0)]
    return [state.energy for state in found[1]]


@reads("stdout")
@of_final_evaluation
def excitations(output: Output) -> list[dict[str, Any]]:
    """The states in `excitation_energies` with their absorption spectrum.

    Each state is a mapping: `state` (counted from 1; for ROCIS up to 5.0, ORCA's root number, which
    skips roots with other multiplicities), `energy` (Eh), `wavelength` (nm), `multiplicity` (None
    if ORCA does not state it), `oscillator_strength` (electric dipole, length form; 0.0 if ORCA
    prints "spin forbidden"). For EOM and STEOM in ORCA 6, the spectrum is the last one, which is
    computed from left and right transition moments.

    Raises:
        ParseError: the states or the spectrum are missing, or the two do not match.
    """
    found = _states(output)
    if found is None:
        spectrum = absorption_spectrum(output, 0)
        states = [_State(line.energy, line.wavenumber, line.multiplicity) for line in spectrum]
    else:
        position, states = found
        spectrum = _paired(states, absorption_spectrum(output, position))
    return [
        {
            "state": line.state if found is None and line.state else count,
            "energy": state.energy,
            "wavelength": line.wavelength,
            "multiplicity": state.multiplicity or line.multiplicity,
            "oscillator_strength": line.strength,
        }
        for count, (state, line) in enumerate(zip(states, spectrum, strict=True), start=1)
    ]


@reads("stdout")
def oscillator_strengths(output: Output) -> list[float]:
    """Oscillator strengths (electric dipole, length form) of the states in `excitations`.

    Raises:
        ParseError: the states or the spectrum are missing, or the two do not match.
    """
    return [state["oscillator_strength"] for state in excitations(output)]


@reads("stdout")
@of_scf_state
@of_final_state
def polarizability(output: Output) -> list[list[float]]:
    """Static dipole polarizability from the final evaluation in a.u. (Bohr^3), shape (3, 3).

    Its heading is "THE POLARIZABILITY TENSOR" up to 5.0 and "STATIC POLARIZABILITY TENSOR
    (Dipole/Dipole)" since 6.0. For a correlated method, the last tensor counts.

    Raises:
        ParseError: it is missing, not symmetric, or inconsistent with its isotropic value, or ORCA
            followed an excited state.
    """
    tensor: list[list[float]] | None = None
    for line in islice(block(output, *_POLARIZABILITIES), _MAX_LINES):
        if tensor is not None and len(tensor) < 3:
            tensor.append([number(word) for word in line.split()])
        elif line.startswith("The raw cartesian tensor"):
            tensor = []
        elif line.startswith("Isotropic polarizability") and tensor:
            return _checked(tensor, number(line.split(":")[-1].strip()))
    raise ParseError(f"the polarizability in {output.name} is truncated")


def _checked(tensor: list[list[float]], isotropic: float) -> list[list[float]]:
    if [len(row) for row in tensor] != [3, 3, 3]:
        raise ParseError("the polarizability is not a 3 x 3 tensor")
    allowed = 1e-4 + 1e-6 * abs(isotropic)
    if abs(sum(tensor[axis][axis] for axis in range(3)) / 3 - isotropic) > allowed:
        raise ParseError("the polarizability is inconsistent with its isotropic value")
    # A tensor from finite differences is not exactly symmetric.
    allowed = 1e-2 + 1e-3 * abs(isotropic)
    if any(abs(tensor[i][j] - tensor[j][i]) > allowed for i, j in ((0, 1), (0, 2), (1, 2))):
        raise ParseError("the polarizability is not symmetric")
    return tensor
