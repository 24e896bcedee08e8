"""The writer of extended XYZ files, for MACE, NequIP and everything that reads ASE's files.

Format: libAtoms/extxyz README; `ase/io/extxyz.py`. ASE 3.23 and later move `energy`, `forces`,
`dipole`, `charges` and `magmoms` from `atoms.info` and `atoms.arrays` to a calculator when they
read a file (`set_calc_and_arrays`). The consequences for each trainer:

- MACE looks only into `atoms.info` and `atoms.arrays` (`config_from_atoms` in `mace/data/utils.py`,
  keys in `mace/tools/default_keys.py`), so everything has its `REF_` key. Its default key for the
  dipole moment is the unsafe `dipole`; here it is `REF_dipole` (`--dipole_key=REF_dipole`). MACE's
  dipole models use Debye (`compute_fixed_charge_dipole` in `mace/modules/utils.py`).
  `total_spin` is the multiplicity: its default is 1 (`mace/data/atomic_data.py`).
- NequIP takes energy, forces, charges and magnetic moments from the calculator, and `charge` and
  `spin` from `atoms.info` with `include_keys: [charge, spin]` (`from_ase` in `nequip/data/ase.py`,
  `nequip/data/_keys.py`). It would take a dipole moment for a property of each atom
  (`nequip/data/_key_registry.py`), so none is written.
- ASE itself, and others, find ASE's names.

The format has no header, so each frame states its level of theory.
"""

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from wqmaster.datasets.base import LABELS, Level
from wqmaster.datasets.frame import Floats, Frame
from wqmaster.datasets.units import E_ANGSTROM_PER_DEBYE

# A text that no reader mistakes for a number, a boolean or an array: it starts with a letter or an
# underscore, and its first word is not the name of a value.
_PLAIN = re.compile(r"[A-Za-z_][\w.:/+#@()=,; -]*", re.ASCII)
_VALUES = frozenset(("t", "f", "true", "false", "nan", "inf", "infinity", "none"))
# Characters that a value without quotes may have.
_BARE = re.compile(r"[\w.:/+#@()-]*", re.ASCII)


@dataclass(frozen=True)
class Dialect:
    """The keys of one trainer; None for a label that the trainer does not read."""

    energy: str
    forces: str
    charge: str
    multiplicity: str
    charges: str | None = None
    spins: str | None = None
    dipole: str | None = None
    dipole_unit: float = 1.0  # e Angstrom
    quadrupole: str | None = None


MACE = Dialect(
    "REF_energy",
    "REF_forces",
    "total_charge",
    "total_spin",
    charges="REF_charges",
    dipole="REF_dipole",
    dipole_unit=E_ANGSTROM_PER_DEBYE,
)
NEQUIP = Dialect("energy", "forces", "charge", "spin", charges="charges", spins="magmoms")
ASE = Dialect(
    "energy",
    "forces",
    "charge",
    "multiplicity",
    charges="charges",
    spins="magmoms",
    dipole="dipole",
    quadrupole="quadrupole",
)


