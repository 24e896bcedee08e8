"""What determines a result, as plain data, and the hash of it that `_run.recipe` holds."""

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import wqmaster.tasks
from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.models import GEOMETRY_FIELDS, MoleculeFields
from wqmaster.tasks.base import Build, StepRequest, Traits
from wqmaster.tasks.calling import listed


def hash_of(value: Any) -> str:
    """A hash of plain data: 16 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_ours(function: str) -> bool:
    """Whether a task function is one of wqmaster's, which reads no field that it does not name."""
    return function.startswith(f"{wqmaster.tasks.__name__}.")


def code_of(function: Build) -> str | None:
    """A hash of the file that a task function is defined in; None if it is not to be had.

    It is not part of the recipe: a comment, or a parser in the same file, changes it as well.
    """
    file = getattr(sys.modules.get(function.__module__), "__file__", None)
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file is not None else None
    except OSError:
        return None


def asked_of(
    loaded: LoadedCampaign, function: str, steps: Sequence[StepRequest], traits: Traits
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """For each step, all that determines its results: its own options and those before it.

    The second mapping of each pair leaves out which fields of a document are read; versions
    before 0.2 hashed that one.

    Raises:
        CampaignError: a file that an option names cannot be read.
        BrokenTrait: `fields` or `uses` raises, or returns what it must not.
    """
    stated = {name for step in steps for name in listed(traits, "fields", str, step.loaded)}
    origin = _origin(loaded, function, stated)
    for end in range(1, len(steps) + 1):
        before = _options(loaded, function, steps[:end], traits)
        yield {**before, **origin}, before


def _options(
    loaded: LoadedCampaign, function: str, steps: Sequence[StepRequest], traits: Traits
) -> dict[str, Any]:
    options = [step.options.model_dump(mode="json", exclude_none=True) for step in steps]
    asked: dict[str, Any] = {"function": function, "steps": options}
    if traits.version is not None:
        asked["version"] = traits.version
    used = {file for step in steps for file in listed(traits, "uses", str, step.loaded)}
    if used:
        beside = loaded.source.path.parent
        asked["files"] = {file: _sum_of(loaded, beside / file) for file in sorted(used)}
    return asked


def _origin(loaded: LoadedCampaign, function: str, stated: set[str]) -> dict[str, Any]:
    """Which fields of a document a result is computed from, where the campaign says so.

    The usual fields are left out, so that a campaign that names none keeps its hash; so are those
    that options have `stated` already.
    """
    molecule, usual = loaded.campaign.molecule, MoleculeFields()
    named = {
        key: getattr(molecule, key)
        for key in GEOMETRY_FIELDS
        if getattr(molecule, key) != getattr(usual, key)
    }
    origin: dict[str, Any] = {"molecule": named} if named else {}
    others = set(loaded.campaign.submit.projection) - stated
    if others and not is_ours(function):
        origin["projection"] = sorted(others)
    return origin


def _sum_of(loaded: LoadedCampaign, path: Path) -> str:
    """The check sum of a file that an option names."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise loaded.source.error(
            f"the file {path} cannot be read: {error.strerror}", "campaign_config", "args"
        ) from error
