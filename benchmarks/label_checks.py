"""Measure how well the checks find inaccurate forces in a published data set.

    python benchmarks/label_checks.py FILE... [--energy NAME] [--forces NAME] [--reference NAME]
        [--unit UNIT]

Each FILE is in extended XYZ format and has the data set's energies and two sets of forces: its own,
and forces recomputed with better settings. The checks, which do not see the latter, rank the
structures, and this ranking is compared with the error of the forces. AUC is the probability that a
structure of the worst tenth is ranked above one of the others: 1 is perfect, 0.5 is chance.

Public files are in the repository water-ice-group/datasets_dft_accuracy of Kuryla et al., J. Chem.
Phys. 163, 224313 (2025), folder force_discrepancies: 1,000 structures each of AIMNet2, Transition1x
and others. No limit was fitted to them. "rigid part" (`wqmaster.checks.forces.rigid_part`) is the
part of the error that is visible in the forces alone; it was chosen for that reason, and only then
found to rank AIMNet2's structures best.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import ase.io
import numpy as np
import numpy.typing as npt

from wqmaster.checks.composition import EnergyByComposition
from wqmaster.checks.evaluated import Evaluated
from wqmaster.checks.forces import EV_PER_ANGSTROM, rigid_part
from wqmaster.checks.table import checks_of
from wqmaster.jobs.molecule import SYMBOLS

# How many eV/Angstrom each unit of a file is.
_UNITS = {"eV/Angstrom": 1.0, "Eh/Angstrom": 27.211386245988, "Eh/Bohr": EV_PER_ANGSTROM}
_WORST_SHARE = 0.1
_MILLI = 1000.0

Scores = dict[str, list[float]]
Errors = dict[str, list[float]]


def auc(scores: npt.ArrayLike, bad: npt.NDArray[np.bool_]) -> float:
    """The probability that a bad structure has a higher score than another; ties count half."""
    _, places, counts = np.unique(
        np.asarray(scores, dtype=float), return_inverse=True, return_counts=True
    )
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    many = int(bad.sum())
    pairs = many * (len(bad) - many)
    return float((ranks[bad].sum() - many * (many + 1) / 2) / pairs)


def measured(path: Path, forces: str, reference: str, unit: str) -> tuple[Scores, Errors]:
    """The scores of each structure of a file, and the errors of its forces in meV/Angstrom."""
    scores: Scores = {}
    errors: Errors = {"rms": [], "mean": [], "largest": []}
    checks = checks_of("default", {})
    for atoms, own, better in _frames(path, forces, reference, unit):
        gradient: list[list[float]] = (-own / EV_PER_ANGSTROM).tolist()
        places: list[list[float]] = atoms.positions.tolist()
        values = {
            "gradient": gradient,
            "geometry": places,
            "symbols": [SYMBOLS[number] for number in atoms.numbers],
        }
        found = checks.applied(Evaluated(values.get, natoms=len(atoms)))
        shares: list[float] = []
        for one in found:
            limit = one.limits.refuse
            if limit:
                shares.append(one.value / limit)
                scores.setdefault(one.check.name, []).append(one.value)
        scores.setdefault("largest share of a limit", []).append(max(shares, default=0.0))
        rigid = rigid_part(gradient, places) * EV_PER_ANGSTROM * _MILLI
        scores.setdefault("rigid part", []).append(rigid)
        wrong = np.abs(own - better) * _MILLI
        errors["rms"].append(float(np.sqrt((wrong**2).mean())))
        errors["mean"].append(float(wrong.mean()))
        errors["largest"].append(float(np.max(wrong)))
    return scores, errors


def _frames(
    path: Path, forces: str, reference: str, unit: str
) -> Iterator[tuple[ase.Atoms, npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    for atoms in ase.io.iread(path, index=":", format="extxyz"):
        yield atoms, atoms.arrays[forces] * _UNITS[unit], atoms.arrays[reference]


def by_energy(path: Path, energy: str) -> list[float]:
    """The score of `energy_by_composition` for each structure; 0 if it cannot be judged."""
    fit = EnergyByComposition()
    frames = list(ase.io.iread(path, index=":", format="extxyz"))
    hartree = [atoms.info[energy] / _UNITS["Eh/Angstrom"] for atoms in frames]
    for atoms, value in zip(frames, hartree, strict=True):
        fit.add(atoms.numbers.tolist(), value, int(atoms.info.get("charge", 0)))
    fit.fit()
    found = (
        fit.z(atoms.numbers.tolist(), value, int(atoms.info.get("charge", 0)))
        for atoms, value in zip(frames, hartree, strict=True)
    )
    return [0.0 if value is None else value for value in found]


def main() -> None:
    """Print a table for each file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--forces", default="REF_forces")
    parser.add_argument("--reference", default="orca_forces")
    parser.add_argument("--energy", default="REF_energy")
    parser.add_argument("--unit", default="eV/Angstrom", choices=sorted(_UNITS))
    given = parser.parse_args()
    scores: Scores
    for path in given.files:
        scores, errors = measured(path, given.forces, given.reference, given.unit)
        scores["energy_by_composition"] = by_energy(path, given.energy)
        count = len(errors["rms"])
        total = float(np.sqrt(np.mean(np.square(errors["rms"]))))
        print(f"{path.name}: {count:,} structures, force error {total:.2f} meV/Angstrom (RMS)")
        for name in ("net_force", "net_torque"):
            own = np.asarray(scores[name])
            print(
                f"  {name}: median {np.median(own):.2f}, 95 % {np.percentile(own, 95):.2f}, "
                f"above 1: {(own > 1).mean():.1%}, above 10: {(own > 10).mean():.1%}"
            )
        print(f"  {'AUC for the worst tenth by':<26}" + "".join(f"{name:>9}" for name in errors))
        many = max(1, round(_WORST_SHARE * count))
        for name, found in scores.items():
            row = ""
            for wrong in errors.values():
                bad = np.zeros(count, dtype=bool)
                bad[np.argsort(wrong)[-many:]] = True
                row += f"{auc(found, bad):>9.3f}"
            print(f"  {name:<26}{row}")


if __name__ == "__main__":
    main()
