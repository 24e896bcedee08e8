"""Read the results of a campaign from its database as frames."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from wqmaster.campaign.molecule_fields import REFERENCE_ATOM
from wqmaster.database.audits import Noise
from wqmaster.database.documents import Store
from wqmaster.database.reference_atoms import is_asked_for
from wqmaster.database.result_reader import WithValues
from wqmaster.datasets.base import Level
from wqmaster.datasets.frame import Floats, Frame
from wqmaster.datasets.ids import id_of_row
from wqmaster.datasets.labels import ADOPTED_GEOMETRY, Labels
from wqmaster.datasets.stored import Unusable, array_of, checks_of, shape_of
from wqmaster.errors import BadDocument
from wqmaster.jobs.molecule import Document, Molecule, differences, from_document
from wqmaster.recipe.recipe import Recipe
from wqmaster.run.first_look import check_filled

# Coordinates that differ by no more are the same: outputs round them (ORCA: to 6 decimals).
_ROUNDED_ANGSTROM = 5e-6
# How many documents are named for each reason.
MAX_EXAMPLES = 5
_FAILED_PER_QUERY = 1000
# Optional fields of documents that describe the molecule.
SMILES, TITLE = "smiles", "title"
# The keys of an adopted recipe that state its level of theory: the first is ORCA's, the others are
# xtb's.
_STATED = ("keywords", "method", "arguments")
_LIGHT = ("energy", "frames")


class Reason(StrEnum):
    """Why a document, or a frame of it, is not exported."""

    STALE = "stale: the document has changed since its result was computed"
    OTHER_RECIPE = "computed with another recipe"
    UNDECLARED = "the result does not state how it was computed"
    OTHER_JOB = "its geometry comes from another job than its values"
    NO_FRAME = "a frame is not a mapping"
    OTHER_STATE = "its charge or multiplicity differs from the document's"
    OTHER_ROOT = "its energy is that of an excited state for which no gradient was computed"
    OTHER_ATOM = "a reference atom that the campaign file no longer asks for"


@dataclass
class LeftOut:
    """What was left out, by reason, with the first ids."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, document: Any) -> None:
        """Count one frame or document."""
        self.counts[reason] += 1
        named = self.examples.setdefault(reason, [])
        if len(named) < MAX_EXAMPLES:
            named.append(str(document))


@dataclass(frozen=True)
class Selection:
    """Which results of a campaign to read."""

    query: Document = field(default_factory=dict)
    # The field with the name of a document's group, for splits.
    group: str | None = None


