"""ORCA, with any route, in steps that can read files from earlier steps."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, field_validator

from wqmaster.campaign.models import NAME, Model
from wqmaster.errors import ParseError
from wqmaster.jobs.job import Execution, Job
from wqmaster.jobs.molecule import SYMBOLS, Molecule, refuse_coincident
from wqmaster.parsers.base import Output
from wqmaster.parsers.orca import geometry, symbols
from wqmaster.tasks.base import OptionError, Software, StepRequest, task
from wqmaster.tasks.orca.checks import inapplicable_checks
from wqmaster.tasks.orca.leaves import keeps_geometry, leaves
from wqmaster.tasks.orca.needs import MAXCORE_SHARE, needs
from wqmaster.tasks.orca.remedies import LADDERS, OrcaRung, applied, comments_out, guesses, without
from wqmaster.tasks.orca.route import level, remarks
from wqmaster.tasks.orca.tighter import single_point, theory, tighter
from wqmaster.tasks.program import Program, Trial

# ORCA names its files after the input file, orca.inp: orca.gbw, orca.engrad, orca.hess, ...
_BASE = "orca"
# Files that a later run in the same sandbox would return as its own or start from.
_LEFT = (
    *("orca.engrad", "orca.hess", "orca.opt", "orca.property.json", "orca.property.txt"),
    *("orca_property.txt", "orca_trj.xyz", "orca.densities", "orca.densitiesinfo", "orca.cis"),
    *("orca.scfp", "orca.scfp.tmp", "orca.gbw.tmp", "orca.bibtex", "orca.ges", "orca.carthess"),
)
# Calls the program on the PATH by its full path, which ORCA requires for parallel runs.
_BY_FULL_PATH = ("sh", "-c", 'exec "$(command -v "$0")" "$@"')
_MOINP = re.compile(r'%\s*moinp\s+"?([^"\s]+)"?', re.IGNORECASE)
# ORCA accepts both "nprocs 4" and "nprocs=4".
_NPROCS = re.compile(r"(%\s*pal\b[^%!*]*?\bnprocs[\s=]+)(\d+)", re.IGNORECASE)
_PAL = re.compile(r"^(\s*!.*?)\bpal(\d+)\b", re.IGNORECASE | re.MULTILINE)
_NOTHING = re.compile(r"^\s*!\s*$\n?", re.MULTILINE)
_MAXCORE = re.compile(r"(%\s*maxcore[\s=]+)(\d+)", re.IGNORECASE)
_OPTIMIZES = re.compile(r"^\s*!.*?\b\w*opt(ts)?\b", re.IGNORECASE | re.MULTILINE)
# A failed scan restarts from the document's geometry, because its results can depend on the path.
_SCANS = re.compile(r"%\s*geom\b[^%]*?\bscan\b", re.IGNORECASE)
# Patterns that a route must not contain, each with the reason.
_NOT_HERE = (
    (re.compile(r"^\s*\*", re.MULTILINE), "coordinates come from the document, not from the route"),
    (
        re.compile(r"^\s*!.*\s\*\s*\w", re.MULTILINE),
        "coordinates come from the document, not from the route",
    ),
    (re.compile(r"%\s*coords\b", re.I), "coordinates come from the document, not from the route"),
    (re.compile(r"\$new_job", re.I), "write a further job as a further step in 'args:'"),
    (re.compile(r"%\s*base\b", re.I), "%base would rename the files of a run (orca.*)"),
    (re.compile(r"%\s*compound\b", re.I), "%compound scripts are not supported; use steps"),
)


class Step(Model):
    """The options for a step of `sequential`."""

    # ORCA's input without the coordinates: lines of "!" keywords and %blocks.
    route: str = Field(min_length=1)
    # The name of an earlier step whose orbitals this step starts from (! moread, %moinp).
    moread: str | None = Field(default=None, pattern=NAME)

    @field_validator("route")
    @classmethod
    def _plain(cls, route: str) -> str:
        text = comments_out(route)
        for pattern, why in _NOT_HERE:
            if pattern.search(text):
                raise ValueError(why)
        if not text.strip():
            raise ValueError("the route is empty")
        return route


def _line(text: str, place: int) -> int:
    """The line (from 1) of the character at `place`."""
    return text.count("\n", 0, place) + 1


def check(steps: Sequence[StepRequest], software: Software) -> None:
    """Check that routes agree with `resources:` and read only files from earlier steps.

    Raises:
        ValueError: a route breaks this rule; the message names the step and the correction.
    """
    before: list[str] = []
    for step in steps:
        text = comments_out(step.options.route)
        where = f"step '{step.name}'"
        if step.name == _BASE and len(steps) > 1:
            raise ValueError(
                "a step cannot be named 'orca', since the files of all steps are; rename it"
            )
        moread = step.options.moread
        if moread is not None and moread not in before:
            message = f"{where}: 'moread: {moread}' does not name an earlier step of ORCA"
            raise OptionError(message, ("moread",), step=step.name)
        for found in _MOINP.finditer(text):
            name = found[1]
            if name not in [f"{earlier}.gbw" for earlier in before]:
                there = ", ".join(f"{earlier}.gbw" for earlier in before) or "none"
                message = (
                    f'{where}: no earlier step writes the file of %moinp "{name}"; '
                    f"available: {there}"
                )
                raise OptionError(message, ("route",), _line(text, found.start(1)), step.name)
        for found in (*_NPROCS.finditer(text), *_PAL.finditer(text)):
            if int(found[2]) != software.cores:
                message = (
                    f"{where}: the route asks for {found[2]} processes, but 'resources: "
                    f"{{cores: {software.cores}}}' allows {software.cores}; make them agree"
                )
                raise OptionError(message, ("route",), _line(text, found.start(2)), step.name)
        maxcore = _MAXCORE.search(text)
        if maxcore and software.memory and int(maxcore[2]) * software.cores > software.memory:
            message = (
                f"{where}: %maxcore {maxcore[2]} for {software.cores} processes is more than "
                f"'resources: {{memory: {software.memory}}}'"
            )
            raise OptionError(message, ("route",), _line(text, maxcore.start(2)), step.name)
        before.append(step.name)


def final_geometry(options: Step) -> str | None:
    """The file with the last geometry of an optimization; None for other routes."""
    return f"{_BASE}.xyz" if _OPTIMIZES.search(comments_out(options.route)) else None


def impostor(program: Path) -> str | None:
    """Why the file `program` is not ORCA; None if it can be.

    Debian's package `orca` is the GNOME screen reader, which is a Python script.
    """
    try:
        with program.open("rb") as file:
            head = file.read(20_000)
    except OSError:
        return None
    if re.match(rb"#![^\n]*python", head) and re.search(
        rb"import orca|from orca|gi\.repository|Orca Team", head
    ):
        return (
            "it is the GNOME screen reader (Debian's package 'orca'), not the quantum chemistry "
            "program; give the path of that one with 'software: {orca: /path/to/orca}'"
        )
    return None


def _geometry(molecule: Molecule, step: StepRequest) -> tuple[tuple[float, float, float], ...]:
    """The document's coordinates (Å), or the last ones of the failed optimization.

    The latter are used if a remedy has `restart`, the step is an optimization but not a scan, and
    the rescued output contains a valid geometry of this molecule.
    """
    restart = any(rung.restart for rung in step.remedies)
    route = comments_out(step.options.route)
    if not restart or not _OPTIMIZES.search(route) or _SCANS.search(route):
        return molecule.coordinates
    try:
        left = Output(step.rescued)
        found = tuple((x, y, z) for x, y, z in geometry(left))
        elements = [symbol.capitalize() for symbol in symbols(left)]
    except ParseError:
        return molecule.coordinates
    if elements != [SYMBOLS[number] for number in molecule.numbers]:
        return molecule.coordinates
    if not all(math.isfinite(value) for row in found for value in row):
        return molecule.coordinates
    return found


def _restart(step: StepRequest) -> str:
    """The name of the file with the orbitals from which a remedy of this step starts."""
    return f"restart-{step.name}.gbw"


def _processes(step: StepRequest, software: Software) -> int:
    asked: list[int] = [rung.processes for rung in step.remedies if rung.processes]
    return min([software.cores, *asked])


def input_text(molecule: Molecule, step: StepRequest, software: Software) -> str:
    """The ORCA input for one step: route, %maxcore, %pal, charge, multiplicity, coordinates (Å)."""
    options: Step = step.options
    route = options.route
    moinp = None
    if options.moread is not None:
        route, moinp = f"{without(route, {'moread'})}\n! moread\n", f"{options.moread}.gbw"
    rung: OrcaRung
    for rung in step.remedies:
        if rung.restart and "orca.gbw" not in step.rescued:
            rung = rung.model_copy(update={"restart": False})
        route = applied(route, rung)
        if rung.restart:
            moinp = _restart(step)
        elif guesses(rung):
            moinp, route = None, _MOINP.sub("", route)
    if moinp is not None:
        route = _MOINP.sub("", route)
    # If the route sets processes or memory, a remedy changes them there, to avoid duplicates.
    processes = _processes(step, software)
    stated = bool(_NPROCS.search(comments_out(route)))
    if processes != software.cores:
        route = _NPROCS.sub(rf"\g<1>{processes}", _PAL.sub(r"\1", comments_out(route)))
        route = _NOTHING.sub("", route)
    maxcore = _MAXCORE.search(comments_out(route))
    more = max((rung.memory or 1.0 for rung in step.remedies), default=1.0)
    if maxcore and more > 1:
        size = int(int(maxcore[2]) * more)
        route = _MAXCORE.sub(rf"\g<1>{size}", comments_out(route))
    lines = [route.rstrip("\n")]
    if moinp is not None:
        lines.append(f'%moinp "{moinp}"')
    if processes > 1 and not stated and not _PAL.search(comments_out(route)):
        lines.append(f"%pal nprocs {processes} end")
    if not maxcore and software.memory is not None:
        lines.append(f"%maxcore {max(1, int(software.memory * MAXCORE_SHARE / processes))}")
    state = f"{molecule.charge} {molecule.multiplicity}"
    if step.geometry_file is not None:
        lines.append(f"* xyzfile {state} {step.geometry_file}")
    else:
        lines.append(f"* xyz {state}")
        for number, (x, y, z) in zip(molecule.numbers, _geometry(molecule, step), strict=True):
            lines.append(f"{SYMBOLS[number]:<2} {x:20.12f} {y:20.12f} {z:20.12f}")
        lines.append("*")
    return "\n".join(lines) + "\n"


def _program(software: Software) -> tuple[str, ...]:
    words = software.argv("orca")
    if software.cores > 1 and len(words) == 1 and "/" not in words[0]:
        return (*_BY_FULL_PATH, *words)
    return words


# The names of ORCA's executables: orca, orca_scf, orca_leanscf_mpi, ...
_EXECUTABLE = re.compile(r"orca(_[a-z0-9_]+)?")
_HELIUM = b"! HF STO-3G\n* xyz 0 1\nHe 0.0 0.0 0.0\n*\n"

PROGRAM = Program(
    "orca",
    "wqmaster.parsers.orca",
    title="ORCA",
    # Debian's package `orca` is a screen reader, and conda-forge has no package with that name.
    installation="from its developers, https://orcaforum.kofo.mpg.de",
    trial=Trial(("he.inp",), {"he.inp": _HELIUM}, r"ORCA TERMINATED NORMALLY"),
    impostor=impostor,
    restricts=lambda name: bool(_EXECUTABLE.fullmatch(name)),
    level=level,
    tighter=tighter,
    theory=theory,
    single_point=single_point,
)


@task(
    program=PROGRAM,
    options=Step,
    rung=OrcaRung,
    ladders=LADDERS,
    check=check,
    remarks=remarks,
    leaves=leaves,
    inspect=refuse_coincident,
    takes_geometry=True,
    final_geometry=final_geometry,
    keeps_geometry=keeps_geometry,
    inapplicable_checks=inapplicable_checks,
    needs=needs,
)
def sequential(molecule: Molecule, steps: Sequence[StepRequest], software: Software) -> Job:
    """Run the steps in order in one sandbox.

    Each step's files are named orca.*. When the next step begins, the orbitals are renamed to
    STEP.gbw and the last geometry to STEP.xyz, for `moread:`, `geometry:` or %moinp in a route.
    Charge, multiplicity and coordinates come from the document; %maxcore and %pal come from
    `resources:` unless the route sets them.
    """
    files: dict[str, bytes] = {}
    executions = []
    for position, step in enumerate(steps):
        own = f"{step.name}.inp"
        files[own] = input_text(molecule, step, software).encode()
        if any(rung.restart for rung in step.remedies) and "orca.gbw" in step.rescued:
            files[_restart(step)] = step.rescued["orca.gbw"]
        earlier = steps[position - 1].name if position else None
        rename = [(own, "orca.inp")] if own != "orca.inp" else []
        if earlier is not None:
            rename += [("orca.gbw", f"{earlier}.gbw"), ("orca.xyz", f"{earlier}.xyz")]
        outputs = sorted(step.files - {"stdout", "stderr"})
        executions.append(
            Execution(
                name=step.name,
                argv=(*_program(software), "orca.inp"),
                outputs=tuple(outputs),
                clean=_LEFT,
                rename=tuple(rename),
                rescue=("orca.gbw",),
                environment={"OMP_NUM_THREADS": "1"},
            )
        )
    return Job(tuple(executions), files)
