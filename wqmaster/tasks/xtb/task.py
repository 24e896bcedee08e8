"""xtb: single points, optimizations, Hessians and molecular dynamics with GFN1, GFN2 and GFN-FF.

Every step starts from the document's geometry, whatever earlier steps computed. xtb reads the
charge and the number of unpaired electrons from the files .CHRG and .UHF (xtb's documentation,
"Charge and spin"). GFN-FF does not use the latter. Written for and tested with xtb 6.7.1.

GFN1 and GFN2 treat the 4f electrons of lanthanides as core electrons. A multiplicity that counts
them puts as many unpaired electrons elsewhere: septet EuCl3 is 0.34 Eh above the singlet, which is
the intended state. If the number of 4f electrons is odd, no multiplicity suits both xtb and the
document (`charge_multiplicity`).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from wqmaster.campaign.models import Model, nearest
from wqmaster.errors import ParseError
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.job import Execution, Job
from wqmaster.jobs.molecule import SYMBOLS, Molecule, refuse_coincident
from wqmaster.parsers.xyz import frames
from wqmaster.tasks.base import Ladders, Rung, Software, StepRequest, task
from wqmaster.tasks.program import DataFolder, Program, Trial
from wqmaster.tasks.xtb.leaves import leaves_of
from wqmaster.tasks.xtb.solvents import ALIASES, solvents

# Files that a later xtb run in the same sandbox would read or return as its own.
_LEFT = (
    *("xtbrestart", "xtbout.json", "molecule.engrad", "gradient", "energy", "charges", "wbo"),
    *("xtbtopo.mol", "xtb.cosmo", ".sccnotconverged", "NOT_CONVERGED"),
    *("gfnff_topo", "gfnff_charges", "gfnff_adjacency", "gfnff_lists.json"),
    *("xtbopt.xyz", "xtbopt.log", "xtblast.xyz", ".xtboptok", "xtbscan.log"),
    *("hessian", "vibspectrum", "g98.out", "xtbhess.xyz"),
    *("xtb.trj", "mdrestart", "xtbmdok", "scoord.1"),
)
# Files of a failed optimization from which a later attempt can start, in order of preference.
_LAST = ("xtblast.xyz", "xtbopt.xyz", "xtbopt.log")
# The largest number of MD steps that xtb can print (src/dynamic.f90: i6).
_MAX_STEPS = 999_999


class Common(Model):
    """The options for a step of any xtb function."""

    # The parametrization: GFN1-xTB, GFN2-xTB or the force field GFN-FF.
    gfn: Literal[1, 2, "ff"] = 2
    # An implicit solvent and its model: alpb (default), gbsa or cosmo.
    solvent: str | None = None
    solvation: Literal["alpb", "gbsa", "cosmo"] | None = None
    # xtb's --acc, which scales all thresholds. A smaller value is tighter.
    accuracy: float | None = Field(default=None, ge=1e-4, le=1e3)
    # xtb's --iterations, the limit for the self-consistent charges.
    iterations: int | None = Field(default=None, gt=0)

    @field_validator("gfn", mode="before")
    @classmethod
    def _no_bool(cls, value: object) -> object:
        if isinstance(value, bool):  # True equals 1
            raise ValueError("should be 1, 2 or ff")
        return value

    @field_validator("solvent")
    @classmethod
    def _one_name(cls, value: str | None) -> str | None:
        return None if value is None else ALIASES.get(value.strip().lower(), value.strip().lower())

    @model_validator(mode="before")
    @classmethod
    def _usual_model(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("solvent") is not None:
            return {**value, "solvation": value.get("solvation") or "alpb"}
        return value

    @model_validator(mode="after")
    def _known_solvent(self) -> "Common":
        if self.solvent is None:
            if self.solvation is not None:
                raise ValueError("'solvation' needs a 'solvent'")
            return self
        known = solvents(self.gfn, str(self.solvation))
        if self.solvent not in known:
            method = "GFN-FF" if self.gfn == "ff" else f"GFN{self.gfn}-xTB"
            raise ValueError(
                f"xtb has no solvent '{self.solvent}' for {method} with {self.solvation}; "
                f"{nearest(self.solvent, known)}"
            )
        return self


class Singlepoint(Common):
    """The options for a step of `singlepoint`."""

    # Whether the gradient is computed too.
    gradient: bool = True


class Optimize(Common):
    """The options for a step of `optimize`."""

    # xtb's --opt, the thresholds for the energy change and the gradient.
    level: Literal["crude", "sloppy", "loose", "lax", "normal", "tight", "verytight", "extreme"] = (
        "normal"
    )
    # The maximum number of cycles (default: xtb's, which depends on the molecule's size).
    cycles: int | None = Field(default=None, gt=0)


class Hessian(Common):
    """The options for a step of `hessian`."""

    # The temperature for the thermochemistry, in K.
    temperature: float = Field(default=298.15, gt=0, le=99_999)


class Dynamics(Common):
    """The options for a step of `md`. Their defaults are those of xtb 6.7.1, except `samerand`."""

    # The length of the run, in ps.
    time: float = Field(default=50.0, ge=0.01, le=99_999)
    # The time step, in fs.
    step: float = Field(default=4.0, ge=0.01, le=99_999)
    # The temperature of the start and of the thermostat, in K.
    temperature: float = Field(default=298.15, gt=0, le=99_999)
    # The interval between structures in xtb.trj, in fs.
    dump: float = Field(default=50.0, ge=0.01, le=99_999)
    # The constrained bonds: 0 none, 1 bonds to hydrogen, 2 all.
    shake: Literal[0, 1, 2] = 1
    # The mass of hydrogen, in u; 0: the real mass.
    hmass: int = Field(default=4, ge=0, le=1000)
    # Whether to use a (Berendsen) thermostat.
    nvt: bool = True
    # Whether to write velocities to xtb.trj.
    velocities: bool = False
    # The accuracy of the charges during the run (see `accuracy`). Every eleventh step uses 1.
    sccacc: float = Field(default=2.0, ge=1e-4, le=1e3)
    # Whether the initial velocities use the same random numbers in each run (xtb has no other
    # seed). If False, a rerun gives a different trajectory.
    samerand: bool = True

    @field_validator("shake", mode="before")
    @classmethod
    def _no_bool_either(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("should be 0, 1 or 2")
        return value

    @model_validator(mode="after")
    def _some_steps(self) -> "Dynamics":
        if not 1 <= self.time * 1000 / self.step <= _MAX_STEPS:
            raise ValueError(f"'time' and 'step' should give between 1 and {_MAX_STEPS} steps")
        if self.dump < self.step:
            raise ValueError("'dump' is shorter than 'step'")
        return self


class XtbRung(Rung):
    """A remedy for xtb. It changes how equations are solved, but not the equations or thresholds.

    A higher electronic temperature would help convergence, but it changes the energy.
    """

    # Raises the limit on iterations for the self-consistent charges to at least this number.
    iterations: int | None = Field(default=None, gt=0)
    # xtb's `broydamp` (default: 0.4). A smaller value is slower and steadier.
    damping: float | None = Field(default=None, gt=0, lt=1)
    # Raises the limit on cycles of an optimization to at least this number.
    cycles: int | None = Field(default=None, gt=0)
    # The optimizer: xtb's rf (default), lbfgs or inertial, with the same thresholds (`level`).
    engine: Literal["rf", "lbfgs", "inertial"] | None = None


LADDERS: Ladders = {
    FailureClass.SCF_NOT_CONVERGED: (
        XtbRung(name="iterations", iterations=1000),
        XtbRung(name="damped", iterations=3000, damping=0.1),
        XtbRung(name="strongly-damped", iterations=10_000, damping=0.02),
    ),
    # A bug in xtb 6.7.1 affects one run in five for some atoms (parsers.xtb.asking.is_full).
    FailureClass.ERRATIC: tuple(XtbRung(name=f"again-{count}") for count in range(1, 5)),
    FailureClass.OPT_NOT_CONVERGED: (
        XtbRung(name="restart", restart=True, cycles=1000),
        XtbRung(name="lbfgs", restart=True, cycles=3000, engine="lbfgs"),
    ),
}


def environment(cores: int) -> dict[str, str]:
    """The environment variables for xtb, with one thread per core."""
    return {
        "OMP_NUM_THREADS": str(cores),
        "MKL_NUM_THREADS": str(cores),
        "OPENBLAS_NUM_THREADS": str(cores),
        "OMP_STACKSIZE": "512M",
    }


@dataclass(frozen=True)
class _Run:
    """The additions of one task function to the command line and files of an xtb run."""

    words: tuple[str, ...] = ()
    # Blocks of xtb's detailed input (manual page xcontrol(7)), each with its name and settings.
    control: tuple[tuple[str, tuple[str, ...]], ...] = ()
    outputs: tuple[str, ...] = ()
    rescue: tuple[str, ...] = ()
    start: bytes | None = None  # an XYZ file that replaces the document's geometry


def arguments(options: Common) -> list[str]:
    """The arguments that the options ask for, without the geometry and those in `_Run`."""
    words = ["--gfnff"] if options.gfn == "ff" else ["--gfn", str(options.gfn), "--json"]
    if isinstance(options, Singlepoint) and options.gradient:
        words.append("--grad")
    if options.accuracy is not None:
        words += ["--acc", repr(options.accuracy)]
    if options.iterations is not None:
        words += ["--iterations", str(options.iterations)]
    if options.solvent is not None:
        words += [f"--{options.solvation}", options.solvent]
    return words


def _control(blocks: Iterable[tuple[str, tuple[str, ...]]]) -> bytes:
    """The text of xtb's detailed input; empty if there are no blocks."""
    lines = []
    for name, settings in blocks:
        lines += [f"${name}", *(f"   {setting}" for setting in settings)]
    return "\n".join([*lines, "$end", ""]).encode() if lines else b""


