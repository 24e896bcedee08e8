"""The parsers for this campaign, which convert lennard_jones.awk's results to atomic units."""

from wqmaster import Output, ParseError, reads
from wqmaster.parsers.command import table

# The Boltzmann constant in Eh/K and the Bohr radius in Angstrom (CODATA 2018).
EH_PER_KELVIN = 3.1668115634556e-6
ANGSTROM_PER_BOHR = 0.529177210903


@reads("stdout")
def energy(output: Output) -> float:
    """Energy in Eh."""
    lines = output.text.splitlines()
    if not lines or lines[-1] != "done":
        raise ParseError("lennard_jones.awk did not finish")
    found = [line.split() for line in lines if line.startswith("energy ")]
    if len(found) != 1 or len(found[0]) != 3 or found[0][2] != "K":
        raise output.missing("of the energy")
    return float(found[0][1]) * EH_PER_KELVIN


@reads("gradient.dat", per_atom=True)
def gradient(output: Output) -> list[list[float]]:
    """Gradient in Eh/Bohr, shape (n, 3)."""
    factor = EH_PER_KELVIN * ANGSTROM_PER_BOHR
    return [[value * factor for value in row] for row in table(output)]
