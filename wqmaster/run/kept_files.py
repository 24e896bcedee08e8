"""Names of kept files, in which a document's `_id` stands."""

import hashlib
import re
from typing import Any
from urllib.parse import quote

from bson import ObjectId, json_util

# With a pattern of at most 60 characters, less than the 255 bytes of a file system.
_MAX_NAME_CHARACTERS = 180
# Strings that a number or an object id would be printed like.
_LIKE_OTHERS = re.compile(r"-?[0-9]+|[0-9a-f]{24}")


def safe_name(document_id: Any) -> str:
    """A document's `_id` as part of a file name; different ids have different ones.

    Strings, whole numbers and object ids are as they are printed. What `quote` never makes tells
    the rest apart: a letter or digit written as %XX, and %00.
    """
    if isinstance(document_id, str):
        name = quote(document_id, safe=" ,=+@()[]")
        if _LIKE_OTHERS.fullmatch(name) or name.startswith("."):
            name = f"%{ord(name[0]):02X}{name[1:]}"
    elif isinstance(document_id, (int, ObjectId)) and not isinstance(document_id, bool):
        name = str(document_id)
    else:
        name = "%00" + quote(json_util.dumps(document_id), safe="")
    if len(name) > _MAX_NAME_CHARACTERS:
        return "%00" + hashlib.sha256(name.encode()).hexdigest()
    return name or "%00"
