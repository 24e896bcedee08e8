"""Energy, gradient, dipole and charges of one geometry.

`--json` writes xtbout.json (8 decimals), `--grad` writes molecule.engrad in ORCA's format
(12 decimals); `wbo` has the Wiberg bond orders (xtb's documentation, "Output files"). GFN-FF writes
no xtbout.json, but `gfnff_charges`; its energy is in the printout (12 decimals).
"""

import math
from collections.abc import Mapping
from string import ascii_letters
from typing import Any

from wqmaster.errors import NotApplicable, ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.xtb.engrad import BOHR, engrad
from wqmaster.parsers.xtb.evaluation import (
    is_biased,
    is_layered,
    is_of_an_ion,
    not_of_a_region,
    not_of_an_ion,
    of_one_geometry,
    of_the_molecule,
)
from wqmaster.parsers.xtb.text import (
    Frame,
    after,
    boxed,
    entry,
    frames,
    last_line,
    numbers,
    real,
    results,
    setup,
    single,
    stdout,
    whole,
)

# Printed at the end of an optimization, converged or not.
FINAL = " final structure:"
# xtbout.json and molecule.engrad round the same energy to 8 and 12 decimals.
ENERGY_ROUNDING_EH = 2e-8
# A sum of atomic charges is a whole number except for rounding (e).
_CHARGE_TOLERANCE_E = 1e-3


def _summarized(text: str, name: str) -> float:
    """The value `name` of the last SUMMARY, or else of the box at the end.

    For `--oniom` it is that of the box, since the SUMMARY belongs to the inner region.
    """
    at_the_end = name.upper()
    value = boxed(text, f"ONIOM {at_the_end}" if is_layered(text) else name)
    if value is None:
        value = boxed(text, at_the_end)
    if value is None:
        raise ParseError(f"the block '{at_the_end}' is missing from stdout")
    return value


def printed_energy(text: str) -> float:
    """The total energy (Eh, 12 decimals) in the printout.

    It is that of the last SUMMARY: after `--vip` or `--vea`, the box at the end has the ion's.
    """
    return _summarized(text, "total energy")


@reads("stdout", "xtbout.json", "molecule.engrad")
def energy(output: Output) -> float:
    """Total energy in Eh, at the last geometry of an optimization or the initial one of an MD.

    It has 12 decimals from molecule.engrad or else the printout, 8 if only xtbout.json exists. It
    includes the free energy of solvation and the energy of restraints or walls in the input. After
    `--vip` and the like it is that of the molecule, from the printout.

    Raises:
        ParseError: it is missing; the run is `--bhess` or a relaxed scan, whose files have energies
            at different geometries; or two files have different energies.
    """
    of_one_geometry(output, "the energy")
    if is_of_an_ion(output):
        return _of_the_molecule(output)
    layered = output.has("stdout") and is_layered(stdout(output))
    if output.has("xtbout.json") and not layered:
        value = single(results(output), "total energy")
    else:
        value = printed_energy(stdout(output))
    if not output.has("molecule.engrad"):
        printed = boxed(stdout(output), "total energy") if output.has("stdout") else None
        same = printed is not None and not layered and abs(printed - value) <= ENERGY_ROUNDING_EH
        return printed if same and printed is not None else value
    exact = engrad(output).energy
    if abs(exact - value) > ENERGY_ROUNDING_EH:
        other = "xtbout.json" if output.has("xtbout.json") and not layered else "stdout"
        raise ParseError(
            f"{other} and molecule.engrad are from different runs ({value}, {exact} Eh)"
        )
    return exact


def _of_the_molecule(output: Output) -> float:
    """The energy in the last SUMMARY, which is the molecule's even if an ion is computed."""
    value = boxed(stdout(output), "total energy") if output.has("stdout") else None
    if value is None:
        not_of_an_ion(output, "the energy")
        raise ParseError("the block 'total energy' is missing from stdout")
    return value


@reads("molecule.engrad", "stdout", per_atom=True)
def gradient(output: Output) -> list[list[float]]:
    """Gradient of `energy` in Eh/Bohr, shape (n, 3), at the same geometry.

    After an optimization it has the orientation of xtbopt.xyz; for an MD it is that of the start.
    Measured with 6.7.1: a single point
    at xtbopt.xyz gives the same gradient to within 1e-6 Eh/Bohr.

    Raises:
        ParseError: molecule.engrad is cut short; the run is `--bhess` or a relaxed scan, whose
            files belong to different geometries; or the gradient is the ion's (`--vip` and so on).
    """
    not_of_an_ion(output, "the gradient")
    of_one_geometry(output, "the gradient")
    return engrad(output).gradient


