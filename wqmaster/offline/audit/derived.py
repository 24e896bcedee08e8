"""The campaign that recomputes labels: derived from the audited one, with its own documents.

Its documents are copies of molecules, at the geometry that belongs to the labels, in the collection
`<collection>.audit` of the same database. The `_id` of a copy contains a hash of the original, the
geometry and the tighter recipe, and the name of the field with its results contains that of the
recipe, so that different audits never mix. The folder is `audit/` in the campaign's folder.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wqmaster.campaign.checks import checks as checks_key
from wqmaster.campaign.loading import LoadedCampaign, Source
from wqmaster.campaign.models import CampaignConfig, Kwargs, Step, Submit
from wqmaster.campaign.workers import BatchWorkers
from wqmaster.checks.electrons import ELECTRONS
from wqmaster.checks.forces import NET_FORCE, NET_TORQUE
from wqmaster.checks.table import CHECKS
from wqmaster.database.attempts import key_of
from wqmaster.database.audits import AUDIT_OF, AUDITS
from wqmaster.database.documents import Store
from wqmaster.database.reference_atoms import put
from wqmaster.datasets.frame import Frame
from wqmaster.datasets.labels import Labels
from wqmaster.errors import CampaignError
from wqmaster.jobs.molecule import Document, lookup
from wqmaster.recipe.hashing import hash_of, is_ours
from wqmaster.recipe.recipe import Recipe, StepRecipe
from wqmaster.recipe.resolving import resolve
from wqmaster.tasks.base import Software
from wqmaster.tasks.calling import listed

FOLDER = "audit"
# A tighter calculation takes longer. Without density fitting, PySCF needs up to ten times as long.
_TIME_FACTOR = 10
# These checks refuse inaccurate calculations, against which labels must not be measured. The others
# refuse a molecule or a state, so with tighter settings they would refuse again.
_OF_ACCURACY = frozenset({NET_FORCE.name, NET_TORQUE.name, ELECTRONS.name})
UNCHECKED = checks_key("off")


def derived(
    recipe: Recipe,
    store: Store,
    labels: Labels,
    function: str,
    steps: Mapping[str, Mapping[str, Any]],
    name: str,
    query: Document,
    checks: Mapping[str, Any],
) -> Recipe:
    """The recipe of a campaign that computes these steps (name -> options) for copies.

    `name` is the end of the campaign's name, `query` selects the copies, and `checks` is its
    section `checks:`.

    Raises:
        CampaignError: the options are not valid for the task function.
    """
    loaded = recipe.loaded
    campaign, config = loaded.campaign, loaded.campaign.campaign_config
    original = next(step for step in campaign.steps if step.name == labels.name)
    parsers = _parsers(original, {*labels.values.values()})
    args = [
        Step.model_validate(
            {**options, "name": step, "func_name": function, "parsers": parsers},
        )
        for step, options in steps.items()
    ]
    workers = campaign.workers
    if isinstance(workers, BatchWorkers):
        # A factory that the user started serves only the audited campaign.
        workers = workers.model_copy(update={"manage": True})
    engine = campaign.engine
    if engine.name is not None:
        engine = engine.model_copy(update={"name": f"{engine.name}-{FOLDER}"})
    database = campaign.database.model_copy(
        update={"uri": store.uri, "collection": f"{campaign.database.collection}.{FOLDER}"}
    )
    software = _software(campaign.software, labels.step)
    remedies = campaign.remedies or {}
    kept = {
        label: ladder
        for label, ladder in remedies.items()
        if not isinstance(ladder, dict) or label in steps
    }

    def made(output_key: str) -> Recipe:
        changes = {
            "campaign": f"{campaign.campaign}-{FOLDER}-{name}",
            "campaign_config": CampaignConfig(
                job_timeout=config.job_timeout * _TIME_FACTOR * len(args),
                args=args,
                kwargs=Kwargs(mongo_output_key=output_key),
            ),
            "submit": Submit(query=query, projection=campaign.submit.projection),
            "database": database,
            "engine": engine,
            "workers": workers,
            "software": software,
            "remedies": kept if campaign.remedies is not False else False,
            "reference_atoms": None,
            "audit": None,
            "checks": dict(checks),
            "folder": loaded.folder / FOLDER,
        }
        source = Source(loaded.source.path, None)
        return resolve(
            LoadedCampaign(campaign.model_copy(update=changes), source, loaded.variables)
        )

    # Results of different recipes are in different fields, since a run refuses to mix them.
    return made(f"audit_{made(FOLDER).hash}")


def of_accuracy(recipe: Recipe) -> dict[str, Any]:
    """The campaign's `checks:`, without those that can refuse an accurate calculation."""
    return {
        **recipe.loaded.campaign.checks,
        **{name: "off" for name in CHECKS if name not in _OF_ACCURACY},
    }


def _parsers(step: Step, names: set[str]) -> dict[str, list[str]] | list[str]:
    """The entries of a step's parsers whose values have these names."""

    def wanted(entries: Iterable[str]) -> list[str]:
        return [entry for entry in entries if entry.rpartition(".")[2] in names]

    if isinstance(step.parsers, list):
        return wanted(step.parsers)
    found = {file: wanted(entries) for file, entries in step.parsers.items()}
    return {file: entries for file, entries in found.items() if entries}


def _software(software: Mapping[str, Any], step: StepRecipe) -> dict[str, Any]:
    """The entries of `software:` that a step calls, since a campaign must not name others."""
    function = step.function
    if not is_ours(function.name):
        return dict(software)
    named = Software(commands={word: shlex.quote(word) for word in software})
    if function.traits.runs is not None:
        called = {*listed(function.traits, "runs", str, step.request.options, named)}
    else:
        called = {function.program.name} if function.program is not None else set()
    return {name: program for name, program in software.items() if name in called}


def copies(
    recipe: Recipe, tight: Recipe, store: Store, frames: Sequence[Frame], audit: Any
) -> Iterable[Document]:
    """Yield a copy of the molecule of each frame, at the frame's geometry, for the audit `audit`.

    The copy also has the other fields of the document that a task function can read.
    """
    campaign = recipe.loaded.campaign
    fields = campaign.molecule
    further = [name for name in campaign.submit.projection if name not in fields.names]
    originals = store.known([frame.document for frame in frames]) if further else {}
    for frame in frames:
        document: Document = {"_id": copy_id(frame, tight)}
        for name, value in (
            (fields.atomic_numbers, frame.numbers.tolist()),
            (fields.coordinates, frame.coordinates.tolist()),
            (fields.charge, frame.charge),
            (fields.multiplicity, frame.multiplicity),
        ):
            put(document, name, value)
        for name in further:
            put(document, name, lookup(originals.get(key_of(frame.document), {}), name))
        yield {**document, AUDIT_OF: frame.document, AUDITS: [audit]}


def copy_id(frame: Frame, tight: Recipe) -> str:
    """The `_id` of the copy of a frame for a tighter recipe."""
    molecule = [frame.numbers.tolist(), frame.coordinates.tolist()]
    state = [frame.charge, frame.multiplicity]
    return f"{frame.id}~{hash_of([key_of(frame.document), molecule, state, tight.hash])}"


def explained(error: CampaignError, tighter: str | None) -> CampaignError:
    """An error in the derived campaign, in terms of the tighter options."""
    place = tighter or "the program's own tighter settings"
    return CampaignError(f"{place}: {error.message.partition(': ')[2] or error.message}")
