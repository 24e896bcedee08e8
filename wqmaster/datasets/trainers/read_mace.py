"""Read a file with MACE: extended XYZ, or an ASE database (.aselmdb).

Checked with mace-torch 0.3.16: `mace.data.utils.load_from_xyz` and `AtomicData.from_config`, and
`mace.data.lmdb_dataset.LMDBDataset`. A missing or misnamed value becomes 0, or 1 for the spin; only
`property_weights` reveals that (`config_from_atoms` in `mace/data/utils.py`).
"""

import json
import sys
from importlib.metadata import version

import torch
from mace import data, tools
from mace.data.utils import KeySpecification, config_from_atoms, load_from_xyz
from mace.tools.default_keys import DefaultKeys

# MACE needs a cutoff for the neighbor list that it makes; nothing here uses that list.
CUTOFF_ANGSTROM = 3.0


def configurations(path):
    """Yield the name and MACE's configuration of each row, before defaults fill what is missing."""
    if path.endswith(".aselmdb"):
        from mace.data.lmdb_dataset import LMDBDataset

        table = tools.AtomicNumberTable(list(range(1, 119)))
        dataset = LMDBDataset(path, r_max=CUTOFF_ANGSTROM, z_table=table)
        for index in dataset.AseDB.ids:
            atoms = dataset.AseDB.get_atoms(index)
            # As LMDBDataset.__getitem__ does.
            if atoms.calc is not None and "energy" in atoms.calc.results:
                atoms.info[DefaultKeys.ENERGY.value] = atoms.calc.results["energy"]
            if atoms.calc is not None and "forces" in atoms.calc.results:
                atoms.arrays[DefaultKeys.FORCES.value] = atoms.calc.results["forces"]
            name = atoms.info.get("sid")
            yield name, config_from_atoms(atoms, KeySpecification.from_defaults())
    else:
        keys = KeySpecification.from_defaults()
        keys.update(info_keys={"dipole": "REF_dipole"})
        _, found = load_from_xyz(path, key_specification=keys, keep_isolated_atoms=True)
        for configuration in found:
            yield None, configuration


def main(path):
    """Print the rows of a file."""
    torch.set_default_dtype(torch.float64)
    reader = "mace.data.AtomicData"
    print(json.dumps({"reader": reader, "version": version("mace-torch"), "energy": "eV"}))
    for name, configuration in configurations(path):
        numbers = sorted(set(configuration.atomic_numbers.tolist()))
        seen = data.AtomicData.from_config(
            configuration, z_table=tools.AtomicNumberTable(numbers), cutoff=CUTOFF_ANGSTROM
        )
        weights = configuration.property_weights
        row = {
            "id": name,
            "numbers": configuration.atomic_numbers.tolist(),
            "coordinates": seen.positions.tolist(),
        }
        for key, ours, value in (
            ("energy", "energy", seen.energy),
            ("forces", "forces", seen.forces),
            ("total_charge", "charge", seen.total_charge),
            ("total_spin", "multiplicity", seen.total_spin),
            ("charges", "charges", seen.charges),
        ):
            row[ours] = value.tolist() if weights[key] else None
        print(json.dumps(row))


if __name__ == "__main__":
    main(sys.argv[1])
