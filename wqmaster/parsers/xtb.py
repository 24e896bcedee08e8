"""Parsers of xtb's files, seen with 6.7.1.

`--json` writes xtbout.json (8 decimals), `--grad` writes molecule.engrad in ORCA's format
(12 decimals) and `wbo` the Wiberg bond orders (xtb's documentation, "Output files").
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.failures import Failure, FailureClass
from wqmaster.job import Asked
from wqmaster.parsers import Output, reads

VERSION = "1"
# Eh in eV as xtb has it (xtb, src/mctc/convert.f90: autoev).
EV_PER_EH = 27.21138505
# xtbout.json and molecule.engrad round the same energy to 8 and 12 decimals.
_ROUNDING = 2e-8
_OVERFLOW = re.compile(r"\*{2,}")
_ERROR_LINE = re.compile(r"^-\d+- (.*)$", re.MULTILINE)
_VERSION = re.compile(r"^\s*\* xtb version (\S+)", re.MULTILINE)
_NET_CHARGE = re.compile(r"^\s*:: total charge\s+(\S+) e", re.MULTILINE)

# What a line of xtb's error block says -> the class of the failure.
_CAUSES = (("Self consistent charge iterator did not converge", FailureClass.SCF_NOT_CONVERGED),)


def _json(output: Output) -> dict[str, Any]:
    # Fortran prints stars for a number that is too wide for its field.
    text = _OVERFLOW.sub("NaN", output.file("xtbout.json"))
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ParseError(f"xtbout.json is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ParseError("xtbout.json is no JSON object")
    return found


def _entry(output: Output, key: str) -> Any:
    found = _json(output)
    if key not in found:
        raise output.beside("xtbout.json").missing(f"'{key}'")
    return found[key]


def _numbers(values: Any, what: str) -> list[float]:
    if not isinstance(values, list) or any(not isinstance(v, (int, float)) for v in values):
        raise ParseError(f"{what} of xtbout.json is no list of numbers")
    return [float(value) for value in values]


def _engrad(output: Output) -> tuple[float, list[list[float]]]:
    """Energy (Eh) and gradient (Eh/Bohr, shape (n, 3)) of molecule.engrad."""
    words = [
        word
        for line in output.file("molecule.engrad").splitlines()
        if not line.lstrip().startswith("#")
        for word in line.split()
    ]
    try:
        natoms = int(words[0])
        values = [float(word) for word in words[1 : 2 + 3 * natoms]]
        if natoms < 1 or len(values) != 1 + 3 * natoms or len(words) != 2 + 7 * natoms:
            raise ValueError("it is cut short")
    except (ValueError, IndexError) as error:
        raise ParseError(f"the gradient of molecule.engrad cannot be read: {error}") from error
    gradient = values[1:]
    return values[0], [gradient[start : start + 3] for start in range(0, 3 * natoms, 3)]


@reads("xtbout.json", "molecule.engrad")
def energy(output: Output) -> float:
    """Total energy in Eh: 12 decimals where a gradient was asked for, else 8."""
    value = _entry(output, "total energy")
    if not isinstance(value, (int, float)):
        raise ParseError("'total energy' of xtbout.json is no number")
    if not output.has("molecule.engrad"):
        return float(value)
    exact = _engrad(output)[0]
    if abs(exact - value) > _ROUNDING:
        raise ParseError(
            f"xtbout.json and molecule.engrad are of different runs ({value} and {exact} Eh)"
        )
    return exact


@reads("molecule.engrad", per_atom=True)
def gradient(output: Output) -> list[list[float]]:
    """Gradient of the energy in Eh/Bohr, shape (n, 3)."""
    return _engrad(output)[1]


@reads("xtbout.json")
def dipole(output: Output) -> list[float]:
    """Molecular dipole moment (x, y, z) in e a0."""
    found = _numbers(_entry(output, "dipole / a.u."), "the dipole")
    if len(found) != 3:
        raise ParseError(f"the dipole of xtbout.json has {len(found)} components")
    return found


@reads("xtbout.json", per_atom=True)
def charges(output: Output) -> list[float]:
    """Atomic partial charges in e, shape (n,). GFN2: Mulliken; GFN1: CM5."""
    return _numbers(_entry(output, "partial charges"), "the list of charges")


@reads("xtbout.json")
def homo_lumo_gap(output: Output) -> float:
    """HOMO-LUMO gap in Eh (xtb prints eV; divided by 27.21138505)."""
    value = _entry(output, "HOMO-LUMO gap / eV")
    if not isinstance(value, (int, float)):
        raise ParseError("the HOMO-LUMO gap of xtbout.json is no number")
    return float(value) / EV_PER_EH


@reads("wbo")
def bond_orders(output: Output) -> list[list[float]]:
    """Wiberg bond orders as [i, j, order], i < j, atoms counted from 0; those that xtb prints."""
    found = []
    for line in output.file("wbo").splitlines():
        words = line.split()
        try:
            first, second, order = int(words[0]) - 1, int(words[1]) - 1, float(words[2])
        except (ValueError, IndexError) as error:
            raise ParseError(f"the line {line.strip()!r} of wbo is no bond order") from error
        found.append([min(first, second), max(first, second), order])
    return found


def program_version(output: Output) -> str | None:
    """The version of xtb, as its output states it."""
    found = _VERSION.search(output.text)
    return found[1] if found else None


def diagnose(output: Output, asked: Asked | None, options: Mapping[str, Any]) -> Failure | None:
    """Why this output of xtb is no result, or None if it is one.

    xtb exits with 0 and "normal termination" on diverged energies and impossible charges.
    """
    if not output.has("stdout"):
        return Failure(FailureClass.MISSING_OUTPUT, "xtb: there is no standard output")
    text = output.text
    errors = output.file("stderr") if output.has("stderr") else ""
    if "[ERROR]" in text or "abnormal termination" in text + errors:
        causes = _ERROR_LINE.findall(text[text.find("[ERROR]") :])
        cause = causes[-1] if causes else "xtb ended with an error"
        for words, kind in _CAUSES:
            if words in text + errors:
                return Failure(kind, f"xtb: {cause}")
        return Failure(FailureClass.PROGRAM_ERROR, f"xtb: {cause}")
    if "normal termination of xtb" not in text + errors:
        return Failure(FailureClass.PROGRAM_ERROR, "xtb: no 'normal termination' in its output")
    if "convergence criteria cannot be satisfied" in text:
        return Failure(FailureClass.SCF_NOT_CONVERGED, "xtb: the SCC did not converge")
    if not output.has("xtbout.json"):
        return Failure(FailureClass.MISSING_OUTPUT, "xtb: there is no xtbout.json")
    try:
        total = energy(output)
        unpaired = _entry(output, "number of unpaired electrons")
        natoms = len(charges(output))
    except ParseError as error:
        return Failure(FailureClass.PARSE_ERROR, error.message)
    if not math.isfinite(total):
        return Failure(FailureClass.NOT_FINITE, f"xtb: the energy is {total}")
    if total >= 0:
        return Failure(
            FailureClass.IMPLAUSIBLE_ENERGY, f"xtb: an energy of {total} Eh is above zero"
        )
    return _not_as_asked(text, natoms, unpaired, asked) if asked else None


def _not_as_asked(text: str, natoms: int, unpaired: Any, asked: Asked) -> Failure | None:
    if natoms != asked.natoms:
        return Failure(
            FailureClass.ATOM_COUNT, f"xtb: {natoms} atoms in the output, {asked.natoms} asked for"
        )
    stated = _NET_CHARGE.search(text)
    try:
        charge = float(stated[1]) if stated else math.nan
    except ValueError:
        charge = math.nan
    if not abs(charge - asked.charge) < 1e-3:
        return Failure(
            FailureClass.NOT_AS_ASKED, f"xtb: total charge {charge} e, {asked.charge} asked for"
        )
    if unpaired != asked.multiplicity - 1:
        return Failure(
            FailureClass.NOT_AS_ASKED,
            f"xtb: {unpaired} unpaired electrons, {asked.multiplicity - 1} asked for",
        )
    return None
