"""The lines in ORCA's absorption spectra (electric dipole, length form), versions 2.6 to 6.1.

Real outputs (cclib, pysisyphus) have three line formats:

- `1  43167.6  231.7  0.0056 ...` (up to 5.0): state, cm^-1, nm, oscillator strength. ROCIS omits
  states whose multiplicity differs from the ground state's, although its table "Excitation
  energies" lists them, so the numbers have gaps.
- `0( 1)-> 1( 1) 1  37192.8  268.9  4e-09 ...` (CASSCF and NEVPT2 up to 5.0): root (block) -> root
  (block), multiplicity, cm^-1, nm, oscillator strength.
- `0-1A -> 1-3Bu  3.129277  25239.3  396.2  0.0 ...` (since 6.0): states with their multiplicities,
  eV, cm^-1, nm, oscillator strength, sorted by energy.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output
from wqmaster.parsers.orca.text import last, lines, number, numbers

# 1 Eh in cm^-1 (CODATA 2018).
WAVENUMBERS_PER_EH = 219474.63136320
# 1 Eh in eV, with ORCA 6's value (derived from energies in Eh and eV in a property.json of 6.1).
_EV_PER_EH = 27.2113834
_TRANSITION = re.compile(r" *(\d+)-(\d+)\S* +-> +(\d+)-(\d+)\S*")
_OF_ROOTS = re.compile(r" *(\d{1,6})\( *(\d{1,6})\) *-> *(\d{1,6})\( *(\d{1,6})\) +(\d{1,3})(?= )")
_FORBIDDEN = re.compile(r"spin forbidden(?: \(mult=(\d+)\))?")
_SPECTRUM = "ABSORPTION SPECTRUM VIA TRANSITION ELECTRIC DIPOLE MOMENTS"
# ORCA 2.6, CASSCF and NEVPT2 print only one spectrum, under this heading.
_OLD_SPECTRUM = "ABSORPTION SPECTRUM"
# A column heading between the two dashed lines above the rows.
_COLUMN = "Wavelength"
_MAX_LINES_ABOVE_ROWS = 10
# ROCIS lists roots of all multiplicities above its spectra.
_ROCIS_SPECTRA = "ROCIS-EXCITATION SPECTRA"
_ROCIS_ROOTS = "Excitation energies"
_MAX_ROOTS = 100_000


@dataclass(frozen=True)
class Line:
    """One line in a spectrum."""

    wavenumber: float  # cm^-1
    wavelength: float  # nm
    strength: float
    multiplicity: int | None
    energy: float  # Eh, from the column with the most digits
    origin: tuple[int, int]  # root and block of the initial state
    state: int | None = None  # ORCA's number, if there is one


def _numbered(words: list[str], expected: int, roots: Mapping[int, int] | None) -> Line:
    """Parse a line `state cm-1 nm fosc ...`, or `state cm-1 nm spin forbidden (mult=3)`."""
    forbidden = _FORBIDDEN.match(" ".join(words[3:]))
    if len(words) < 4 or (not forbidden and words[0] != str(expected)):
        raise ParseError(f"state {expected} is missing from the spectrum")
    wavenumber = number(words[1])
    multiplicity = roots[expected] if roots else None
    return Line(
        wavenumber=wavenumber,
        wavelength=number(words[2]),
        strength=0.0 if forbidden else number(words[3]),
        multiplicity=int(forbidden[1]) if forbidden and forbidden[1] else multiplicity,
        energy=wavenumber / WAVENUMBERS_PER_EH,
        origin=(0, 0),
        state=expected,
    )


def _labeled(line: str, match: re.Match[str]) -> Line:
    """Parse a line `0-1A -> 1-3Bu eV cm-1 nm fosc ...`."""
    words = line[match.end() :].split()
    if len(words) < 4:
        raise ParseError(f"the line {line.strip()[:40]!r} in the spectrum is truncated")
    volts, wavenumber, wavelength, strength = numbers(words[:4])
    return Line(
        wavenumber=wavenumber,
        wavelength=wavelength,
        strength=strength,
        multiplicity=int(match[4]) if len(match[4]) < 4 else None,
        energy=volts / _EV_PER_EH,
        origin=(int(match[1]) if len(match[1]) < 7 else -1, 0),
    )


def _of_roots(line: str, match: re.Match[str]) -> Line:
    """Parse a CASSCF line `0( 1)-> 1( 1) 1 cm-1 nm fosc ...`."""
    words = line[match.end() :].split()
    if len(words) < 3:
        raise ParseError(f"the line {line.strip()[:40]!r} in the spectrum is truncated")
    wavenumber, wavelength, strength = numbers(words[:3])
    return Line(
        wavenumber=wavenumber,
        wavelength=wavelength,
        strength=strength,
        multiplicity=int(match[5]),
        energy=wavenumber / WAVENUMBERS_PER_EH,
        origin=(int(match[1]), int(match[2])),
    )


def _roots(text: str, position: int) -> Mapping[int, int] | None:
    """The multiplicity of each root in the ROCIS calculation whose spectrum is at `position`.

    None if the spectrum does not come from ROCIS or the table of roots is missing.
    """
    spectra = last(text, _ROCIS_SPECTRA, 0, position)
    table = last(text, _ROCIS_ROOTS, 0, max(spectra, 0))
    if table < 0:
        return None
    found: dict[int, int] = {}
    for line in islice(lines(text, table), _MAX_ROOTS):
        words = line.split()
        if len(words) == 5 and words[0] == str(len(found)) and words[1].isdecimal():
            found[len(found)] = int(words[1][:3])
        elif found or (words and words[0] != "ROOT" and not words[0].startswith("-")):
            break
    return found or None


def _numbers_of_states(roots: Mapping[int, int] | None) -> Iterator[int]:
    """The state numbers that a numbered spectrum must have, in order."""
    if roots is None:
        yield from range(1, _MAX_ROOTS)
    else:
        yield from (root for root in roots if root and roots[root] == roots[0])


def _rows(output: Output, position: int) -> Iterator[str]:
    """The lines in the spectrum whose heading is at `position`, up to its end."""
    rulers = 0
    named = False
    for count, line in enumerate(lines(output.text, position)):
        if line.strip().startswith("---"):
            rulers += 1
            if rulers > 2:
                return
        elif rulers < 2:
            named = named or _COLUMN in line
        elif not line.strip():
            return
        else:
            yield line
        if (rulers < 2 and count > _MAX_LINES_ABOVE_ROWS) or (rulers == 2 and not named):
            raise output.missing(f"'{_SPECTRUM}'")
    raise ParseError(f"the absorption spectrum in {output.name} is truncated")


def absorption_spectrum(output: Output, start: int) -> list[Line]:
    """The lines in the last absorption spectrum after `start`, which must be the ground state's.

    Raises:
        ParseError: there is no spectrum, it belongs to another initial state, or it is incomplete.
    """
    text = output.text
    position = last(text, _SPECTRUM, start)
    if position < 0:
        position = last(text, _OLD_SPECTRUM, start)
    if position < 0:
        raise output.missing(f"'{_SPECTRUM}'")
    found: list[Line] = []
    roots = _roots(text, position)
    states = _numbers_of_states(roots)
    for line in _rows(output, position):
        words = line.split()
        if match := _TRANSITION.match(line):
            found.append(_labeled(line, match))
        elif match := _OF_ROOTS.match(line):
            found.append(_of_roots(line, match))
        elif words[0].isdigit():
            found.append(_numbered(words, next(states, -1), roots))
        else:
            break
    numbered = bool(found) and found[0].state is not None
    if numbered and roots is not None and next(states, None) is not None:
        raise ParseError("the absorption spectrum has fewer states than ROCIS has roots")
    if not found or any(line.origin[0] or line.origin != found[0].origin for line in found):
        raise ParseError("the last absorption spectrum does not start from the ground state")
    return found
