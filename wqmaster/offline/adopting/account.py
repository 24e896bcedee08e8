"""How an adoption ended, in numbers."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wqmaster.offline.adopting.base import Taken

# How many recipes of adopted outputs a report lists, and how many of refused ones.
_MAX_RECIPES = 20


@dataclass
class Account:
    """How an adoption ended, in numbers of outputs."""

    folder: str
    adopted: int = 0  # with --dry-run: that would be adopted
    there: int = 0  # adopted earlier
    refused: Counter[str] = field(default_factory=Counter)  # by class
    examples: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # path, message
    lacking: Counter[str] = field(default_factory=Counter)  # parser -> results without its value
    # By recipe: the number of adopted outputs, and of outputs that were refused because of it.
    recipes: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    # What the recipes that a report lists ask for.
    asked: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    files: int = 0  # all files in the folder, outputs or not
    skipped: Counter[str] = field(
        default_factory=Counter
    )  # links, archives, hidden and special files
    refused_file: Path | None = None

    def note_recipe(self, counts: Counter[str], taken: Taken) -> None:
        """Count the recipe of an output in `counts`, which is `recipes` or `others`."""
        counts[taken.recipe] += 1
        if len(counts) <= _MAX_RECIPES:
            self.asked.setdefault(taken.recipe, taken.asked)

    @property
    def outputs(self) -> int:
        """The number of outputs that were settled."""
        return self.adopted + self.there + self.refused.total()

    @property
    def listed(self) -> list[str]:
        """The recipes in `asked`, those with the most adopted outputs first."""
        return sorted(self.asked, key=lambda name: (-self.recipes[name], -self.others[name]))

    def as_json(self) -> dict[str, Any]:
        """The account as plain data."""
        return {
            "folder": self.folder,
            "files": self.files,
            "skipped": dict(self.skipped),
            "outputs": self.outputs,
            "adopted": self.adopted,
            "already_there": self.there,
            "refused": dict(self.refused),
            "examples": {
                name: [{"path": path, "message": message} for path, message in found]
                for name, found in self.examples.items()
            },
            "lacking": dict(self.lacking),
            "recipes": [
                {
                    "recipe": name,
                    "adopted": self.recipes[name],
                    "refused": self.others[name],
                    "asked": self.asked[name],
                }
                for name in self.listed
            ],
            "refused_file": self.refused_file and str(self.refused_file),
        }
