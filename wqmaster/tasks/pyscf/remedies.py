"""Remedies for PySCF: other ways to the same energy.

Damping, level shift and the second-order method change the path of the SCF, whose converged energy
contains none of them: PySCF diagonalizes once more without the level shift (scf/hf.py: kernel). In
eight cases that do not converge by themselves (stretched bonds, twisted ethylene, NiCO; PBE),
neither damping nor a level shift helped. The second-order method converged all of them.

A solution to which a remedy for the SCF led is guaranteed to have no internal instability;
otherwise the attempt fails with the class `scf_not_converged`. "Internal" means within the same
method: a restricted solution is never replaced by an unrestricted one. It is not guaranteed that a
stable solution is the lowest one. For NO at 2.5 Angstrom (UKS, PBE, def2-SVP), each of the
solutions at -129.3552, -129.3815 and -129.3929 Eh has been taken for the result at some time. The
second-order method of an unrestricted calculation therefore starts from the checkpoint, from the
guesses minao, atom and huckel, and from mixed frontier orbitals, and keeps the lowest stable
solution; no method is known that always finds the lowest of all. The second-order method is the
first rung, because more ordinary cycles, which have only one start, cured none of the cases in
`benchmarks/pyscf_hard_cases.py` whose energies were compared with a tight reference. Its several
starts take several times as long.
"""

from typing import Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from wqmaster.jobs.failures import FailureClass
from wqmaster.tasks.base import Ladders, Rung
from wqmaster.tasks.pyscf.options import Common


class PyscfRung(Rung):
    """A remedy for PySCF."""

    # Share of the previous Fock matrix in the next one.
    damping: float | None = Field(default=None, gt=0, lt=1)
    # Shift of the empty orbitals, in Eh.
    level_shift: float | None = Field(default=None, gt=0, le=10)
    # Whether the second-order method (PySCF's newton) follows a few ordinary cycles.
    newton: bool = False
    guess: Literal["minao", "atom", "huckel", "mod_huckel", "1e", "sap", "vsap"] | None = None
    # Minimum for the limit on SCF cycles.
    max_cycle: int | None = Field(default=None, gt=0, le=10_000)
    # Minimum for the limit on cycles of an optimization.
    cycles: int | None = Field(default=None, gt=0, le=10_000)

    @model_validator(mode="before")
    @classmethod
    def _way_only(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for key in value:
                if key in Common.model_fields and key not in cls.model_fields:
                    raise PydanticCustomError(
                        "no_remedy",
                        "'{key}' may change the level of theory, so it is not a remedy",
                        {"key": key},
                    )
        return value


_MEMORY = (PyscfRung(name="memory_2x", memory=2), PyscfRung(name="memory_4x", memory=4))

LADDERS: Ladders = {
    FailureClass.SCF_NOT_CONVERGED: (
        PyscfRung(name="newton", restart=True, newton=True, max_cycle=100, time=4),
        PyscfRung(name="continued", restart=True, max_cycle=200),
        PyscfRung(name="newton_atom", guess="atom", newton=True, max_cycle=300, time=4),
    ),
    FailureClass.OPT_NOT_CONVERGED: (PyscfRung(name="opt_continued", restart=True, cycles=300),),
    FailureClass.MEMORY: _MEMORY,
    FailureClass.TIME_LIMIT: (
        PyscfRung(name="continued_2x", restart=True, time=2),
        PyscfRung(name="continued_4x", restart=True, time=4),
    ),
}
