"""How many basis functions a molecule has, as a measure of its size.

`basis_functions.txt` has a basis set per line: its name, and the number of its (spherical)
functions for each element from hydrogen; 0: it has none, or that is unknown. The numbers were
counted in the basis sets of PySCF 2.14 (`gto.basis.load`), which are those of the Basis Set
Exchange (Pritchard et al., J. Chem. Inf. Model. 59, 4814 (2019)).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources


@cache
def _counts() -> Mapping[str, tuple[int, ...]]:
    text = (resources.files(__package__) / "basis_functions.txt").read_text(encoding="utf-8")
    rows = (line.split() for line in text.splitlines())
    return {name: tuple(map(int, numbers)) for name, *numbers in rows}


def known(name: str) -> str | None:
    """The name in `basis_functions.txt` of a basis set as programs write it; None if unknown."""
    name = name.lower().replace("(d,p)", "**").replace("(d)", "*").replace(" ", "")
    return name if name in _counts() else None


def basis_functions(numbers: Sequence[int], basis: Callable[[int], str]) -> int | None:
    """The number of basis functions of a molecule with these atomic numbers.

    `basis` returns the name of an element's basis set. None if that of some element is unknown.
    """
    total = 0
    for number in numbers:
        name = known(basis(number))
        counts = () if name is None else _counts()[name]
        if number > len(counts) or not counts[number - 1]:
            return None
        total += counts[number - 1]
    return total or None
