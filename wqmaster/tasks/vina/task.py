"""AutoDock Vina: dock a document's ligand into the campaign's receptor."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from wqmaster.campaign.models import FIELD, Model
from wqmaster.errors import BadDocument, Defect
from wqmaster.jobs.job import Execution, Input, Job
from wqmaster.jobs.molecule import Molecule, lookup
from wqmaster.parsers.vina import pdbqt_file
from wqmaster.tasks import campaign_files, fields
from wqmaster.tasks.base import OptionError, Software, StepRequest, task
from wqmaster.tasks.leaves import Lack, Leaves, no_such_file
from wqmaster.tasks.program import Program, Trial
from wqmaster.tasks.vina import ligand
from wqmaster.tasks.vina.grid import Box, Explicit, Grid, Maps, check_box, make_maps, read_box

T = TypeVar("T")

_FORMATS = ("pdbqt", "smiles", "sdf")
# Vina's seed is a C int. If it is 0, Vina chooses a seed (Vina::generate_seed).
_MAX_SEED = 2**31 - 1

_Coordinate = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Length = Annotated[float, Field(strict=True, gt=0, le=1000)]
_Count = Annotated[int, Field(strict=True, gt=0, le=1_000_000)]
_CInt = Annotated[int, Field(strict=True, gt=0, le=_MAX_SEED)]


class Ligand(Model):
    """The field of a document that holds its ligand."""

    field: str = Field(pattern=FIELD)
    # Meeko converts SMILES and SDF to PDBQT on the master's machine when the job is built.
    format: Literal["pdbqt", "smiles", "sdf"]


def _ligand(value: Any) -> Any:
    """Expand `ligand: NAME` to a mapping.

    The default format is the field's name if that is a format, and pdbqt otherwise.
    """
    if isinstance(value, str):
        value = {"field": value}
    if isinstance(value, Mapping) and "format" not in value:
        last = str(value.get("field", "")).rpartition(".")[2]
        return {**value, "format": last if last in _FORMATS else "pdbqt"}
    return value


class Dock(Model):
    """The options for a step of `dock`. Lengths are in Å, energies in kcal/mol.

    Options that have the same name in Vina also have the same default as in Vina.
    """

    # The rigid receptor, a PDBQT file (path relative to the campaign file).
    receptor: str = Field(min_length=1)
    # The box to search: its center and size, or a file that contains these in Vina's format.
    center: tuple[_Coordinate, _Coordinate, _Coordinate] | None = None
    size: tuple[_Length, _Length, _Length] | None = None
    box: str | None = Field(default=None, min_length=1)
    # The document field with the ligand, in PDBQT unless the field's name or `format:` selects
    # SMILES or SDF.
    ligand: Annotated[Ligand, BeforeValidator(_ligand)] = Ligand(field="pdbqt", format="pdbqt")
    scoring: Literal["vina", "vinardo"] = "vina"
    # False: precomputed maps are used for both search and scores, as in `vina --maps`.
    # True: Vina reads the receptor, computes a grid for each ligand, and refines poses with the
    # receptor's atoms. Scores are then lower by some tenths of a kcal/mol.
    refine: bool = Field(default=False, strict=True)
    exhaustiveness: _Count = 8
    num_modes: _Count = 9
    energy_range: float = Field(default=3.0, strict=True, ge=0, le=1e6)
    min_rmsd: float = Field(default=1.0, strict=True, ge=0, le=1000)
    # The number of evaluations in each run of the search (default: Vina decides).
    max_evals: _CInt | None = None
    # The distance between grid points. Maps need an even number of intervals on each axis, so the
    # box grows by up to two intervals.
    spacing: float = Field(default=0.375, strict=True, ge=0.05, le=2)
    # One seed for all documents (default: each document has a separate, constant seed).
    seed: _CInt | None = None

    @model_validator(mode="after")
    def _one_box(self) -> "Dock":
        given = self.center is not None, self.size is not None
        if self.box is None and not all(given):
            raise PydanticCustomError(
                "no_box", "the step needs 'center' and 'size', or 'box: FILE'"
            )
        if self.box is not None and any(given):
            raise PydanticCustomError("two_boxes", "'box' excludes 'center' and 'size'; remove one")
        return self


@dataclass(frozen=True)
class LoadedDock:
    """A step's options with the receptor and the box."""

    options: Dock
    grid: Grid


