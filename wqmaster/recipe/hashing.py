"""Collect everything that determines a result as plain data, and hash it (`_run.recipe`)."""

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import wqmaster.tasks
from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.models import GEOMETRY_FIELDS, MoleculeFields
from wqmaster.recipe.task_function import TaskFunction, blaming
from wqmaster.tasks.base import Build, StepRequest
from wqmaster.tasks.calling import listed


def hash_of(value: Any) -> str:
    """A hash of plain data, as 16 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_ours(function: str) -> bool:
    """Whether a task function is one of wqmaster's; these read only fields that they declare."""
    return function.startswith(f"{wqmaster.tasks.__name__}.")


def code_of(function: Build) -> str | None:
    """The SHA-256 checksum of a task function's source file; None if the file cannot be read.

    The recipe does not include this checksum, because it also changes if a comment or a parser in
    the same file is edited.
    """
    file = getattr(sys.modules.get(function.__module__), "__file__", None)
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file is not None else None
    except OSError:
        return None


def options_of(step: StepRequest) -> dict[str, Any]:
    """The options of a step as plain data, including the step whose geometry it starts from."""
    found: dict[str, Any] = step.options.model_dump(mode="json", exclude_none=True)
    return found if step.geometry is None else {**found, "geometry": step.geometry}


def asked_of(
    loaded: LoadedCampaign, steps: Sequence[tuple[TaskFunction, StepRequest]]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield, for each step, everything that determines its results.

    This includes the options of all earlier steps. Each item is a pair of mappings. The second,
    which versions before 0.2 hashed, lacks the document fields that are read.

    Raises:
        CampaignError: a file that an option names cannot be read, or a trait (`fields`, `uses`)
            raised an error or returned a value of the wrong type.
    """
    stated: set[str] = set()
    for function, step in steps:
        with blaming(loaded, function):
            stated |= {*listed(function.traits, "fields", str, step.loaded)}
    origin = _origin(loaded, [function for function, _ in steps], stated)
    for end in range(1, len(steps) + 1):
        before = _options(loaded, steps[:end])
        yield {**before, **origin}, before


def _options(
    loaded: LoadedCampaign, steps: Sequence[tuple[TaskFunction, StepRequest]]
) -> dict[str, Any]:
    first, _ = steps[0]
    asked: dict[str, Any]
    if all(function.name == first.name for function, _ in steps):
        asked = {"function": first.name, "steps": [options_of(step) for _, step in steps]}
        if first.traits.version is not None:
            asked["version"] = first.traits.version
    else:
        asked = {
            "chain": [
                {
                    "function": function.name,
                    "version": function.traits.version,
                    # The name, since a later step can start from this step's geometry.
                    "step": step.name,
                    "options": options_of(step),
                }
                for function, step in steps
            ]
        }
    used: set[str] = set()
    for function, step in steps:
        with blaming(loaded, function):
            used |= {*listed(function.traits, "uses", str, step.loaded)}
    if used:
        beside = loaded.source.path.parent
        asked["files"] = {file: _sum_of(loaded, beside / file) for file in sorted(used)}
    return asked


def _origin(
    loaded: LoadedCampaign, functions: Sequence[TaskFunction], stated: set[str]
) -> dict[str, Any]:
    """The document fields that the campaign names and from which a result is computed.

    Default fields of the molecule are omitted, so a campaign that sets none keeps its hash. The
    fields in `submit: {projection: ...}` are included only for a user's task function, which can
    read any of them. Those in `stated`, which the options already contain, are omitted too.
    """
    molecule, usual = loaded.campaign.molecule, MoleculeFields()
    named = {
        key: getattr(molecule, key)
        for key in GEOMETRY_FIELDS
        if getattr(molecule, key) != getattr(usual, key)
    }
    origin: dict[str, Any] = {"molecule": named} if named else {}
    others = set(loaded.campaign.submit.projection) - stated
    if others and not all(is_ours(function.name) for function in functions):
        origin["projection"] = sorted(others)
    return origin


def _sum_of(loaded: LoadedCampaign, path: Path) -> str:
    """The SHA-256 checksum of a file that an option names."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise loaded.source.error(
            f"the file {path} cannot be read: {error.strerror}", "campaign_config", "args"
        ) from error
