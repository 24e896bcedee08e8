"""Parsers of AutoDock Vina's files: its table of modes (stdout) and its poses (out.pdbqt).

Seen with 1.2.7. An output file of poses alone, or a printout alone, can be read as well.
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