def _read(key: str, name: str, software: Software, reader: Callable[[str], T]) -> T:
    try:
        content = campaign_files.read(software, name)
    except ValueError as error:
        raise OptionError(str(error), (key,)) from error
    try:
        return reader(content.decode())
    except ValueError as error:
        raise OptionError(f"{name}: {error}", (key,)) from error


def load(options: Dock, software: Software) -> LoadedDock:
    """Read and check the receptor and the box; check that ligands can be prepared.

    Raises:
        ValueError: a file is wrong, or a Python module is missing; the message gives the reason.
    """
    if options.center is not None and options.size is not None:
        box = Box(options.center, options.size)
    else:
        box = _read("box", options.box or "", software, read_box)
    text = _read("receptor", options.receptor, software, pdbqt_file.clean)
    grid = Grid(text, box, options.spacing, options.scoring)
    try:
        atoms = pdbqt_file.receptor(grid.receptor)
    except ValueError as error:
        raise OptionError(f"{options.receptor}: {error}", ("receptor",)) from error
    check_box(grid.box, atoms)
    if not options.refine:
        grid.check()
    absent = ligand.missing() if options.ligand.format != "pdbqt" else None
    if absent:
        raise ValueError(absent)
    return LoadedDock(options, grid)


def prepare(loaded: LoadedDock, software: Software) -> Maps | Explicit:
    """Make the maps (or a copy of the receptor) that jobs share, if they are missing.

    Raises:
        ProgramMissing: AutoDock Vina, which makes the maps, is not installed on this machine.
        WqmasterError: the maps cannot be made.
    """
    grid, cache = loaded.grid, software.the_cache
    if loaded.options.refine:
        kept = campaign_files.keep(grid.receptor.encode(), "receptor.pdbqt", cache)
        return Explicit(kept, grid.box, grid.spacing)
    return make_maps(grid, software.argv("vina"), cache)


def seed_of(document: Any, step: str) -> int:
    """The constant seed (from 1 to 2^31 - 1) of a step for the document with this `_id`."""
    text = json.dumps([fields.id_text(document), step])
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return 1 + number % _MAX_SEED


def _stated(molecule: Molecule, wanted: Ligand) -> str:
    """The text of the document's ligand, as stored.

    Raises:
        BadDocument: the field is missing or is not a string.
    """
    value = lookup(molecule.document, wanted.field)
    if value is None:
        raise BadDocument(
            f"the document has no '{wanted.field}'; if its ligand is in another field, name that "
            "with 'ligand: {field: NAME, format: pdbqt|smiles|sdf}' in the campaign file",
            Defect.MISSING_FIELD,
        )
    if not isinstance(value, str):
        raise BadDocument(f"'{wanted.field}' is not a string: {value!r:.60}")
    return value


def inspect(molecule: Molecule, options: Dock) -> None:
    """Check that the document has a ligand; SMILES and SDF are not converted.

    Raises:
        BadDocument: the document has no ligand, or Vina cannot read its PDBQT.
    """
    if options.ligand.format == "pdbqt":
        ligand_of(molecule, options.ligand)
    else:
        _stated(molecule, options.ligand)


def ligand_of(molecule: Molecule, wanted: Ligand) -> tuple[str, frozenset[str]]:
    """The document's ligand as PDBQT, and its atom types.

    Raises:
        BadDocument: the document has no ligand that can be docked; the message gives the reason.
    """
    value = _stated(molecule, wanted)
    text = value if wanted.format == "pdbqt" else ligand.pdbqt(value, wanted.format)
    try:
        return pdbqt_file.clean(text), pdbqt_file.ligand(text)
    except ValueError as error:
        raise BadDocument(
            f"'{wanted.field}' is not a ligand that Vina can read: {error}"
        ) from error