@reads("stdout")
def gradient_norm(output: Output) -> float:
    """Norm of the gradient (root of the sum of all squares) in Eh/Bohr, at `energy`'s geometry.

    It is that of the last SUMMARY: under the same name, the box at the end has the root mean square
    after a Hessian, and the norm of the ion after `--vip` and the like.

    Raises:
        ParseError: it is missing, or the run is `--bhess` (whose SUMMARY has that of the initial
            geometry) or a relaxed scan (that of the optimization before it).
    """
    of_one_geometry(output, "the gradient norm")
    return _summarized(stdout(output), "gradient norm")


@reads("stdout", "xtbout.json", "xtbopt.xyz")
def dipole(output: Output) -> list[float]:
    """Molecular dipole moment (x, y, z) in e a0, at the geometry of `charges`.

    For an ion it is relative to the origin. It has 8 decimals from xtbout.json. After an
    optimization, that file has the dipole of the initial geometry (6.7.1): then it is computed from
    the charges and atomic dipoles (GFN2, 6 decimals) or printed (GFN1, 4 decimals). The printout
    alone has 3 decimals; GFN-FF has no other dipole, and computes it from the charges.

    Raises:
        ParseError: it is missing, contradicts the printed one, or belongs to the ion of `--vip` and
            the like or to the inner region of `--oniom`.
    """
    of_the_molecule(output, "the dipole")
    text = stdout(output) if output.has("stdout") or output.name == "stdout" else ""
    if not output.has("xtbout.json"):
        return _printed_dipole(text)
    found = results(output)
    if not output.has("xtbopt.xyz") and FINAL not in text:
        return _three(numbers(found, "dipole / a.u.", "the dipole"))
    printed = _printed_dipole(text)
    if not output.has("xtbopt.xyz") or "atomic dipole moments" not in found:
        return printed
    computed = _computed_dipole(found, output.file("xtbopt.xyz"))
    if not all(abs(x - y) < 2e-3 for x, y in zip(computed, printed, strict=True)):
        raise ParseError(f"the printed dipole is {printed}, but the charges give {computed}")
    return computed


def _three(values: list[float]) -> list[float]:
    if len(values) != 3:
        raise ParseError(f"a dipole in xtbout.json must have 3 components, not {len(values)}")
    return values


def _computed_dipole(found: Mapping[str, Any], xyz: str) -> list[float]:
    """The dipole from the charges and atomic dipoles in xtbout.json at the optimized geometry."""
    frame = next(frames(xyz, "xtbopt.xyz"), Frame("", (), ()))
    moments = entry(found, "atomic dipole moments")
    own = numbers(found, "partial charges", "the list of charges")
    if not isinstance(moments, list) or not len(moments) == len(own) == len(frame.coordinates):
        raise ParseError("xtbout.json and xtbopt.xyz belong to different molecules")
    total = [0.0, 0.0, 0.0]
    for moment, charge, place in zip(moments, own, frame.coordinates, strict=True):
        rows = _three(numbers({"": moment}, "", "an atomic dipole moment"))
        total = [
            sum_ + charge * value / BOHR + row
            for sum_, value, row in zip(total, place, rows, strict=True)
        ]
    return total


def _printed_dipole(text: str) -> list[float]:
    place = text.rfind("molecular dipole:")
    if place < 0:  # GFN1
        place = text.rfind("dipole moment from electron density (au)")
        lines = text[place : place + 400].splitlines()[2:3] if place >= 0 else []
        words = lines[0].split() if lines else []
    else:
        rows = [line.partition(":") for line in text[place : place + 400].splitlines()[2:4]]
        values = {label.strip(): rest for label, colon, rest in rows if colon}
        # GFN-FF has no atomic dipoles and therefore no line "full".
        label = "q only" if "G F N - F F" in text else "full"
        words = values.get(label, "").split()
    if len(words) < 4:
        raise ParseError("the block 'molecular dipole' is missing from stdout or truncated")
    return [real(word, "a component of the dipole") for word in words[:3]]


