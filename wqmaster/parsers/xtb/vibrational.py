"""The Hessian, frequencies and thermochemistry.

xtb writes `hessian` and `vibspectrum` in Turbomole's format with `--hess`. It computes the Hessian
at the geometry that it is given. If that geometry is not a stationary point (see the parser
`stationary`), the frequencies are not those of a minimum or saddle point.
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

# The wavenumber (1/cm) below which xtb prints a mode as a translation or rotation
# (xtb, src/freq/io.f90: thr).
_ZERO_WAVENUMBERS = 0.01
# The keys of xtbout.json.
_WAVES, _INTENSITIES = "vibrational frequencies / rcm", "IR intensities / km/mol"


@reads("hessian")
def hessian(output: Output) -> list[list[float]]:
    """Second derivatives of the energy in Eh/Bohr^2, shape (3n, 3n), not mass-weighted.

    They belong to the geometry that xtb was given, or to xtbopt.xyz after `--ohess` and `--bhess`.
    With `--bhess` they include the bias.
    """
    heading, _, body = output.file("hessian").partition("\n")
    if heading.split() != ["$hessian"]:
        raise ParseError("the file hessian does not begin with $hessian")
    if not body.endswith("\n") or body.count("$") > 1:
        raise ParseError("the file hessian is truncated")
    lines = [line.split() for line in body.replace("$end", "").splitlines()]
    values = [real(word, "an entry of the hessian") for words in lines for word in words]
    size = math.isqrt(len(values))
    if not size or size * size != len(values) or size % 3:
        raise ParseError(
            f"the number of entries of the Hessian, {len(values)}, is not the square of 3n"
        )
    # A file that is truncated can still have a square number of entries, so the lines are checked
    # as well: each row of the matrix begins a new line and has five entries per line.
    row = [5] * (size // 5) + [size % 5] * (size % 5 > 0)
    if [len(words) for words in lines if words] != row * size:
        raise ParseError("the Hessian is truncated, or its lines are broken")
    return [values[start : start + size] for start in range(0, size * size, size)]


def _spectrum(output: Output) -> list[tuple[float, float]]:
    """Wavenumber (1/cm) and IR intensity (km/mol) of each of the 3n modes in vibspectrum."""
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
            del words[1]  # the symmetry of the mode
        if len(words) < 3 or words[0] != str(len(found) + 1):
            raise ParseError("vibspectrum has a gap or is truncated")
        found.append((real(words[1], "a wave number"), real(words[2], "an IR intensity")))
    raise ParseError("vibspectrum has no $end")


def _modes(output: Output) -> list[tuple[float, float]]:
    """Wavenumber (1/cm) and IR intensity (km/mol) of each vibration.

    Translations and rotations are left out.
    """
    values = results(output) if output.has("xtbout.json") else {}
    # xtb 6.6 and older use other keys in xtbout.json (src/main/json.f90), but write vibspectrum.
    if not output.has("vibspectrum") or (_WAVES in values and _INTENSITIES in values):
        waves = numbers(values, _WAVES, "the list of frequencies")
        strong = numbers(values, _INTENSITIES, "the list of IR intensities")
        if len(waves) != len(strong):
            raise ParseError("xtbout.json has different numbers of frequencies and intensities")
        found = list(zip(waves, strong, strict=True))
    else:
        found = _spectrum(output)
    if len(found) < 3 or len(found) % 3:
        raise ParseError(f"the number of modes, {len(found)}, is not three per atom")
    if len(found) == 3:  # for a single atom, xtb prints 1.00 for each mode
        return []
    vibrations = [mode for mode in found if not abs(mode[0]) < _ZERO_WAVENUMBERS]
    if len(vibrations) > len(found) - 5:
        raise ParseError(f"too many of the {len(found)} modes are vibrations: {len(vibrations)}")
    return vibrations


@reads("vibspectrum", "xtbout.json")
def frequencies(output: Output) -> list[float]:
    """Harmonic frequencies in 1/cm, lowest first; imaginary ones are negative. Empty for an atom.

    They belong to the geometry of `hessian`, exclude translations and rotations, and are not
    scaled. For its thermochemistry with GFN-FF, xtb scales the frequencies by 1.03.
    """
    return [wave for wave, _ in _modes(output)]


@reads("vibspectrum", "xtbout.json")
def ir_intensities(output: Output) -> list[float]:
    """IR intensities in km/mol, in the order of `frequencies`."""
    return [intensity for _, intensity in _modes(output)]


@reads("vibspectrum", "xtbout.json")
def imaginary_frequencies(output: Output) -> list[float]:
    """The imaginary `frequencies`, as negative numbers in 1/cm."""
    return [wave for wave, _ in _modes(output) if wave < 0]


@reads("stdout")
def stationary(output: Output) -> bool:
    """Whether xtb considers the geometry of the Hessian a stationary point.

    False if xtb prints "INCOMPLETELY OPTIMIZED GEOMETRY" (root mean square of the gradient above
    1e-3 Eh/Bohr). Frequencies and thermochemistry are then not those of a minimum or saddle point.
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
    """Vibrational energy at 0 K in Eh, without the electronic energy, from the last Hessian."""
    return _thermal(stdout(output), "zero point energy")


