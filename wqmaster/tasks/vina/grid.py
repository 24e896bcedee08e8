"""The box that AutoDock Vina searches, and the receptor's maps on the grid in this box.

Facts about Vina 1.2.7 (src/lib/cache.cpp, vina.cpp; confirmed in runs): `--write_maps` with
`--batch` and an empty folder writes maps for all of Vina's atom types, and `--maps PREFIX` reads
all maps that exist. A map is text with four significant digits and needs an even number of
intervals on each axis. Vina reads a truncated map without an error. Poses found on maps are not
refined with the receptor's atoms, so their scores equal those from `--receptor` with `--no_refine
--force_even_voxels`.
"""

import hashlib
import json
import math
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import ProgramMissing, WqmasterError
from wqmaster.jobs.job import Input
from wqmaster.parsers.vina import pdbqt_file

# Vina's scoring functions are zero beyond this distance (Å; scoring_function.h).
CUTOFF_ANGSTROM = 8.0
KEYS = tuple(f"{what}_{axis}" for what in ("center", "size") for axis in "xyz")
# The largest number of grid points in a map. Such a map has 70 MB of text, and there are 19 maps.
_MAX_GRID_POINTS = 10_000_000
# The maps (X-Score types) that an atom type can need. The atom's neighbors decide which one.
_NEEDED = {
    **dict.fromkeys(("C", "A", "CG0", "CG1", "CG2", "CG3"), ("C_H", "C_P")),
    "N": ("N_P", "N_D"),
    "NA": ("N_A", "N_DA"),
    "O": ("O_P", "O_D"),
    "OA": ("O_A", "O_DA"),
    "S": ("S_P",),
    "SA": ("S_P",),
    "Se": ("S_P",),
    "P": ("P_P",),
    "F": ("F_H",),
    "Cl": ("Cl_H",),
    "Br": ("Br_H",),
    "I": ("I_H",),
    "Si": ("Si",),
    "At": ("At",),
    # Vina omits these atom types from its sums over maps.
    **dict.fromkeys(("H", "HD", "G0", "G1", "G2", "G3", "W"), ()),
}
_METAL = ("Met_D",)
MAPS = tuple(sorted({name for names in (*_NEEDED.values(), _METAL) for name in names}))
_VERSION = re.compile(r"AutoDock Vina v?(\S+)")
_HEADER_LINES = 6

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Box:
    """The region that Vina searches, in Å."""

    center: Vector
    size: Vector

    @property
    def ends(self) -> list[tuple[float, float]]:
        """The lowest and highest coordinate on each axis."""
        return [(c - s / 2, c + s / 2) for c, s in zip(self.center, self.size, strict=True)]

    @property
    def settings(self) -> dict[str, float]:
        """The box as settings in Vina's configuration file."""
        return dict(zip(KEYS, (*self.center, *self.size), strict=True))


def read_box(text: str) -> Box:
    """Read a box from the text of a file with lines such as `center_x = 1.5` (Å).

    Raises:
        ValueError: the text is not a valid box; the message gives the reason.
    """
    found: dict[str, float] = {}
    for line in text.splitlines():
        stated = line.partition("#")[0].strip()
        if not stated:
            continue
        key, equals, value = (part.strip() for part in stated.partition("="))
        if not equals or key not in KEYS:
            raise ValueError(
                f"{stated[:40]!r} is not a valid line in a box file; allowed: {', '.join(KEYS)} "
                "(other options belong in the campaign file)"
            )
        if key in found:
            raise ValueError(f"duplicate '{key}'")
        found[key] = pdbqt_file.number(value, f"the value of '{key}':")
    absent = [key for key in KEYS if key not in found]
    if absent:
        raise ValueError(f"{', '.join(absent)} is missing")
    x, y, z, width, depth, height = (found[key] for key in KEYS)
    if min(width, depth, height) <= 0:
        raise ValueError("a size must be above zero")
    return Box((x, y, z), (width, depth, height))