def _remedied(step: StepRequest, run: _Run) -> tuple[Common, _Run]:
    """The step's options and `run` with the changes that this attempt's rungs make."""
    options: Common = step.options
    for rung in step.remedies:
        if options.gfn != "ff" and rung.iterations is not None:
            most = max(options.iterations or 0, rung.iterations)
            options = options.model_copy(update={"iterations": most})
        if options.gfn != "ff" and rung.damping is not None:
            run = replace(run, control=(*run.control, ("scc", (f"broydamp={rung.damping!r}",))))
    return options, run


def _job(
    molecule: Molecule,
    steps: Sequence[StepRequest],
    software: Software,
    run_of: Callable[[StepRequest], _Run],
) -> Job:
    files = {
        "molecule.xyz": molecule.xyz().encode(),
        ".CHRG": f"{molecule.charge}\n".encode(),
        ".UHF": f"{molecule.unpaired}\n".encode(),
    }
    given = tuple(files)
    executions = []
    for step in steps:
        options, run = _remedied(step, run_of(step))
        words = arguments(options)
        if options.gfn == "ff" and "gfnff_lists.json" in step.files:
            words.append("--json")
        words += run.words
        geometry = "molecule.xyz"
        if run.start is not None:
            geometry = f"start.{step.name}.xyz"
            files[geometry] = run.start
        control = _control(run.control)
        if control:
            files[f"{step.name}.inp"] = control
            words += ["--input", f"{step.name}.inp"]
        always = {"gfnff_charges" if options.gfn == "ff" else "xtbout.json", "molecule.xyz"}
        wanted = step.files - {"stdout", "stderr"}
        executions.append(
            Execution(
                name=step.name,
                argv=(*software.argv("xtb"), geometry, *words),
                outputs=tuple(sorted({*always, *run.outputs, *wanted})),
                continues=given,
                clean=_LEFT,
                rescue=run.rescue,
                environment=environment(software.cores),
            )
        )
    return Job(tuple(executions), files)


