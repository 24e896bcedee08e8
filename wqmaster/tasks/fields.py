"""Convert document fields to plain data that JSON can represent."""

import datetime
import json
import math
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from bson import ObjectId, json_util

from wqmaster.errors import BadDocument


def plain(value: Any, name: str) -> Any:
    """Convert the value of the field `name` for JSON: ids and dates become strings.

    Raises:
        BadDocument: the field holds a value of any other type, or a number that is not finite.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)  # this also converts bson.Int64
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadDocument(f"'{name}' of the document is not finite: {value!r}")
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{name}.{place}") for place, item in enumerate(value)]
    if isinstance(value, (ObjectId, uuid.UUID)):
        return str(value)
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    raise BadDocument(f"'{name}' of the document has a type that JSON lacks: {value!r:.60}")


def id_text(value: Any) -> str:
    """A document's `_id` as text. The same id always gives the same text."""
    if isinstance(value, (str, int, ObjectId, uuid.UUID)):
        return str(value)
    return json.dumps(json.loads(json_util.dumps(value)), sort_keys=True)


def shortest(names: Iterable[str]) -> list[str]:
    """`names` without fields inside another one, since MongoDB refuses to fetch a field twice."""
    known = set(names)
    return sorted(
        name
        for name in known
        if not any(name[:end] in known for end, sign in enumerate(name) if sign == ".")
    )


def _part(value: Any, path: list[str]) -> Any:
    """The part of `value` at `path`, still nested; KeyError if there is none."""
    if not path:
        return value
    if isinstance(value, Mapping):
        return {path[0]: _part(value[path[0]], path[1:])}
    if isinstance(value, (list, tuple)):
        return [_part(item, path) for item in value]
    raise KeyError(path[0])


def _merged(one: Any, other: Any) -> Any:
    if isinstance(one, dict) and isinstance(other, dict):
        both = one | other
        return {key: _merged(one[key], both[key]) if key in one else both[key] for key in both}
    if isinstance(one, list) and isinstance(other, list):
        return [_merged(first, second) for first, second in zip(one, other, strict=True)]
    return other


def pick(document: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The fields `names` of `document`, nested as in the document. Missing ones are left out."""
    found: dict[str, Any] = {}
    for name in shortest(names):
        try:
            found = _merged(found, _part(document, name.split(".")))
        except KeyError:
            continue
    return found
