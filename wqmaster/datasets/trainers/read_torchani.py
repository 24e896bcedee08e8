"""Read a file with TorchANI.

Checked with torchani 2.9.0: `torchani.datasets.ANIDataset`. It keeps the precision of the numbers.
"""

import json
import sys
from importlib.metadata import version

from torchani.datasets import ANIDataset

NAMES = {
    "species": "numbers",
    "coordinates": "coordinates",
    "energies": "energy",
    "forces": "forces",
    "charges": "charge",
    "spin_multiplicities": "multiplicity",
    "atomic_charges": "charges",
}


def main(path):
    """Print the rows of a file."""
    dataset = ANIDataset(path, verbose=False)
    if dataset.grouping != "by_num_atoms":
        raise ValueError(f"its grouping is {dataset.grouping}, not by_num_atoms")
    reader = "torchani.datasets.ANIDataset"
    print(json.dumps({"reader": reader, "version": version("torchani"), "energy": "Eh"}))
    for name in dataset.keys():  # noqa: SIM118  # not a dict
        seen = dataset.get_conformers(name)
        ids = dataset.get_numpy_conformers(name, properties=["_id", "coordinates"])["_id"]
        for index, own in enumerate(ids.tolist()):
            row = {ours: seen[key][index].tolist() for key, ours in NAMES.items() if key in seen}
            own = own.encode("ascii").decode("unicode_escape")
            print(json.dumps(row | {"id": own}))


if __name__ == "__main__":
    main(sys.argv[1])
