"""The kinds of files that a data set can be exported to."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from wqmaster.datasets.base import Target
from wqmaster.datasets.readers import aselmdb as read_lmdb
from wqmaster.datasets.readers import extxyz as read_extxyz
from wqmaster.datasets.readers import hdf5 as read_hdf5
from wqmaster.datasets.readers import tables as read_tables
from wqmaster.datasets.writers import (
    aimnet,
    ani,
    aselmdb,
    atoms,
    extxyz,
    jsonl,
    parquet,
    spice,
    torchani,
)
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import ServiceError, UsageError

_IN_EV = {
    "coordinates": "Angstrom",
    "energy": "eV",
    "gradient": "eV/Angstrom (forces)",
    "charge": "e",
    "multiplicity": "2S+1",
    "charges": "e",
    "spins": "e",
    "dipole": "e Angstrom",
    "quadrupole": "e Angstrom^2",
}
_IN_EH = {**_IN_EV, "energy": "Eh", "gradient": "Eh/Angstrom (forces)"}
_STATE_OF_TABLES = {"charge": "charge", "multiplicity": "multiplicity"}
_TABLE = {
    "coordinates": "coordinates",
    "energy": "energy",
    "gradient": "forces",
    **_STATE_OF_TABLES,
    "charges": "charges",
    "spins": "spins",
    "dipole": "dipole",
    "quadrupole": "quadrupole",
}
_SINGLE = frozenset(("coordinates", "gradient", "charges", "spins", "dipole", "quadrupole"))


def _units(keys: Mapping[str, str], units: Mapping[str, str]) -> dict[str, str]:
    return {name: units[name] for name in keys}


_MACE_KEYS = {
    "coordinates": "pos",
    "energy": "REF_energy",
    "gradient": "REF_forces",
    "charge": "total_charge",
    "multiplicity": "total_spin",
    "charges": "REF_charges",
    "dipole": "REF_dipole",
}
_NEQUIP_KEYS = {
    "coordinates": "pos",
    "energy": "energy",
    "gradient": "forces",
    "charge": "charge",
    "multiplicity": "spin",
    "charges": "charges",
    "spins": "magmoms",
}
_ASE_KEYS = {
    **_NEQUIP_KEYS,
    "multiplicity": "multiplicity",
    "dipole": "dipole",
    "quadrupole": "quadrupole",
}
_LMDB_KEYS = {
    **_ASE_KEYS,
    "coordinates": "positions",
    "charge": "charge, total_charge",
    "multiplicity": "spin, total_spin",
}
_AIMNET_KEYS = {
    "coordinates": "coord",
    "energy": "energy",
    "gradient": "forces",
    "charge": "charge",
    "multiplicity": "mult",
    "charges": "charges",
    "spins": "spin_charges",
    "dipole": "dipole",
    "quadrupole": "quadrupole",
}
_TORCHANI_KEYS = {
    "coordinates": "coordinates",
    "energy": "energies",
    "gradient": "forces",
    "charge": "charges",
    "multiplicity": "spin_multiplicities",
    "charges": "atomic_charges",
    "spins": "atomic_spins",
    "dipole": "dipoles",
    "quadrupole": "quadrupoles",
}
_SPICE_KEYS = {
    "coordinates": "conformations",
    "energy": "dft_total_energy",
    "gradient": "dft_total_gradient",
    "charge": "smiles",
    "multiplicity": "smiles",
    "dipole": "scf_dipole",
    "quadrupole": "scf_quadrupole",
}
_SPICE_UNITS = {
    "coordinates": "Bohr",
    "energy": "Eh",
    "gradient": "Eh/Bohr (gradient)",
    "charge": "formal charges",
    "multiplicity": "radicals",
    "dipole": "e Bohr",
    "quadrupole": "e Bohr^2",
}
_ANI_KEYS = {
    "coordinates": "coordinates",
    "energy": "LEVEL.energy",
    "gradient": "LEVEL.forces",
}


def _labels(keys: Mapping[str, str]) -> frozenset[str]:
    return frozenset(keys) - {"coordinates", "energy", "charge", "multiplicity"}


_ALL = (
    Target(
        name="aimnet",
        about="AIMNet2: HDF5, a group for each number of atoms",
        suffix=".h5",
        modules=("h5py",),
        create=aimnet.create,
        read=read_hdf5.read_aimnet,
        carries=_labels(_AIMNET_KEYS),
        requires=frozenset(("gradient",)),
        uniform=True,
        single=_SINGLE,
        traceless=True,
        units=_units(_AIMNET_KEYS, _IN_EV),
        keys=_AIMNET_KEYS,
        atoms=atoms.write_aimnet,
        atoms_suffix=atoms.AIMNET_SUFFIX,
        trainer="aimnet",
        script="read_aimnet.py",
    ),
    Target(
        name="mace",
        about="MACE: extended XYZ with REF_ keys",
        suffix=".xyz",
        modules=("ase",),
        create=extxyz.create_mace,
        read=read_extxyz.read_mace,
        carries=_labels(_MACE_KEYS),
        units=_units(_MACE_KEYS, {**_IN_EV, "dipole": "Debye"}),
        keys=_MACE_KEYS,
        trainer="mace",
        script="read_mace.py",
    ),
    Target(
        name="fairchem",
        about="fairchem (UMA, eSEN) and MACE: ASE database in LMDB",
        suffix=".aselmdb",
        modules=("ase", "lmdb", "ase_db_backends"),
        create=aselmdb.create,
        read=read_lmdb.read,
        units=_units(_LMDB_KEYS, _IN_EV),
        keys=_LMDB_KEYS,
        atoms=atoms.write_fairchem,
        atoms_suffix=atoms.FAIRCHEM_SUFFIX,
        trainer="fairchem",
        script="read_fairchem.py",
    ),
    Target(
        name="torchani",
        about="TorchANI 2: HDF5, grouped by the number of atoms",
        suffix=".h5",
        modules=("h5py",),
        create=torchani.create,
        read=read_hdf5.read_torchani,
        carries=_labels(_TORCHANI_KEYS),
        uniform=True,
        units=_units(_TORCHANI_KEYS, _IN_EH),
        keys=_TORCHANI_KEYS,
        atoms=atoms.write_torchani,
        atoms_suffix=atoms.TORCHANI_SUFFIX,
        trainer="torchani",
        script="read_torchani.py",
    ),
    Target(
        name="nequip",
        about="NequIP and Allegro: extended XYZ",
        suffix=".xyz",
        modules=("ase",),
        create=extxyz.create_nequip,
        read=read_extxyz.read_nequip,
        carries=_labels(_NEQUIP_KEYS),
        units=_units(_NEQUIP_KEYS, _IN_EV),
        keys=_NEQUIP_KEYS,
        atoms=atoms.write_nequip,
        atoms_suffix=atoms.NEQUIP_SUFFIX,
        trainer="nequip",
        script="read_nequip.py",
    ),
    Target(
        name="spice",
        about="the format of SPICE: HDF5, a group for each molecule",
        suffix=".hdf5",
        modules=("h5py", "rdkit"),
        create=spice.create,
        read=read_hdf5.read_spice,
        carries=_labels(_SPICE_KEYS),
        single=_SINGLE,
        units=_SPICE_UNITS,
        keys=_SPICE_KEYS,
        atoms=spice.add_formation_energies,
    ),
    Target(
        name="ani",
        about="the format of ANI-1x: HDF5, a group for each formula; neutral singlets only",
        suffix=".h5",
        modules=("h5py",),
        create=ani.create,
        read=read_hdf5.read_ani,
        carries=_labels(_ANI_KEYS),
        single=frozenset(("gradient",)),
        states=False,
        units=_units(_ANI_KEYS, _IN_EH),
        keys=_ANI_KEYS,
        atoms=atoms.write_torchani,
        atoms_suffix=atoms.TORCHANI_SUFFIX,
    ),
    Target(
        name="extxyz",
        about="extended XYZ with ASE's names",
        suffix=".xyz",
        modules=("ase",),
        create=extxyz.create,
        read=read_extxyz.read_ase,
        units=_units(_ASE_KEYS, _IN_EV),
        keys=_ASE_KEYS,
    ),
    Target(
        name="jsonl",
        about="JSON Lines, one object per frame",
        suffix=".jsonl",
        modules=(),
        create=jsonl.create,
        read=read_tables.read_jsonl,
        units=_units(_TABLE, _IN_EV),
        keys=_TABLE,
    ),
    Target(
        name="parquet",
        about="Parquet, one row per frame",
        suffix=".parquet",
        modules=("pyarrow",),
        create=parquet.create,
        read=read_tables.read_parquet,
        units=_units(_TABLE, _IN_EV),
        keys=_TABLE,
    ),
)
TARGETS: Mapping[str, Target] = {target.name: target for target in _ALL}
# Suffixes that mean the same format.
_SYNONYMS = ({".xyz", ".extxyz"}, {".h5", ".hdf5"})
_COMPRESSED = {".gz", ".bz2", ".xz", ".zip", ".zst"}


def check_name(target: Target, path: Path) -> None:
    """Check that the file's name has the suffix of its format, by which readers recognize it.

    A folder passes here, since `Placing` refuses it with a better message.

    Raises:
        UsageError: the name has another suffix, or none.
    """
    fitting: set[str] = next((one for one in _SYNONYMS if target.suffix in one), {target.suffix})
    if path.suffix in fitting or path.is_dir():
        return
    if path.suffix in _COMPRESSED:
        better, why = path.with_suffix(""), "; the file is not compressed"
    else:
        better, why = path, ""
    known = {suffix for one in _ALL for suffix in (one.suffix, *fitting)}
    if better.suffix in known:
        better = better.with_suffix("")
    raise UsageError(
        f"--for {target.name} writes {target.suffix} files{why}: "
        f"-o {better.with_name(better.name + target.suffix)}"
    )


def check_installed(target: Target) -> None:
    """Check that the Python modules that write and read such a file are installed.

    Raises:
        ServiceError: one is missing; the message names the command that installs it.
    """
    for module in target.modules:
        if find_spec(module) is None:
            raise ServiceError(
                f"--for {target.name} needs the Python module '{module}': "
                "pip install 'wqmaster[datasets]'",
                code=ErrorCode.LIBRARY_MISSING,
            )