@reads("stdout")
def enthalpy(output: Output) -> float:
    """Electronic energy plus thermal enthalpy in Eh, at the temperature of `thermochemistry`.

    It belongs to the geometry of `hessian`.

    Raises:
        ParseError: it is missing, or the run is `--bhess`, whose energy includes the bias.
    """
    of_one_geometry(output, "the enthalpy")
    return _thermal(stdout(output), "TOTAL ENTHALPY")


@reads("stdout")
def gibbs_free_energy(output: Output) -> float:
    """Electronic energy plus thermal free energy (modified RRHO) in Eh.

    Temperature, geometry and errors are those of `enthalpy`.
    """
    of_one_geometry(output, "the free energy")
    return _thermal(stdout(output), "TOTAL FREE ENERGY")


@reads("stdout")
def entropy(output: Output) -> float:
    """Entropy in Eh/K from the last Hessian: (enthalpy - free energy) / temperature."""
    return _entropy(stdout(output))


@reads("stdout")
def entropy_term(output: Output) -> float:
    """Temperature times entropy, T*S, in Eh from the last Hessian: enthalpy minus free energy."""
    return _entropy_term(stdout(output))


def _entropy_term(text: str) -> float:
    return _thermal(text, "TOTAL ENTHALPY") - _thermal(text, "TOTAL FREE ENERGY")


def _entropy(text: str) -> float:
    return _entropy_term(text) / thermal_temperature(text)


def thermal_temperature(text: str) -> float:
    """The temperature (K) in the last line of the table of thermal functions.

    The values in the box at the end belong to this temperature.
    """
    found = None
    lines = after(text, "T/K    H(0)-H(T)+PV")
    next(lines, None)
    for line in lines:
        words = line.split()
        if len(words) < 5:
            break
        found = real(words[0], "the temperature")
    if found is None or not found > 0:
        raise ParseError("the table of thermal functions in stdout is truncated")
    return found


@reads("stdout")
def thermochemistry(output: Output) -> dict[str, Any]:
    """Thermal functions in the modified RRHO approximation: energies in Eh, entropy in Eh/K.

    Keys: temperature (K), zero_point_energy, enthalpy, gibbs_free_energy, entropy, gibbs_correction
    (free energy without the electronic energy), frequencies (how many were used), imaginary (how
    many were kept as imaginary), symmetry (point group), rotational_number, scaling_factor. The
    values belong to the last Hessian and its geometry. For `--bhess`, whose energy includes the
    bias, enthalpy and gibbs_free_energy are None.
    """
    text = stdout(output)
    biased = is_biased(output)
    labels = ("# frequencies", "# imaginary freq.", "symmetry", "rotational number")
    stated = [setup(text, label) for label in (*labels, "scaling factor")]
    words = [word for word in stated if word]
    if not words:
        raise ParseError("the block 'Thermodynamic Functions' is missing from stdout")
    if len(words) != len(stated):
        raise ParseError("the block 'Thermodynamic Functions' in stdout is truncated")
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
