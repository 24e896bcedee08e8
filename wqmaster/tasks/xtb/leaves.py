"""Which quantities and files the xtb steps produce.

This was determined by running each task function of xtb 6.7.1 with GFN2, GFN1 and GFN-FF.
"""

from collections.abc import Callable, Mapping
from typing import Any

from wqmaster.tasks.leaves import Lack, Leaves, no_such_file

# The name of this quantity in the parsers' `needs`.
_OPTIMIZATION = "optimization"
# Maps files to the quantities with which xtb writes them; "": any step can write the file.
_FILES = {
    **dict.fromkeys(("molecule.engrad", "gradient", "energy"), "gradient"),
    **dict.fromkeys(("xtbopt.xyz", "xtbopt.log", ".xtboptok"), _OPTIMIZATION),
    **dict.fromkeys(("hessian", "vibspectrum", "g98.out"), "hessian"),
    **dict.fromkeys(("xtb.trj", "mdrestart", "xtbmdok"), "dynamics"),
    **dict.fromkeys(("xtbout.json", "charges", "wbo", "xtbrestart", "xtbtopo.mol"), "orbitals"),
    **dict.fromkeys(("gfnff_charges", "gfnff_topo", "gfnff_lists.json"), "force field"),
    **dict.fromkeys(("molecule.xyz", ".CHRG", ".UHF", "gfnff_adjacency"), ""),
    **dict.fromkeys(("xtblast.xyz", "xtbscan.log", "xtbhess.xyz", "scoord.1", "xtb.cosmo"), ""),
}
_WRITTEN = frozenset(name for name, quantity in _FILES.items() if quantity)
_MADE_BY = {
    _OPTIMIZATION: ("optimize", "optimize the geometry"),
    "hessian": ("hessian", "compute a Hessian"),
    "dynamics": ("md", "run molecular dynamics"),
}
_IN_ANOTHER = "use 'func_name: wqmaster.tasks.xtb.{}', in this step or another one"


def _lacks(function: str, options: Any) -> Mapping[str, Lack]:
    lacks = {
        name: Lack(
            f"'xtb.{function}' does not {does}",
            _IN_ANOTHER.format(maker),
        )
        for name, (maker, does) in _MADE_BY.items()
        if maker != function
    }
    if function not in ("optimize", "md"):
        lacks["frames"] = Lack(
            f"'xtb.{function}' computes only one geometry",
            _IN_ANOTHER.format("optimize' or 'xtb.md"),
        )
    if function != "singlepoint":
        lacks["gradient"] = Lack(
            f"'xtb.{function}' does not compute a gradient",
            _IN_ANOTHER.format("singlepoint"),
        )
    elif not options.gradient:
        lacks["gradient"] = Lack(
            "the step has 'gradient: false'", "write 'gradient: true', or omit it"
        )
    if options.gfn == "ff":
        lacks["orbitals"] = Lack(
            "GFN-FF is a force field and has no orbitals", "write 'gfn: 2', or remove it"
        )
    else:
        lacks["force field"] = Lack(
            "the step does not use the force field", "write 'gfn: ff', or remove it"
        )
    if options.solvent is None:
        lacks["solvent"] = Lack(
            "the step has no solvent", "write 'solvent: water' (or another one), or remove it"
        )
    return lacks


def leaves_of(function: str) -> Callable[[Any], Leaves]:
    """The trait `leaves` for the xtb task function named `function`."""

    def leaves(options: Any) -> Leaves:
        lacks = _lacks(function, options)

        def file(name: str) -> Lack | None:
            if name in _FILES:
                return lacks.get(_FILES[name])
            return no_such_file("xtb", name, _WRITTEN)

        return Leaves(lacks, file)

    return leaves
