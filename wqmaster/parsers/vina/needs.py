"""The requirements of AutoDock Vina's parsers: all of them work for every docking run."""

from collections.abc import Mapping

NEEDS: Mapping[str, tuple[str, ...]] = {}

PLAIN = frozenset(
    (
        *("affinities", "affinity", "modes", "pdbqt", "pose_energies", "poses"),
        *("rmsd_lower_bounds", "rmsd_upper_bounds", "seed"),
    )
)
