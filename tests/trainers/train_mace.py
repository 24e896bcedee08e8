"""One pass over a file with a small MACE model; prints the loss of each batch before its step.

Usage: train_mace.py FILE.xyz. The reference energies are those of the file's isolated atoms.
"""

import json
import sys

# mace lets e3nn load its constants, so it comes before it.
# isort: off
import numpy as np
import torch
from mace import data, modules, tools
from e3nn import o3
from mace.data.utils import KeySpecification, load_from_xyz
from mace.tools.torch_geometric.dataloader import DataLoader
# isort: on

CUTOFF_ANGSTROM = 4.0


def main(path):
    torch.manual_seed(1)
    torch.set_default_dtype(torch.float64)
    energies, configurations = load_from_xyz(
        path, KeySpecification.from_defaults(), extract_atomic_energies=True
    )
    elements = sorted({int(z) for one in configurations for z in one.atomic_numbers})
    table = tools.AtomicNumberTable(elements)
    loader = DataLoader(
        dataset=[
            data.AtomicData.from_config(one, z_table=table, cutoff=CUTOFF_ANGSTROM)
            for one in configurations
        ],
        batch_size=4,
        shuffle=False,
    )
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    model = modules.MACE(
        r_max=CUTOFF_ANGSTROM,
        num_bessel=4,
        num_polynomial_cutoff=5,
        max_ell=1,
        interaction_cls=block,
        interaction_cls_first=block,
        num_interactions=2,
        num_elements=len(table),
        hidden_irreps=o3.Irreps("8x0e"),
        MLP_irreps=o3.Irreps("4x0e"),
        atomic_energies=np.array([energies[z] for z in table.zs]),
        avg_num_neighbors=3,
        atomic_numbers=table.zs,
        correlation=2,
        gate=torch.nn.functional.silu,
    )
    loss_of = modules.WeightedEnergyForcesLoss(energy_weight=1, forces_weight=10)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(3):
        for batch in loader:
            optimizer.zero_grad()
            output = model(batch.to_dict(), training=True, compute_force=True)
            loss = loss_of(pred=output, ref=batch)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    print(json.dumps({"losses": losses, "atoms": energies, "rows": len(configurations)}))


if __name__ == "__main__":
    main(sys.argv[1])