_H2 = b"2\n\nH 0.0 0.0 0.0\nH 0.0 0.0 0.74\n"

PROGRAM = Program(
    "xtb",
    "wqmaster.parsers.xtb",
    installation="apt install xtb, or conda install -c conda-forge xtb",
    version_argument="--version",
    data=DataFolder("XTBPATH", "xtb"),
    trial=Trial(("h2.xyz", "--gfn", "2"), {"h2.xyz": _H2}, r"TOTAL ENERGY +-\d+\.\d+"),
)

_task = partial(task, program=PROGRAM, rung=XtbRung, ladders=LADDERS, inspect=refuse_coincident)


@_task(options=Singlepoint, leaves=leaves_of("singlepoint"))
def singlepoint(molecule: Molecule, steps: Sequence[StepRequest], software: Software) -> Job:
    """Compute energy, gradient and properties at the document's geometry."""
    return _job(molecule, steps, software, lambda step: _Run())


def _optimization(molecule: Molecule, step: StepRequest) -> _Run:
    options: Optimize = step.options
    cycles, start = options.cycles, None
    control: dict[str, str] = {}
    for rung in step.remedies:
        if rung.cycles is not None:
            cycles = max(cycles or 0, rung.cycles)
        if rung.engine is not None:
            control["engine"] = rung.engine
        if rung.restart:
            start = _last_geometry(molecule, step)
    words = ["--opt", options.level]
    if cycles is not None:
        words += ["--cycles", str(cycles)]
    settings = tuple(f"{name}={value}" for name, value in control.items())
    return _Run(
        words=tuple(words),
        control=(("opt", settings),) if settings else (),
        outputs=("xtbopt.xyz",),
        rescue=_LAST,
        start=start,
    )


