"""xtb: semiempirical energies and gradients."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, field_validator

from wqmaster.campaign import Model
from wqmaster.job import Execution, Job
from wqmaster.molecule import Molecule
from wqmaster.tasks import Software, StepRequest, task

# What an earlier xtb run in the same sandbox left, and a later one would read or leave as its own.
_LEFT = ("xtbrestart", "xtbout.json", "molecule.engrad", "gradient", "energy", "charges", "wbo")


class Singlepoint(Model):
    """Options of a step of `singlepoint`."""

    # The parametrisation: GFN1-xTB or GFN2-xTB.
    gfn: Literal[1, 2] = 2

    @field_validator("gfn", mode="before")
    @classmethod
    def _no_bool(cls, value: object) -> object:
        if isinstance(value, bool):  # True equals 1
            raise ValueError("should be 1 or 2")
        return value

    # Whether the gradient is computed as well.
    gradient: bool = True
    # xtb's --acc: scales all thresholds; smaller is tighter.
    accuracy: float | None = Field(default=None, gt=0)
    # xtb's --iterations: of the self-consistent charges.
    iterations: int | None = Field(default=None, gt=0)


def environment(cores: int) -> dict[str, str]:
    """xtb's environment: one thread a core."""
    return {
        "OMP_NUM_THREADS": str(cores),
        "MKL_NUM_THREADS": str(cores),
        "OPENBLAS_NUM_THREADS": str(cores),
        "OMP_STACKSIZE": "512M",
    }


def arguments(options: Singlepoint) -> list[str]:
    """The arguments that `options` ask for."""
    words = ["molecule.xyz", "--gfn", str(options.gfn), "--json"]
    if options.gradient:
        words.append("--grad")
    if options.accuracy is not None:
        words += ["--acc", repr(options.accuracy)]
    if options.iterations is not None:
        words += ["--iterations", str(options.iterations)]
    return words


@task(program="xtb", options=Singlepoint)
def singlepoint(molecule: Molecule, steps: Sequence[StepRequest], software: Software) -> Job:
    """Energy, gradient and properties at the geometry of the document.

    Charge and unpaired electrons stand in the files .CHRG and .UHF, which xtb reads (its
    documentation, "Charge and spin"): they come from the document.
    """
    executions = tuple(
        Execution(
            name=step.name,
            argv=(*software.argv("xtb"), *arguments(step.options)),
            outputs=tuple(sorted({"xtbout.json", *step.files} - {"stdout", "stderr"})),
            clean=_LEFT,
            environment=environment(software.cores),
        )
        for step in steps
    )
    files = {
        "molecule.xyz": molecule.xyz().encode(),
        ".CHRG": f"{molecule.charge}\n".encode(),
        ".UHF": f"{molecule.unpaired}\n".encode(),
    }
    return Job(executions, files)
