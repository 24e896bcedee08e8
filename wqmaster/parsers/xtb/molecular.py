"""Energy, gradient, dipole and charges at one geometry.

xtb writes xtbout.json (8 decimals) with `--json`, molecule.engrad in ORCA's format (12 decimals)
with `--grad`, and the Wiberg bond orders to `wbo` (xtb's documentation, "Output files"). With
GFN-FF it writes `gfnff_charges` instead of xtbout.json, and the energy is only in the printout
(12 decimals).
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
    after,
    boxed,
    entry,
    last_line,
    numbers,
    real,
    results,
    setup,
    single,
    stdout,
    whole,
)
from wqmaster.parsers.xyz import Frame, frames

# The heading that xtb prints at the end of an optimization, even if it did not converge.
FINAL = " final structure:"
# The largest difference between the energies in xtbout.json and molecule.engrad, which are rounded
# to 8 and 12 decimals.
ENERGY_ROUNDING_EH = 2e-8
# molecule.engrad and the printed norm of its gradient both have 12 decimals; a sum of many squares
# of rounded numbers is off by a little more.
_NORM_ROUNDING_EH_PER_BOHR = 1e-9
# A sum of atomic charges is a whole number except for rounding (e).
_CHARGE_TOLERANCE_E = 1e-3


def _summarized(text: str, name: str) -> float:
    """The value labeled `name` in the last SUMMARY, or in the box at the end if there is none.

    For `--oniom` it is read from the box, since the SUMMARY belongs to the inner region.
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

    It is read from the last SUMMARY if there is one, since the box at the end has the ion's energy
    after `--vip` or `--vea`. For `--oniom` it is read from the box.
    """
    return _summarized(text, "total energy")


@reads("stdout", "xtbout.json", "molecule.engrad")
def energy(output: Output) -> float:
    """Total energy in Eh, at the last geometry of an optimization or the initial one of an MD.

    It has 12 decimals if it comes from molecule.engrad or the printout, and 8 if it comes from
    xtbout.json, which counts if there is no molecule.engrad and the printout, if any, has another
    energy. It includes the free energy of solvation and the energy of restraints or walls in the
    input. After `--vip`, `--vea` and so on, it is the energy of the molecule, from the printout.

    Raises:
        ParseError: it is missing; the run is `--bhess` or a relaxed scan, whose files have energies
            at different geometries; or molecule.engrad and another file have different energies.
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
    """The energy (Eh) in the last SUMMARY, which belongs to the molecule even if an ion follows."""
    value = boxed(stdout(output), "total energy") if output.has("stdout") else None
    if value is None:
        not_of_an_ion(output, "the energy")
        raise ParseError("the block 'total energy' is missing from stdout")
    return value


@reads("molecule.engrad", "stdout", per_atom=True)
def gradient(output: Output) -> list[list[float]]:
    """Gradient of `energy` in Eh/Bohr, shape (n, 3), at the same geometry.

    After an optimization it has the orientation of xtbopt.xyz; for an MD it is that of the start.
    Measured with 6.7.1: a single point at xtbopt.xyz gives the same gradient to within 1e-6
    Eh/Bohr.

    Raises:
        ParseError: molecule.engrad is truncated; the run is `--bhess` or a relaxed scan, whose
            files belong to different geometries; the gradient is the ion's (`--vip` and so on); or
            it lacks the rows of fixed atoms (`changed_norm`).
    """
    not_of_an_ion(output, "the gradient")
    of_one_geometry(output, "the gradient")
    found = engrad(output).gradient
    changed = changed_norm(output, found)
    if changed is not None:
        raise ParseError(changed)
    return found


def changed_norm(output: Output, found: list[list[float]]) -> str | None:
    """Why `found` is not the gradient of the energy; None if it is, or if xtb prints no norm.

    xtb writes zeros to molecule.engrad for atoms that the input fixes (`$fix`). The norm in the
    SUMMARY is that of the full gradient: in 35 kinds of runs of 6.7.1, the two differ by less than
    1e-12 Eh/Bohr, except with `$fix`.
    """
    try:
        printed = _summarized(stdout(output), "gradient norm")
    except ParseError:
        return None
    computed = math.hypot(*(value for row in found for value in row))
    if not abs(computed - printed) > _NORM_ROUNDING_EH_PER_BOHR + 1e-9 * abs(printed):
        return None
    return (
        f"the gradient in molecule.engrad has a norm of {computed:.9f} Eh/Bohr, but the SUMMARY"
        f" states {printed:.9f}: xtb writes zeros for fixed atoms ($fix)"
    )


