"""Write documents.jsonl: 20 small molecules from bond lengths (Angstrom) and angles (degrees).

The bond lengths and angles are rounded experimental values from textbooks, so the rotational
constants are close to measured ones.
"""

import json
import math
from pathlib import Path

NUMBERS = {"H": 1, "C": 6, "N": 7, "O": 8, "F": 9, "S": 16, "Cl": 17}


def linear(*atoms):
    """A linear molecule, from element symbols with the bond lengths between them."""
    found, z = [], 0.0
    for word in atoms:
        if isinstance(word, str):
            found.append((word, 0.0, 0.0, z))
        else:
            z += word
    return found


def bent(center, end, length, angle):
    """Two bonds of the same length, with `angle` between them."""
    half = math.radians(angle) / 2
    x, z = length * math.sin(half), length * math.cos(half)
    return [(center, 0.0, 0.0, 0.0), (end, x, 0.0, z), (end, -x, 0.0, z)]


def crown(symbol, length, angle, turn=0.0, sign=1.0, z=0.0):
    """Three atoms around the z axis, each `length` from (0, 0, z) and `angle` off the axis."""
    tilt = math.radians(angle)
    places = [math.radians(120 * k + turn) for k in range(3)]
    rho, height = length * math.sin(tilt), z + sign * length * math.cos(tilt)
    return [(symbol, rho * math.cos(a), rho * math.sin(a), height) for a in places]


def pyramid(center, end, length, angle):
    """Three bonds, with `angle` between any two of them."""
    tilt = math.degrees(math.asin(2 / math.sqrt(3) * math.sin(math.radians(angle) / 2)))
    return [(center, 0.0, 0.0, 0.0), *crown(end, length, tilt)]


def methyl(other, length, carbon_hydrogen, angle):
    """CH3-X; `angle` is the angle X-C-H."""
    return [("C", 0.0, 0.0, 0.0), (other, 0.0, 0.0, length), *crown("H", carbon_hydrogen, angle)]


def planar(radius_atoms):
    """A planar molecule, from a (symbol, radius, angle) for each atom."""
    return [
        (symbol, r * math.cos(math.radians(a)), r * math.sin(math.radians(a)), 0.0)
        for symbol, r, a in radius_atoms
    ]


def vinyl(cc, ch, hcc):
    """Ethene; `hcc` is the angle H-C-C."""
    x, z = ch * math.sin(math.radians(hcc)), cc / 2 - ch * math.cos(math.radians(hcc))
    hydrogens = [("H", sx * x, 0.0, sz * z) for sx in (1, -1) for sz in (1, -1)]
    return [("C", 0.0, 0.0, cc / 2), ("C", 0.0, 0.0, -cc / 2), *hydrogens]


def formaldehyde(co, ch, hch):
    """Formaldehyde; `hch` is the angle H-C-H."""
    half = math.radians(hch) / 2
    x, z = ch * math.sin(half), ch * math.cos(half)
    return [("C", 0.0, 0.0, 0.0), ("O", 0.0, 0.0, -co), ("H", x, 0.0, z), ("H", -x, 0.0, z)]


MOLECULES = {
    "hydrogen": linear("H", 0.7414, "H"),
    "nitrogen": linear("N", 1.0977, "N"),
    "carbon-monoxide": linear("C", 1.1283, "O"),
    "hydrogen-fluoride": linear("H", 0.9168, "F"),
    "hydrogen-chloride": linear("H", 1.2746, "Cl"),
    "carbon-dioxide": linear("O", 1.160, "C", 1.160, "O"),
    "nitrous-oxide": linear("N", 1.126, "N", 1.186, "O"),
    "carbonyl-sulfide": linear("O", 1.156, "C", 1.561, "S"),
    "hydrogen-cyanide": linear("H", 1.064, "C", 1.156, "N"),
    "acetylene": linear("H", 1.061, "C", 1.203, "C", 1.061, "H"),
    "water": bent("O", "H", 0.9575, 104.51),
    "hydrogen-sulfide": bent("S", "H", 1.3356, 92.12),
    "sulfur-dioxide": bent("S", "O", 1.4308, 119.33),
    "ammonia": pyramid("N", "H", 1.012, 106.7),
    "methane": [
        ("C", 0.0, 0.0, 0.0),
        ("H", 0.0, 0.0, 1.087),
        *crown("H", 1.087, 109.4712206),
    ],
    "fluoromethane": methyl("F", 1.383, 1.087, 108.8),
    "chloromethane": methyl("Cl", 1.776, 1.085, 108.6),
    "formaldehyde": formaldehyde(1.203, 1.099, 116.5),
    "ethylene": vinyl(1.339, 1.086, 121.2),
    "benzene": planar(
        [("C", 1.395, 60 * k) for k in range(6)] + [("H", 2.479, 60 * k) for k in range(6)]
    ),
}


def main():
    """Write documents.jsonl."""
    lines = []
    for name, atoms in MOLECULES.items():
        document = {
            "_id": name,
            "atomic_numbers": [NUMBERS[atom[0]] for atom in atoms],
            "coordinates": [[round(value, 9) + 0.0 for value in atom[1:]] for atom in atoms],
        }
        lines.append(json.dumps(document))
    Path(__file__).with_name("documents.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
