"""Parsers of the last block "THERMOCHEMISTRY AT 298.15K" (same format from 2.6 to 6.1)."""

import math
from itertools import islice

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.orca.final_values import of_final_evaluation
from wqmaster.parsers.orca.shape import natoms
from wqmaster.parsers.orca.text import last_beginning, lines, number

_BLOCK = "THERMOCHEMISTRY AT "
# The name of each value, and how its line can begin.
_LABELS = {
    "temperature": ("Temperature ",),
    "pressure": ("Pressure ",),
    "mass": ("Total Mass ",),
    "electronic_energy": ("Electronic energy ",),
    "zero_point_energy": ("Zero point energy ",),
    "thermal_vibrational_correction": ("Thermal vibrational correction ",),
    "thermal_rotational_correction": ("Thermal rotational correction ",),
    "thermal_translational_correction": ("Thermal translational correction ",),
    "inner_energy": ("Total thermal energy ",),
    "thermal_enthalpy_correction": ("Thermal Enthalpy correction ",),
    "enthalpy": ("Total Enthalpy ",),
    "electronic_entropy_term": ("Electronic entropy ",),
    "vibrational_entropy_term": ("Vibrational entropy ",),
    "rotational_entropy_term": ("Rotational entropy ",),
    "translational_entropy_term": ("Translational entropy ",),
    "entropy_term": ("Final entropy term ",),
    "gibbs_free_energy": ("Final Gibbs free energy ", "Final Gibbs free enthalpy "),
    "gibbs_correction": ("G-E(el) ",),
}
_NAMES = {label: name for name, labels in _LABELS.items() for label in labels}
_BEGINNINGS = {label[:3] for label in _NAMES}
# Units other than Eh. The unit distinguishes a value's line from a sentence with the same
# beginning.
_UNITS = {"temperature": "K", "pressure": "atm", "mass": "AMU"}
# The largest number of lines in the block, which has one for each vibration.
_MAX_LINES = 50_000
# The tolerance (Eh) for sums. Values have eight decimals, so a sum of several can be off by a few
# units in the last decimal.
_ROUNDING = 6e-8
# The parts that must add up to each value.
_SUMS = {
    "inner_energy": (
        "electronic_energy",
        "zero_point_energy",
        "thermal_vibrational_correction",
        "thermal_rotational_correction",
        "thermal_translational_correction",
    ),
    "enthalpy": ("inner_energy", "thermal_enthalpy_correction"),
    "entropy_term": (
        "electronic_entropy_term",
        "vibrational_entropy_term",
        "rotational_entropy_term",
        "translational_entropy_term",
    ),
}


def _value(line: str) -> tuple[str, float] | None:
    """The name and value in a line `label ... value unit`, or None for other lines."""
    if line[:3] not in _BEGINNINGS:
        return None
    for label, name in _NAMES.items():
        if line.startswith(label):
            words = line[len(label) :].replace("...", " ", 1).split()
            if len(words) >= 2 and words[1] == _UNITS.get(name, "Eh"):
                return name, number(words[0])
    return None


def _finite(found: dict[str, float]) -> None:
    """Refuse values that are not finite.

    ORCA 4.1 treats the three translations of an atom as vibrations of 0 cm^-1. The entropy is then
    -inf, and the enthalpy is wrong because it includes their thermal energy.

    Raises:
        ParseError: a value is not finite.
    """
    for name, value in found.items():
        if not math.isfinite(value):
            raise ParseError(
                f"the {name.replace('_', ' ')} is {value}: ORCA counted vibrations of 0 cm**-1, "
                "so none of the thermochemistry is usable"
            )


def _no_vibrations(output: Output, start: int, found: dict[str, float]) -> None:
    """Refuse vibrational contributions for a single atom, which has no vibrations.

    Raises:
        ParseError: the molecule is an atom and has vibrational contributions.
    """
    names = ("zero_point_energy", "thermal_vibrational_correction", "vibrational_entropy_term")
    if natoms(output.text, start) == 1 and any(abs(found[name]) > _ROUNDING for name in names):
        raise ParseError("the thermochemistry includes vibrations, which an atom does not have")


