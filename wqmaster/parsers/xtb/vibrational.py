"""The hessian, frequencies and thermochemistry.

`--hess` writes `hessian` and `vibspectrum` in Turbomole's format. xtb takes the hessian at the
geometry it is given; where that is not stationary, frequencies are those of a quadratic surface
there: `stationary` tells.
"""

import math
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.xtb.evaluation import is_biased, of_one_geometry
from wqmaster.parsers.xtb.text import (
    after,
    boxed,
    last_line,
    numbers,
    real,
    results,
    setup,
    stdout,
    whole,
)

# xtb shows a mode below this as a translation or rotation (xtb, src/freq/io.f90: thr), in 1/cm.
_ZERO_WAVENUMBERS = 0.01


@reads("hessian")
def hessian(output: Output) -> list[list[float]]:
    """Second derivatives of the energy in Eh/Bohr^2, shape (3n, 3n), not weighted by masses.

    At the geometry that xtb was given; after `--ohess` and `--bhess` at that of xtbopt.xyz, of
    `--bhess` with the bias.
    """
    heading, _, body = output.file("hessian").partition("\n")
    if heading.split() != ["$hessian"]:
        raise ParseError("the file hessian does not begin with $hessian")
    if not body.endswith("\n") or body.count("$") > 1:
        raise ParseError("the file hessian is cut short")
    lines = [line.split() for line in body.replace("$end", "").splitlines()]
    values = [real(word, "an entry of the hessian") for words in lines for word in words]
    size = math.isqrt(len(values))
    if not size or size * size != len(values) or size % 3:
        raise ParseError(f"the hessian has {len(values)} entries, no square of 3n")
    # Five entries a line, each row on new ones: what is left of a cut file may be a square too.
    row = [5] * (size // 5) + [size % 5] * (size % 5 > 0)
    if [len(words) for words in lines if words] != row * size:
        raise ParseError("the hessian is cut short, or its lines are broken")
    return [values[start : start + size] for start in range(0, size * size, size)]


def _spectrum(output: Output) -> list[tuple[float, float]]:
    """(wave number in 1/cm, IR intensity in km/mol) of all 3n modes of vibspectrum."""
    found: list[tuple[float, float]] = []
    lines = output.file("vibspectrum").splitlines()
    if not lines or lines[0].split() != ["$vibrational", "spectrum"]:
        raise ParseError("vibspectrum does not begin with $vibrational spectrum")
    for line in lines[1:]:
        words = line.split()
        if words[:1] == ["$end"]:
            return found
        if line.lstrip().startswith("#"):
            continue
        if len(words) > 1 and words[1].isalpha() and words[1].lower() != "nan":
            del words[1]  # the symmetry
        if len(words) < 3 or words[0] != str(len(found) + 1):
            raise ParseError("vibspectrum has a gap or is cut short")
        found.append((real(words[1], "a wave number"), real(words[2], "an IR intensity")))
    raise ParseError("vibspectrum has no end")


def _modes(output: Output) -> list[tuple[float, float]]:
    """(wave number in 1/cm, IR intensity in km/mol) of the vibrations, translations left out."""
    if output.has("xtbout.json"):
        values = results(output)
        waves = numbers(values, "vibrational frequencies / rcm", "the list of frequencies")
        strong = numbers(values, "IR intensities / km/mol", "the list of IR intensities")
        if len(waves) != len(strong):
            raise ParseError("xtbout.json has another number of frequencies than of intensities")
        found = list(zip(waves, strong, strict=True))
    else:
        found = _spectrum(output)
    if len(found) < 3 or len(found) % 3:
        raise ParseError(f"{len(found)} modes are not three an atom")
    if len(found) == 3:  # of an atom; xtb prints 1.00 for each
        return []
    vibrations = [mode for mode in found if not abs(mode[0]) < _ZERO_WAVENUMBERS]
    if len(vibrations) > len(found) - 5:
        raise ParseError(f"{len(vibrations)} of {len(found)} modes are said to be vibrations")
    return vibrations


@reads("vibspectrum", "xtbout.json")
def frequencies(output: Output) -> list[float]:
    """Harmonic frequencies in 1/cm, lowest first; an imaginary one is negative. None of an atom.

    They are of the geometry of `hessian`. Translations and rotations are left out. They are not
    scaled; GFN-FF's thermochemistry scales its own by 1.03.
    """
    return [wave for wave, _ in _modes(output)]


@reads("vibspectrum", "xtbout.json")
def ir_intensities(output: Output) -> list[float]:
    """IR intensities in km/mol, in the order of `frequencies`."""
    return [intensity for _, intensity in _modes(output)]


@reads("vibspectrum", "xtbout.json")
def imaginary_frequencies(output: Output) -> list[float]:
    """The imaginary ones of `frequencies`, in 1/cm and negative."""
    return [wave for wave, _ in _modes(output) if wave < 0]


@reads("stdout")
def stationary(output: Output) -> bool:
    """Whether the hessian was taken where the gradient is small enough for xtb.

    False where it says "INCOMPLETELY OPTIMIZED GEOMETRY" (root mean square of the gradient above
    1e-3 Eh/Bohr): its frequencies and thermochemistry are not those of a minimum or saddle point.
    """
    rest = last_line(stdout(output), "RMS gradient ")
    if rest is None:
        raise ParseError("the block 'Numerical Hessian' is missing from stdout")
    return "INCOMPLETELY OPTIMIZED" not in rest


def _thermal(text: str, label: str) -> float:
    value = boxed(text, label)
    if value is None:
        raise ParseError(f"the block {label!r} is missing from stdout")
    return value


@reads("stdout")
def zero_point_energy(output: Output) -> float:
    """Vibrational energy at 0 K in Eh, without the electronic energy; of the last hessian."""
    return _thermal(stdout(output), "zero point energy")


@reads("stdout")
def enthalpy(output: Output) -> float:
    """Electronic energy and thermal enthalpy in Eh.

    At the temperature of `thermochemistry` and the geometry of `hessian`; refused for `--bhess`,
    whose energy holds the bias.
    """
    of_one_geometry(output, "the enthalpy")
    return _thermal(stdout(output), "TOTAL ENTHALPY")


@reads("stdout")
def gibbs_free_energy(output: Output) -> float:
    """Electronic energy and thermal free energy (modified RRHO) in Eh; as `enthalpy`."""
    of_one_geometry(output, "the free energy")
    return _thermal(stdout(output), "TOTAL FREE ENERGY")


@reads("stdout")
def entropy(output: Output) -> float:
    """Entropy in Eh/K, (enthalpy - free energy) / temperature; of the last hessian."""
    return _entropy(stdout(output))


@reads("stdout")
def entropy_term(output: Output) -> float:
    """Entropy times temperature, T*S, in Eh: enthalpy less free energy; of the last hessian."""
    return _entropy_term(stdout(output))


def _entropy_term(text: str) -> float:
    return _thermal(text, "TOTAL ENTHALPY") - _thermal(text, "TOTAL FREE ENERGY")


def _entropy(text: str) -> float:
    return _entropy_term(text) / thermal_temperature(text)


def thermal_temperature(text: str) -> float:
    """The temperature (K) of the last line of the table of thermal functions, that of the box."""
    found = None
    lines = after(text, "T/K    H(0)-H(T)+PV")
    next(lines, None)
    for line in lines:
        words = line.split()
        if len(words) < 5:
            break
        found = real(words[0], "the temperature")
    if found is None or not found > 0:
        raise ParseError("the table of thermal functions of stdout is cut short")
    return found


@reads("stdout")
def thermochemistry(output: Output) -> dict[str, Any]:
    """Thermal functions of the modified RRHO approximation, in Eh, Eh/K, K, 1/cm.

    Keys: temperature, zero_point_energy, enthalpy, gibbs_free_energy, entropy, gibbs_correction
    (free energy without the electronic energy), frequencies (how many were used), imaginary
    (how many were imaginary and kept so), symmetry, rotational_number, scaling_factor. It is of the
    last hessian and its geometry. Of `--bhess`, whose energy holds the bias, enthalpy and
    gibbs_free_energy are None.
    """
    text = stdout(output)
    biased = is_biased(output)
    labels = ("# frequencies", "# imaginary freq.", "symmetry", "rotational number")
    stated = [setup(text, label) for label in (*labels, "scaling factor")]
    words = [word for word in stated if word]
    if not words:
        raise ParseError("the block 'Thermodynamic Functions' is missing from stdout")
    if len(words) != len(stated):
        raise ParseError("the block 'Thermodynamic Functions' of stdout is cut short")
    return {
        "temperature": thermal_temperature(text),
        "zero_point_energy": _thermal(text, "zero point energy"),
        "enthalpy": None if biased else _thermal(text, "TOTAL ENTHALPY"),
        "gibbs_free_energy": None if biased else _thermal(text, "TOTAL FREE ENERGY"),
        "entropy": _entropy(text),
        "gibbs_correction": _thermal(text, "G(RRHO) contrib."),
        "frequencies": whole(words[0], "the number of frequencies"),
        "imaginary": whole(words[1], "the number of imaginary frequencies"),
        "symmetry": words[2],
        "rotational_number": whole(words[3], "the rotational number"),
        "scaling_factor": real(words[4], "the scaling factor"),
    }
