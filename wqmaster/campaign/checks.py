"""The key `checks:`: a preset, and limits of single checks.

Which checks exist, and which limits contradict each other, is known to `wqmaster.checks`; the
campaign's names are compared with these when the campaign is resolved.
"""

import difflib
import math
from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticCustomError

from wqmaster.campaign.base import as_written, nearest

PRESET = "preset"
PRESETS = ("default", "strict", "off")
_LIMITS = ("warn", "refuse")
_WORDS = "'default', 'strict' or 'off'"
_ALTERNATIVES = "'default', 'strict', 'off'"


def checks(value: Any) -> dict[str, Any]:
    """The key's value as a mapping: `preset`, then for each check that is named a preset or limits.

    YAML reads `off` as the boolean false, which therefore means the same.

    Raises:
        PydanticCustomError: the value has another form; the error names the key.
    """
    if not isinstance(value, Mapping):
        return {PRESET: _preset(value, "a mapping of checks")}
    found: dict[str, Any] = {PRESET: _preset(value.get(PRESET, "default"), "", PRESET)}
    for name, given in value.items():
        if not isinstance(name, str):
            raise _error(f"{name!r} is not the name of a check", name)
        if name == PRESET:
            continue
        if isinstance(given, Mapping):
            found[name] = {key: _limit(limit, name, key) for key, limit in given.items()}
        else:
            found[name] = _preset(given, "a mapping with 'warn' and 'refuse'", name)
    return found


def _preset(value: Any, otherwise: str, *keys: Any) -> str:
    if value is False:
        return "off"
    if isinstance(value, str) and value in PRESETS:
        return value
    allowed = f"{_ALTERNATIVES} or {otherwise}" if otherwise else _WORDS
    near = difflib.get_close_matches(str(value), PRESETS, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise _error(f"{as_written(value)} cannot be used here; allowed: {allowed}{hint}", *keys)


def _limit(value: Any, name: str, key: Any) -> float | None:
    if key not in _LIMITS:
        raise _error(f"unknown key '{key}'; {nearest(str(key), _LIMITS)}", name, key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _error(f"{as_written(value)} is neither a number nor null", name, key)
    return float(value)


def _error(message: str, *keys: Any) -> PydanticCustomError:
    return PydanticCustomError("checks", "{message}", {"message": message, "keys": keys})
