"""Write documents.jsonl: clusters of 2, 3, 4, 7 and 13 neon, argon, krypton or xenon atoms.

Each cluster is the global minimum of the Lennard-Jones potential for its size (dimer, triangle,
tetrahedron, pentagonal bipyramid, icosahedron). The two largest are relaxed by Newton steps on
their few geometric parameters. The parameters of the potential (epsilon/k in kelvin, sigma in
Angstrom) are rounded from the textbook by Hirschfelder, Curtiss and Bird.
"""

import itertools
import json
import math
from pathlib import Path

GASES = {"Ne": (10, 34.9, 2.78), "Ar": (18, 119.8, 3.405), "Kr": (36, 171.0, 3.6)}
GASES["Xe"] = (54, 221.0, 4.1)
Shape = list[tuple[float, float, float]]


def bipyramid(radius: float, height: float) -> Shape:
    """Seven atoms: a ring of five, with one atom above and one below."""
    angles = [2 * math.pi * k / 5 for k in range(5)]
    ring = [(radius * math.cos(a), radius * math.sin(a), 0.0) for a in angles]
    return [(0.0, 0.0, height), (0.0, 0.0, -height), *ring]


def icosahedron(radius: float) -> Shape:
    """Thirteen atoms: an icosahedron and its center."""
    golden = (1 + math.sqrt(5)) / 2
    scale = radius / math.hypot(1, golden)
    signs = list(itertools.product((-scale, scale), repeat=2))
    corners = [(0.0, a, b * golden) for a, b in signs]
    corners += [(z, x, y) for x, y, z in corners] + [(y, z, x) for x, y, z in corners]
    return [(0.0, 0.0, 0.0), *corners]


def energy(shape: Shape) -> float:
    """The Lennard-Jones energy in units of epsilon, for distances in units of sigma."""
    pairs = (math.dist(a, b) ** -6 for a, b in itertools.combinations(shape, 2))
    return sum(4 * (s6 * s6 - s6) for s6 in pairs)


def relaxed(make, *start: float) -> Shape:
    """The shape from `make` with the lowest energy, by 200 rounds of Newton steps from `start`."""
    values = list(start)
    step = 1e-4
    for _ in range(200):
        for k in range(len(values)):

            def along(shift: float, k: int = k) -> float:
                return energy(make(*(v + shift * (n == k) for n, v in enumerate(values))))

            below, here, above = along(-step), along(0.0), along(step)
            values[k] -= step * (above - below) / 2 / (above - 2 * here + below)
    return make(*values)


R = 2 ** (1 / 6)
SHAPES = {
    2: [(0.0, 0.0, 0.0), (0.0, 0.0, R)],
    3: [(0.0, 0.0, 0.0), (R, 0.0, 0.0), (R / 2, R * math.sqrt(3) / 2, 0.0)],
    4: [(s * R / math.sqrt(8), t * R / math.sqrt(8), s * t * R / math.sqrt(8))
        for s in (-1, 1) for t in (-1, 1)],
    7: relaxed(bipyramid, 0.95, 0.55),
    13: relaxed(icosahedron, 1.08),
}  # fmt: skip


def main() -> None:
    """Write documents.jsonl."""
    lines = []
    for (gas, (number, epsilon, sigma)), size in itertools.product(GASES.items(), SHAPES):
        places = [[round(sigma * value, 9) + 0.0 for value in row] for row in SHAPES[size]]
        document = {
            "_id": f"{gas}{size}",
            "atomic_numbers": [number] * size,
            "coordinates": places,
            "lennard_jones": {"epsilon": epsilon, "sigma": sigma},
        }
        lines.append(json.dumps(document))
    Path(__file__).with_name("documents.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
