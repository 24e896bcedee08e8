"""How the calculation went: geometry, cycles, convergence, settings, timings."""

from typing import Any

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.pyscf.report import FILE, natoms, number, numbers, report, section


@reads(FILE, per_atom=True)
def geometry(output: Output) -> list[list[float]]:
    """Coordinates in Angstrom, shape (n, 3), of the final evaluation, to which `energy` belongs."""
    found = section(output, "molecule").get("geometry")
    return numbers(found, "geometry", natoms(output), 3)  # type: ignore[no-any-return]


@reads(FILE, per_atom=True)
def optimized_geometry(output: Output) -> list[list[float]]:
    """Coordinates in Angstrom, shape (n, 3), after an optimization; the same as `geometry`."""
    if report(output).get("task") != "optimize":
        raise ParseError("the step is not an optimization")
    return geometry(output)  # type: ignore[no-any-return]


@reads(FILE, per_atom=True)
def symbols(output: Output) -> list[str]:
    """Elements of the atoms."""
    found = section(output, "molecule").get("symbols")
    if not isinstance(found, list) or not all(isinstance(symbol, str) for symbol in found):
        raise ParseError(f"the symbols are missing from {FILE}")
    return found


def _integer(output: Output, part: str, name: str) -> int:
    found = section(output, part).get(name)
    if isinstance(found, bool) or not isinstance(found, int):
        raise ParseError(f"'{part}.{name}' is missing from {FILE}")
    return found


@reads(FILE)
def charge(output: Output) -> int:
    """Total charge in e."""
    return _integer(output, "molecule", "charge")


@reads(FILE)
def multiplicity(output: Output) -> int:
    """Multiplicity, 2 S + 1."""
    return _integer(output, "molecule", "multiplicity")


@reads(FILE)
def electrons(output: Output) -> int:
    """Number of electrons, without those of core potentials."""
    return _integer(output, "molecule", "electrons")


@reads(FILE)
def basis_functions(output: Output) -> int:
    """Number of contracted basis functions, without auxiliary bases."""
    return _integer(output, "basis", "functions")


@reads(FILE)
def linear_dependencies(output: Output) -> int:
    """Number of combinations of basis functions that PySCF removed as linearly dependent."""
    return _integer(output, "basis", "functions") - _integer(output, "basis", "orbitals")


@reads(FILE)
def frames(output: Output) -> list[dict[str, Any]]:
    """Evaluations of an optimization, in order.

    Each has `energy` (Eh), `gradient` (Eh/a0, shape (n, 3)), `geometry` (Angstrom, shape (n, 3)),
    `converged` (whether this is the geometry at which the optimization ended), `kind`, `cycle`
    (counted from 1), `charge` and `multiplicity`. An evaluation whose SCF did not converge is left
    out. The last frame has the geometry of the final evaluation, which the driver computes again
    after the last cycle.
    """
    entries = report(output).get("frames")
    atoms = natoms(output)
    if not isinstance(entries, list) or not entries:
        raise ParseError("the step is not an optimization, so it has no frames")
    state = {"charge": charge(output), "multiplicity": multiplicity(output)}
    found = []
    for cycle, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict):
            raise ParseError(f"frame {cycle} in {FILE} is not a mapping")
        if not entry.get("converged"):
            continue
        found.append(
            {
                "kind": "optimization",
                "cycle": cycle,
                "converged": False,
                "energy": number(entry.get("energy"), "energy"),
                "gradient": numbers(entry.get("gradient"), "gradient", atoms, 3),
                "geometry": numbers(entry.get("geometry"), "geometry", atoms, 3),
                **state,
            }
        )
    if not found:
        raise ParseError("no evaluation of the optimization converged")
    found[-1]["converged"] = True
    return found


@reads(FILE)
def opt_cycles(output: Output) -> int:
    """Number of cycles of an optimization."""
    entries = report(output).get("frames")
    if not isinstance(entries, list) or not entries:
        raise ParseError("the step is not an optimization")
    return len(entries)


@reads(FILE)
def scf_cycles(output: Output) -> dict[str, Any]:
    """SCF cycles of the final evaluation.

    Keys: `cycles`; `limit`, their maximum number; `converged`; and `at_limit`, whether as many
    cycles as allowed were used.
    """
    found = section(output, "scf")
    cycles, limit = _integer(output, "scf", "cycles"), _integer(output, "scf", "max_cycle")
    return {
        "cycles": cycles,
        "limit": limit,
        "converged": found.get("converged") is True,
        "at_limit": cycles >= limit,
    }


@reads(FILE)
def scf_settings(output: Output) -> dict[str, Any]:
    """How the SCF converged: `level_shift` (Eh), `damping`, `newton` (second order), `guess`.

    They come from the remedies of the attempt and leave the level of theory unchanged. After such
    a remedy, `stable` states whether the solution is internally stable; it is None if that was not
    analyzed. `start` names the guess (or "checkpoint", or "mixed" frontier orbitals) from which the
    second-order method found the solution, and `starts` has the energy (Eh) of the stable solution
    from each start, None if a start led to none.
    """
    found = section(output, "scf")
    names = ("level_shift", "damping", "newton", "guess")
    if not all(name in found for name in names):
        raise ParseError(f"the settings of the SCF are missing from {FILE}")
    # Earlier versions of the driver did not write these.
    later = {"stable": found.get("stable"), "start": found.get("start")}
    return {**{name: found[name] for name in names}, **later, "starts": found.get("starts", {})}


@reads(FILE)
def method_settings(output: Output) -> dict[str, Any]:
    """The method that PySCF used: `scf` (RKS, UKS, ...), `xc`, `dispersion`, `grid`, and so on."""
    return dict(section(output, "method"))


@reads(FILE)
def timings(output: Output) -> dict[str, float]:
    """Times in s per stage: `setup`, `scf`, `gradient`, `optimization`, ..., and in `total`."""
    return {str(k): number(v, str(k)) for k, v in section(output, "timings").items()}