def _last_geometry(molecule: Molecule, step: StepRequest) -> bytes | None:
    """The failed attempt's last geometry as an XYZ file; None if none fits the molecule."""
    wanted = tuple(SYMBOLS[number] for number in molecule.numbers)
    for name in _LAST:
        text = step.rescued.get(name, b"").decode("utf-8", errors="replace")
        try:
            found = list(frames(text, name))
        except ParseError:
            continue
        if not found or tuple(symbol.capitalize() for symbol in found[-1].symbols) != wanted:
            continue
        places = found[-1].coordinates
        if all(math.isfinite(value) for place in places for value in place):
            return replace(molecule, coordinates=places).xyz().encode()
    return None


@_task(options=Optimize, leaves=leaves_of("optimize"))
def optimize(molecule: Molecule, steps: Sequence[StepRequest], software: Software) -> Job:
    """Compute the geometry of the nearest minimum (`xtbopt.xyz`), its energy and properties."""
    return _job(molecule, steps, software, lambda step: _optimization(molecule, step))


def _hessian(step: StepRequest) -> _Run:
    options: Hessian = step.options
    thermo = ("thermo", (f"temp={options.temperature!r}",))
    return _Run(words=("--hess",), control=(thermo,), outputs=("vibspectrum",))


@_task(options=Hessian, leaves=leaves_of("hessian"))
def hessian(molecule: Molecule, steps: Sequence[StepRequest], software: Software) -> Job:
    """Compute the Hessian, frequencies and thermochemistry at the document's geometry.

    The geometry is not optimized first. The parser `stationary` reports whether it is stationary.
    """
    return _job(molecule, steps, software, _hessian)


def _dynamics(step: StepRequest) -> _Run:
    options: Dynamics = step.options
    settings = (
        f"time={options.time!r}",
        f"step={options.step!r}",
        f"temp={options.temperature!r}",
        f"dump={options.dump!r}",
        f"shake={options.shake}",
        f"hmass={options.hmass}",
        f"nvt={str(options.nvt).lower()}",
        f"velo={str(options.velocities).lower()}",
        f"sccacc={options.sccacc!r}",
    )
    blocks: tuple[tuple[str, tuple[str, ...]], ...] = (("md", settings),)
    if options.samerand:
        blocks = (*blocks, ("samerand", ()))
    return _Run(words=("--md",), control=blocks)


@_task(options=Dynamics, leaves=leaves_of("md"))
def md(molecule: Molecule, steps: Sequence[StepRequest], software: Software) -> Job:
    """Run molecular dynamics from the document's geometry.

    `keep_files: {xtb.trj: "{id}.trj"}` keeps the trajectory, an XYZ file. The parser `md_summary`
    returns averages. `energy` and other values in xtbout.json belong to the initial geometry.
    """
    return _job(molecule, steps, software, _dynamics)
