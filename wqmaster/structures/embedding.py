"""Molecules of RDKit: hydrogens, geometries from ETKDG, force fields, documents.

Geometries are the same for the same input and version of RDKit: the seed is fixed and one thread is
used (Riniker and Landrum, J. Chem. Inf. Model. 55, 2562, 2015: ETKDG; Tosco, Stiefl and Landrum,
J. Cheminform. 6, 37, 2014: MMFF94 in RDKit).
"""

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import StructureError
from wqmaster.jobs.molecule import SYMBOLS, Document
from wqmaster.structures.base import Note, Options, Refused, put
from wqmaster.structures.fragments import check_contact, gather
from wqmaster.system.programs import ask

_SEED = 61453
_MMFF_ITERATIONS = 2000
# MMFF94 is begun again where it stopped, so many times at most.
_MMFF_ROUNDS = 10
_GFNFF_SECONDS = 600
# Atoms of OMol25 are no nearer than this (facebookresearch/fairchem, omdata/reactivity_utils.py).
_CLOSEST_ANGSTROM = 0.5


class _Said(logging.Handler):
    """Keeps the last line that RDKit said."""

    def __init__(self) -> None:
        super().__init__()
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage().strip() or self.last


_said = _Said()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What RDKit says goes to no terminal, but to `reason`."""
    from rdkit import rdBase

    rdBase.LogToPythonLogger()
    logger = logging.getLogger("rdkit")
    logger.handlers, logger.propagate = [_said], False
    _said.last = ""
    yield


def reason() -> str:
    """What RDKit said last: why there is no molecule."""
    words = _said.last.partition("] ")[2] if _said.last.startswith("[") else _said.last
    return " ".join(words.split())[:200] or "it gives no reason"


def with_hydrogens(molecule: Any) -> Any:
    """The molecule with its hydrogens, placed by the geometry of their neighbours."""
    from rdkit import Chem

    return Chem.AddHs(molecule, addCoords=True)


def isotope_notes(molecule: Any) -> set[Note]:
    """What is to be said of a molecule with isotopes, which no calculation takes up."""
    return {Note.ISOTOPES} if any(atom.GetIsotope() for atom in molecule.GetAtoms()) else set()


def _notes(molecule: Any) -> set[Note]:
    """What was chosen where the molecule leaves a choice."""
    from rdkit import Chem

    notes = set()
    if len(Chem.GetMolFrags(molecule)) > 1:
        notes.add(Note.SEVERAL_FRAGMENTS)
    found = Chem.FindPotentialStereo(molecule)
    if any(entry.specified == Chem.StereoSpecified.Unspecified for entry in found):
        notes.add(Note.OPEN_STEREO)
    return notes


def conformers(molecule: Any, options: Options) -> tuple[Any, set[Note]]:
    """The molecule with all its hydrogens and `options.conformers` geometries; what was chosen.

    Raises:
        Refused: it cannot be embedded, has no parameters, the force field does not converge, or
            drives fragments apart.
    """
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom

    notes = _notes(molecule)
    whole = Chem.AddHs(molecule)
    settings: Any = rdDistGeom.ETKDGv3()
    settings.randomSeed = _SEED
    settings.numThreads = 1
    # Apart, each fragment would have its centre at the origin.
    settings.embedFragmentsSeparately = False
    found = list(rdDistGeom.EmbedMultipleConfs(whole, options.conformers, settings))
    if len(found) < options.conformers:
        whole.RemoveAllConformers()
        settings.useRandomCoords = True  # what RDKit's documentation advises for hard cases
        found = list(rdDistGeom.EmbedMultipleConfs(whole, options.conformers, settings))
    if len(found) < options.conformers:
        raise Refused(f"ETKDG finds {len(found)} of {options.conformers} geometries for it")
    gather(whole)
    if options.optimize == "mmff":
        _mmff(whole)
    elif options.optimize == "gfnff":
        for conformer in whole.GetConformers():
            _gfnff(whole, conformer)
    for conformer in whole.GetConformers():
        _check_distances(conformer.GetPositions())
    check_contact(whole)
    return whole, notes


def _check_distances(places: Any) -> None:
    """Raise Refused if two atoms are nearer than those of any molecule."""
    for count, place in enumerate(places[1:], start=1):
        nearest = min(((places[:count] - place) ** 2).sum(axis=1)) ** 0.5
        if nearest < _CLOSEST_ANGSTROM:
            raise Refused(f"in the geometry that was built two atoms are {nearest:.2f} A apart")


def _mmff(molecule: Any) -> None:
    """Optimise all conformers with MMFF94."""
    from rdkit.Chem import rdForceFieldHelpers

    if molecule.GetNumAtoms() == 1:
        return
    if not rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        raise Refused(
            "MMFF94 has no parameters for it; --optimize gfnff (with xtb) or --optimize none"
        )
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(molecule)
    for conformer in molecule.GetConformers():
        field = rdForceFieldHelpers.MMFFGetMoleculeForceField(
            molecule,
            properties,
            confId=conformer.GetId(),
            ignoreInterfragInteractions=False,
        )
        field.Initialize()
        if all(field.Minimize(maxIts=_MMFF_ITERATIONS) for _ in range(_MMFF_ROUNDS)):
            raise Refused("MMFF94 does not converge for it; --optimize gfnff or --optimize none")


def check_gfnff() -> None:
    """See that xtb is installed, which has GFN-FF.

    Raises:
        StructureError: it is not.
    """
    if shutil.which("xtb") is None:
        raise StructureError(
            "--optimize gfnff needs xtb, which is not installed on this machine",
            code=ErrorCode.PROGRAM_MISSING,
        )


def _gfnff(molecule: Any, conformer: Any) -> None:
    """Optimise a conformer with GFN-FF, in place."""
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    charge = sum(atom.GetFormalCharge() for atom in molecule.GetAtoms())
    rows = zip(numbers, conformer.GetPositions(), strict=True)
    xyz = [f"{SYMBOLS[number]} {x:.10f} {y:.10f} {z:.10f}" for number, (x, y, z) in rows]
    if len(numbers) == 1:
        return
    with tempfile.TemporaryDirectory(prefix="wqmaster-gfnff-") as name:
        folder = Path(name)
        (folder / "molecule.xyz").write_text("\n".join([str(len(numbers)), "", *xyz]) + "\n")
        command = ("xtb", "molecule.xyz", "--gfnff", "--opt", "--chrg", str(charge))
        try:
            said = ask(command, os.environ, seconds=_GFNFF_SECONDS, errors="dropped", folder=folder)
            if said.code is None:
                raise Refused(f"GFN-FF takes more than {_GFNFF_SECONDS} s for it; --optimize none")
            lines = (folder / "xtbopt.xyz").read_text().splitlines()[2:]
        except OSError as error:
            raise Refused("GFN-FF gives no geometry for it; --optimize none") from error
        if said.code or "GEOMETRY OPTIMIZATION CONVERGED" not in said.text:
            raise Refused("GFN-FF does not converge for it; --optimize none")
        for place, line in enumerate(lines[: len(numbers)]):
            conformer.SetAtomPosition(place, [float(word) for word in line.split()[1:4]])


def documents_of(document: Document, molecule: Any, options: Options) -> Iterator[Document]:
    """A document for each conformer of a molecule; `document` has all that they share."""
    fields = options.fields
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    isotopes = [atom.GetIsotope() for atom in molecule.GetAtoms()]
    several = molecule.GetNumConformers() > 1
    for count, conformer in enumerate(molecule.GetConformers(), start=1):
        found: Document = {}
        put(found, fields.atomic_numbers, numbers)
        put(found, fields.coordinates, conformer.GetPositions().tolist())
        for name, value in document.items():
            found[name] = value if name not in found else {**found[name], **value}
        if any(isotopes):
            found["isotopes"] = isotopes  # mass numbers; 0: the natural mixture
        if several:
            found["conformer"] = count
        yield found
