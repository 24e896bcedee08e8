"""How a data set states the `_id` of a document, and which documents such a text can stand for."""

import json
from collections.abc import Iterator
from typing import Any

from bson import json_util

from wqmaster.database.attempts import key_of


def id_of_row(document_id: Any, *, mixed: bool) -> str:
    """The `_id` as a text that no other document has.

    `mixed`: whether documents have ids of other types than text, too. A text is then left as it
    is only if it does not read as one of these: "1" next to 1.
    """
    if isinstance(document_id, str) and not (mixed and _reads_as_json(document_id)):
        return document_id
    return key_of(document_id)


def ids_of_row(text: str, *, mixed: bool) -> Iterator[Any]:
    """Yield the `_id` that `id_of_row` would state as `text`, if there can be one."""
    if not mixed or not _reads_as_json(text):
        yield text
        return
    try:
        found = json_util.loads(text)
    except (ValueError, TypeError):  # JSON, but not an extended type: {"$oid": 1}
        return
    # A mapping with an operator would be a query.
    if not (isinstance(found, dict) and any(str(key).startswith("$") for key in found)):
        yield found


def _reads_as_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
