"""PySCF: single points, optimizations and Hessians with DFT and Hartree-Fock.

A worker runs `driver/wqmaster_pyscf.py` with the Python that `software: {pyscf: ...}` names
(default: python3). This Python needs PySCF, and pyscf-dispersion or geomeTRIC if a step uses them.
Written for and tested with PySCF 2.14.
"""

import json
import math
import os
import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.jobs.job import SHARED, Execution, Input, Job
from wqmaster.jobs.molecule import SYMBOLS, Molecule, refuse_coincident
from wqmaster.parsers.xyz import frames
from wqmaster.system.programs import ask
from wqmaster.tasks.base import Software, StepRequest, task
from wqmaster.tasks.basis_sets import basis_functions
from wqmaster.tasks.campaign_files import threads
from wqmaster.tasks.needs import Needs
from wqmaster.tasks.program import Program, Trial
from wqmaster.tasks.pyscf.leaves import (
    CHECKPOINT,
    FINAL_GEOMETRY,
    LAST_GEOMETRY,
    RESULT,
    leaves_of,
)
from wqmaster.tasks.pyscf.options import Common, Hessian, Optimize, Singlepoint, level
from wqmaster.tasks.pyscf.remedies import LADDERS, PyscfRung
from wqmaster.tasks.pyscf.tighter import single_point, theory, tighter

_DRIVER = Path(__file__).with_name("driver")
_MAIN = "wqmaster_pyscf.py"
_MODULES = (
    _MAIN,
    "wqmaster_pyscf_scf.py",
    "wqmaster_pyscf_setup.py",
    "wqmaster_pyscf_values.py",
)
# PySCF's own default for max_memory (lib/misc.py), and the share of a job's memory that PySCF may
# plan with: the rest is for arrays that it does not count.
_DEFAULT_MEMORY_MB = 4000
_MEMORY_SHARE = 0.8
_STREAMS = frozenset({"stdout", "stderr"})
# The root in which packed software is tried has no /proc, from which PySCF reads the memory in use.
_TRIAL = b"""import pyscf
pyscf.lib.current_memory = lambda: (0, 0)
energy = pyscf.M(atom="He", basis="sto-3g", verbose=0).RHF().kernel()
print("PySCF", pyscf.__version__, "helium", round(energy, 4))
"""

_PYTHON = re.compile(r"(pyscf-)?python[0-9.]*")
_HAS_PYSCF = "import importlib.util as u; print(u.find_spec('pyscf'))"
_INSTALLATION = "pip install 'wqmaster[pyscf]', or name its Python with 'software: {pyscf: PATH}'"


def _impostor(program: Path) -> str | None:
    """Why the file `program` cannot be the Python that has PySCF; None if it can."""
    if not _PYTHON.fullmatch(program.name):
        return None  # a command such as env, which starts a Python
    found = ask([str(program), "-c", _HAS_PYSCF], os.environ)
    if found.code == 0 and found.last == "None":
        return f"this Python has no PySCF ({_INSTALLATION})"
    return None


PROGRAM = Program(
    "pyscf",
    "wqmaster.parsers.pyscf",
    title="PySCF",
    installation=_INSTALLATION,
    impostor=_impostor,
    trial=Trial(("helium.py",), {"helium.py": _TRIAL}, r"PySCF \d+\.\d+\S* helium -2\.80"),
    level=level,
    tighter=tighter,
    theory=theory,
    single_point=single_point,
)


def python(software: Software) -> tuple[str, ...]:
    """The command of the Python that has PySCF."""
    return software.argv("pyscf" if "pyscf" in software.commands else "python3")


def _runs(options: Common, software: Software) -> Iterable[str]:
    return python(software)[:1]


def _settings(step: StepRequest, checkpoint: str) -> dict[str, Any]:
    """What the rungs of this attempt change."""
    found: dict[str, Any] = {}
    rung: PyscfRung
    for rung in step.remedies:
        for name in ("damping", "level_shift", "newton", "guess", "max_cycle", "cycles"):
            value = getattr(rung, name)
            if value:
                found[name] = value
        if rung.restart and CHECKPOINT in step.rescued:
            found["checkpoint"] = checkpoint
    return found


