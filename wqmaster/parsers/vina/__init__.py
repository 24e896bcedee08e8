"""Parsers of AutoDock Vina's files: the table of modes (stdout) and the poses (out.pdbqt).

They are tested with 1.2.7. Each file can also be read without the other.
"""

from wqmaster.parsers.vina.diagnosis import diagnose
from wqmaster.parsers.vina.run import file_name, program_version
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
