"""What each parser of AutoDock Vina needs: only what every docking leaves."""

from collections.abc import Mapping

NEEDS: Mapping[str, tuple[str, ...]] = {}

PLAIN = frozenset(
    (
        *("affinities", "affinity", "modes", "pdbqt", "pose_energies", "poses"),
        *("rmsd_lower_bounds", "rmsd_upper_bounds", "seed"),
    )
)
