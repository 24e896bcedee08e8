"""The electronic state that an evaluation's final energy belongs to: the SCF state or a root.

TD-DFT, CIS, RPA and ZINDO add the excitation energy of one root, DE(CIS), to the SCF energy and
state the root below "CIS/TD-DFT TOTAL ENERGY". In 31 public outputs of 2.6 to 6.0, FINAL SINGLE
POINT ENERGY is this sum to within 1e-9 Eh. With spin-orbit coupling, the excitation energy is
E(SOC CIS), for a root without a definite spin. EOM-CCSD, STEOM-CCSD and ADC(2) do not state the
root. Their final energy is that of the lowest root, except for canonical EOM- and STEOM-CCSD in
ORCA 6, which print the ground-state energy. That energy is recognized because it equals E(TOT), the
coupled-cluster energy.

If only excitations were asked for, the state of interest is the SCF state, and ORCA's values for
its density are read, but not `energy`. If ORCA followed the root (there is a gradient), they are
refused: the output has the root's density below "CIS RELAXED DENSITY", or not at all.
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
# Since ORCA 6, this line above each moment names the method that its density comes from.
_METHOD = "Method             :"
# The tolerance for equal energies: the final energy has 12 decimals, E(TOT) has 9.
_SAME_ENERGY_EH = 1e-7
_BRACKET = re.compile(r"\((Root|Triplet root|SOC Root) {1,10}(\d{1,6})\)")


class Spin(StrEnum):
    """The spin of a root."""

    SCF = "root"  # the root has the spin of the SCF state
    TRIPLET = "triplet root"  # the root is a triplet based on a closed-shell SCF
    MIXED = "spin-orbit root"


_SPINS = {"Root": Spin.SCF, "Triplet root": Spin.TRIPLET, "SOC Root": Spin.MIXED}


@dataclass(frozen=True)
class Root:
    """An excited state that a final energy belongs to."""

    number: int  # as ORCA counts, with 1 for the lowest root
    spin: Spin

    def __str__(self) -> str:
        return f"excited {self.spin} {self.number}"

    def multiplicity(self, of_scf: int | None) -> int | None:
        """The root's multiplicity, given that of the SCF; None if unknown or undefined."""
        return {Spin.SCF: of_scf, Spin.TRIPLET: 3}.get(self.spin)


def _stated(text: str, position: int) -> Root | None:
    """The root in a line like `DE(CIS) = 0.19 Eh (Root 1)`, or None for number 0.

    The brackets can also contain `Triplet root` or `SOC Root`.
    """
    found = _BRACKET.search(line_of(text, position))
    if found is None:
        line = line_of(text, position).strip()[:60]
        raise ParseError(f"the line {line!r} does not state which root it belongs to")
    return Root(int(found[2]), _SPINS[found[1]]) if int(found[2]) else None


def _is_of_the_reference(text: str, one: Evaluation) -> bool:
    """Whether the final energy is the coupled-cluster energy that the roots are based on."""
    end = one.energies[-1]
    final, _ = final_energy(line_of(text, end))
    for label in _REFERENCES:
        for position in every_beginning(text, label, one.start, end):
            value = line_of(text, position).rpartition("...")[2].strip()
            if abs(number(value) - final) <= _SAME_ENERGY_EH:
                return True
    return False


def root_of(text: str, one: Evaluation) -> Root | None:
    """The root that an evaluation's final energy belongs to, or None for the SCF state.

    Raises:
        ParseError: ORCA does not name the root, or the reference energies are damaged.
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
    """The root of an evaluation's final energy if its job computed gradients, otherwise None."""
    root = root_of(text, one)
    if root is None:
        return None
    return root if any(o.gradients for o in evaluations(text) if o.job == one.job) else None


def of_its_density(excerpt: str) -> str:
    """The part of an excerpt that ORCA printed for the root's density, or "" if there is none."""
    position = excerpt.rfind(_RELAXED)
    if position >= 0:
        return excerpt[line_end(excerpt, position) :]
    for place in every_beginning(excerpt, _METHOD):
        if line_of(excerpt, place).rpartition(":")[2].strip() != "SCF":
            return excerpt[line_start(excerpt, place) :]
    return ""


def of_the_scf(text: str, one: Evaluation, root: Root, what: str) -> ParseError:
    """An error that reports that ORCA printed `what` only for the SCF state."""
    return ParseError(
        f"ORCA printed '{what}' for the SCF state, but the energy and gradient of"
        f" {described(text, one)} are those of {root}"
    )
