"""Steps with a small ANI model over a file, group by group; prints the loss of each step.

Usage: train_torchani.py FILE.h5 SAE.json.
"""

import json
import sys
from pathlib import Path

import torch
from torchani.arch import simple_ani
from torchani.datasets import ANIDataset


def main(path, atoms):
    torch.manual_seed(1)
    energies = json.loads(Path(atoms).read_text())
    model = simple_ani(tuple(energies), lot="none", self_energies=energies, repulsion=False)
    model = model.double()
    dataset = ANIDataset(path, verbose=False)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for name in dataset.keys():  # noqa: SIM118  # not a dict
        batch = dataset.get_conformers(name)
        coordinates = batch["coordinates"].requires_grad_(True)
        optimizer.zero_grad()
        found = model((batch["species"], coordinates)).energies
        forces = -torch.autograd.grad(found.sum(), coordinates, create_graph=True)[0]
        loss = (found - batch["energies"]).pow(2).mean() + (forces - batch["forces"]).pow(2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(json.dumps({"losses": losses, "atoms": energies, "rows": dataset.num_conformers}))


if __name__ == "__main__":
    main(*sys.argv[1:])
