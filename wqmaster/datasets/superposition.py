"""The root-mean-square deviation (RMSD) of two structures, whatever the order of their atoms.

Atoms are matched by element and position, not by bonds: two structures that nearly coincide can be
superposed by two of their atoms and the center, and then each atom's partner is the nearest one. So
all symmetries are covered without a list of them; a tert-butyl group alone has 1,296. Reflections
are not covered: mirror images differ. The superposition is Kabsch's, Acta Cryst. A 32, 922 (1976).
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Atoms nearer to the center, or pairs of axes at a smaller angle, say little about the orientation.
_LEAST_RADIUS_ANGSTROM = 0.3
_LEAST_SINE = 0.3
# The farthest that an atom can move between two structures that count as the same. It matters only
# for large molecules, in which the RMSD alone permits more.
_MOST_SHIFT_ANGSTROM = 0.5
# The largest number of pairs of partners that are tried.
_MOST_TRIALS = 500


def rmsd(numbers: Integers, ones: Floats, others: Floats, bound: float) -> float:
    """The smallest RMSD in Angstrom that is found; infinite if it is above `bound`.

    The center of both structures (the mean of all positions) must be at the origin.

    Args:
        numbers: atomic numbers of both, shape (n,)
        ones: in Angstrom, shape (n, 3)
        others: in Angstrom, shape (n, 3)
        bound: in Angstrom; the search ends when a smaller RMSD is found
    """
    count = len(numbers)
    if count == 1:
        return 0.0
    best, _ = _superposed(ones, others)
    if best > bound:
        best = min(best, _by_partners(numbers, ones, others, bound))
    return best if best <= bound else float("inf")


def _superposed(ones: Floats, others: Floats) -> tuple[float, Floats]:
    """The RMSD of matched atoms, and the rotation that turns `others` (as rows) onto `ones`."""
    left, _, right = np.linalg.svd(others.T @ ones)
    if np.linalg.det(left) * np.linalg.det(right) < 0:
        left[:, -1] = -left[:, -1]
    rotation: Floats = left @ right
    # The RMSD is that of the residuals, since the formula with singular values loses half of the
    # digits.
    residual = others @ rotation - ones
    return float(np.sqrt((residual * residual).sum() / len(ones))), rotation


def _by_partners(numbers: Integers, ones: Floats, others: Floats, bound: float) -> float:
    shift = min(np.sqrt(len(numbers)) * bound, _MOST_SHIFT_ANGSTROM) + 1e-6
    one_radii = np.sqrt((ones * ones).sum(axis=1))
    other_radii = np.sqrt((others * others).sum(axis=1))
    # partners[i, j]: whether atom j of `others` can be the image of atom i of `ones`.
    partners = (numbers[:, None] == numbers[None, :]) & (
        np.abs(one_radii[:, None] - other_radii[None, :]) <= shift
    )
    choices = partners.sum(axis=1)
    if not choices.all():
        return float("inf")
    far = one_radii >= min(_LEAST_RADIUS_ANGSTROM, one_radii.max())
    first = _best(choices, one_radii, far)
    axis = ones[first] / one_radii[first]
    sines = np.zeros(len(numbers))
    np.divide(
        np.sqrt(np.maximum(one_radii**2 - (ones @ axis) ** 2, 0)), one_radii, sines, where=far
    )
    second = _best(choices, one_radii * sines, far & (sines >= min(_LEAST_SINE, sines[far].max())))
    if sines[second] < 1e-3:  # all atoms on a line: any second axis will do
        second = first
    apart = np.sqrt(((ones[first] - ones[second]) ** 2).sum())
    best = float("inf")
    trials = 0
    for image in np.flatnonzero(partners[first]):
        distances = np.sqrt(((others - others[image]) ** 2).sum(axis=1))
        fits = partners[second] & (np.abs(distances - apart) <= 2 * shift)
        for partner in np.flatnonzero(fits):
            trials += 1
            if trials > _MOST_TRIALS:
                return best
            start = _frame(others[image], others[partner]).T @ _frame(ones[first], ones[second])
            best = min(best, _matched(numbers, ones, others, start, partners, bound))
            if best <= bound:
                return best
    return best


def _best(choices: Integers, weights: Floats, among: npt.NDArray[np.bool_]) -> int:
    """The atom with the fewest possible partners, and of these the one with the largest weight."""
    places = np.flatnonzero(among)
    return int(places[np.lexsort((-weights[places], choices[places]))[0]])


def _frame(along: Floats, across: Floats) -> Floats:
    """Three orthonormal axes as rows: along the first vector, and in the plane of both."""
    one = along / np.sqrt(along @ along)
    two = across - (across @ one) * one
    if two @ two < 1e-12:
        unit = np.eye(3)[np.argmin(np.abs(one))]
        two = unit - (unit @ one) * one
    two = two / np.sqrt(two @ two)
    return np.array([one, two, np.cross(one, two)])


def _matched(
    numbers: Integers,
    ones: Floats,
    others: Floats,
    rotation: Floats,
    partners: npt.NDArray[np.bool_],
    bound: float,
) -> float:
    """The RMSD after matching each atom with the nearest, and superposing again."""
    best = float("inf")
    for _ in range(3):
        turned = others @ rotation
        apart = ((ones[:, None, :] - turned[None, :, :]) ** 2).sum(axis=2)
        apart[~partners] = np.inf
        nearest = apart.argmin(axis=1)
        if len(set(nearest.tolist())) < len(numbers):
            return best
        found, rotation = _superposed(ones, others[nearest])
        # Another round of matching is not expected to halve the RMSD.
        if found >= best or found > 2 * bound:
            return min(found, best)
        best = found
    return best
