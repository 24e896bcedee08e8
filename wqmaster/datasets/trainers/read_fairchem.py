"""Read a file with fairchem.

Checked with fairchem-core 2.24.0: `fairchem.core.datasets.AseDBDataset`. Without `r_data_keys`, or
if the file has other names, charge and spin silently become 0; so a multiplicity of 0 means that
neither was read.
"""

import json
import sys
from importlib.metadata import version

import torch
from fairchem.core.datasets import AseDBDataset

OPTIONS = {"r_data_keys": ["charge", "spin"], "target_dtype": torch.float64}


def main(path):
    """Print the rows of a file."""
    dataset = AseDBDataset({"src": path, "a2g_args": OPTIONS})
    reader = "fairchem.core.datasets.AseDBDataset"
    print(json.dumps({"reader": reader, "version": version("fairchem-core"), "energy": "eV"}))
    for index in range(len(dataset)):
        seen = dataset[index]
        spin = int(seen.spin)
        forces = seen.get("forces", None)
        energy = seen.get("energy", None)
        row = {
            "id": str(seen.sid[0] if isinstance(seen.sid, list) else seen.sid),
            "numbers": seen.atomic_numbers.tolist(),
            "coordinates": seen.pos.tolist(),
            "energy": None if energy is None else float(energy),
            "forces": None if forces is None else forces.tolist(),
            "charge": int(seen.charge) if spin else None,
            "multiplicity": spin or None,
        }
        print(json.dumps(row))


if __name__ == "__main__":
    main(sys.argv[1])
