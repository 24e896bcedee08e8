"""Which electronic state the final energy of an evaluation is of: that of the SCF, or a root.

TD-DFT, CIS, RPA and ZINDO add the excitation energy of one root, DE(CIS), to the energy of the SCF
and state which root it is, below "CIS/TD-DFT TOTAL ENERGY" (31 public outputs of 2.6 to 6.0: FINAL
SINGLE POINT ENERGY is that sum to 1e-9 Eh). With spin-orbit coupling it is E(SOC CIS) of a root
that has no spin of its own. EOM-CCSD, STEOM-CCSD and ADC(2) do not state it: their
final energy is that of the lowest root, but for canonical EOM- and STEOM-CCSD in ORCA 6, which give
that of the ground state. It is recognised by E(TOT), the energy of coupled cluster.

Where only excitations were asked for, the state of interest is that of the SCF, and what ORCA
prints of its density is read. Where ORCA followed the root (there is a gradient), it is refused:
the density of the root is in the output below "CIS RELAXED DENSITY", or not at all.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from wqmaster.errors import ParseError
from wqmaster.parsers.orca.evaluations import Evaluation, described, evaluations
from wqmaster.parsers.orca.final_lines import final_energy
from wqmaster.parsers.orca.text import (
    every_beginning,
    last_beginning,
    line_end,
    line_of,
    line_start,
    number,
)

_EXCITATIONS = ("DE(CIS)", "E(SOC CIS)")
_ROOTS = ("EOM-CCSD RESULTS", "STEOM-CCSD RESULTS", "ADC(2) RESULTS")
_REFERENCES = ("E(TOT) ", "Reference state energy for EOM")
_RELAXED = "CIS RELAXED DENSITY"
# Above each moment, since ORCA 6: the method whose density it is of.
_METHOD = "Method             :"
# The final energy is printed with 12 decimals, E(TOT) with 9 (Eh).
_SAME_ENERGY_EH = 1e-7
_BRACKET = re.compile(r"\((Root|Triplet root|SOC Root) {1,10}(\d{1,6})\)")


class Spin(StrEnum):
    """What the spin of a root is."""

    SCF = "root"  # that of the SCF
    TRIPLET = "triplet root"  # of a closed-shell SCF
    MIXED = "spin-orbit root"


_SPINS = {"Root": Spin.SCF, "Triplet root": Spin.TRIPLET, "SOC Root": Spin.MIXED}


@dataclass(frozen=True)
class Root:
    """An excited state that a final energy is of."""

    number: int  # as ORCA counts it, the lowest one is 1
    spin: Spin

    def __str__(self) -> str:
        return f"excited {self.spin} {self.number}"

    def multiplicity(self, of_scf: int | None) -> int | None:
        """Its multiplicity, where that of the SCF is known; None where it has none."""
        return {Spin.SCF: of_scf, Spin.TRIPLET: 3}.get(self.spin)


def _stated(text: str, position: int) -> Root | None:
    """The root of a line `DE(CIS) = 0.19 Eh (Root 1)`, `(Triplet root 1)` or `(SOC Root 1)`."""
    found = _BRACKET.search(line_of(text, position))
    if found is None:
        line = line_of(text, position).strip()[:60]
        raise ParseError(f"the line {line!r} does not state which root it is of")
    return Root(int(found[2]), _SPINS[found[1]]) if int(found[2]) else None


def _is_of_the_reference(text: str, one: Evaluation) -> bool:
    """Whether the final energy is that of coupled cluster, which roots were computed upon."""
    end = one.energies[-1]
    final, _ = final_energy(line_of(text, end))
    for label in _REFERENCES:
        for position in every_beginning(text, label, one.start, end):
            value = line_of(text, position).rpartition("...")[2].strip()
            if abs(number(value) - final) <= _SAME_ENERGY_EH:
                return True
    return False


def root_of(text: str, one: Evaluation) -> Root | None:
    """The root that the final energy of an evaluation is of; None if it is that of the SCF.

    Raises:
        ParseError: it is one that ORCA does not name, or the energies of the reference are damaged.
    """
    if not one.energies:
        return None
    end = one.energies[-1]
    position = max(last_beginning(text, label, one.start, end) for label in _EXCITATIONS)
    if position >= 0:
        return _stated(text, position)
    heading = max(last_beginning(text, words, one.start, end) for words in _ROOTS)
    if heading < 0:
        return None
    if _is_of_the_reference(text, one):
        return None
    triplets = "TRIPLETS" in text[heading : line_end(text, heading)]
    return Root(1, Spin.TRIPLET if triplets else Spin.SCF)


def followed(text: str, one: Evaluation) -> Root | None:
    """The root of an evaluation whose job computed gradients of it; None if there is none."""
    root = root_of(text, one)
    if root is None:
        return None
    return root if any(o.gradients for o in evaluations(text) if o.job == one.job) else None


def of_its_density(excerpt: str) -> str:
    """The part of an excerpt that ORCA printed of the density of the root; "" if there is none."""
    position = excerpt.rfind(_RELAXED)
    if position >= 0:
        return excerpt[line_end(excerpt, position) :]
    for place in every_beginning(excerpt, _METHOD):
        if line_of(excerpt, place).rpartition(":")[2].strip() != "SCF":
            return excerpt[line_start(excerpt, place) :]
    return ""


def of_the_scf(text: str, one: Evaluation, root: Root, what: str) -> ParseError:
    """The error that `what` is in the output for the state of the SCF alone."""
    return ParseError(
        f"what ORCA prints of '{what}' is of the SCF, the energy and the gradient of"
        f" {described(text, one)} are of {root}"
    )
