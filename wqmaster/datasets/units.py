"""Units of the exported files.

The constants are ASE's (CODATA 2014, `ase.units`), since the trainers use these. They differ from
those of CODATA 2018 by 8e-9 of the value. The data card states them.
"""

EV_PER_EH = 27.211386024367243
ANGSTROM_PER_BOHR = 0.5291772105638411
EV_PER_ANGSTROM = EV_PER_EH / ANGSTROM_PER_BOHR  # for 1 Eh/Bohr
E_ANGSTROM_PER_DEBYE = 0.20819433442462576
