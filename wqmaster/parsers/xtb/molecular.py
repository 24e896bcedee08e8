"""Energy, gradient, dipole and charges of one geometry.

`--json` writes xtbout.json (8 decimals), `--grad` writes molecule.engrad in ORCA's format
(12 decimals) and `wbo` the Wiberg bond orders (xtb's documentation, "Output files"). GFN-FF writes
no xtbout.json, but `gfnff_charges`; its energy stands in the printout (12 decimals).
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

# What is printed once an optimisation has ended, converged or not.
FINAL = " final structure:"
# xtbout.json and molecule.engrad round the same energy to 8 and 12 decimals.
ENERGY_ROUNDING_EH = 2e-8
# A sum of atomic charges is a whole number but for its rounding (e).
_CHARGE_TOLERANCE_E = 1e-3


def _summarised(text: str, name: str) -> float:
    """The value `name` of the last SUMMARY, or else of the box at the end.

    Of `--oniom` it is that of the box, as the SUMMARY is of the inner region.
    """
    at_the_end = name.upper()
    value = boxed(text, f"ONIOM {at_the_end}" if is_layered(text) else name)
    if value is None:
        value = boxed(text, at_the_end)
    if value is None:
        raise ParseError(f"the block '{at_the_end}' is missing from stdout")
    return value


def printed_energy(text: str) -> float:
    """The total energy (Eh, 12 decimals) of the printout.

    That of the last SUMMARY: the box at the end has the energy of an ion after `--vip`, `--vea`.
    """
    return _summarised(text, "total energy")


@reads("stdout", "xtbout.json", "molecule.engrad")
def energy(output: Output) -> float:
    """Total energy in Eh: of the last geometry of an optimisation, for an MD of the start.

    12 decimals, of molecule.engrad or else of the printout; 8 where only xtbout.json is there. With
    a solvent it holds the free energy of solvation,
    with restraints or walls of the input their energy. After `--vip` and the like it is the
    molecule's, from the printout.

    Raises:
        ParseError: it is missing; the run is `--bhess` or a relaxed scan, whose files have energies
            of different geometries; or two files have different ones.
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
        raise ParseError(f"{other} and molecule.engrad are of different runs ({value}, {exact} Eh)")
    return exact


def _of_the_molecule(output: Output) -> float:
    """The energy of the last SUMMARY, which is of the molecule also where an ion is computed."""
    value = boxed(stdout(output), "total energy") if output.has("stdout") else None
    if value is None:
        not_of_an_ion(output, "the energy")
        raise ParseError("the block 'total energy' is missing from stdout")
    return value


@reads("molecule.engrad", "stdout", per_atom=True)
def gradient(output: Output) -> list[list[float]]:
    """Gradient of the energy in Eh/Bohr, shape (n, 3), that of `energy`: of the last geometry of
    an optimisation (in the orientation of xtbopt.xyz), for an MD of the start.

    Measured with 6.7.1: a direct run at xtbopt.xyz gives it to 1e-6 Eh/Bohr.

    Raises:
        ParseError: molecule.engrad is cut short; the run is `--bhess` or a relaxed scan, whose
            files are of different geometries; or `--vip` or the like, where it is of the ion.
    """
    not_of_an_ion(output, "the gradient")
    of_one_geometry(output, "the gradient")
    return engrad(output).gradient


@reads("stdout")
def gradient_norm(output: Output) -> float:
    """Norm of the gradient (root of the sum of all squares) in Eh/Bohr; of `energy`'s geometry.

    Of the last SUMMARY: the box at the end of a hessian states the root mean square under the same
    name, and after `--vip` and the like it is that of the ion.

    Raises:
        ParseError: it is missing, or the run is `--bhess` (whose SUMMARY is of the start) or a
            relaxed scan (of the optimisation before it).
    """
    of_one_geometry(output, "the gradient norm")
    return _summarised(stdout(output), "gradient norm")


