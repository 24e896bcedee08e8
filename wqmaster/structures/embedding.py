"""Functions for RDKit molecules: hydrogens, ETKDG geometries, force fields, documents.

Geometries are reproducible with the same version of RDKit, since the seed is fixed and only one
thread is used. Sources: Riniker and Landrum, J. Chem. Inf. Model. 55, 2562 (2015) for ETKDG; Tosco,
Stiefl and Landrum, J. Cheminform. 6, 37 (2014) for MMFF94 in RDKit.
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
# How many times an MMFF94 optimization runs for up to _MMFF_ITERATIONS iterations.
_MMFF_ROUNDS = 10
# How many lines of RDKit's report of a violated condition explain it.
_REPORTED_LINES = 2
# The option that accepts a molecule for which GFN-FF fails.
_WITHOUT = "--optimize none"
_GFNFF_SECONDS = 600
# The shortest distance between two atoms that OMol25 accepts (facebookresearch/fairchem,
# omdata/reactivity_utils.py).
_CLOSEST_ANGSTROM = 0.5


class _Said(logging.Handler):
    """A logging handler that keeps RDKit's last message.

    A report of a violated condition is framed by asterisks: what kind of condition, what was
    wrong, the place in RDKit's code, the expression, and a stack trace.
    """

    def __init__(self) -> None:
        super().__init__()
        self.last = ""
        self._report: list[str] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage().strip()
        if line == "****":
            if self._report is None:
                self._report = []
            else:
                self.last = ": ".join(self._report[:_REPORTED_LINES])
                self._report = None
        elif self._report is not None:
            self._report.append(line)
        else:
            self.last = line or self.last


_said = _Said()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep RDKit's messages off the terminal; `reason` returns the last one."""
    from rdkit import rdBase

    rdBase.LogToPythonLogger()
    logger = logging.getLogger("rdkit")
    logger.handlers, logger.propagate = [_said], False
    _said.last = ""
    yield


def reason() -> str:
    """RDKit's last message, which explains why RDKit returned no molecule."""
    words = _said.last.partition("] ")[2] if _said.last.startswith("[") else _said.last
    return " ".join(words.split())[:200] or "no reason given"


def with_hydrogens(molecule: Any) -> Any:
    """The molecule with its missing hydrogens, placed according to the geometry around them."""
    from rdkit import Chem

    return Chem.AddHs(molecule, addCoords=True)


def isotope_notes(molecule: Any) -> set[Note]:
    """The note for a molecule with isotopes, which calculations ignore, or an empty set."""
    return {Note.ISOTOPES} if any(atom.GetIsotope() for atom in molecule.GetAtoms()) else set()


def _notes(molecule: Any) -> set[Note]:
    """Notes on open stereochemistry and on several fragments, if the molecule has them."""
    from rdkit import Chem

    notes = set()
    if len(Chem.GetMolFrags(molecule)) > 1:
        notes.add(Note.SEVERAL_FRAGMENTS)
    found = Chem.FindPotentialStereo(molecule)
    if any(entry.specified == Chem.StereoSpecified.Unspecified for entry in found):
        notes.add(Note.OPEN_STEREO)
    return notes


def conformers(molecule: Any, options: Options) -> tuple[Any, set[Note]]:
    """The molecule with all its hydrogens and `options.conformers` geometries, and notes on it.

    Raises:
        Refused: ETKDG finds too few geometries, two atoms are too close, or the force field lacks
            parameters, does not converge, or separates fragments.
    """
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom

    notes = _notes(molecule)
    whole = Chem.AddHs(molecule)
    settings: Any = rdDistGeom.ETKDGv3()
    settings.randomSeed = _SEED
    settings.numThreads = 1
    # If fragments were embedded separately, all of them would be centered at the origin.
    settings.embedFragmentsSeparately = False
    found = list(rdDistGeom.EmbedMultipleConfs(whole, options.conformers, settings))
    if len(found) < options.conformers:
        whole.RemoveAllConformers()
        settings.useRandomCoords = True  # as RDKit's documentation recommends for hard cases
        found = list(rdDistGeom.EmbedMultipleConfs(whole, options.conformers, settings))
    if len(found) < options.conformers:
        raise Refused(f"ETKDG finds only {len(found)} of {options.conformers} geometries")
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
    """Check that no two atoms are closer than in any real molecule.

    Raises:
        Refused: two atoms are closer.
    """
    for count, place in enumerate(places[1:], start=1):
        nearest = min(((places[:count] - place) ** 2).sum(axis=1)) ** 0.5
        if nearest < _CLOSEST_ANGSTROM:
            raise Refused(
                f"two atoms of the geometry that was built are only {nearest:.2f} Angstrom apart"
            )


def _mmff(molecule: Any) -> None:
    """Optimize all conformers with MMFF94, in place.

    Raises:
        Refused: MMFF94 lacks parameters or does not converge.
    """
    from rdkit.Chem import rdForceFieldHelpers

    if molecule.GetNumAtoms() == 1:
        return
    if not rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        raise Refused(
            "MMFF94 has no parameters for it; --optimize gfnff uses xtb's GFN-FF instead, "
            "--optimize none leaves the geometry as it was built",
            option="--optimize",
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
            raise Refused(
                "MMFF94 does not converge; --optimize gfnff uses xtb's GFN-FF instead, "
                "--optimize none leaves the geometry as it was built",
                option="--optimize",
            )


def check_gfnff() -> None:
    """Check that xtb, which provides GFN-FF, is installed.

    Raises:
        StructureError: xtb is not installed.
    """
    if shutil.which("xtb") is None:
        raise StructureError(
            "--optimize gfnff needs xtb, which is not installed on this machine",
            code=ErrorCode.PROGRAM_MISSING,
        )


def _gfnff(molecule: Any, conformer: Any) -> None:
    """Optimize a conformer with GFN-FF (xtb), in place.

    Raises:
        Refused: xtb takes too long, returns no geometry or does not converge.
    """
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
                raise Refused(f"GFN-FF takes more than {_GFNFF_SECONDS} s", option=_WITHOUT)
            lines = (folder / "xtbopt.xyz").read_text().splitlines()[2:]
        except OSError as error:
            raise Refused("GFN-FF returns no geometry", option=_WITHOUT) from error
        if said.code or "GEOMETRY OPTIMIZATION CONVERGED" not in said.text:
            raise Refused("GFN-FF does not converge", option=_WITHOUT)
        for place, line in enumerate(lines[: len(numbers)]):
            conformer.SetAtomPosition(place, [float(word) for word in line.split()[1:4]])


def documents_of(document: Document, molecule: Any, options: Options) -> Iterator[Document]:
    """A document for each conformer of a molecule, with the shared fields in `document`."""
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
            found["isotopes"] = isotopes  # mass numbers; 0 for natural abundance
        if several:
            found["conformer"] = count
        yield found
