"""The multiplicities of isolated neutral atoms in their ground states."""

from wqmaster.jobs.molecule import SYMBOLS

# 2 S + 1 for the elements H to Lr, in the order of their atomic numbers.
# Source: NIST Atomic Spectra Database, "Ground Levels and Ionization Energies".
# fmt: off
_MULTIPLICITIES = (
    2, 1,
    2, 1, 2, 3, 4, 3, 2, 1,
    2, 1, 2, 3, 4, 3, 2, 1,
    2, 1, 2, 3, 4, 7, 6, 5, 4, 3, 2, 1, 2, 3, 4, 3, 2, 1,
    2, 1, 2, 3, 6, 7, 6, 5, 4, 1, 2, 1, 2, 3, 4, 3, 2, 1,
    2, 1,
    2, 1, 4, 5, 6, 7, 8, 9, 6, 5, 4, 3, 2, 1,
    2, 3, 4, 5, 6, 5, 4, 3, 2, 1, 2, 3, 4, 3, 2, 1,
    2, 1,
    2, 3, 4, 5, 6, 7, 8, 9, 6, 5, 4, 3, 2, 1, 2,
)
# fmt: on
GROUND_STATES = {
    SYMBOLS[number]: multiplicity for number, multiplicity in enumerate(_MULTIPLICITIES, start=1)
}
