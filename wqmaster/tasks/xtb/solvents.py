"""The solvents that xtb has parameters for, and their names."""

# Maps other names that xtb accepts for a solvent (src/solv/model.f90) to the names used here.
ALIASES = {
    "h2o": "water",
    "dichlormethane": "ch2cl2",
    "chloroform": "chcl3",
    **dict.fromkeys(("nhexan", "n-hexan", "nhexane", "n-hexane"), "hexane"),
}
_GBSA = frozenset(
    ("acetone", "acetonitrile", "benzene", "ch2cl2", "chcl3", "cs2", "dmso", "ether", "methanol")
) | {"thf", "toluene", "water"}
_ALPB = (
    _GBSA
    | frozenset(("aniline", "benzaldehyde", "dioxane", "dmf", "ethanol", "ethylacetate", "furane"))
    | {"hexadecane", "hexane", "nitromethane", "octanol", "phenol", "woctanol"}
)


def solvents(gfn: int | str, solvation: str) -> frozenset[str]:
    """The solvents that xtb has parameters for (src/solv/model.f90; all were tested)."""
    if solvation != "gbsa":
        return _ALPB
    return _GBSA if gfn == 1 else _GBSA | {"dmf", "hexane"}
