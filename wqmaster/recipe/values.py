"""Convert parsers' values to plain data, and check them before they are stored.

All functions are pure.
"""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from wqmaster.errors import ParseError

# MongoDB allows 100 levels of nesting in a document, some of which are above the value. The server
# refuses a deeper document together with its whole batch, at every retry.
_MAX_NESTING_LEVELS = 80
# The range of integers in BSON (https://bsonspec.org: int64).
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**63 - 1


def plain(value: Any, depth: int = 0) -> Any:
    """`value` with NumPy arrays and numbers converted to lists and numbers.

    Raises:
        ParseError: `value` is nested too deeply for MongoDB.
    """
    if depth > _MAX_NESTING_LEVELS:
        raise ParseError(f"the value is nested more than {_MAX_NESTING_LEVELS} levels deep")
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    return value


def not_finite(value: Any, path: str = "") -> str | None:
    """The place of the first number in `value` that is not finite; None if all are finite.

    `path` is the name of `value`, with which the place begins.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return path or "the value"
    if isinstance(value, Mapping):
        children = ((f"{path}.{key}" if path else str(key), item) for key, item in value.items())
    elif isinstance(value, (list, tuple)):
        children = ((f"{path}[{place}]", item) for place, item in enumerate(value))
    else:
        return None
    return next((found for name, item in children if (found := not_finite(item, name))), None)


def not_storable(value: Any, place: str) -> str | None:
    """Why a document cannot hold the plain `value`; None if it can.

    `place` is the name of `value`, with which the message begins.
    """
    if isinstance(value, (bool, float, str, bytes, datetime)) or value is None:
        return None
    if isinstance(value, int):
        fits = _MIN_INTEGER <= value <= _MAX_INTEGER
        return None if fits else f"{place} is an integer of more than 64 bits"
    if isinstance(value, Mapping):
        inner = ((f"{place}.{key}", item) for key, item in value.items())
    elif isinstance(value, list):
        inner = ((f"{place}[{number}]", item) for number, item in enumerate(value))
    else:
        kind = type(value).__name__
        return f"{place} has the type {kind}; values must be numbers, strings, lists or mappings"
    return next((why for name, item in inner if (why := not_storable(item, name))), None)
