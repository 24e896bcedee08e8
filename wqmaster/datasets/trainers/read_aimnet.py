"""Read a file with AIMNet2.

Checked with aimnet 0.2.5: `aimnet.data.SizeGroupedDataset`. It ignores keys that the file lacks.
"""

import json
import sys
from importlib.metadata import version

from aimnet.data import SizeGroupedDataset

KEYS = ["coord", "numbers", "charge", "mult", "energy", "forces"]
OPTIONAL = {"_id": "id", "charges": "charges"}
NAMES = {
    "coord": "coordinates",
    "numbers": "numbers",
    "charge": "charge",
    "mult": "multiplicity",
    "energy": "energy",
    "forces": "forces",
    **OPTIONAL,
}


def main(path):
    """Print the rows of a file."""
    reader = "aimnet.data.SizeGroupedDataset"
    print(json.dumps({"reader": reader, "version": version("aimnet"), "energy": "eV"}))
    dataset = SizeGroupedDataset(path, keys=[*KEYS, *OPTIONAL])
    for size, group in dataset.items():
        for index in range(len(group)):
            row = dict.fromkeys(NAMES.values())
            for key in group.keys():  # noqa: SIM118  # not a dict
                value = group[key][index]
                row[NAMES[key]] = value.decode() if key == "_id" else value.tolist()
            if len(row["numbers"] or ()) != size:
                raise ValueError(f"group {size} has a molecule of another size")
            print(json.dumps(row))


if __name__ == "__main__":
    main(sys.argv[1])
