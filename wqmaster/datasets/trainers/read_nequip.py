"""Read a file with NequIP.

Checked with nequip 0.19.1: `nequip.data.dataset.ASEDataset`, which `ASEDataModule` uses, with
`include_keys: [charge, spin]`, without which NequIP drops these two.
"""

import json
import sys
from importlib.metadata import version

import torch
from nequip.data.dataset import ASEDataset


def main(path):
    """Print the rows of a file."""
    torch.set_default_dtype(torch.float64)
    dataset = ASEDataset(path, include_keys=["charge", "spin"])
    reader = "nequip.data.dataset.ASEDataset"
    print(json.dumps({"reader": reader, "version": version("nequip"), "energy": "eV"}))
    for index in range(len(dataset)):
        seen = dataset[index]
        row = {
            "numbers": seen["atomic_numbers"].reshape(-1).tolist(),
            "coordinates": seen["pos"].tolist(),
        }
        for key, ours in (
            ("total_energy", "energy"),
            ("charge", "charge"),
            ("spin", "multiplicity"),
        ):
            row[ours] = seen[key].item() if key in seen else None
        for key in ("forces", "charges"):
            if key in seen:
                row[key] = (
                    seen[key].reshape(*seen["pos"].shape[: 2 if key == "forces" else 1]).tolist()
                )
        print(json.dumps(row))


if __name__ == "__main__":
    main(sys.argv[1])