class ExtxyzWriter:
    """Writes frames as text, each number with all digits that distinguish it from others."""

    def __init__(
        self, path: Path, level: Level, labels: Collection[str] | None, dialect: Dialect
    ) -> None:
        self._file = path.open("x", encoding="ascii")
        self._level = level
        self.labels = frozenset(LABELS if labels is None else labels) & frozenset(_carried(dialect))
        self._dialect = dialect

    def add(self, frame: Frame) -> None:
        """Write a frame."""
        self._file.write("\n".join((str(frame.natoms), self._comment(frame), *self._atoms(frame))))
        self._file.write("\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def abandon(self) -> None:
        """Close the file; the caller removes it."""
        self._file.close()

    def _columns(self, frame: Frame) -> list[tuple[str, Floats]]:
        """The name and values of each column after the element, shape (n, 3) or (n,)."""
        keys, labels = self._dialect, self.labels
        columns = [("pos", frame.coordinates)]
        forces = frame.forces_ev
        if "gradient" in labels and forces is not None:
            columns.append((keys.forces, forces))
        for label, key in (("charges", keys.charges), ("spins", keys.spins)):
            values: Floats | None = getattr(frame, label)
            if key and label in labels and values is not None:
                columns.append((key, values))
        return columns

    def _comment(self, frame: Frame) -> str:
        keys, labels = self._dialect, self.labels
        names = [
            f"{name}:R:{1 if values.ndim == 1 else values.shape[1]}"
            for name, values in self._columns(frame)
        ]
        pairs = [
            "Properties=" + ":".join(("species:S:1", *names)),
            f"{keys.energy}={frame.energy_ev!r}",
            f"{keys.charge}={frame.charge}",
            f"{keys.multiplicity}={frame.multiplicity}",
        ]
        dipole, quadrupole = frame.dipole_ea, frame.quadrupole_ea2
        if keys.dipole and "dipole" in labels and dipole is not None:
            pairs.append(f"{keys.dipole}={_numbers(dipole / keys.dipole_unit)}")
        if keys.quadrupole and "quadrupole" in labels and quadrupole is not None:
            pairs.append(f"{keys.quadrupole}={_numbers(quadrupole.ravel())}")
        if frame.isolated:
            pairs.append("config_type=IsolatedAtom")
        for name, text in (
            ("_id", frame.id),
            ("title", frame.title),
            ("smiles", frame.smiles),
            ("level", self._level.name),
            ("program", frame.program or self._level.program),
            ("recipe", frame.recipe or self._level.recipe),
            ("graph", frame.graph),
            ("split", frame.split),
        ):
            if text:
                pairs.append(f"{name}={_text(text)}")
        return " ".join((*pairs, 'pbc="F F F"'))

    def _atoms(self, frame: Frame) -> Iterable[str]:
        columns = [values.reshape(frame.natoms, -1) for _, values in self._columns(frame)]
        rows = zip(*(values.tolist() for values in columns), strict=True)
        for symbol, row in zip(frame.symbols, rows, strict=True):
            yield " ".join((symbol, *(repr(value) for values in row for value in values)))


def _carried(dialect: Dialect) -> set[str]:
    """The labels for which a dialect has a key."""
    keys = {
        "gradient": dialect.forces,
        "charges": dialect.charges,
        "spins": dialect.spins,
        "dipole": dialect.dipole,
        "quadrupole": dialect.quadrupole,
    }
    return {label for label, key in keys.items() if key}


def _numbers(values: Floats) -> str:
    return '"' + " ".join(map(repr, values.tolist())) + '"'


def _text(text: str) -> str:
    """A text in the form that ASE reads back unchanged: bare, in quotes, or as JSON.

    ASE would read `17`, `1e5` and `F` as numbers and a boolean, and has the prefix `_JSON` for what
    its own syntax cannot express (`key_val_str_to_dict` in `ase/io/extxyz.py`). JSON also keeps the
    file in ASCII, which matters since ASE opens files with the encoding of the locale.
    """
    first = re.split(r"[ ,;]", text, maxsplit=1)[0].lower()
    is_plain = _PLAIN.fullmatch(text) and text == text.strip() and not text.startswith("_JSON")
    if not is_plain or first in _VALUES:
        text = "_JSON " + json.dumps(text)
    if _BARE.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def create_mace(path: Path, level: Level, labels: Collection[str] | None = None) -> ExtxyzWriter:
    """A writer of a file for MACE."""
    return ExtxyzWriter(path, level, labels, MACE)


def create_nequip(path: Path, level: Level, labels: Collection[str] | None = None) -> ExtxyzWriter:
    """A writer of a file for NequIP."""
    return ExtxyzWriter(path, level, labels, NEQUIP)


def create(path: Path, level: Level, labels: Collection[str] | None = None) -> ExtxyzWriter:
    """A writer of a file with ASE's names."""
    return ExtxyzWriter(path, level, labels, ASE)
