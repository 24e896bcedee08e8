"""The function of this campaign. It runs on workers, with any Python 3, without NumPy."""

# ruff: noqa: B905  # zip(strict=...) is newer than the Python of some workers
import json
import math
from pathlib import Path

# Sent along by `modules: [masses.json]`: on a worker, too, it is next to this module.
MASSES = json.loads(Path(__file__).with_name("masses.json").read_text())
# h / (8 pi^2) in GHz u Angstrom^2 (CODATA 2018).
GHZ = 6.62607015e-34 / (8 * math.pi**2 * 1.66053906660e-27 * 1e-20) / 1e9


def eigenvalues(matrix):
    """Eigenvalues of a symmetric 3x3 matrix in ascending order (Jacobi rotations)."""
    a = [list(row) for row in matrix]
    for _ in range(50):
        p, q = max(((0, 1), (0, 2), (1, 2)), key=lambda pair: abs(a[pair[0]][pair[1]]))
        if abs(a[p][q]) < 1e-15 * (abs(a[0][0]) + abs(a[1][1]) + abs(a[2][2])):
            break
        theta = (a[q][q] - a[p][p]) / (2 * a[p][q])
        t = math.copysign(1.0, theta) / (abs(theta) + math.sqrt(theta * theta + 1))
        c = 1 / math.sqrt(t * t + 1)
        s = t * c
        for k in range(3):
            a[k][p], a[k][q] = c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]
        for k in range(3):
            a[p][k], a[q][k] = c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]
    return sorted(a[k][k] for k in range(3))


def constants(document, linear_below):
    """Mass (u), moments of inertia (u Angstrom^2, ascending) and rotational constants (GHz).

    A linear molecule, one with a moment below `linear_below`, has one rotational constant.
    """
    masses = [MASSES[symbol] for symbol in document["symbols"]]
    rows = document["coordinates"]
    total = sum(masses)
    center = [sum(m * row[k] for m, row in zip(masses, rows)) / total for k in range(3)]
    tensor = [[0.0] * 3 for _ in range(3)]
    for mass, row in zip(masses, rows):
        place = [row[k] - center[k] for k in range(3)]
        square = sum(value * value for value in place)
        for i in range(3):
            for j in range(3):
                tensor[i][j] += mass * (square * (i == j) - place[i] * place[j])
    moments = eigenvalues(tensor)
    is_linear = moments[0] < linear_below
    used = moments[2:] if is_linear else moments
    return {
        "mass": total,
        "linear": is_linear,
        "moments": moments,
        "rotational_constants": [GHZ / moment for moment in used],
    }
