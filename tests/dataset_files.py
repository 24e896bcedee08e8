"""Frames of molecules in all states that trainers get wrong, and files that are altered."""

import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from wqmaster.datasets.base import Level, Target, Unfit
from wqmaster.datasets.frame import Frame

LEVEL = Level("wB97X-D3BJ/def2-SVP", "PySCF 2.14", {"functional": "wB97X-D3BJ"}, "1f2e")
BOHR = 0.5291772105638411
HARTREE = 27.211386024367243

# id, SMILES, charge and multiplicity: neutral (twice the same size), cation, anion, radical,
# triplet, zwitterion.
STATES = (
    ("water", "O", 0, 1),
    ("hydrogen sulfide", "S", 0, 1),
    ("1e5", "[NH4+]", 1, 1),
    ("F", "[OH-]", -1, 1),
    ("radical/1", "[CH3]", 0, 2),
    ("O2#0", "[O][O]", 0, 3),
    ('glycine "é"', "[NH3+]CC(=O)[O-]", 0, 1),
)


def frame(name: str, smiles: str, charge: int, multiplicity: int, **more: Any) -> Frame:
    """A frame of a molecule that RDKit builds, with random labels."""
    from rdkit import Chem
    from rdkit.Chem import AllChem

    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(molecule, randomSeed=7)
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    n = len(numbers)
    random = np.random.default_rng(sum(map(ord, name)))
    charges = random.normal(scale=0.3, size=n)
    moment = random.normal(size=(3, 3))
    neutral = charge == 0
    return Frame(
        id=name,
        numbers=numbers,
        coordinates=np.array(molecule.GetConformer().GetPositions(), dtype=np.float64),
        charge=charge,
        multiplicity=multiplicity,
        energy=-40.0 * n - random.uniform(),
        gradient=random.normal(scale=0.03, size=(n, 3)),
        charges=charges + (charge - charges.sum()) / n,
        spins=random.normal(scale=0.1, size=n),
        dipole=random.normal(size=3) if neutral else None,
        quadrupole=moment + moment.T if neutral else None,
        smiles=smiles,
        title=f"title of {name}",
        campaign="campaign",
        **more,
    )


def frames() -> list[Frame]:
    """One frame of each state."""
    return [frame(*state) for state in STATES]


def written(target: Target, path: Path, given: list[Frame], **more: Any) -> list[Frame]:
    """Write frames to a file, and return those that the target can express."""
    writer = target.create(path, LEVEL, **more)
    kept = []
    for one in given:
        try:
            writer.add(one)
        except Unfit:
            continue
        kept.append(one)
    writer.close()
    return kept


