"""How a campaign's labels are recomputed: the task function and its tighter options."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from wqmaster.campaign.base import as_written, nearest
from wqmaster.campaign.wording import yaml_fault
from wqmaster.datasets.labels import Labels
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError
from wqmaster.recipe.recipe import Recipe
from wqmaster.tasks.program import Change, Program


@dataclass(frozen=True)
class Recomputation:
    """A single point at the level of the labels, and the changes that make it tighter."""

    function: str  # the task function
    base: Mapping[str, Any]  # options at the settings of the labels
    changes: tuple[Change, ...]

    @property
    def options(self) -> dict[str, Any]:
        """The options after all changes."""
        found = dict(self.base)
        for change in self.changes:
            found = change.apply(found)
        return found

    def differences(self) -> dict[str, tuple[Any, Any]]:
        """The options that differ: name -> (before, tighter); None stands for a missing one."""
        now = self.options
        names = [*self.base, *(name for name in now if name not in self.base)]
        both = {name: (self.base.get(name), now.get(name)) for name in names}
        return {name: pair for name, pair in both.items() if pair[0] != pair[1]}


def recomputation(
    recipe: Recipe, labels: Labels, tighter: str | None, version: str | None
) -> Recomputation:
    """Decide how to recompute the labels of a step.

    `tighter` is the path of a YAML file with a mapping of options, or the names of some of the
    program's own changes, separated by commas; None: all of them. `version` is that of the program
    that computed the labels, if it is known.

    Raises:
        CampaignError: the labels cannot be recomputed at their geometry, there is no tighter
            recipe, or it is at another level of theory.
    """
    step = labels.step
    program = step.function.program
    function, base = _single_point(recipe, labels, program)
    ready = {
        change.name: change
        for change in (program.tighter(base, version) if program is not None else ())
    }
    if tighter is None:
        if not ready:
            raise _wrong(
                recipe,
                f"step '{labels.name}': no tighter settings are known for {program or function}; "
                "name a file with tighter options of the step: --tighter FILE",
            )
        return Recomputation(function, base, tuple(ready.values()))
    if Path(tighter).is_file():
        given = _read(Path(tighter))
        changes = [Change(name, partial(_with, name, value)) for name, value in given.items()]
        found = Recomputation(function, base, tuple(changes))
        _check_level(tighter, found, program)
    else:
        changes = [_named(tighter, name, ready) for name in _names(tighter)]
        found = Recomputation(function, base, tuple(changes))
    if not found.differences():
        raise CampaignError(
            f"{tighter}: these options are those of step '{labels.name}' already, so nothing would "
            "be compared"
        )
    return found


def named_by(tighter: str | None) -> Any:
    """What `tighter` names, as plain data: options of a file, names of settings, or None.

    Raises:
        CampaignError: the file cannot be read.
    """
    if tighter is None:
        return None
    return _read(Path(tighter)) if Path(tighter).is_file() else _names(tighter)


def _names(tighter: str) -> list[str]:
    return [name.strip() for name in tighter.split(",")]


def _single_point(
    recipe: Recipe, labels: Labels, program: Program | None
) -> tuple[str, dict[str, Any]]:
    step = labels.step
    found = program.single_point(step.function.name, step.options) if program is not None else None
    if found is not None:
        return found
    if not step.keeps_geometry:
        raise _wrong(
            recipe,
            f"step '{labels.name}' ({step.function.name}) may move the atoms, and it is not known "
            "how to compute its values at a fixed geometry; audit another step with --step",
        )
    options = {key: value for key, value in step.options.items() if key != "geometry"}
    return step.function.name, options


def _with(name: str, value: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    rest = {key: item for key, item in options.items() if key != name}
    return rest if value is None else {**rest, name: value}


def _read(path: Path) -> dict[str, Any]:
    """The mapping of options in a file.

    Raises:
        CampaignError: the file cannot be read, or is not a mapping of names.
    """
    loader: yaml.SafeLoader | None = None
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        found = loader.get_single_data()
    except OSError as error:
        raise CampaignError(
            f"{path}: the file cannot be read: {error.strerror or error}",
            code=ErrorCode.CAMPAIGN_UNREADABLE,
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        why, place = str(error), str(path)
        if isinstance(error, yaml.MarkedYAMLError):
            line, why = yaml_fault(error, loader)
            place += f":{line}"
        raise CampaignError(
            f"{place}: invalid YAML: {why}", code=ErrorCode.CAMPAIGN_NOT_YAML
        ) from error
    if not isinstance(found, dict) or not found or not all(isinstance(key, str) for key in found):
        raise CampaignError(
            f"{path}: the file must be a mapping of options, such as {{grid: 5, conv_tol: 1e-11}}",
            code=ErrorCode.CAMPAIGN_NOT_YAML,
        )
    return found


def _named(tighter: str, name: str, ready: Mapping[str, Change]) -> Change:
    if name not in ready:
        if name == tighter and ("/" in name or Path(name).suffix):
            raise CampaignError(f"there is no file '{tighter}' with tighter options")
        raise CampaignError(
            f"'{name}' is neither a file nor a tighter setting of the step; {nearest(name, ready)}"
        )
    return ready[name]


def _check_level(tighter: str, found: Recomputation, program: Program | None) -> None:
    if program is None:
        return
    before, now = program.theory(found.base), program.theory(found.options)
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if changed:
        name = changed[0]
        raise CampaignError(
            f"{tighter}: it changes the level of theory, so the difference would not be noise: "
            f"{name}: {_shown(before.get(name))} in the campaign, {_shown(now.get(name))} here"
        )


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "none" if value is None else str(value)


def _wrong(recipe: Recipe, message: str) -> CampaignError:
    return CampaignError(f"{recipe.loaded.source.path}: {message}", code=ErrorCode.LABELS_MISSING)


def told(differences: Mapping[str, tuple[Any, Any]]) -> Sequence[str]:
    """The options that differ, one per line."""
    return [
        f"{name}: {_line(before)} -> {_line(now)}" for name, (before, now) in differences.items()
    ]


def in_words(differences: Mapping[str, tuple[Any, Any]]) -> str:
    """The options that differ, as the object of a sentence: "x from 1 to 2 and y from ..."."""
    return " and ".join(
        f"{name} from {_quoted(before)} to {_quoted(now)}"
        for name, (before, now) in differences.items()
    )


def _quoted(value: Any) -> str:
    if value is None:
        return "its default"
    return f"'{_line(value)}'" if isinstance(value, str | list) else as_written(value)


def _line(value: Any) -> str:
    return "default" if value is None else " ".join(_shown(value).split())