def check_box(box: Box, atoms: Iterable[pdbqt_file.Atom]) -> None:
    """Check that poses in the box can be written, and that a receptor atom is near the box.

    Raises:
        ValueError: the box exceeds the coordinates that PDBQT can represent, or all atoms are
            `CUTOFF_ANGSTROM` or more away from it.
    """
    for low, high in box.ends:
        if low < pdbqt_file.LOWEST or high > pdbqt_file.HIGHEST:
            raise ValueError(
                f"the box extends from {low} to {high} Angstrom, but coordinates in a PDBQT file "
                f"only from {pdbqt_file.LOWEST} to {pdbqt_file.HIGHEST}"
            )
    for atom in atoms:
        places = zip(atom.position, box.ends, strict=True)
        outside = (max(low - place, 0.0, place - high) for place, (low, high) in places)
        if math.hypot(*outside) < CUTOFF_ANGSTROM:
            return
    center = ", ".join(f"{value:g}" for value in box.center)
    raise ValueError(
        f"the box around {center} is {CUTOFF_ANGSTROM:g} Angstrom or more away from "
        "all atoms of the receptor"
    )


def needed(atom_types: Iterable[str]) -> tuple[str, ...]:
    """The names of the maps that a ligand with these atom types can need."""
    found = {name for kind in atom_types for name in _NEEDED.get(kind, _METAL)}
    return tuple(sorted(found))


@dataclass(frozen=True)
class Explicit:
    """A receptor that Vina reads in each docking, to compute a grid and refine the poses."""

    receptor: Path
    box: Box
    spacing: float  # Å

    @property
    def settings(self) -> dict[str, Any]:
        """The settings for this receptor in Vina's configuration file."""
        name = f"../shared/{self.receptor.name}"
        return {"receptor": name, **self.box.settings, "spacing": self.spacing}

    def inputs(self, atom_types: Iterable[str]) -> tuple[Input, ...]:
        """The shared files for a ligand with these atom types."""
        return (Input(self.receptor, self.receptor.name),)


@dataclass(frozen=True)
class Maps:
    """The maps for one receptor, box, spacing, scoring function and version of Vina."""

    folder: Path
    prefix: str

    @property
    def settings(self) -> dict[str, Any]:
        """The settings for these maps in Vina's configuration file."""
        return {"maps": f"../shared/{self.prefix}"}

    def path(self, name: str) -> Path:
        """The path of the map `name`."""
        return self.folder / f"{self.prefix}.{name}.map"

    def inputs(self, atom_types: Iterable[str]) -> tuple[Input, ...]:
        """The shared files for a ligand with these atom types."""
        paths = [self.path(name) for name in needed(atom_types)]
        return tuple(Input(path, path.name) for path in paths)