@reads("stdout", "xtbout.json", "xtbopt.xyz")
def dipole(output: Output) -> list[float]:
    """Molecular dipole moment (x, y, z) in e a0, of the geometry of `charges`; of ions about the
    origin.

    8 decimals from xtbout.json. After an optimisation that states the dipole of the start (6.7.1):
    then it is computed from the charges and atomic dipoles (GFN2, 6 decimals), or the printed one
    is taken (GFN1, 4 decimals). Printed: 3 decimals; GFN-FF has only that, of its charges.

    Raises:
        ParseError: it is missing, at odds with the printed one, of the ion of `--vip` and the like,
            or of the inner region of `--oniom`.
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
        raise ParseError(f"the dipole is printed as {printed}, charges give {computed}")
    return computed


def _three(values: list[float]) -> list[float]:
    if len(values) != 3:
        raise ParseError(f"the dipole of xtbout.json has {len(values)} components")
    return values


def _computed_dipole(found: Mapping[str, Any], xyz: str) -> list[float]:
    """The dipole of the charges and atomic dipoles of xtbout.json in the optimised geometry."""
    frame = next(frames(xyz, "xtbopt.xyz"), Frame("", (), ()))
    moments = entry(found, "atomic dipole moments")
    own = numbers(found, "partial charges", "the list of charges")
    if not isinstance(moments, list) or not len(moments) == len(own) == len(frame.coordinates):
        raise ParseError("xtbout.json and xtbopt.xyz are of different molecules")
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
        # GFN-FF has no atomic dipoles, so that there is no line "full".
        label = "q only" if "G F N - F F" in text else "full"
        words = values.get(label, "").split()
    if len(words) < 4:
        raise ParseError("the block 'molecular dipole' is missing from stdout, or cut short")
    return [real(word, "a component of the dipole") for word in words[:3]]


@reads("stdout", "xtbout.json", "gfnff_charges", per_atom=True)
def charges(output: Output) -> list[float]:
    """Atomic partial charges in e, shape (n,). GFN1, GFN2: Mulliken; GFN-FF: its EEQ model.

    Of the last geometry (xtbopt.xyz) of an optimisation, `--ohess`, `--bhess` or scan, for an MD of
    the start.

    Raises:
        ParseError: they are missing, cut short, of the ion of `--vip` and the like, of the inner
            region of `--oniom`, or of the start (`--bhess` with GFN-FF).
    """
    of_the_molecule(output, "the charges")
    if output.has("gfnff_charges") and is_biased(output):
        raise ParseError("gfnff_charges of --bhess is of the start, not of xtbopt.xyz")
    if output.has("xtbout.json"):
        return numbers(results(output), "partial charges", "the list of charges")
    if output.has("gfnff_charges"):
        return _force_field_charges(output)
    return _printed_charges(stdout(output))


def _force_field_charges(output: Output) -> list[float]:
    text = output.file("gfnff_charges")
    if not text.endswith("\n"):  # a charge may lack digits
        raise ParseError("gfnff_charges is empty, or cut short: its last line has no end")
    found = [real(word, "a charge of gfnff_charges") for word in text.split()]
    printed = last_line(stdout(output), "#atoms :") if output.has("stdout") else None
    if printed is not None and len(found) != whole(printed.strip(), "the number of atoms"):
        raise ParseError(f"gfnff_charges has {len(found)} charges of the {printed.strip()} atoms")
    return found


def _printed_charges(text: str) -> list[float]:
    """The charges of the printout (3 decimals for GFN2, 5 for GFN1)."""
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
            raise ParseError("the table of charges of stdout has a gap or is cut short")
        found.append(real(words[column], "a charge"))
    raise ParseError("the table of charges of stdout is cut short")


@reads("stdout")
def solvation_energy(output: Output) -> float:
    """Free energy of solvation (`Gsolv`) in Eh; a part of `energy`, of the same geometry."""
    of_one_geometry(output, "Gsolv")
    of_the_molecule(output, "Gsolv")
    value = last_line(stdout(output), ":: -> Gsolv ")
    if value is None:
        raise ParseError("the block 'Gsolv' is missing from stdout")
    words = value.split()
    return real(words[0] if words else "", "Gsolv")


@reads("stdout")
def method(output: Output) -> str:
    """The method as the output states it: GFN1-xTB, GFN2-xTB, GFN-FF and so on."""
    text = stdout(output)
    stated = setup(text, "Hamiltonian")
    if stated:
        return stated
    if "G F N - F F" in text:
        return "GFN-FF"
    raise NotApplicable("the output states no method")


@reads("stdout")
def charge(output: Output) -> int:
    """The total charge in e: `net_charge`, which xtb prints as a sum of atomic charges.

    Raises:
        ParseError: as `net_charge`, or it is not a whole number.
    """
    found: float = net_charge(output)
    if not math.isfinite(found) or abs(found - round(found)) > _CHARGE_TOLERANCE_E:
        raise ParseError(f"the atomic charges add up to {found}, which is not a whole number")
    return round(found)


@reads("stdout")
def net_charge(output: Output) -> float:
    """The charge of the molecule in e, as the atomic charges of its last SUMMARY add up to.

    It is of the geometry of `charges`.

    Raises:
        ParseError: it is missing, or of the inner region of `--oniom`.
    """
    not_of_a_region(output, "the total charge")
    rest = last_line(stdout(output), ":: total charge ")
    words = rest.split() if rest else []
    if len(words) < 2:
        raise ParseError("the block 'total charge' is missing from stdout")
    return real(words[0], "the total charge")
