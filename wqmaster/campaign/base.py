"""The base class of the campaign file's models, and the patterns of common values."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

# Maps the pattern of a key's value to a description of the allowed values, for messages.
ALLOWED: dict[str, str] = {}


def allowing(words: str, pattern: str) -> str:
    """Record `words` as the description of `pattern` in messages, and return `pattern`."""
    ALLOWED[pattern] = words
    return pattern


# Step and campaign names become field names in MongoDB and file names on workers.
NAME = allowing(
    "letters, digits, '_' and '-', with a letter or digit first", r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
)
# A field of a document; dots separate nested fields.
FIELD = allowing(
    "a field of a document, with dots between nested fields; no part may be empty or begin "
    "with '$'",
    r"^[^$.\x00][^.\x00]*(\.[^$.\x00][^.\x00]*)*$",
)
# The name or address of a host.
HOST = allowing("letters, digits, '.', ':' and '-'", r"^[A-Za-z0-9.:-]+$")


def as_written(value: object) -> str:
    """A value as a campaign file or a JSON file writes it, shortened."""
    words = {True: "true", False: "false", None: "null"}
    return words[value] if isinstance(value, bool) or value is None else f"{value!r:.60}"


def nearest(word: str, words: Iterable[str]) -> str:
    """A hint that names the closest valid word, or all of them if none is close."""
    known = sorted(set(words))
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return available(known)


def available(words: Iterable[str]) -> str:
    """A hint that lists all valid words."""
    known = sorted(set(words))
    return f"available: {', '.join(known)}" if known else "none is available"


def unknown_key(key: object, known: Iterable[str]) -> PydanticCustomError:
    """The error for a key that a section of the file does not have."""
    return PydanticCustomError(
        "unknown_key",
        "unknown key '{key}'; {hint}",
        {"key": str(key), "hint": nearest(str(key), known)},
    )


class Model(BaseModel):
    """The base class of the file's models, which are immutable and refuse unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and cls.model_config.get("extra") == "forbid":
            for key in data:
                if key not in cls.model_fields:
                    raise unknown_key(key, cls.model_fields)
        return data