class Altered:
    """A file as rows of raw values by their keys, to change and to write again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        kind = {".h5": Hdf5, ".hdf5": Hdf5, ".xyz": Extxyz, ".aselmdb": Lmdb}
        self.form: Any = kind.get(path.suffix, Table)(path)
        self.rows: list[dict[str, Any]] = self.form.rows

    def write(self) -> None:
        """Replace the file."""
        self.form.write(self.rows)


class Hdf5:
    def __init__(self, path: Path) -> None:
        import h5py

        self.path, self.rows = path, []
        with h5py.File(path) as file:
            self.attributes = dict(file.attrs)
            for group in file.values():
                count = len(group["_id"])
                for index in range(count):
                    row = {"group": group.name[1:]}
                    for key, array in group.items():
                        of_group = key in ("smiles", "subset", "atomic_numbers")
                        row[key] = array[()] if of_group else array[index]
                    self.rows.append(row)

    def write(self, rows: list[dict[str, Any]]) -> None:
        import h5py

        with h5py.File(self.path, "w") as file:
            file.attrs.update(self.attributes)
            for name in sorted({row["group"] for row in rows}):
                members = [row for row in rows if row["group"] == name]
                group = file.create_group(name)
                for key in members[0].keys() - {"group"}:
                    if key in ("smiles", "subset", "atomic_numbers"):
                        group.create_dataset(key, data=members[0][key])
                    else:
                        group.create_dataset(key, data=[row[key] for row in members])


class Extxyz:
    def __init__(self, path: Path) -> None:
        lines = path.read_text().splitlines()
        self.path, self.rows = path, []
        while lines:
            count = int(lines[0])
            pairs = re.findall(r'(\S+?)=("(?:[^"\\]|\\.)*"|\S+)', lines[1])
            row: dict[str, Any] = dict(pairs)
            columns = row.pop("Properties").split(":")
            table = [line.split() for line in lines[2 : 2 + count]]
            row["species"], place = [words[0] for words in table], 1
            for key, width in zip(columns[3::3], map(int, columns[5::3]), strict=True):
                values = [[float(word) for word in words[place : place + width]] for words in table]
                row[key] = np.array(values)
                place += width
            for key in row.keys() - {"_id", "title", "smiles", "level", "recipe", "program", "pbc"}:
                if isinstance(row[key], str):
                    row[key] = np.array(row[key].strip('"').split(), dtype=float)
            self.rows.append(row)
            lines = lines[2 + count :]

    def write(self, rows: list[dict[str, Any]]) -> None:
        text = []
        for row in rows:
            arrays = {key: value for key, value in row.items() if np.ndim(value) == 2}
            columns = "".join(f":{key}:R:{value.shape[1]}" for key, value in arrays.items())
            pairs = [f"Properties=species:S:1{columns}"]
            for key, value in row.items():
                if key not in arrays and key != "species":
                    shown = value
                    if not isinstance(value, str):
                        shown = '"' + " ".join(f"{one:.17g}" for one in np.ravel(value)) + '"'
                    pairs.append(f"{key}={shown}")
            text += [str(len(row["species"])), " ".join(pairs)]
            table = np.hstack(list(arrays.values())).tolist()
            for symbol, values in zip(row["species"], table, strict=True):
                text.append(" ".join((symbol, *map(repr, values))))
        self.path.write_text("\n".join(text) + "\n")


class Lmdb:
    def __init__(self, path: Path) -> None:
        import lmdb
        from ase.io.jsonio import decode

        self.path, self.rows, self.others = path, [], {}
        with (
            lmdb.open(str(path), subdir=False, lock=False, readonly=True) as environment,
            environment.begin() as transaction,
        ):
            for key, value in sorted(
                transaction.cursor(), key=lambda item: (len(item[0]), item[0])
            ):
                content = decode(zlib.decompress(value).decode())
                if key.isdigit():
                    self.rows.append(content | content.pop("data"))
                else:
                    self.others[key] = content
        self.of_data = ("charge", "spin", "total_charge", "total_spin", "_id", "sid", "quadrupole")

    def write(self, rows: list[dict[str, Any]]) -> None:
        import lmdb
        from ase.io.jsonio import encode

        self.path.unlink()
        contents: dict[bytes, Any] = self.others | {b"nextid": len(rows) + 1}
        for number, row in enumerate(rows, start=1):
            data = {key: row[key] for key in row if key in self.of_data}
            rest = {key: row[key] for key in row if key not in data}
            contents[str(number).encode()] = rest | {"data": data}
        with (
            lmdb.open(str(self.path), subdir=False, lock=False, map_size=1 << 30) as environment,
            environment.begin(write=True) as transaction,
        ):
            for key, value in contents.items():
                transaction.put(key, zlib.compress(encode(value).encode()))


class Table:
    def __init__(self, path: Path) -> None:
        self.path, self.schema = path, None
        if path.suffix == ".parquet":
            import pyarrow.parquet

            table = pyarrow.parquet.read_table(path)
            self.schema, self.rows = table.schema, table.to_pylist()
        else:
            self.rows = [json.loads(line) for line in path.read_text().splitlines()]

    def write(self, rows: list[dict[str, Any]]) -> None:
        plain = [
            {key: np.array(value).tolist() if key != "_id" else value for key, value in row.items()}
            for row in rows
        ]
        if self.schema is not None:
            import pyarrow.parquet

            table = pyarrow.Table.from_pylist(plain, schema=self.schema)
            pyarrow.parquet.write_table(table, self.path)
        else:
            self.path.write_text("".join(json.dumps(row) + "\n" for row in plain))


def _keys(target: Target, name: str, row: dict[str, Any]) -> list[str]:
    """The raw keys of a quantity in a row."""
    keys = target.keys[name].split(", ")
    if keys[0].startswith("LEVEL."):
        return [key for key in row if key.endswith(keys[0].removeprefix("LEVEL"))]
    return keys


def _scaled(name: str, factor: float, row_number: int = 1) -> Callable[[Target, Altered], None]:
    def change(target: Target, altered: Altered) -> None:
        row = altered.rows[row_number]
        for key in _keys(target, name, row):
            row[key] = np.array(row[key]) * factor

    return change


def _added(name: str) -> Callable[[Target, Altered], None]:
    def change(target: Target, altered: Altered) -> None:
        row = altered.rows[1]
        if target.name == "spice":  # the SMILES states charge and spin
            wrong = {b"S": "[SH2+]"} if name == "charge" else {b"[CH3]": "[CH2]"}
            for one in altered.rows:
                if (smiles := bytes(one["smiles"][0])) in wrong:
                    one["smiles"] = [wrong[smiles]]
            return
        for key in _keys(target, name, row):
            row[key] = np.array(row[key]) + 1

    return change


def _renamed(name: str) -> Callable[[Target, Altered], None]:
    def change(target: Target, altered: Altered) -> None:
        for row in altered.rows:
            for key in _keys(target, name, row):
                row["mistake"] = row.pop(key)

    return change


def _state_swapped(target: Target, altered: Altered) -> None:
    for row in altered.rows:
        for one, other in zip(
            _keys(target, "charge", row), _keys(target, "multiplicity", row), strict=True
        ):
            row[one], row[other] = row[other], row[one]


def _forces_swapped(target: Target, altered: Altered) -> None:
    pairs = [
        (one, other)
        for place, one in enumerate(altered.rows)
        for other in altered.rows[:place]
        for key in _keys(target, "gradient", one)
        if np.shape(one[key]) == np.shape(other[key])
    ]
    one, other = pairs[0]
    for key in _keys(target, "gradient", one):
        one[key], other[key] = other[key], one[key]


def _without_a_row(target: Target, altered: Altered) -> None:
    del altered.rows[1]


def _with_a_row_twice(target: Target, altered: Altered) -> None:
    altered.rows.append(altered.rows[0])


OF_STATES = {
    "charge_off_by_one": _added("charge"),
    "spin_off_by_one": _added("multiplicity"),
    "charge_and_spin_swapped": _state_swapped,
}
MUTANTS: dict[str, Callable[[Target, Altered], None]] = {
    "energies_in_another_unit": _scaled("energy", 1 / HARTREE),
    "energy_wrong_in_the_seventh_digit": _scaled("energy", 1 + 1e-7),
    "forces_with_the_wrong_sign": _scaled("gradient", -1.0),
    "forces_in_another_unit": _scaled("gradient", BOHR),
    "coordinates_in_bohr": _scaled("coordinates", 1 / BOHR),
    "key_of_the_energy_renamed": _renamed("energy"),
    "key_of_the_forces_renamed": _renamed("gradient"),
    "forces_of_two_rows_swapped": _forces_swapped,
    "one_row_missing": _without_a_row,
    "one_row_twice": _with_a_row_twice,
    **OF_STATES,
}


def mutants_of(target: Target) -> list[str]:
    """The names of the mutants that a kind of file can have."""
    names = [name for name in MUTANTS if target.states or name not in OF_STATES]
    if target.name == "spice":
        names.remove("charge_and_spin_swapped")
    return names


def alter(path: Path, target: Target, name: str) -> None:
    """Apply a mutant to a file."""
    altered = Altered(path)
    MUTANTS[name](target, altered)
    altered.write()