@dataclass(frozen=True)
class Grid:
    """Everything that determines the maps, except Vina's version."""

    receptor: str  # PDBQT
    box: Box
    spacing: float  # Å
    scoring: str

    @property
    def intervals(self) -> tuple[int, ...]:
        """The number of intervals on each axis, rounded up as `vina --force_even_voxels` does."""
        counts = (math.ceil(size / self.spacing) for size in self.box.size)
        return tuple(count + count % 2 for count in counts)

    @property
    def points(self) -> int:
        """The number of values in a map."""
        return math.prod(count + 1 for count in self.intervals)

    def check(self) -> None:
        """Check that the maps are not too large.

        Raises:
            ValueError: they are too large.
        """
        if self.points > _MAX_GRID_POINTS:
            raise ValueError(
                f"maps with {self.points:,} points are too large (at most {_MAX_GRID_POINTS:,}); "
                "make the box smaller or the spacing larger, or dock without maps ('refine: true')"
            )

    def key(self, version: str) -> str:
        """A hash of everything that determines the maps, including Vina's `version`."""
        stated = [self.receptor, self.box.center, self.intervals, self.spacing, self.scoring]
        text = json.dumps([*stated, version])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _vina(command: Sequence[str], *words: str, folder: Path | None = None) -> str:
    """Run Vina in `folder` and return its standard output.

    Raises:
        ProgramMissing: Vina is not installed on this machine.
        WqmasterError: Vina ended with an error.
    """
    program = shutil.which(command[0])
    if program is None:
        raise ProgramMissing(
            f"'{command[0]}' is not installed on this machine, which computes the maps of the "
            "receptor: install AutoDock Vina here (apt install autodock-vina, or conda install -c "
            "conda-forge vina), or dock without maps ('refine: true')"
        )
    called = [str(Path(program).absolute()), *command[1:], *words]
    done = subprocess.run(
        called,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        told = next((line for line in lines if "rror" in line), f"exit code {done.returncode}")
        raise WqmasterError(
            f"vina cannot compute the maps of the receptor: {told[:300]}",
            code=ErrorCode.RECEPTOR_MAPS_FAILED,
        )
    return done.stdout


def _checked(path: Path, grid: Grid) -> bytes:
    """Check the map at `path`; return it with the exact center in its header.

    Vina rounds the center to six digits.

    Raises:
        WqmasterError: the map is incomplete or contains NaN.
    """
    lines = path.read_bytes().split(b"\n", _HEADER_LINES)
    stated = b"NELEMENTS " + " ".join(str(count) for count in grid.intervals).encode()
    body = lines[-1]
    if len(lines) != _HEADER_LINES + 1 or stated not in lines or body.count(b"\n") != grid.points:
        raise WqmasterError(
            f"vina wrote an incomplete map: {path.name}", code=ErrorCode.RECEPTOR_MAPS_FAILED
        )
    if b"nan" in body:
        raise WqmasterError(
            f"vina wrote a map with values that are not finite: {path.name}",
            code=ErrorCode.RECEPTOR_MAPS_FAILED,
        )
    center = " ".join(repr(float(value)) for value in grid.box.center)
    header = [
        *(b"GRID_PARAMETER_FILE NULL", b"GRID_DATA_FILE NULL", b"MACROMOLECULE NULL"),
        *(f"SPACING {grid.spacing!r}".encode(), stated, f"CENTER {center}".encode()),
    ]
    return b"\n".join([*header, body])


def make_maps(grid: Grid, command: Sequence[str], cache: Path) -> Maps:
    """The maps for `grid` in the folder `cache`. Vina (`command`) makes them if any is missing.

    Raises:
        ProgramMissing: AutoDock Vina is not installed on this machine.
        WqmasterError: AutoDock Vina cannot make the maps.
    """
    version = _VERSION.match(_vina(command, "--version"))
    if version is None:
        raise ProgramMissing(
            f"'{command[0]}' is not AutoDock Vina: it prints no version of Vina",
            code=ErrorCode.PROGRAM_UNSUITABLE,
        )
    made = Maps(cache, f"vina-{grid.key(version[1])}")
    if all(made.path(name).is_file() for name in MAPS):
        return made
    with tempfile.TemporaryDirectory(prefix=".vina-", dir=cache) as name:
        folder = Path(name)
        (folder / "receptor.pdbqt").write_text(grid.receptor)
        for empty in ("ligands", "out"):
            (folder / empty).mkdir()
        # The box is half an interval smaller, so that rounding errors cannot make Vina's ceil() add
        # one.
        size = tuple((count - 0.5) * grid.spacing for count in grid.intervals)
        settings = {
            **Box(grid.box.center, (size[0], size[1], size[2])).settings,
            "receptor": "receptor.pdbqt",
            "spacing": grid.spacing,
            "scoring": grid.scoring,
            "batch": "ligands",
            "dir": "out",
            "write_maps": "new",
            "cpu": 1,
        }
        lines = (f"{key} = {value}\n" for key, value in settings.items())
        (folder / "vina.conf").write_text("".join(lines))
        _vina(command, "--config", "vina.conf", folder=folder)
        for map_name in MAPS:
            written = folder / f"new.{map_name}.map"
            if not written.is_file():
                raise WqmasterError(
                    f"vina wrote no map for the atom type {map_name}",
                    code=ErrorCode.RECEPTOR_MAPS_FAILED,
                )
            written.write_bytes(_checked(written, grid))
        for map_name in MAPS:
            (folder / f"new.{map_name}.map").replace(made.path(map_name))
    return made
