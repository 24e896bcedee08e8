"""Values of parsers: made plain, and held against what a document can store. Pure functions."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from wqmaster.errors import ParseError

# MongoDB allows 100 levels in a document, some of which are above the value. The server refuses a
# deeper document together with everything in the same batch, again and again.
_MAX_NESTING_LEVELS = 80
# The integers of BSON (https://bsonspec.org: int64).
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**63 - 1


def plain(value: Any, depth: int = 0) -> Any:
    """`value` with arrays and numbers of NumPy as lists and numbers.

    Raises:
        ParseError: it is nested more deeply than a document can be.
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
    """The place in `value` of a number that is not finite; None if all are."""
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
    """What in a plain `value` a document cannot hold; None if it can hold all of it.

    `place` is the name of the value itself.
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
        return f"{place} is of the type {kind}: values are numbers, strings, lists and mappings"
    return next((why for name, item in inner if (why := not_storable(item, name))), None)