def _check(found: dict[str, float]) -> None:
    for name, parts in _SUMS.items():
        if abs(found[name] - sum(found[part] for part in parts)) > _ROUNDING:
            raise ParseError(f"the {name.replace('_', ' ')} is not the sum of its parts")
    for name, expected in (
        ("gibbs_free_energy", found["enthalpy"] - found["entropy_term"]),
        ("gibbs_correction", found["gibbs_free_energy"] - found["electronic_energy"]),
    ):
        if abs(found[name] - expected) > _ROUNDING:
            raise ParseError(f"the {name.replace('_', ' ')} is inconsistent with the other values")


def _values(output: Output) -> dict[str, float]:
    text = output.text
    start = last_beginning(text, _BLOCK)
    if start < 0:
        raise output.missing(f"'{_BLOCK.strip()}'")
    found: dict[str, float] = {}
    for line in islice(lines(text, start), _MAX_LINES):
        entry = _value(line)
        if entry is None:
            continue
        name, value = entry
        # Some versions repeat the inner energy above the enthalpy.
        if found.setdefault(name, value) != value:
            raise ParseError(f"the {name.replace('_', ' ')} is printed twice with different values")
        if name == "gibbs_correction":
            break
    missing = [name for name in _LABELS if name not in found]
    if missing:
        raise ParseError(
            f"the thermochemistry in {output.name} is truncated: no {missing[0].replace('_', ' ')}"
        )
    _finite(found)
    _no_vibrations(output, start, found)
    _check(found)
    return found


@reads("stdout")
@of_final_evaluation
def thermochemistry(output: Output) -> dict[str, float]:
    """Ideal-gas thermochemistry from the final evaluation, at the last temperature printed.

    `temperature` is in K, `pressure` in atm, `mass` in u. All other values are in Eh:
    `electronic_energy`, `zero_point_energy`, `thermal_vibrational_correction`,
    `thermal_rotational_correction`, `thermal_translational_correction`, `inner_energy` U,
    `thermal_enthalpy_correction` kT, `enthalpy` H, `entropy_term` T*S and its parts
    `electronic_entropy_term`, `vibrational_entropy_term`, `rotational_entropy_term`,
    `translational_entropy_term`, `gibbs_free_energy` G = H - T*S, and `gibbs_correction` G - E(el).
    The values belong to the last Hessian in the output and its geometry. If ORCA read the Hessian
    from a file, the electronic energy can belong to another geometry.

    Raises:
        ParseError: the block is missing or incomplete, its sums do not hold, a value is not finite,
            or it includes vibrations for a single atom (as in 4.1).
    """
    return _values(output)


@reads("stdout")
@of_final_evaluation
def zero_point_energy(output: Output) -> float:
    """Zero-point vibrational energy from the final evaluation in Eh."""
    return _values(output)["zero_point_energy"]


@reads("stdout")
@of_final_evaluation
def enthalpy(output: Output) -> float:
    """Enthalpy H from the final evaluation in Eh, including the electronic energy."""
    return _values(output)["enthalpy"]


@reads("stdout")
@of_final_evaluation
def entropy_term(output: Output) -> float:
    """Temperature times entropy, T*S, from the final evaluation in Eh: "Final entropy term"."""
    return _values(output)["entropy_term"]


@reads("stdout")
def entropy(output: Output) -> float:
    """The former name of `entropy_term`: T*S in Eh, unlike xtb's `entropy`."""
    found: float = entropy_term(output)
    return found


@reads("stdout")
@of_final_evaluation
def gibbs_free_energy(output: Output) -> float:
    """Gibbs free energy G = H - T*S from the final evaluation in Eh, with the electronic energy."""
    return _values(output)["gibbs_free_energy"]
