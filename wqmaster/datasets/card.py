"""The data card: what a data set holds, how it was made, and what was left out.

It is written beside the files of an export, as `.card.json` for programs and as `.card.md` for
people. `Card.format` is the number of its format, which changes if the meaning of a key changes.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from wqmaster.datasets.base import LABELS, Level, Target
from wqmaster.datasets.card_model import Card, FilePart
from wqmaster.datasets.card_text import text_of
from wqmaster.datasets.duplicates import ENERGY_TOLERANCE_EH, Duplicates
from wqmaster.datasets.plain import plain
from wqmaster.datasets.splits import Splits
from wqmaster.datasets.tally import Histogram, Tally
from wqmaster.system.files import replacing
from wqmaster.system.version import __version__

_MOST_EXAMPLES = 20


def make_card(
    name: str,
    *,
    command: Sequence[str],
    target: Target,
    tally: Tally,
    files: Iterable[FilePart],
    labels: Collection[str] = LABELS,
    levels: Sequence[Level] = (),
    recipes: Mapping[str, Mapping[str, Any]] | None = None,
    meanings: Mapping[str, str] | None = None,
    limits: Mapping[str, Mapping[str, Any]] | None = None,
    noise: Mapping[str, Any] | None = None,
    splits: Splits | None = None,
    duplicates: Duplicates | None = None,
    were_dropped: bool = False,
) -> Card:
    """The card of an export. Secrets are removed from all values.

    Args:
        name: of the data set
        command: the words of the command that made it
        target: the kind of file
        tally: the statistics
        files: see `file_parts`
        labels: those that the file has (`Writer.labels`)
        levels: the levels of theory
        recipes: what each hash of a recipe stands for
        meanings: what each label is, by its name in `Frame`, such as "Mulliken charges (ORCA)"
        limits: of each check: `unit`, `warn`, `refuse`, `source`
        noise: what the audit measured, if there was one
        splits: the parts, if there are several
        duplicates: those that were found, if they were looked for
        were_dropped: whether duplicates were left out
    """
    parts = {
        "name": name,
        "command": list(command),
        "target": target.name,
        "about": target.about,
        "levels": [vars(level) for level in levels],
        "campaigns": list(_campaigns(tally, recipes or {})),
        "counts": _counts(tally),
        "labels": list(_labels(target, tally, labels, meanings or {})),
        "left_out": [
            {"reason": reason, "count": count, "ids": ids}
            for reason, (count, ids) in sorted(tally.left_out.items(), key=lambda one: -one[1][0])
        ],
        "checks": list(_checks(tally, limits or {})),
        "noise": noise,
        "duplicates": _duplicates(duplicates, were_dropped) if duplicates else None,
        "seed": splits.seed if splits else None,
        "splits": list(_splits(tally, splits)) if splits else [],
        "divided_graphs": tally.divided_graphs(),
        "reference_atoms": {
            symbol: {
                "charge": int(frame.charge),
                "multiplicity": int(frame.multiplicity),
                "energy_eh": float(frame.energy),
                "energy_ev": float(frame.energy_ev),
            }
            for symbol, frame in sorted(tally.references.items())
        },
        "files": [part.model_dump() for part in files],
        "cite": _cite(tally, levels),
    }
    return Card.model_validate(plain(parts))


def write_card(card: Card, base: Path) -> tuple[Path, Path]:
    """Write BASE.card.md and BASE.card.json, neither of which is ever half-written.

    Returns the path of the JSON file, then that of the Markdown file.
    """
    readable = base.with_name(f"{base.name}.card.md")
    record = base.with_name(f"{base.name}.card.json")
    with replacing(readable) as part:
        part.write_text(text_of(card), encoding="utf-8")
    with replacing(record) as part:
        # ASCII only, so that no character of a document's value can control a terminal.
        part.write_text(json.dumps(card.model_dump(mode="json"), indent=1, allow_nan=False) + "\n")
    return record, readable


def file_parts(
    path: Path,
    frames: int,
    split: str | None = None,
    reader: str | None = None,
    verified: int | None = None,
) -> Iterator[FilePart]:
    """Yield the size and hash of a file, or of each file below a folder.

    Names are relative to the folder that holds `path`.
    """
    found = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    for one in found:
        with one.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        yield FilePart(
            name=str(one.relative_to(path.parent)),
            split=split,
            frames=frames,
            bytes=one.stat().st_size,
            sha256=sha256,
            reader=reader,
            verified=verified,
        )


def _campaigns(tally: Tally, recipes: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for (campaign, step, recipe), frames in sorted(tally.recipes.items()):
        yield {
            "name": campaign,
            "step": step,
            "recipe": recipe,
            "asked": dict(recipes.get(recipe, {})),
            "frames": frames,
        }


def _counts(tally: Tally) -> dict[str, Any]:
    return {
        "frames": tally.frames,
        "documents": tally.distinct("document"),
        "graphs": tally.distinct("graph"),
        "atoms": tally.atoms,
        "elements": dict(sorted(tally.elements.items())),
        "element_frames": dict(sorted(tally.element_frames.items())),
        "sizes": dict(sorted(tally.sizes.items())),
        "charges": dict(sorted(tally.charges.items())),
        "multiplicities": dict(sorted(tally.multiplicities.items())),
        "programs": dict(sorted(tally.programs.items())),
        "energy_per_atom_ev": _distribution(tally.energy_per_atom),
        "largest_force_ev_per_angstrom": _distribution(tally.force_components),
    }


def _distribution(found: Histogram) -> dict[str, Any]:
    some = found.count > 0
    return {
        "count": found.count,
        "not_finite": found.not_finite,
        "least": found.least if some else None,
        "median": found.quantile(0.5) if some else None,
        "percentile_95": found.quantile(0.95) if some else None,
        "largest": found.largest if some else None,
        "bins": found.bins(),
    }


def _labels(
    target: Target, tally: Tally, labels: Collection[str], meanings: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    for name in dict.fromkeys([*target.keys, *target.units]):
        if name in LABELS and name not in labels:
            continue
        yield {
            "name": name,
            "key": target.keys.get(name),
            "unit": target.units.get(name),
            "meaning": meanings.get(name, ""),
            # Every frame has the quantities that are not labels, such as the charge.
            "frames": tally.labels[name] if name in LABELS else tally.frames,
        }


def _checks(tally: Tally, limits: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for name in sorted({*tally.checks, *limits}):
        known = {key: limits.get(name, {}).get(key) for key in ("unit", "warn", "refuse", "source")}
        values = _distribution(tally.checks.get(name, Histogram()))
        yield {"name": name, **known, "warned": tally.warned[name], "values": values}


def _splits(tally: Tally, splits: Splits) -> Iterator[dict[str, Any]]:
    for name, fraction in splits.fractions.items():
        frames = tally.split_frames[name]
        yield {
            "name": name,
            "fraction": fraction,
            "share": frames / tally.frames if tally.frames else None,
            "frames": frames,
            "documents": tally.distinct("document", name),
            "graphs": tally.distinct("graph", name),
        }


def _duplicates(duplicates: Duplicates, were_dropped: bool) -> dict[str, Any]:
    return {
        "bound_angstrom": duplicates.bound,
        "found": duplicates.found,
        "of_one_document": duplicates.of_one_document,
        "were_dropped": were_dropped,
        "limited": duplicates.limited,
        "examples": [
            (pair.earlier, pair.later, pair.rmsd) for pair in duplicates.pairs(_MOST_EXAMPLES)
        ],
        "energy_tolerance_eh": ENERGY_TOLERANCE_EH,
        "conflicts": duplicates.conflicting,
        "largest_conflicts": [
            {"earlier": one.earlier, "later": one.later, "difference_eh": one.difference}
            for one in duplicates.conflicts(_MOST_EXAMPLES)
        ],
    }


def _cite(tally: Tally, levels: Sequence[Level]) -> list[str]:
    """What to cite, as far as wqmaster knows; the user adds references of programs and methods."""
    about = metadata.metadata("wqmaster")
    found = [f"{about['Author']}: wqmaster {__version__} (software)"]
    found += [f"the program {program}" for program in sorted(tally.programs)]
    found += [f"the level of theory {level.name}" for level in levels]
    return found
