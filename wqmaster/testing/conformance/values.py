"""Compare values from parsers with the values that samples state."""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

# A number copied from an output seldom has all the digits of a double.
RELATIVE_TOLERANCE = 1e-9
# The length of a value in a message. Longer values are shortened.
_MAX_SHOWN_CHARACTERS = 100
# Stands for an entry that is missing in one of two values.
_NOTHING = object()


def agree(found: Any, stated: Any) -> bool:
    """Whether the value `found` agrees with the one that a sample states. Both must be plain data.

    A float agrees with a number within `RELATIVE_TOLERANCE`. Everything else must be equal, and a
    bool does not count as a number.
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
    """Describe two values that do not agree, `found` first.

    Long values are reduced to the first entries that differ. The first text then includes their
    place, as in "-1.5 at [3][0]".
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
    return f"{_short(found)}{f' at {place}' if place else ''}", _short(stated)


def _short(value: Any) -> str:
    return "nothing" if value is _NOTHING else f"{value!r:.{_MAX_SHOWN_CHARACTERS}}"


def _first_inner(
    found: Any, stated: Any, agrees: Callable[[Any, Any], bool]
) -> tuple[Any, Any, Any] | None:
    """The key and values of the first entry in which two lists or two mappings differ.

    None if the values are neither two lists nor two mappings, or if all entries agree.
    """
    if isinstance(found, Mapping) and isinstance(stated, Mapping):
        keys: Iterable[Any] = dict.fromkeys([*stated, *found])
        pairs = ((key, found.get(key, _NOTHING), stated.get(key, _NOTHING)) for key in keys)
    elif isinstance(found, list) and isinstance(stated, list):
        both = itertools.zip_longest(found, stated, fillvalue=_NOTHING)
        pairs = ((number, one, other) for number, (one, other) in enumerate(both))
    else:
        return None
    return next((each for each in pairs if not agrees(each[1], each[2])), None)