def _last_geometry(molecule: Molecule, step: StepRequest) -> list[list[float]] | None:
    """The last geometry of a failed optimization; None if there is none that fits."""
    if not any(rung.restart for rung in step.remedies) or LAST_GEOMETRY not in step.rescued:
        return None
    text = step.rescued[LAST_GEOMETRY].decode("utf-8", errors="replace")
    try:
        found = list(frames(text, LAST_GEOMETRY))
    except ParseError:
        return None
    wanted = [SYMBOLS[number] for number in molecule.numbers]
    if len(found) != 1 or [symbol.capitalize() for symbol in found[0].symbols] != wanted:
        return None
    places = [list(place) for place in found[0].coordinates]
    return places if all(math.isfinite(value) for place in places for value in place) else None


def _job(name: str, molecule: Molecule, steps: Sequence[StepRequest], software: Software) -> Job:
    files: dict[str, bytes] = {}
    executions = []
    memory = _DEFAULT_MEMORY_MB if software.memory is None else software.memory * _MEMORY_SHARE
    for step in steps:
        checkpoint = f"restart-{step.name}.chk"
        settings = _settings(step, checkpoint)
        if "checkpoint" in settings:
            files[checkpoint] = step.rescued[CHECKPOINT]
        call = {
            "task": name,
            "options": step.options.model_dump(mode="json"),
            "settings": settings,
            "molecule": {
                "symbols": [SYMBOLS[number] for number in molecule.numbers],
                "coordinates": [list(place) for place in molecule.coordinates],
                "charge": molecule.charge,
                "multiplicity": molecule.multiplicity,
            },
            "geometry_file": step.geometry_file,
            "start": _last_geometry(molecule, step) if name == "optimize" else None,
            "max_memory": int(memory),
        }
        own = f"pyscf-{step.name}.json"
        files[own] = json.dumps(call).encode()
        outputs = {RESULT, *step.files} - _STREAMS
        rescue: tuple[str, ...] = (CHECKPOINT,)
        if name == "optimize":
            outputs.add(FINAL_GEOMETRY)
            rescue = (CHECKPOINT, LAST_GEOMETRY)
        executions.append(
            Execution(
                name=step.name,
                argv=(*python(software), f"{SHARED}/{_MAIN}", own),
                outputs=tuple(sorted(outputs)),
                clean=(CHECKPOINT, LAST_GEOMETRY),
                rescue=tuple(file for file in rescue if file not in outputs),
                environment={
                    **threads(software.cores),
                    # PySCF must not read the worker's own configuration, which could change any
                    # default.
                    "PYSCF_CONFIG_FILE": "none",
                    "PYSCF_TMPDIR": ".",
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "PYTHONIOENCODING": "utf-8:backslashreplace",
                },
            )
        )
    driver = tuple(Input(_DRIVER / name, name) for name in _MODULES)
    return Job(tuple(executions), files, driver)


def _needs(molecule: Molecule, options: Common, cores: int) -> Needs | None:
    """The number of basis functions; how much memory PySCF needs depends on too much else."""
    basis = options.basis
    names = basis if isinstance(basis, dict) else {"default": basis}
    size = basis_functions(
        molecule.numbers, lambda number: names.get(SYMBOLS[number], names.get("default", ""))
    )
    return None if size is None else Needs(size)


_task = partial(
    task,
    program=PROGRAM,
    version="1",
    rung=PyscfRung,
    ladders=LADDERS,
    runs=_runs,
    inspect=refuse_coincident,
    takes_geometry=True,
    needs=_needs,
)


@_task(
    options=Singlepoint,
    leaves=leaves_of("singlepoint"),
    keeps_geometry=lambda options: True,
)
def singlepoint(molecule: Molecule, steps: Sequence[StepRequest], software: Software) -> Job:
    """Energy, gradient and properties at the geometry of the document."""
    return _job("singlepoint", molecule, steps, software)


@_task(
    options=Optimize,
    leaves=leaves_of("optimize"),
    final_geometry=lambda options: FINAL_GEOMETRY,
)
def optimize(molecule: Molecule, steps: Sequence[StepRequest], software: Software) -> Job:
    """The geometry of the nearest minimum (`pyscf.xyz`), its energy, gradient and properties."""
    return _job("optimize", molecule, steps, software)


@_task(
    options=Hessian,
    leaves=leaves_of("hessian"),
    keeps_geometry=lambda options: True,
)
def hessian(molecule: Molecule, steps: Sequence[StepRequest], software: Software) -> Job:
    """Hessian and frequencies at the geometry of the document, which is not optimized first."""
    return _job("hessian", molecule, steps, software)
