"""One labeled structure, as it is exported."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from wqmaster.datasets.units import ANGSTROM_PER_BOHR, EV_PER_ANGSTROM, EV_PER_EH
from wqmaster.jobs.molecule import SYMBOLS

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """One structure with its labels, all from one evaluation of one electronic state.

    n is the number of atoms. Labels that were not computed are None.
    """

    id: str  # unique in the data set: the document's _id, with the number of the frame if any
    numbers: npt.NDArray[np.int64]  # atomic numbers, shape (n,)
    coordinates: Floats  # Angstrom, shape (n, 3)
    charge: int  # e
    multiplicity: int  # 2 S + 1
    energy: float  # Eh
    gradient: Floats | None = None  # Eh/a0, shape (n, 3); the negative of the forces
    charges: Floats | None = None  # atomic charges in e, shape (n,)
    spins: Floats | None = None  # atomic spin populations, shape (n,)
    dipole: Floats | None = None  # e a0, shape (3,); only of neutral molecules
    quadrupole: Floats | None = None  # e a0^2, shape (3, 3), not traceless
    # Where the structure and its labels come from.
    document: Any = None  # the _id
    campaign: str = ""
    step: str = ""
    recipe: str = ""  # the recipe's hash
    number: int | None = None  # number of the frame in an optimization, from 0; None: the only one
    program: str = ""  # name and version
    smiles: str | None = None  # as the document has it
    title: str | None = None
    # Value of each check that was applied, in the check's unit, and the checks that warned.
    checks: Mapping[str, float] = field(default_factory=dict)
    warned: tuple[str, ...] = ()
    # Whether it is a reference atom: an isolated atom in its ground state.
    isolated: bool = False
    # The document's coordinates (Angstrom, shape (n, 3)), which determine the graph; None: they are
    # `coordinates`. And the document's group, which determines its part of the data set, if it has
    # one.
    start: Floats | None = None
    group: str | None = None
    # The key of its molecular graph (`graphs.py`), and the part of the data set it belongs to.
    graph: str = ""
    split: str = ""

    @property
    def natoms(self) -> int:
        """The number of atoms."""
        return len(self.numbers)

    @property
    def symbols(self) -> list[str]:
        """The elements of the atoms."""
        return [SYMBOLS[number] for number in self.numbers]

    @property
    def energy_ev(self) -> float:
        """The energy in eV."""
        return self.energy * EV_PER_EH

    @property
    def forces_ev(self) -> Floats | None:
        """The forces in eV/Angstrom, shape (n, 3); None if there is no gradient."""
        return None if self.gradient is None else -self.gradient * EV_PER_ANGSTROM

    @property
    def forces_eh(self) -> Floats | None:
        """The forces in Eh/Angstrom, shape (n, 3); None if there is no gradient."""
        return None if self.gradient is None else -self.gradient / ANGSTROM_PER_BOHR

    @property
    def dipole_ea(self) -> Floats | None:
        """The dipole moment in e Angstrom, shape (3,); None if there is none."""
        return None if self.dipole is None else self.dipole * ANGSTROM_PER_BOHR

    @property
    def quadrupole_ea2(self) -> Floats | None:
        """The quadrupole moment in e Angstrom^2, shape (3, 3); None if there is none."""
        return None if self.quadrupole is None else self.quadrupole * ANGSTROM_PER_BOHR**2
