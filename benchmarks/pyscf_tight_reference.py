"""Find the lowest stable SCF solution of a molecule with PySCF alone: a benchmark's reference.

    pyscf-python benchmarks/pyscf_tight_reference.py < CASE.json

CASE.json holds `atoms` (each an element and its position in Angstrom), `charge`, `multiplicity`,
`xc` and `basis`. The second-order method starts from several guesses and from randomly rotated
orbitals, converges to 1e-11 Eh, and follows every instability. The output is JSON: `energy`, the
lowest energy that was found (Eh), and `others`, how far the energy from each start is above it (Eh;
null if a start led to none). Nothing here is shared with wqmaster's driver.
"""

import json
import sys
from typing import Any

import numpy
from pyscf import dft, gto  # type: ignore[import-not-found]
from scipy.linalg import expm  # type: ignore[import-not-found]

GUESSES = ("minao", "atom", "huckel", "1e")
ROTATIONS = 2
# Standard deviation of the elements of a random rotation, in radians: enough to leave a symmetry,
# and small enough to stay near the guess.
ROTATION_RADIANS = 0.08
CONVERGENCE_EH = 1e-11
# A tighter limit on the orbital gradient is not reached within hundreds of cycles if an orbital can
# turn freely around the axis of the molecule, as in NO: only the grid resists, by about 1e-7 Eh.
GRADIENT_LIMIT = 1e-5
MAX_CYCLES = 60
MAX_INSTABILITIES = 20


def method(case: dict[str, Any]) -> Any:
    """Kohn-Sham theory for the molecule: restricted for a singlet, else unrestricted."""
    molecule = gto.M(
        atom=case["atoms"],
        basis=case["basis"],
        charge=case["charge"],
        spin=case["multiplicity"] - 1,
        verbose=0,
    )
    kind = dft.UKS if molecule.spin else dft.RKS
    return kind(molecule, xc=case["xc"])


def stable_energy(start: Any, orbitals: Any) -> float | None:
    """The energy (Eh) of the stable solution that `orbitals` lead to; None if there is none."""
    second, occupations = start.newton(), start.mo_occ
    second.conv_tol, second.conv_tol_grad = CONVERGENCE_EH, GRADIENT_LIMIT
    second.max_cycle = MAX_CYCLES
    for _ in range(MAX_INSTABILITIES):
        second.kernel(orbitals, occupations)
        if not second.converged:
            return None
        orbitals, _, is_stable, _ = second.stability(return_status=True)
        if is_stable:
            return float(second.e_tot)
        occupations = second.mo_occ
    return None


def rotated(orbitals: Any, random: numpy.random.Generator) -> Any:
    """`orbitals` after a random rotation that mixes all of them, separately for each spin."""
    if orbitals.ndim == 3:
        return numpy.array([rotated(one, random) for one in orbitals])
    angles = ROTATION_RADIANS * random.normal(size=(orbitals.shape[1],) * 2)
    return orbitals @ expm(angles - angles.T)


def main() -> None:
    """Print the lowest energy, and the energies that all starts led to."""
    case, random = json.load(sys.stdin), numpy.random.default_rng(1)
    energies = []
    for guess in (*GUESSES, *(["minao"] * ROTATIONS)):
        start = method(case)
        start.init_guess, start.max_cycle = guess, 3
        start.kernel()
        turned = len(energies) >= len(GUESSES)
        orbitals = rotated(start.mo_coeff, random) if turned else start.mo_coeff
        energies.append(stable_energy(start, orbitals))
    found = [energy for energy in energies if energy is not None]
    lowest = min(found)
    others = [None if energy is None else energy - lowest for energy in energies]
    json.dump({"energy": lowest, "others": others}, sys.stdout)


if __name__ == "__main__":
    main()
