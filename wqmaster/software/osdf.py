"""Names on OSDF, whose caches go by name: changed content needs a new name.

The checksum that a campaign states for a name is noted in its folder when workers are first told
about it. Another checksum for the same name later means that caches can still serve the old file,
which workers then refuse.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wqmaster.jobs.job import Supply
from wqmaster.system.files import replacing

# The URL schemes of OSDF and its federation, Pelican; stash is OSDF's former name.
_SCHEMES = ("osdf:", "stash:", "pelican:")
_NOTES = Path("cache") / "osdf.json"


@dataclass(frozen=True)
class Reused:
    """A name that stands for two contents."""

    url: str
    before: str  # the checksum that was noted first
    now: str

    @property
    def words(self) -> str:
        """What is wrong, and what to do."""
        return (
            f"{self.url} had the checksum {self.before[:12]}... earlier and has {self.now[:12]}... "
            "now, but OSDF's caches go by name and can serve the old file; upload the new one "
            "under a new name, and correct 'url:'"
        )


def names(supplies: Mapping[str, Supply]) -> dict[str, list[str]]:
    """The names on OSDF among the supplies, each with the checksums stated for it ('' for none)."""
    found: dict[str, list[str]] = {}
    for supply in supplies.values():
        if supply.kind == "url" and supply.source.startswith(_SCHEMES):
            sums = found.setdefault(supply.source, [])
            if supply.sha256 not in sums:
                sums.append(supply.sha256)
    return found


def reused(supplies: Mapping[str, Supply], folder: Path) -> list[Reused]:
    """The names whose checksum differs from the one noted in `folder`, or from another one here."""
    noted = _noted(folder)
    found = []
    for url, sums in names(supplies).items():
        known = [*([noted[url]] if url in noted else []), *(one for one in sums if one)]
        found += [Reused(url, known[0], one) for one in known[1:] if one != known[0]]
    return found


def note(supplies: Mapping[str, Supply], folder: Path) -> None:
    """Note the checksum of each name that has none yet in `folder`."""
    noted = _noted(folder)
    added = {
        url: next(one for one in sums if one)
        for url, sums in names(supplies).items()
        if url not in noted and any(sums)
    }
    if added:
        path = folder / _NOTES
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_text(json.dumps({**noted, **added}, indent=1) + "\n")


def notes_file(folder: Path) -> Path:
    """The file with the noted checksums."""
    return folder / _NOTES


def _noted(folder: Path) -> dict[str, str]:
    try:
        found = json.loads(notes_file(folder).read_text())
    except (OSError, ValueError):
        return {}
    return {str(url): str(one) for url, one in found.items()} if isinstance(found, dict) else {}
