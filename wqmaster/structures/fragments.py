"""Bring the fragments of a built geometry (salts, hydrates, complexes) into contact.

ETKDG has no interactions between fragments and can place them hundreds of Angstrom apart. They are
moved together until the first pair of atoms is as far apart as the sum of their van der Waals
radii. A force field can then improve the geometry.
"""

from typing import Any

from wqmaster.structures.base import Refused

# The largest gap (A) between the van der Waals spheres of two fragments in contact.
_LARGEST_GAP = 1.5


def _radii(molecule: Any) -> Any:
    import numpy
    from rdkit import Chem

    table = Chem.GetPeriodicTable()
    return numpy.array([table.GetRvdw(atom.GetAtomicNum()) for atom in molecule.GetAtoms()])


def _gaps(places: Any, radii: Any, one: Any, other: Any) -> Any:
    """The gaps (Angstrom) between the van der Waals spheres of the atoms in two groups."""
    import numpy

    apart = numpy.linalg.norm(places[one][:, None, :] - places[other][None, :, :], axis=-1)
    return apart - (radii[one][:, None] + radii[other][None, :])


def _shift(places: Any, radii: Any, moved: Any, others: Any) -> Any:
    """The shift (Angstrom) that brings the atoms `moved` into contact with `others`."""
    import numpy

    gaps = _gaps(places, radii, moved, others)
    first, second = numpy.unravel_index(gaps.argmin(), gaps.shape)
    between = places[others[second]] - places[moved[first]]
    direction = between / numpy.linalg.norm(between)
    # Find how far a sphere can move in this direction before it touches another one.
    offsets = places[others][None, :, :] - places[moved][:, None, :]
    along = offsets @ direction
    aside = (offsets**2).sum(axis=-1) - along**2
    reach = (radii[moved][:, None] + radii[others][None, :]) ** 2 - aside
    meets = reach >= 0
    return direction * (along[meets] - numpy.sqrt(reach[meets])).min()


def gather(molecule: Any) -> None:
    """Move distant fragments into contact in all conformers, in place.

    The largest fragment does not move. The others move only if they are far from those before them.
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
                places[moved] += _shift(places, radii, moved, there)
                for index in fragment:
                    conformer.SetAtomPosition(index, places[index].tolist())
            there = numpy.concatenate([there, moved])


def check_contact(molecule: Any) -> None:
    """Check that each fragment is in contact with another in each conformer.

    Raises:
        Refused: the force field has separated a fragment from the others.
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
                    f"a fragment of the geometry that was built is separated from the others by "
                    f"{gap:.1f} Angstrom; provide a geometry, or import each fragment "
                    "separately"
                )
