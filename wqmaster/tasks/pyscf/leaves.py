"""Which values and files a step of PySCF does not produce."""

from collections.abc import Callable
from typing import Any

from wqmaster.tasks.leaves import Lack, Leaves, no_such_file
from wqmaster.tasks.pyscf.names import split_dispersion

# Files of a step, besides the standard output.
RESULT, CHECKPOINT = "pyscf.json", "pyscf.chk"
FINAL_GEOMETRY, LAST_GEOMETRY = "pyscf.xyz", "pyscf.last.xyz"
_OF_OPTIMIZATIONS = (FINAL_GEOMETRY, LAST_GEOMETRY)
_WRITTEN = frozenset((RESULT, CHECKPOINT, *_OF_OPTIMIZATIONS))


def _lacks(function: str, options: Any) -> dict[str, Lack]:
    lacks = {}
    for quantity, maker in (("optimization", "optimize"), ("hessian", "hessian")):
        if function != maker:
            lacks[quantity] = Lack(
                f"'pyscf.{function}' does not compute it",
                f"use 'func_name: wqmaster.tasks.pyscf.{maker}'",
            )
    if function == "singlepoint" and not options.gradient:
        lacks["gradient"] = Lack(
            "the step has 'gradient: false'", "write 'gradient: true', or omit it"
        )
    if options.xc == "hf":
        lacks["grid"] = Lack("Hartree-Fock has no integration grid", "name a functional in 'xc'")
    if options.restricted:
        lacks["spin"] = Lack(
            "a restricted calculation of a singlet has no spin populations",
            "remove 'restricted: true' unless all molecules have unpaired electrons",
            certain=False,
        )
    if options.solvent is None:
        lacks["solvent"] = Lack(
            "the step has no solvent", "write 'solvent: water' (or another one), or remove it"
        )
    if options.dispersion is None and split_dispersion(options.xc)[1] is None:
        lacks["dispersion"] = Lack(
            "neither 'xc' nor 'dispersion' names a dispersion correction",
            "write 'dispersion: d3bj' (or another one), or remove it",
            certain=False,
        )
    if options.nlc is False or options.xc == "hf":
        lacks["nonlocal"] = Lack(
            "the step has no non-local correlation", "use a functional with VV10, or 'nlc: vv10'"
        )
    return lacks


def leaves_of(function: str) -> Callable[[Any], Leaves]:
    """The trait `leaves` of the task function `function`."""

    def leaves(options: Any) -> Leaves:
        lacks = _lacks(function, options)

        def file(name: str) -> Lack | None:
            if name in _OF_OPTIMIZATIONS:
                return lacks.get("optimization")
            return None if name in _WRITTEN else no_such_file("PySCF", name, _WRITTEN)

        return Leaves(lacks, file)

    return leaves
