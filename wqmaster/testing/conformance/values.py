"""Values of parsers: whether a document can hold them, and whether they are those of a sample."""

import math
from collections.abc import Mapping
from typing import Any

# Digits that somebody copies from an output are of a double, but seldom all of them.
RELATIVE_TOLERANCE = 1e-9
# The integers of BSON (https://bsonspec.org: int64).
_LEAST_INTEGER, _GREATEST_INTEGER = -(2**63), 2**63 - 1


def agree(found: Any, stated: Any) -> bool:
    """Whether `found` is the value that a sample states; both are plain.

    A float agrees with a number within `RELATIVE_TOLERANCE`; all else must be equal, and a bool is
    no number.
    """
    if isinstance(found, bool) or isinstance(stated, bool):
        return found is stated
    if isinstance(found, (int, float)) and isinstance(stated, (int, float)):
        if isinstance(found, float) or isinstance(stated, float):
            return math.isclose(found, stated, rel_tol=RELATIVE_TOLERANCE)
        return found == stated
    if isinstance(found, Mapping) and isinstance(stated, Mapping):
        return found.keys() == stated.keys() and all(
            agree(found[key], value) for key, value in stated.items()
        )
    if isinstance(found, list) and isinstance(stated, list):
        return len(found) == len(stated) and all(map(agree, found, stated))
    return bool(found == stated)


def not_storable(value: Any, place: str) -> str | None:
    """What in a plain `value` a document cannot hold, or a parser must not return; None: nothing.

    `place` is how the value itself is called.
    """
    if isinstance(value, (bool, float, str)) or value is None:
        return None
    if isinstance(value, int):
        fits = _LEAST_INTEGER <= value <= _GREATEST_INTEGER
        return None if fits else f"{place} is an integer of more than 64 bits"
    if isinstance(value, Mapping):
        inner = ((f"{place}.{key}", item) for key, item in value.items())
    elif isinstance(value, list):
        inner = ((f"{place}[{number}]", item) for number, item in enumerate(value))
    else:
        kind = type(value).__name__
        return f"{place} is of the type {kind}: values are numbers, strings, lists and mappings"
    return next((why for name, item in inner if (why := not_storable(item, name))), None)
