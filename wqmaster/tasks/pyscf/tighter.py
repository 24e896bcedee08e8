"""How a single point of PySCF becomes tighter at the same level of theory.

Grid and density fitting are the sources of noise in published sets (Kuryla et al., J. Chem. Phys.
163, 224313, 2025). PySCF's grid levels go from 0 to 9 (dft/gen_grid.py: RAD_GRIDS, ANG_ORDER).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from wqmaster.tasks.program import Change
from wqmaster.tasks.pyscf.options import Common, Singlepoint

_FINEST_GRID = 9
# Methanol, wB97M-D3BJ/def2-SVP: at level 5 the forces differ by less than 0.01 meV/Angstrom from
# those of finer levels.
_GOOD_GRID = 5
_GRID_LEVELS = 2
_CONVERGENCE_EH = 1e-11
_CYCLES = 100
# Functionals with non-local correlation, which has its own grid: wb97m-v, scan-rvv10, ...
_NON_LOCAL = re.compile(r"[-_]v\b|vv10")

# The options that determine the level of theory; the others change how it is computed.
_THEORY = (
    *("xc", "basis", "ecp", "dispersion", "nlc"),
    *("solvent", "solvation", "restricted"),
)


def _finer(level: int) -> int:
    return min(_FINEST_GRID, max(_GOOD_GRID, level + _GRID_LEVELS))


def _grid(options: Mapping[str, Any]) -> dict[str, Any]:
    keys = ["grid"]
    if _NON_LOCAL.search(options["xc"]) or options.get("nlc") == "vv10":
        keys.append("nlc_grid")
    return {**options, **{key: _finer(_stated(options, key)) for key in keys}}


def _convergence(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **options,
        "conv_tol": min(_CONVERGENCE_EH, _stated(options, "conv_tol")),
        "max_cycle": max(_CYCLES, _stated(options, "max_cycle")),
    }


def _exact_integrals(options: Mapping[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in options.items() if key != "auxbasis"}
    return {**rest, "density_fit": False}


def _stated(options: Mapping[str, Any], key: str) -> Any:
    return options.get(key, Common.model_fields[key].default)


def tighter(options: Mapping[str, Any], version: str | None) -> Sequence[Change]:
    """The changes for a single point: finer grids, no density fitting, a tighter SCF."""
    return tuple(_changes(options))


def _changes(options: Mapping[str, Any]) -> Iterator[Change]:
    if options["xc"] != "hf" and _stated(options, "grid") < _FINEST_GRID:
        yield Change("grid", _grid)
    if _stated(options, "density_fit"):
        yield Change("density_fit", _exact_integrals)
    if _stated(options, "conv_tol") > _CONVERGENCE_EH:
        yield Change("conv_tol", _convergence)


def theory(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that determine the level of theory, as far as they are stated.

    They are the functional, basis, core potentials, dispersion, solvent and reference.
    """
    return {key: options[key] for key in _THEORY if options.get(key) is not None}


def single_point(function: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The task function and options of a single point with gradient, at the level of a step."""
    package = function.rpartition(".")[0]
    kept = {key: value for key, value in options.items() if key in Singlepoint.model_fields}
    return f"{package}.singlepoint", {**kept, "gradient": True}
