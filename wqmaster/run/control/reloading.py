"""Take changes of the campaign file into a running master, or refuse them with the reason."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wqmaster.campaign.loading import LoadedCampaign, load
from wqmaster.campaign.models import Campaign
from wqmaster.database.documents import Counts
from wqmaster.database.orders import Answer
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError
from wqmaster.recipe.recipe import Recipe
from wqmaster.recipe.resolving import resolve
from wqmaster.run.control.steering import Steering

log = logging.getLogger("wqmaster.master")

# The keys that may change while a master runs, below each section; None: all keys of the section.
_MAY_CHANGE: dict[str, tuple[str, ...] | None] = {
    "campaign_config": ("job_timeout",),
    "submit": ("query", "queue", "priority", "weight"),
    "resources": None,
    "workers": ("count", "min", "max", "per_cycle"),
    "bundle": None,
    "archive": None,
    "remedies": None,
    "checks": None,
}
# Why a section may not change, after "because".
_WHY = {
    "campaign": "it is the name of the campaign's records",
    "campaign_config": "it determines what is computed and stored",
    "submit": "it determines what is fetched of each document",
    "molecule": "it determines what is computed",
    "database": "results would be in two places",
    "software": "workers already have these programs",
    "engine": "the engine is running",
    "workers": "the worker factory is running",
    "folder": "the spool is in the old one",
}
_RESTART = "it is only read when a run starts"


@dataclass(frozen=True)
class Changes:
    """What differs between two forms of a campaign; keys are dotted."""

    keys: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)  # key -> why it may not change


def differences(old: Campaign, new: Campaign, also: Mapping[str, Any]) -> Changes:
    """Compare two forms of a campaign; `also` has further sections that may change."""
    keys: list[str] = []
    refused: dict[str, str] = {}
    for section in Campaign.model_fields:
        before, after = getattr(old, section), getattr(new, section)
        if before == after:
            continue
        allowed = _MAY_CHANGE.get(section, ())
        if section in also or allowed is None:
            keys.append(section)
            continue
        for key in _differing(before, after):
            if key in allowed:
                keys.append(f"{section}.{key}")
            else:
                name = f"{section}.{key}" if key else section
                refused[name] = _WHY.get(section, _RESTART)
    return Changes(tuple(keys), refused)


def _differing(before: Any, after: Any) -> list[str]:
    """The keys in which two sections differ; [""] if they cannot be compared key by key."""
    if type(before) is not type(after) or not hasattr(before, "model_fields_set"):
        return [""]
    names = type(before).model_fields
    return [name for name in names if getattr(before, name) != getattr(after, name)]


class Reloader:
    """Reads the campaign file again for a running master.

    `asked_for` are the settings of the command line, which replace the file's. `apply` brings a
    new form of the recipe to the parts of the run besides the master, `count` counts the documents
    of a new query, and `also` has further sections that may change, each with what takes the new
    form of the campaign.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        asked_for: Mapping[str, Any] | None = None,
        apply: Callable[[Recipe], None] = lambda recipe: None,
        count: Callable[[], Counts | None] = lambda: None,
        also: Mapping[str, Callable[[LoadedCampaign], None]] | None = None,
    ) -> None:
        self.recipe = recipe
        self._asked_for = dict(asked_for or {})
        self._apply = apply
        self._count = count
        self._also = dict(also or {})

    def reload(self, steering: Steering) -> Answer:
        """Take all changes of the file, or none of them."""
        path = self.recipe.loaded.source.path
        try:
            found = load(path).replaced(**self._asked_for)
            recipe = resolve(found)
        except CampaignError as error:
            return Answer(False, f"{error.message}; nothing was changed", code=error.code)
        old, new = self.recipe.loaded.campaign, recipe.loaded.campaign
        changes = differences(old, new, self._also)
        refused = {**changes.refused}
        if not refused and recipe.hash != self.recipe.hash:
            refused["files that the recipe names"] = _WHY["campaign_config"]
        if refused:
            reasons = "; ".join(
                f"'{key}' cannot change now, because {why}" for key, why in refused.items()
            )
            return Answer(
                False,
                f"{path}: {reasons}; nothing was changed; stop the run and start it again",
                {"refused": sorted(refused)},
                ErrorCode.RELOAD_REFUSED,
            )
        if not changes.keys:
            return Answer(True, "the campaign file has not changed", {"changed": []})
        self._take(recipe.prepared(), steering, changes)
        return Answer(True, f"changed: {', '.join(changes.keys)}", {"changed": list(changes.keys)})

    def _take(self, recipe: Recipe, steering: Steering, changes: Changes) -> None:
        campaign = recipe.loaded.campaign
        # These can still refuse a value, so they come first.
        for section, take in self._also.items():
            if section in changes.keys:
                take(recipe.loaded)
        steering.store.campaign = campaign
        steering.follow(recipe)
        self._apply(recipe)
        self.recipe = recipe
        if "submit.query" in changes.keys:
            steering.look_again()
            counts = self._count()
            steering.progress.total = None
            if counts is not None:
                steering.progress.total = counts.done + max(counts.undone, counts.failed)
        # Tasks that wait were made with the old settings.
        steering.recall()
