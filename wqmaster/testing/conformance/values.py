"""Values of parsers: whether a document can hold them, and whether they are those of a sample."""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

# Digits that somebody copies from an output are of a double, but seldom all of them.
RELATIVE_TOLERANCE = 1e-9
# A longer value is not shown whole.
_MAX_SHOWN_CHARACTERS = 100
# In the place of an entry that one of two values has not.
_NOTHING = object()


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


def differing(
    found: Any, stated: Any, agrees: Callable[[Any, Any], bool] = agree
) -> tuple[str, str]:
    """Two values that do not agree, as texts that differ: where they are long, in one place of it.

    The place is the first in which they differ, such as "-1.5 in [3][0]".
    """
    place = ""
    while max(len(repr(found)), len(repr(stated))) > _MAX_SHOWN_CHARACTERS:
        inner = _first_inner(found, stated, agrees)
        if inner is None:
            break
        key, found, stated = inner
        place += f"[{key!r}]"
    if isinstance(found, str) and isinstance(stated, str):
        same = itertools.takewhile(
            lambda pair: pair[0] == pair[1], zip(found, stated, strict=False)
        )
        start = sum(1 for _ in same)
        if start > _MAX_SHOWN_CHARACTERS // 2:
            place += f"[{start}:]"
            found, stated = found[start:], stated[start:]
    return f"{_short(found)}{f' in {place}' if place else ''}", _short(stated)


def _short(value: Any) -> str:
    return "nothing" if value is _NOTHING else f"{value!r:.{_MAX_SHOWN_CHARACTERS}}"


def _first_inner(
    found: Any, stated: Any, agrees: Callable[[Any, Any], bool]
) -> tuple[Any, Any, Any] | None:
    """The first entry in which two lists or mappings differ; None if they are not two of them."""
    if isinstance(found, Mapping) and isinstance(stated, Mapping):
        keys: Iterable[Any] = dict.fromkeys([*stated, *found])
        pairs = ((key, found.get(key, _NOTHING), stated.get(key, _NOTHING)) for key in keys)
    elif isinstance(found, list) and isinstance(stated, list):
        both = itertools.zip_longest(found, stated, fillvalue=_NOTHING)
        pairs = ((number, one, other) for number, (one, other) in enumerate(both))
    else:
        return None
    return next((each for each in pairs if not agrees(each[1], each[2])), None)
