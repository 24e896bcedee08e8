"""One pass over a file with AIMNet2's own model, loader and loss; prints the loss of each batch.

Usage: train_aimnet.py FILE.h5 SAE.yaml. Charges and the multiplicity are inputs and targets.
"""

import json
import sys
from importlib.resources import files

import torch
import yaml
from aimnet.config import build_module
from aimnet.data import SizeGroupedDataset, SizeGroupedSampler
from aimnet.modules import Forces
from aimnet.train.export_model import load_sae
from aimnet.train.loss import MTLoss
from aimnet.train.utils import prepare_batch


def main(path, atoms):
    torch.manual_seed(1)
    settings = yaml.safe_load(files("aimnet").joinpath("train/default_train.yaml").read_text())
    x, y = [*settings["data"]["x"], "mult"], settings["data"]["y"]
    dataset = SizeGroupedDataset(path, keys=[*x, *y])
    energies = load_sae(atoms)
    dataset.apply_peratom_shift("energy", "energy", sap_dict=energies)
    loader = dataset.get_loader(SizeGroupedSampler(dataset, batch_size=4), x, y)
    model = Forces(build_module(str(files("aimnet").joinpath("models/aimnet2.yaml"))))
    model.train()
    loss_of = MTLoss(settings["loss"]["kwargs"]["components"])
    optimizer = torch.optim.RAdam(model.parameters(), lr=4e-4)
    losses = []
    for one, other in loader:
        given, meant = prepare_batch(one, device="cpu"), prepare_batch(other, device="cpu")
        optimizer.zero_grad()
        loss = loss_of(model(given), meant)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(json.dumps({"losses": losses, "atoms": energies, "rows": len(dataset)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
