"""Molecules of several fragments (salts, hydrates, complexes): where a built geometry has them.

ETKDG knows nothing of what holds fragments together, and may place them hundreds of Angstrom apart.
They are moved into contact: until the first two of their atoms are as far apart as their van der
Waals radii add up to. A force field may then do better.
"""

from typing import Any

from wqmaster.structures.base import Refused

# Fragments with more than this between the spheres of their nearest atoms are not in contact (A).
_LARGEST_GAP = 1.5


def _radii(molecule: Any) -> Any:
    import numpy
    from rdkit import Chem

    table = Chem.GetPeriodicTable()
    return numpy.array([table.GetRvdw(atom.GetAtomicNum()) for atom in molecule.GetAtoms()])


def _gaps(places: Any, radii: Any, one: Any, other: Any) -> Any:
    """Distances between the spheres of the atoms of two groups (Angstrom)."""
    import numpy

    apart = numpy.linalg.norm(places[one][:, None, :] - places[other][None, :, :], axis=-1)
    return apart - (radii[one][:, None] + radii[other][None, :])


def _way(places: Any, radii: Any, moved: Any, others: Any) -> Any:
    """How the atoms of `moved` are to be shifted until they touch `others` (Angstrom)."""
    import numpy

    gaps = _gaps(places, radii, moved, others)
    first, second = numpy.unravel_index(gaps.argmin(), gaps.shape)
    between = places[others[second]] - places[moved[first]]
    direction = between / numpy.linalg.norm(between)
    # Where a sphere that moves along the direction meets another one.
    offsets = places[others][None, :, :] - places[moved][:, None, :]
    along = offsets @ direction
    aside = (offsets**2).sum(axis=-1) - along**2
    reach = (radii[moved][:, None] + radii[others][None, :]) ** 2 - aside
    meets = reach >= 0
    return direction * (along[meets] - numpy.sqrt(reach[meets])).min()


def gather(molecule: Any) -> None:
    """Move fragments that are far apart into contact, in all conformers, the largest first.

    Fragments that are near each other stay as they are.
    """
    import numpy
    from rdkit import Chem

    fragments = sorted(map(list, Chem.GetMolFrags(molecule)), key=lambda one: (-len(one), one))
    if len(fragments) == 1:
        return
    radii = _radii(molecule)
    for conformer in molecule.GetConformers():
        places = conformer.GetPositions()
        there = numpy.array(fragments[0])
        for fragment in fragments[1:]:
            moved = numpy.array(fragment)
            if _gaps(places, radii, moved, there).min() > _LARGEST_GAP:
                places[moved] += _way(places, radii, moved, there)
                for index in fragment:
                    conformer.SetAtomPosition(index, places[index].tolist())
            there = numpy.concatenate([there, moved])


def check_contact(molecule: Any) -> None:
    """See that no fragment of a conformer is apart from all others.

    Raises:
        Refused: one is: a force field has driven them apart.
    """
    import numpy
    from rdkit import Chem

    fragments = [numpy.array(one) for one in Chem.GetMolFrags(molecule)]
    if len(fragments) == 1:
        return
    radii = _radii(molecule)
    for conformer in molecule.GetConformers():
        places = conformer.GetPositions()
        for fragment in fragments:
            others = numpy.setdiff1d(numpy.arange(len(radii)), fragment)
            gap = float(_gaps(places, radii, fragment, others).min())
            if gap > _LARGEST_GAP:
                raise Refused(
                    f"in the geometry that was built a fragment is {gap:.1f} A out of contact with"
                    " the others; give a geometry of the whole, or import each fragment alone"
                )