def _uses(loaded: LoadedDock) -> Iterable[str]:
    return [name for name in (loaded.options.receptor, loaded.options.box) if name]


def _fields(loaded: LoadedDock) -> Iterable[str]:
    return [loaded.options.ligand.field]


def _leaves(options: Dock) -> Leaves:
    def file(name: str) -> Lack | None:
        if name in ("out.pdbqt", "vina.conf") or name.endswith((".pdbqt", ".conf", ".map")):
            return None
        return no_such_file("Vina", name, ("out.pdbqt", "vina.conf"))

    return Leaves(file=file)


def _conf(options: Dock, shared: Maps | Explicit, ligand_name: str, seed: int) -> bytes:
    """The text of vina.conf, which determines a docking together with the files that it names."""
    settings = {
        **shared.settings,
        "ligand": ligand_name,
        "out": "out.pdbqt",
        "scoring": options.scoring,
        "exhaustiveness": options.exhaustiveness,
        "num_modes": options.num_modes,
        "energy_range": options.energy_range,
        "min_rmsd": options.min_rmsd,
        "seed": seed,
    }
    if options.max_evals is not None:
        settings["max_evals"] = options.max_evals
    return "".join(f"{key} = {value}\n" for key, value in settings.items()).encode()


PROGRAM = Program(
    "vina",
    "wqmaster.parsers.vina",
    installation="apt install autodock-vina, or conda install -c conda-forge vina",
    version_argument="--version",
    trial=Trial(("--version",), {}, r"AutoDock Vina"),
)


@task(
    program=PROGRAM,
    options=Dock,
    molecule=False,
    load=load,
    uses=_uses,
    fields=_fields,
    prepare=prepare,
    inspect=inspect,
    leaves=_leaves,
    alone=(
        "Vina docks a ligand that it gets from SMILES or a file, and its poses are not a geometry "
        "for another program"
    ),
)
def dock(molecule: Molecule, steps: Sequence[StepRequest], software: Software) -> Job:
    """Compute poses and affinities of the document's ligand in the receptor of each step.

    The job returns vina.conf with the poses, so that it can be compared with the output.

    Raises:
        BadDocument: the document has no ligand that can be docked.
    """
    files: dict[str, bytes] = {}
    inputs: dict[str, Input] = {}
    ligands: dict[Ligand, tuple[str, frozenset[str]]] = {}  # the ligand's file and its atom types
    executions = []
    for position, step in enumerate(steps):
        options: Dock = step.options
        shared: Maps | Explicit | None = step.prepared
        if shared is None:
            raise RuntimeError(f"'prepare' was not called for the step {step.name}")
        if options.ligand not in ligands:
            text, types = ligand_of(molecule, options.ligand)
            name = f"ligand{len(ligands) or ''}.pdbqt"
            files[name] = text.encode()
            ligands[options.ligand] = name, types
        name, types = ligands[options.ligand]
        conf = f"vina{position or ''}.conf"
        seed = options.seed or seed_of(molecule.id, step.name)
        files[conf] = _conf(options, shared, name, seed)
        inputs |= {found.name: found for found in shared.inputs(types)}
        executions.append(
            Execution(
                name=step.name,
                argv=(
                    *software.argv("vina"),
                    "--config",
                    "vina.conf",
                    "--cpu",
                    str(software.cores),
                ),
                outputs=tuple(
                    sorted({"out.pdbqt", "vina.conf", *step.files} - {"stdout", "stderr"})
                ),
                rename=((conf, "vina.conf"),) if position else (),
            )
        )
    return Job(tuple(executions), files, tuple(inputs.values()))
