"""Parsers of AutoDock Vina's files: its table of modes (stdout) and its poses (out.pdbqt).

Seen with 1.2.7. An output file of poses alone, or a printout alone, can be read as well.
"""

import re

from wqmaster.parsers.base import Output
from wqmaster.parsers.vina.blocks import POSES
from wqmaster.parsers.vina.diagnosis import diagnose
from wqmaster.parsers.vina.values import (
    affinities,
    affinity,
    modes,
    pdbqt,
    pose_energies,
    poses,
    rmsd_lower_bounds,
    rmsd_upper_bounds,
    seed,
)

__all__ = [
    "VERSION",
    "affinities",
    "affinity",
    "diagnose",
    "file_name",
    "modes",
    "pdbqt",
    "pose_energies",
    "poses",
    "program_version",
    "rmsd_lower_bounds",
    "rmsd_upper_bounds",
    "seed",
]

VERSION = "1"
_VERSION = re.compile(r"^AutoDock Vina v?(\d\S*)", re.MULTILINE)


def program_version(output: Output) -> str | None:
    """The version of Vina, as its output states it (1.1.2 does not)."""
    stated = _VERSION.search(output.text)
    return stated[1] if stated else None


def file_name(name: str) -> str | None:
    """What a job calls a file that Vina by itself names `name`: LIGAND_out.pdbqt has the poses."""
    return POSES if name == POSES or name.endswith("_out.pdbqt") else None