@reads("stdout")
def gradient_norm(output: Output) -> float:
    """Norm of the gradient (root of the sum of squares) in Eh/Bohr, at the geometry of `energy`.

    It is read from the last SUMMARY. Under the same name, the box at the end has the root mean
    square after a Hessian, and the norm for the ion after `--vip`, `--vea` and so on.

    Raises:
        ParseError: it is missing; the run is `--bhess`, whose SUMMARY belongs to the initial
            geometry; or it is a relaxed scan, whose SUMMARY belongs to the optimization before it.
    """
    of_one_geometry(output, "the gradient norm")
    return _summarized(stdout(output), "gradient norm")


@reads("stdout", "xtbout.json", "xtbopt.xyz")
def dipole(output: Output) -> list[float]:
    """Molecular dipole moment (x, y, z) in e a0, at the geometry of `charges`.

    For a charged molecule it is relative to the origin. It has 8 decimals if it comes from
    xtbout.json. After an optimization, that file has the dipole at the initial geometry (6.7.1), so
    the dipole is computed from the charges and atomic dipoles (GFN2, 6 decimals) or read from the
    printout (GFN1, 4 decimals). Without xtbout.json it is read from the printout (3 decimals). With
    GFN-FF, xtb prints only the dipole of the atomic charges.

    Raises:
        ParseError: it is missing; the computed and the printed dipole differ; or it belongs to an
            ion (`--vip` and so on) or to the inner region of `--oniom`.
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
    """The dipole (e a0) at the optimized geometry, from the charges and dipoles of the atoms."""
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
        # GFN-FF has no atomic dipoles, so xtb does not print the line "full".
        label = "q only" if "G F N - F F" in text else "full"
        words = values.get(label, "").split()
    if len(words) < 4:
        raise ParseError("the block 'molecular dipole' is missing from stdout or truncated")
    return [real(word, "a component of the dipole") for word in words[:3]]


@reads("stdout", "xtbout.json", "gfnff_charges", per_atom=True)
def charges(output: Output) -> list[float]:
    """Atomic partial charges in e, shape (n,): Mulliken (GFN1, GFN2) or the EEQ model (GFN-FF).

    They belong to the last geometry (xtbopt.xyz) of an optimization, `--ohess`, `--bhess` or scan,
    and to the initial geometry of an MD.

    Raises:
        ParseError: they are missing or truncated, or they belong to an ion (`--vip` and so on), to
            the inner region of `--oniom`, or to the initial geometry (`--bhess` with GFN-FF).
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
    if not text.endswith("\n"):  # the last charge can lack digits
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
        # xtb printed no blank between the number and the symbol.
        if column == 2 and not words[0].isdigit():
            digits = words[0].rstrip(ascii_letters)
            words[:1] = [digits, words[0][len(digits) :]]
        if words[0] != str(len(found) + 1) or len(words) < column + 2:
            raise ParseError("the table of charges in stdout has a gap or is truncated")
        found.append(real(words[column], "a charge"))
    raise ParseError("the table of charges in stdout is truncated")


@reads("stdout")
def solvation_energy(output: Output) -> float:
    """Free energy of solvation (`Gsolv`) in Eh, which `energy` includes, at the same geometry."""
    of_one_geometry(output, "Gsolv")
    of_the_molecule(output, "Gsolv")
    value = last_line(stdout(output), ":: -> Gsolv ")
    if value is None:
        raise ParseError("the block 'Gsolv' is missing from stdout")
    words = value.split()
    return real(words[0] if words else "", "Gsolv")


@reads("stdout")
def method(output: Output) -> str:
    """The method that the output states: GFN1-xTB, GFN2-xTB, GFN-FF and so on."""
    text = stdout(output)
    stated = setup(text, "Hamiltonian")
    if stated:
        return stated
    if "G F N - F F" in text:
        return "GFN-FF"
    raise NotApplicable("the output does not state the method")


@reads("stdout")
def charge(output: Output) -> int:
    """The total charge in e: `net_charge`, rounded to a whole number.

    Raises:
        ParseError: `net_charge` raises it or is not close to a whole number.
    """
    found: float = net_charge(output)
    if not math.isfinite(found) or abs(found - round(found)) > _CHARGE_TOLERANCE_E:
        raise ParseError(f"the atomic charges add up to {found}, which is not a whole number")
    return round(found)


@reads("stdout")
def net_charge(output: Output) -> float:
    """The molecule's charge in e: the sum of the atomic charges, as stated in the last SUMMARY.

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