class Source:
    """The frames of one campaign. Reading them needs memory for one batch of documents."""

    def __init__(self, recipe: Recipe, store: Store, labels: Labels, chosen: Selection) -> None:
        self.recipe = recipe
        self.labels = labels
        self.left_out = LeftOut()
        self.documents = 0  # number of documents that were read
        # The hashes of the recipes whose results are read; None: all recipes.
        self.accepted: frozenset[str] | None = frozenset({labels.step.hash, labels.step.old_hash})
        self._store = store
        self._chosen = chosen
        self._program = labels.step.function.program

    @property
    def group(self) -> str | None:
        """The field with the name of a document's group, for splits."""
        return self._chosen.group

    @property
    def name(self) -> str:
        """The campaign's name."""
        return self.recipe.loaded.campaign.campaign

    def recipes(self) -> dict[tuple[str | None, bool], int]:
        """The number of results, by the recipe's hash and whether they were adopted."""
        return self._recipes

    def unselected(self) -> int:
        """The number of results, including those that the query does not select."""
        return sum(self._store.reader.count(self.labels.name, self._store.selecting({})).values())

    def check_filled(self) -> None:
        """Check that the campaign has documents.

        Raises:
            NothingMatches: its collection is empty.
        """
        check_filled(self._store, self.recipe.loaded)

    @cached_property
    def _recipes(self) -> dict[tuple[str | None, bool], int]:
        query = self._store.selecting(self._chosen.query)
        return self._store.reader.count(self.labels.name, query)

    def asked(self, recipe: str) -> Mapping[str, Any] | None:
        """What the recipe with this hash asks for; None if the database has no record of it."""
        return self._store.recipe(recipe)

    def noise(self) -> Noise | None:
        """What the last audit of these results found; None if there was none."""
        return self._store.audits.latest(self.labels.name, self.labels.step.hash)

    def count_failures(self) -> None:
        """Count the selected documents that failed and have no result of the exported step."""
        missing = {f"{self.recipe.loaded.campaign.output_key}.{self.labels.name}": None}
        query = {"$and": [self._store.selecting(self._chosen.query), missing]}
        for kind in self._store.ledger.by_class():
            failed = self._store.ledger.failed(kind)
            while ids := list(islice(failed, _FAILED_PER_QUERY)):
                for document_id in self._store.selected(query, ids):
                    self.left_out.add(f"failed: {kind}", self._key(document_id))

    def energies(self) -> Iterator[Frame]:
        """Yield the frames with no label but the energy; this does not count as reading them."""
        values = {name: self.labels.values[name] for name in self.labels.values if name in _LIGHT}
        labels = replace(self.labels, values=values, geometry_step=None, geometry_value=None)
        light = Source(self.recipe, self._store, labels, self._chosen)
        light.accepted = self.accepted
        yield from light.frames()

    def level(self) -> Level:
        """The level of theory of the campaign's own recipe."""
        step = self.labels.step
        name = self._program.level(step.options) if self._program is not None else None
        return Level(
            name=name or f"{step.function.name} {self.labels.name}",
            program=str(self._program or ""),
            options=step.options,
            recipe=step.hash,
        )

    def levels(self) -> list[Level]:
        """The level of theory of each recipe whose results are read."""
        own, step = self.level(), self.labels.step
        found = []
        for recipe in sorted({recipe for recipe, _ in self._recipes if recipe is not None}):
            if self.accepted is not None and recipe not in self.accepted:
                continue
            if recipe in (step.hash, step.old_hash):
                found.append(replace(own, recipe=recipe))
                continue
            # The campaign file says nothing about other recipes, but the database records them.
            asked = self.asked(recipe) or {}
            words = " ".join(str(asked[key]) for key in _STATED if asked.get(key))
            found.append(Level(words or f"recipe {recipe}", own.program, asked, recipe))
        return found or [own]

    def reference_atoms(self) -> Iterator[Frame]:
        """Yield the isolated atoms that the campaign asks for."""
        asked = self.recipe.loaded.campaign.reference_atoms
        for frame in self._found({REFERENCE_ATOM: {"$ne": None}}):
            symbol = frame.symbols[0]
            if asked is not None and is_asked_for(asked, symbol, frame.multiplicity):
                yield frame
            else:
                self.left_out.add(Reason.OTHER_ATOM, frame.id)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames without reference atoms, in the order of the documents' `_id`."""
        yield from self._found({REFERENCE_ATOM: None})

    def _found(self, which: Document) -> Iterator[Frame]:
        further = [SMILES, TITLE, REFERENCE_ATOM]
        if self._chosen.group is not None:
            further.append(self._chosen.group)
        query = {"$and": [self._store.selecting(self._chosen.query), which]}
        yield from self.frames_of(self._store.reader.values(self.labels.fetched(), query, further))

    def frames_of(self, found: Iterable[WithValues]) -> Iterator[Frame]:
        """Yield the frames of these documents."""
        for one in found:
            self.documents += 1
            try:
                yield from self._of(one)
            except Unusable as error:
                self.left_out.add(error.reason, one.document["_id"])

    def _key(self, document_id: Any) -> str:
        return id_of_row(document_id, mixed=self._mixed_ids)

    @cached_property
    def _mixed_ids(self) -> bool:
        return self._store.reader.has_other_ids_than_texts()

    def _of(self, found: WithValues) -> Iterator[Frame]:
        document, values = found.document, found.steps[self.labels.name]
        run = values.get("_run")
        if not isinstance(run, Mapping) or not run.get("molecule"):
            raise Unusable(Reason.UNDECLARED)
        if not isinstance(run.get("recipe"), str) or not run["recipe"]:
            raise Unusable(Reason.UNDECLARED)
        if self.accepted is not None and run["recipe"] not in self.accepted:
            raise Unusable(Reason.OTHER_RECIPE)
        campaign = self.recipe.loaded.campaign
        try:
            molecule = from_document(document, campaign.molecule)
        except BadDocument as error:
            raise Unusable(Reason.STALE) from error  # it was usable when it was computed
        if any(differences(run, molecule, self.recipe.fields)):
            raise Unusable(Reason.STALE)
        if "frames" in self.labels.values:
            yield from self._evaluations(found, molecule, values, run)
            return
        natoms = molecule.natoms
        labels = {
            label: array_of(values.get(name), shape_of(label, natoms), name)
            for label, name in self.labels.values.items()
        }
        energy = labels.pop("energy")
        place = self._coordinates(found, molecule, run)
        yield self._frame(found, molecule, run, None, place, energy, labels)

    def _evaluations(
        self, found: WithValues, molecule: Molecule, values: Document, run: Mapping[str, Any]
    ) -> Iterator[Frame]:
        """Yield the frames of an optimization."""
        entries = values.get("frames")
        if not isinstance(entries, list) or not entries:
            raise Unusable("the value 'frames' is missing")
        natoms = molecule.natoms
        for number, entry in enumerate(entries):
            try:
                if not isinstance(entry, Mapping):
                    raise Unusable(Reason.NO_FRAME)
                state = (
                    entry.get("charge", molecule.charge),
                    entry.get("multiplicity", molecule.multiplicity),
                )
                if state != (molecule.charge, molecule.multiplicity):
                    raise Unusable(Reason.OTHER_STATE)
                # ORCA's final energy after `%tddft` alone is that of the first root, although the
                # calculation is one of the ground state.
                if entry.get("root") is not None and entry.get("gradient") is None:
                    raise Unusable(Reason.OTHER_ROOT)
                labels = (
                    {"gradient": array_of(entry["gradient"], (natoms, 3), "gradient")}
                    if entry.get("gradient") is not None
                    else {}
                )
                yield self._frame(
                    found,
                    molecule,
                    run,
                    number,
                    array_of(entry.get("geometry"), (natoms, 3), "geometry"),
                    array_of(entry.get("energy"), (), "energy"),
                    labels,
                )
            except Unusable as error:
                self.left_out.add(error.reason, f"{molecule.id}, frame {number}")

    def _coordinates(self, found: WithValues, molecule: Molecule, run: Mapping[str, Any]) -> Floats:
        own = np.array(molecule.coordinates, dtype=np.float64).reshape(molecule.natoms, 3)
        if run.get("adopted") is not None:
            moved = found.steps[self.labels.name].get(ADOPTED_GEOMETRY)
            return own if moved is None else array_of(moved, own.shape, ADOPTED_GEOMETRY)
        step, value = self.labels.geometry_step, self.labels.geometry_value
        if step is None or value is None:
            return own
        values = found.steps[step]
        if not _same_job(values.get("_run"), run):
            raise Unusable(Reason.OTHER_JOB)
        stored = array_of(values.get(value), (molecule.natoms, 3), value)
        if not self.labels.stays:
            return stored
        # The document's coordinates have all digits, so they are exported unless the program moved
        # the molecule.
        is_same = bool(np.max(np.abs(stored - own), initial=0.0) <= _ROUNDED_ANGSTROM)
        return own if is_same else stored

    def _frame(
        self,
        found: WithValues,
        molecule: Molecule,
        run: Mapping[str, Any],
        number: int | None,
        coordinates: Floats,
        energy: Floats,
        labels: dict[str, Floats],
    ) -> Frame:
        if molecule.charge:
            # An ion's moments depend on the origin, which differs between programs.
            labels.pop("dipole", None)
            labels.pop("quadrupole", None)
        measured, warned = checks_of(run) if number is None else ({}, ())
        smiles, title = found.further.get(SMILES), found.further.get(TITLE)
        key = self._key(molecule.id)
        version = run.get("program_version")
        group = found.further.get(self._chosen.group) if self._chosen.group is not None else None
        return Frame(
            id=key if number is None else f"{key}#{number}",
            numbers=np.array(molecule.numbers, dtype=np.int64),
            coordinates=coordinates,
            charge=molecule.charge,
            multiplicity=molecule.multiplicity,
            energy=float(energy),
            gradient=labels.get("gradient"),
            charges=labels.get("charges"),
            spins=labels.get("spins"),
            dipole=labels.get("dipole"),
            quadrupole=labels.get("quadrupole"),
            document=molecule.id,
            campaign=self.recipe.loaded.campaign.campaign,
            step=self.labels.name,
            recipe=str(run["recipe"]),
            number=number,
            program=f"{run.get('program') or ''} {version or ''}".strip(),
            smiles=smiles if isinstance(smiles, str) else None,
            title=title if isinstance(title, str) else None,
            checks=measured,
            warned=warned,
            start=np.array(molecule.coordinates, dtype=np.float64).reshape(molecule.natoms, 3),
            group=None if group is None else str(group),
            isolated=found.further.get(REFERENCE_ATOM) is not None,
        )


def _same_job(one: Any, other: Mapping[str, Any]) -> bool:
    """Whether two results of a document come from the same job."""
    if not isinstance(one, Mapping):
        return False
    finished = one.get("finished")
    return (
        isinstance(finished, datetime)
        and finished == other.get("finished")
        and one.get("attempt") == other.get("attempt")
    )
