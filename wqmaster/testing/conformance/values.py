"""Values of parsers: whether a document can hold them, and whether they are those of a sample."""

import math
from collections.abc import Mapping
from typing import Any

# Digits that somebody copies from an output are of a double, but seldom all of them.
RELATIVE_TOLERANCE = 1e-9


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
