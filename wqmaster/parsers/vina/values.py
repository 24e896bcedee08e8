"""Values from AutoDock Vina's files in Vina's units: energies in kcal/mol, lengths in Angstrom.

The table in stdout lists all modes that were found, with four significant digits. The poses in
out.pdbqt have three decimals but include only the modes within `energy_range`. The parsers read the
poses if they exist, and otherwise the table.

A positive affinity, which means that the ligand hardly fits, is returned like any other. `diagnose`
rejects affinities so high that the ligand cannot fit into the site.
"""

import re
from collections.abc import Iterator
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.vina.blocks import (
    POSES,
    Mode,
    number,
    poses_name,
    poses_of,
    result_of,
    results_of,
    table_of,
    terms_of,
)
from wqmaster.parsers.vina.pdbqt_file import ELEMENTS, is_atom

# Version 1.2 prints "(random seed: 42)", version 1.1.2 "Using random seed: 42".
SEED = re.compile(r"random seed: (-?\d{1,10})\b", re.ASCII)


def _modes(output: Output) -> list[Mode]:
    if poses_name(output) is not None:
        return results_of(poses_of(output))
    return table_of(output.file("stdout"), "stdout")


@reads(POSES)
def affinity(output: Output) -> float:
    """Affinity of the best mode in kcal/mol."""
    return _modes(output)[0].affinity


@reads(POSES)
def affinities(output: Output) -> list[float]:
    """Affinity of each mode in kcal/mol, best mode first, shape (m,)."""
    return [mode.affinity for mode in _modes(output)]


@reads(POSES)
def rmsd_lower_bounds(output: Output) -> list[float]:
    """Lower bound of each mode's RMSD from the best mode in Angstrom, shape (m,)."""
    return [mode.lower for mode in _modes(output)]


@reads(POSES)
def rmsd_upper_bounds(output: Output) -> list[float]:
    """Upper bound of each mode's RMSD from the best mode in Angstrom, shape (m,)."""
    return [mode.upper for mode in _modes(output)]


@reads(POSES)
def modes(output: Output) -> list[dict[str, float]]:
    """Each mode's `affinity` (kcal/mol), `rmsd_lower_bound` and `rmsd_upper_bound` (Angstrom)."""
    return [
        {
            "affinity": mode.affinity,
            "rmsd_lower_bound": mode.lower,
            "rmsd_upper_bound": mode.upper,
        }
        for mode in _modes(output)
    ]


@reads(POSES)
def pose_energies(output: Output) -> list[dict[str, float]]:
    """The `affinity` and the energy terms of each pose in kcal/mol.

    The terms are `inter`, `intra`, their sum `total`, and `unbound` (the best pose's `intra`).
    Vina's affinity is (total - unbound) / (1 + 0.05846 n) for n rotatable bonds, where a bond that
    rotates only hydrogens counts as half. AutoDock4's scoring function adds `conf_independent`.
    """
    models = poses_of(output)
    return [
        {"affinity": result_of(model, place).affinity, **terms_of(model, place)}
        for place, model in enumerate(models, start=1)
    ]


def _ligand_lines(model: list[str]) -> Iterator[str]:
    """The lines of the ligand's atoms in a pose, without the atoms of flexible side chains."""
    in_residue = False
    for line in model:
        if line.startswith("BEGIN_RES"):
            in_residue = True
        elif line.startswith("END_RES"):
            in_residue = False
        elif is_atom(line) and not in_residue:
            yield line


def _pose(model: list[str], place: int) -> dict[str, list[Any]]:
    names, elements, coordinates = [], [], []
    for line in _ligand_lines(model):
        element = ELEMENTS.get(line[77:].strip())
        if element is None:
            raise ParseError(f"an atom of pose {place} has an unknown type: {line[77:90]!r}")
        names.append(line[12:16].strip())
        elements.append(element)
        fields = (line[30:38].strip(), line[38:46].strip(), line[46:54].strip())
        coordinates.append([number(field, f"a coordinate of pose {place}") for field in fields])
    if not names:
        raise ParseError(f"pose {place} has no atoms")
    return {"names": names, "elements": elements, "coordinates": coordinates}


@reads(POSES)
def poses(output: Output) -> list[dict[str, list[Any]]]:
    """Each pose as `names` and `elements`, shape (n,), and `coordinates` in Angstrom, shape (n, 3).

    The n atoms are those in the file, in the same order, so hydrogens on carbon are missing. The
    element X stands for a pseudo-atom that closes a macrocycle. Flexible side chains are left out.
    """
    found = [_pose(model, place) for place, model in enumerate(poses_of(output), start=1)]
    for place, pose in enumerate(found, start=1):
        if pose["elements"] != found[0]["elements"] or pose["names"] != found[0]["names"]:
            raise ParseError(f"the atoms of pose {place} differ from those of the first pose")
    return found


@reads(POSES)
def pdbqt(output: Output) -> str:
    """The file with the poses, unchanged."""
    poses_of(output)
    return output.file(poses_name(output) or POSES)


@reads("stdout")
def seed(output: Output) -> int:
    """The random seed that Vina used."""
    stated = SEED.search(output.text)
    if stated is None:
        raise output.missing("'random seed'")
    return int(stated[1])