@reads("stdout", "xtbout.json", "gfnff_charges", per_atom=True)
def charges(output: Output) -> list[float]:
    """Atomic partial charges in e, shape (n,): Mulliken (GFN1, GFN2) or the EEQ model (GFN-FF).

    They belong to the last geometry (xtbopt.xyz) of an optimization, `--ohess`, `--bhess` or scan,
    and to the initial one of an MD.

    Raises:
        ParseError: they are missing or cut short, or belong to the ion of `--vip` and the like, the
            inner region of `--oniom`, or the initial geometry (`--bhess` with GFN-FF).
    """
    of_the_molecule(output, "the charges")
    if output.has("gfnff_charges") and is_biased(output):
        raise ParseError(
            "gfnff_charges of --bhess belongs to the initial geometry, not to xtbopt.xyz"
        )
    if output.has("xtbout.json"):
        return numbers(results(output), "partial charges", "the list of charges")
    if output.has("gfnff_charges"):
        return _force_field_charges(output)
    return _printed_charges(stdout(output))


def _force_field_charges(output: Output) -> list[float]:
    text = output.file("gfnff_charges")
    if not text.endswith("\n"):  # a charge may lack digits
        raise ParseError("gfnff_charges is empty or truncated: its last line is incomplete")
    found = [real(word, "a charge in gfnff_charges") for word in text.split()]
    printed = last_line(stdout(output), "#atoms :") if output.has("stdout") else None
    if printed is not None and len(found) != whole(printed.strip(), "the number of atoms"):
        raise ParseError(
            f"the number of charges in gfnff_charges is {len(found)}, not {printed.strip()}"
        )
    return found


def _printed_charges(text: str) -> list[float]:
    """The charges in the printout (3 decimals for GFN2, 5 for GFN1)."""
    second = "     #   Z          covCN         q "
    heading, column = (second, 4) if second in text else ("Mulliken/CM5 charges", 2)
    found: list[float] = []
    for line in after(text, heading):
        words = line.split()
        if not words:
            if not found:
                break
            return found
        if column == 2 and not words[0].isdigit():  # number and symbol of an atom are one word
            digits = words[0].rstrip(ascii_letters)
            words[:1] = [digits, words[0][len(digits) :]]
        if words[0] != str(len(found) + 1) or len(words) < column + 2:
            raise ParseError("the table of charges in stdout has a gap or is truncated")
        found.append(real(words[column], "a charge"))
    raise ParseError("the table of charges in stdout is truncated")


@reads("stdout")
def solvation_energy(output: Output) -> float:
    """Free energy of solvation (`Gsolv`) in Eh; a part of `energy`, at the same geometry."""
    of_one_geometry(output, "Gsolv")
    of_the_molecule(output, "Gsolv")
    value = last_line(stdout(output), ":: -> Gsolv ")
    if value is None:
        raise ParseError("the block 'Gsolv' is missing from stdout")
    words = value.split()
    return real(words[0] if words else "", "Gsolv")


@reads("stdout")
def method(output: Output) -> str:
    """The method as stated in the output: GFN1-xTB, GFN2-xTB, GFN-FF and so on."""
    text = stdout(output)
    stated = setup(text, "Hamiltonian")
    if stated:
        return stated
    if "G F N - F F" in text:
        return "GFN-FF"
    raise NotApplicable("the output does not state the method")


@reads("stdout")
def charge(output: Output) -> int:
    """The total charge in e: `net_charge` as a whole number.

    Raises:
        ParseError: as for `net_charge`, or it is not a whole number.
    """
    found: float = net_charge(output)
    if not math.isfinite(found) or abs(found - round(found)) > _CHARGE_TOLERANCE_E:
        raise ParseError(f"the atomic charges add up to {found}, which is not a whole number")
    return round(found)


@reads("stdout")
def net_charge(output: Output) -> float:
    """The charge of the molecule in e: the sum of the atomic charges in its last SUMMARY.

    It belongs to the geometry of `charges`.

    Raises:
        ParseError: it is missing, or belongs to the inner region of `--oniom`.
    """
    not_of_a_region(output, "the total charge")
    rest = last_line(stdout(output), ":: total charge ")
    words = rest.split() if rest else []
    if len(words) < 2:
        raise ParseError("the block 'total charge' is missing from stdout")
    return real(words[0], "the total charge")
