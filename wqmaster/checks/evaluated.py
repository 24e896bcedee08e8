"""The values of one step as the checks see them."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from wqmaster.jobs.molecule import NUMBER_OF

# The atomic numbers of the d-block (groups 3 to 12) and the f-block.
METALS = frozenset((*range(21, 31), *range(39, 49), *range(57, 81), *range(89, 113)))


class Evaluated:
    """The values of one evaluation, read when a check asks for them.

    `read` returns a common quantity (`wqmaster.parsers.quantities`) as plain data, with finite
    numbers and tables of the right shape, or None if it is unknown. `inapplicable` maps each check
    that makes no sense for the calculation to the reason.
    """

    def __init__(
        self,
        read: Callable[[str], Any],
        *,
        natoms: int,
        charge: int = 0,
        multiplicity: int = 1,
        inapplicable: Mapping[str, str] | None = None,
    ) -> None:
        self.read = read
        self.natoms = natoms
        self.charge = charge  # e
        self.multiplicity = multiplicity  # 2 S + 1
        self.inapplicable: Mapping[str, str] = inapplicable or {}

    @cached_property
    def gradient(self) -> list[list[float]] | None:
        """The gradient in Eh/Bohr, shape (n, 3); None if it is unknown."""
        found: list[list[float]] | None = self.read("gradient")
        return found

    @cached_property
    def geometry(self) -> list[list[float]] | None:
        """The coordinates to which `gradient` belongs, in the same orientation.

        In Angstrom, shape (n, 3); None if they are unknown.
        """
        found: list[list[float]] | None = self.read("geometry")
        return found

    @cached_property
    def numbers(self) -> list[int] | None:
        """The atomic numbers, shape (n,); None if an atom is not an element."""
        symbols = self.read("symbols")
        found = [NUMBER_OF.get(str(symbol).capitalize(), 0) for symbol in symbols or ()]
        return found if found and all(found) else None

    @cached_property
    def has_metal(self) -> bool:
        """Whether an atom is known to belong to the d-block or the f-block."""
        return any(number in METALS for number in self.numbers or ())
