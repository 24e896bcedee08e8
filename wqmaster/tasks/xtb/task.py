"""xtb: single points, optimizations, Hessians and molecular dynamics with GFN1, GFN2 and GFN-FF.

A step starts from the document's geometry, or from that of an earlier step (`geometry:`). xtb reads
the charge and the number of unpaired electrons from the files .CHRG and .UHF (xtb's documentation,
"Charge and spin"). GFN-FF does not use the latter. Written for and tested with xtb 6.7.1.

GFN1 and GFN2 treat the 4f electrons of lanthanides as core electrons. A multiplicity that counts
them puts as many unpaired electrons elsewhere: septet EuCl3 is 0.34 Eh above the singlet, which is
the intended state. If the number of 4f electrons is odd, no multiplicity suits both xtb and the
document (`charge_multiplicity`).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from wqmaster.errors import ParseError
from wqmaster.jobs.job import Execution, Job
from wqmaster.jobs.molecule import SYMBOLS, Molecule, refuse_coincident
from wqmaster.parsers.xyz import frames
from wqmaster.tasks.base import Software, StepRequest, task
from wqmaster.tasks.program import DataFolder, Program, Trial
from wqmaster.tasks.xtb.leaves import leaves_of
from wqmaster.tasks.xtb.options import Common, Dynamics, Hessian, Optimize, Singlepoint, level
from wqmaster.tasks.xtb.remedies import LADDERS, XtbRung
from wqmaster.tasks.xtb.tighter import single_point, theory, tighter
from wqmaster.tasks.xtb.turning import is_aligned, turned

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
# xtb names its files after this one.
_GEOMETRY = "molecule.xyz"


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
        _GEOMETRY: turned(molecule).xyz().encode(),
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
        geometry = _GEOMETRY
        if run.start is not None:
            geometry = f"start.{step.name}.xyz"
            files[geometry] = run.start
        control = _control(run.control)
        if control:
            files[f"{step.name}.inp"] = control
            words += ["--input", f"{step.name}.inp"]
        always = {"gfnff_charges" if options.gfn == "ff" else "xtbout.json", _GEOMETRY}
        wanted = step.files - {"stdout", "stderr"}
        executions.append(
            Execution(
                name=step.name,
                argv=(*software.argv("xtb"), geometry, *words),
                outputs=tuple(sorted({*always, *run.outputs, *wanted})),
                continues=given,
                clean=_LEFT,
                copy=((step.geometry_file, _GEOMETRY),) if step.geometry_file else (),
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
    oldest_version="6.3",
    data=DataFolder("XTBPATH", "xtb"),
    trial=Trial(("h2.xyz", "--gfn", "2"), {"h2.xyz": _H2}, r"TOTAL ENERGY +-\d+\.\d+"),
    level=level,
    tighter=tighter,
    theory=theory,
    single_point=single_point,
)


def _inapplicable_checks(options: Common) -> Mapping[str, str]:
    """The checks that do not apply to a step, each with the reason.

    With COSMO the torques of an ion add up to 2 to 8 meV per atom, depending on its orientation
    (acetate in water, 6.7.1); with ALPB and GBSA to 0.5 meV.
    """
    if options.solvation == "cosmo":
        return {"net_torque": "the grid on the surface of the solvent does not turn with the ion"}
    return {}


_task = partial(
    task,
    program=PROGRAM,
    inapplicable_checks=_inapplicable_checks,
    rung=XtbRung,
    ladders=LADDERS,
    inspect=refuse_coincident,
    takes_geometry=True,
)


@_task(
    options=Singlepoint,
    leaves=leaves_of("singlepoint"),
    keeps_geometry=lambda options: True,
)
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


@_task(
    options=Optimize,
    leaves=leaves_of("optimize"),
    final_geometry=lambda options: "xtbopt.xyz",
)
def optimize(molecule: Molecule, steps: Sequence[StepRequest], software: Software) -> Job:
    """Compute the geometry of the nearest minimum (`xtbopt.xyz`), its energy and properties."""
    return _job(molecule, steps, software, lambda step: _optimization(molecule, step))


def _hessian(step: StepRequest) -> _Run:
    options: Hessian = step.options
    thermo = ("thermo", (f"temp={options.temperature!r}",))
    return _Run(words=("--hess",), control=(thermo,), outputs=("vibspectrum",))


@_task(
    options=Hessian,
    leaves=leaves_of("hessian"),
    keeps_geometry=lambda options: True,
)
def hessian(molecule: Molecule, steps: Sequence[StepRequest], software: Software) -> Job:
    """Compute the Hessian, frequencies and thermochemistry at the document's geometry.

    The geometry is not optimized first. The parser `stationary` reports whether it is stationary.
    """
    return _job(molecule, steps, software, _hessian)


def _dynamics(molecule: Molecule, step: StepRequest) -> _Run:
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
    # A diatomic molecule that does not lie along an axis makes xtb's MD unstable (6.7.1).
    untouched = step.geometry_file is None and is_aligned(molecule)
    start = molecule.xyz().encode() if untouched else None
    return _Run(words=("--md",), control=blocks, start=start)


@_task(options=Dynamics, leaves=leaves_of("md"))
def md(molecule: Molecule, steps: Sequence[StepRequest], software: Software) -> Job:
    """Run molecular dynamics from the document's geometry.

    `keep_files: {xtb.trj: "{id}.trj"}` keeps the trajectory, an XYZ file. The parser `md_summary`
    returns averages. `energy` and other values in xtbout.json belong to the initial geometry.
    """
    return _job(molecule, steps, software, lambda step: _dynamics(molecule, step))
