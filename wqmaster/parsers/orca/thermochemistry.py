"""Thermochemistry: the last block "THERMOCHEMISTRY AT 298.15K" (alike in 2.6 to 6.1)."""

import math
from itertools import islice

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.orca.final_values import of_final_evaluation
from wqmaster.parsers.orca.shape import natoms
from wqmaster.parsers.orca.text import last_beginning, lines, number

_BLOCK = "THERMOCHEMISTRY AT "
# Name of the value -> the beginnings that its line may have.
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
# The units by which a line of a value is told from a sentence that begins alike.
_UNITS = {"temperature": "K", "pressure": "atm", "mass": "AMU"}
# Far more than the block has: it has a line for each vibration.
_MOST_LINES = 50_000
# Eight decimals are printed; a sum of several may be off by some of the last one.
_ROUNDING = 6e-8
# What each value must be the sum of.
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
    """Name and value of a line `label ... value unit`, None if it is none."""
    if line[:3] not in _BEGINNINGS:
        return None
    for label, name in _NAMES.items():
        if line.startswith(label):
            words = line[len(label) :].replace("...", " ", 1).split()
            if len(words) >= 2 and words[1] == _UNITS.get(name, "Eh"):
                return name, number(words[0])
    return None


def _finite(found: dict[str, float]) -> None:
    """Refuse what ORCA 4.1 prints for an atom.

    It takes the three motions of an atom for vibrations of 0 cm^-1: neither the entropy, which is
    -inf, nor the enthalpy, which holds their thermal energy, is that of an atom.
    """
    for name, value in found.items():
        if not math.isfinite(value):
            raise ParseError(
                f"the {name.replace('_', ' ')} is {value}: ORCA counted vibrations of 0 cm**-1, "
                "so that none of the thermochemistry can be used"
            )


def _no_vibrations(output: Output, start: int, found: dict[str, float]) -> None:
    """An atom has no vibrations, whatever ORCA printed for it."""
    names = ("zero_point_energy", "thermal_vibrational_correction", "vibrational_entropy_term")
    if natoms(output.text, start) == 1 and any(abs(found[name]) > _ROUNDING for name in names):
        raise ParseError("the thermochemistry holds vibrations, which an atom does not have")


def _check(found: dict[str, float]) -> None:
    for name, parts in _SUMS.items():
        if abs(found[name] - sum(found[part] for part in parts)) > _ROUNDING:
            raise ParseError(f"the {name.replace('_', ' ')} is not the sum of its parts")
    for name, expected in (
        ("gibbs_free_energy", found["enthalpy"] - found["entropy_term"]),
        ("gibbs_correction", found["gibbs_free_energy"] - found["electronic_energy"]),
    ):
        if abs(found[name] - expected) > _ROUNDING:
            raise ParseError(f"the {name.replace('_', ' ')} is at odds with the other values")


def _values(output: Output) -> dict[str, float]:
    text = output.text
    start = last_beginning(text, _BLOCK)
    if start < 0:
        raise output.missing(f"'{_BLOCK.strip()}'")
    found: dict[str, float] = {}
    for line in islice(lines(text, start), _MOST_LINES):
        entry = _value(line)
        if entry is None:
            continue
        name, value = entry
        # The inner energy is printed again above the enthalpy by some versions.
        if found.setdefault(name, value) != value:
            raise ParseError(f"the {name.replace('_', ' ')} is printed twice, and differs")
        if name == "gibbs_correction":
            break
    missing = [name for name in _LABELS if name not in found]
    if missing:
        raise ParseError(
            f"the thermochemistry in {output.name} is cut short: no {missing[0].replace('_', ' ')}"
        )
    _finite(found)
    _no_vibrations(output, start, found)
    _check(found)
    return found


@reads("stdout")
@of_final_evaluation
def thermochemistry(output: Output) -> dict[str, float]:
    """Thermochemistry of the ideal gas in the final evaluation, at the last temperature if several.

    `temperature` in K, `pressure` in atm, `mass` in u; all others in Eh: `electronic_energy`,
    `zero_point_energy`, `thermal_vibrational_correction`, `thermal_rotational_correction`,
    `thermal_translational_correction`, `inner_energy` U, `thermal_enthalpy_correction` kT,
    `enthalpy` H, `entropy_term` T*S and its parts `electronic_entropy_term`,
    `vibrational_entropy_term`, `rotational_entropy_term`, `translational_entropy_term`,
    `gibbs_free_energy` G = H - T*S, and `gibbs_correction` G - E(el). It is of the last Hessian in
    the output and of its geometry; with a Hessian that was read in, the electronic energy may be
    of another one.

    Raises:
        ParseError: there is no such block, it is not whole, its sums do not hold, a part of it is
            not finite, or it counts vibrations of an atom (4.1 does).
    """
    return _values(output)


@reads("stdout")
@of_final_evaluation
def zero_point_energy(output: Output) -> float:
    """Zero-point vibrational energy of the final evaluation in Eh."""
    return _values(output)["zero_point_energy"]


@reads("stdout")
@of_final_evaluation
def enthalpy(output: Output) -> float:
    """Enthalpy H of the final evaluation in Eh, with the electronic energy."""
    return _values(output)["enthalpy"]


@reads("stdout")
@of_final_evaluation
def entropy_term(output: Output) -> float:
    """Entropy times temperature, T*S, of the final evaluation in Eh: "Final entropy term"."""
    return _values(output)["entropy_term"]


@reads("stdout")
def entropy(output: Output) -> float:
    """The former name of `entropy_term`: T*S in Eh, unlike the `entropy` of xtb."""
    found: float = entropy_term(output)
    return found


@reads("stdout")
@of_final_evaluation
def gibbs_free_energy(output: Output) -> float:
    """Gibbs free energy G = H - T*S of the final evaluation in Eh, with the electronic energy."""
    return _values(output)["gibbs_free_energy"]
