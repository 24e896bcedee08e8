"""Write the energies of reference atoms to a separate file, in the form that each trainer reads.

Each function writes a file beside the data set's file at `path`, with another suffix for its name
NAME, and returns its path.

- aimnet: `aimnet calc_sae` writes lines `NUMBER: ENERGY` in eV (`aimnet/train/calc_sae.py`), and
  `load_sae` reads them (`aimnet/train/export_model.py`).
- torchani: the argument `self_energies` of `torchani.arch.simple_ani`, a dict of symbols and
  energies in Eh, as JSON.
- fairchem: the list `elem_refs` in eV, by atomic number from 0, in the data task of a fine-tuning
  (`configs/uma/finetune/data/uma_conserving_data_task_energy_force.yaml`), which
  `ElementReferences` indexes by atomic number. It has 0 for elements without a reference atom.
- nequip: `per_type_energy_shifts` in eV by symbol (nequip's `docs/guide/configuration/model.md`).
"""

import json
from collections.abc import Sequence
from pathlib import Path

from wqmaster.datasets.frame import Frame
from wqmaster.datasets.units import EV_PER_EH
from wqmaster.jobs.molecule import SYMBOLS

# What takes the place of the data file's suffix in the name of the file beside it.
AIMNET_SUFFIX = ".sae.yaml"
TORCHANI_SUFFIX = ".sae.json"
FAIRCHEM_SUFFIX = ".elem_refs.yaml"
NEQUIP_SUFFIX = ".shifts.yaml"


def _energies(atoms: Sequence[Frame]) -> dict[int, float]:
    """The energy (Eh) of each element, by atomic number in ascending order."""
    return dict(sorted((int(frame.numbers[0]), frame.energy) for frame in atoms))


def _written(path: Path, suffix: str, text: str) -> Path:
    beside = path.with_suffix(suffix)
    with beside.open("x", encoding="ascii") as file:
        file.write(text)
    return beside


def write_aimnet(path: Path, atoms: Sequence[Frame]) -> Path:
    """Write NAME.sae.yaml."""
    energies = _energies(atoms).items()
    text = "".join(f"{number}: {energy * EV_PER_EH!r}\n" for number, energy in energies)
    return _written(path, AIMNET_SUFFIX, text)


def write_torchani(path: Path, atoms: Sequence[Frame]) -> Path:
    """Write NAME.sae.json."""
    energies = _energies(atoms)
    content = {SYMBOLS[number]: energy for number, energy in energies.items()}
    return _written(path, TORCHANI_SUFFIX, json.dumps(content, indent=1) + "\n")


def write_fairchem(path: Path, atoms: Sequence[Frame]) -> Path:
    """Write NAME.elem_refs.yaml."""
    energies = _energies(atoms)
    known = ", ".join(SYMBOLS[number] for number in energies)
    values = (energies.get(number, 0.0) * EV_PER_EH for number in range(len(SYMBOLS)))
    text = "".join(f"- {value!r}\n" for value in values)
    return _written(path, FAIRCHEM_SUFFIX, f"# eV; known: {known}\nelem_refs:\n{text}")


def write_nequip(path: Path, atoms: Sequence[Frame]) -> Path:
    """Write NAME.shifts.yaml."""
    energies = _energies(atoms).items()
    lines = (f"  {SYMBOLS[number]}: {energy * EV_PER_EH!r}\n" for number, energy in energies)
    return _written(path, NEQUIP_SUFFIX, "per_type_energy_shifts: # eV\n" + "".join(lines))
