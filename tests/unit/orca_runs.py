"""Complete outputs in ORCA's layout for H2 along z, assembled from parts."""

import math

from tests.unit.orca_outputs import BANNER, END

# H-H distances in Angstrom. `energy` (Eh) and `slope` (Eh/Bohr) invent values for them.
DISTANCES = (0.80, 0.76, 0.745)


def energy(distance: float) -> float:
    """An invented energy of H2, in Eh, with the 12 decimals that ORCA prints."""
    return round(-1.17 + 0.35 * (distance - 0.74) ** 2, 12)


def slope(distance: float) -> float:
    """An invented gradient of the second atom along z, in Eh/Bohr, with 9 decimals."""
    return round(0.37 * (distance - 0.74), 9)


def coordinates(distance: float, *more: str) -> str:
    """The geometry as ORCA prints it, in Angstrom; `more` are rows for other centers."""
    rows = [
        "  H       0.000000    0.000000    0.000000",
        f"  H       0.000000    0.000000 {distance:11.6f}",
    ]
    heading = "CARTESIAN COORDINATES (ANGSTROEM)"
    rule = "-" * len(heading)
    return "\n".join([rule, heading, rule, *rows, *more, "", ""])


def settings(charge: int = 0, multiplicity: int = 1) -> str:
    return (
        f" Total Charge           Charge          .... {charge:4d}\n"
        f" Multiplicity           Mult            .... {multiplicity:4d}\n"
    )


def scf(value: float, said: str = "SCF CONVERGED AFTER") -> str:
    return (
        f"               *           {said}  10 CYCLES          *\n\n"
        f"Total Energy       :      {value:16.8f} Eh              -31.83 eV\n"
    )


def charges(first: float) -> str:
    return (
        "\nMULLIKEN ATOMIC CHARGES\n-----------------------\n"
        f"   0 H : {first:12.6f}\n   1 H : {-first:12.6f}\n"
        "Sum of atomic charges:    0.0000000\n\n"
    )


def final(value: float, behind: str = "", label: str = "") -> str:
    return f"\nFINAL SINGLE POINT ENERGY {label}   {value:18.12f}{behind}\n\n"


def gradient(along: float, heading: str = "CARTESIAN GRADIENT") -> str:
    return (
        f"------------------\n{heading}\n------------------\n\n"
        f"   1   H   :    0.000000000    0.000000000 {-along:14.9f}\n"
        f"   2   H   :    0.000000000    0.000000000 {along:14.9f}\n\n"
        f"Norm of the cartesian gradient     ... {math.sqrt(2) * abs(along):14.9f}\n\n"
    )


def dipole(z: float) -> str:
    return f"Total Dipole Moment    :      0.00000       0.00000 {z:12.5f}\n\n"


def frequencies(value: float) -> str:
    rows = [0.0] * 5 + [value]
    return (
        "-----------------------\nVIBRATIONAL FREQUENCIES\n-----------------------\n\n"
        + "".join(f"{place:4d}: {number:15.2f} cm**-1\n" for place, number in enumerate(rows))
        + "\n"
    )


def box(words: str) -> str:
    return f"         *****************\n         *   {words}   *\n         *****************\n"


def cycle(number: int, distance: float, *more: str) -> str:
    """An optimization cycle; `more` is printed before the energy."""
    return (
        box(f"GEOMETRY OPTIMIZATION CYCLE {number:3d}")
        + coordinates(distance)
        + scf(energy(distance))
        + "".join(more)
        + final(energy(distance))
        + gradient(slope(distance))
    )


STATIONARY = (
    "             ***        THE OPTIMIZATION HAS CONVERGED     ***\n"
    "             *** FINAL ENERGY EVALUATION AT THE STATIONARY POINT ***\n"
)


def stationary(distance: float, printed: bool = True) -> str:
    """The evaluation after an optimization, with its geometry or, as for NEB-TS, without it."""
    return (
        STATIONARY
        + (coordinates(distance) if printed else "")
        + settings()
        + scf(energy(distance))
        + charges(0.001)
        + final(energy(distance))
        + dipole(0.0)
    )


def optimization(*distances: float, end: float | None = 0.741) -> str:
    """Cycles at `distances`, then the evaluation at `end` (None: it did not converge)."""
    first, *rest = distances
    text = cycle(1, first, settings(), charges(0.05))
    text += "".join(cycle(count, distance) for count, distance in enumerate(rest, start=2))
    return text + (stationary(end) if end is not None else "")


def single_point(distance: float, *more: str, charge: int = 0, multiplicity: int = 1) -> str:
    """A single point; `more` is printed after the energy."""
    return (
        coordinates(distance)
        + settings(charge, multiplicity)
        + scf(energy(distance))
        + charges(0.002)
        + final(energy(distance))
        + "".join(more)
    )


def run(*parts: str) -> str:
    """A complete output with these parts."""
    return BANNER + "\n" + "".join(parts) + END + "\n"


def jobs(*parts: str) -> str:
    """A complete output with several jobs."""
    numbered = (
        f"\n    $$$$$$$$$$$$$$$$  JOB NUMBER  {count} $$$$$$$$$$$$$$\n\n{part}"
        for count, part in enumerate(parts, start=1)
    )
    return run(*numbered)
