"""Names of kept files, which contain the document's `_id`."""

import hashlib
import re
from typing import Any
from urllib.parse import quote

from bson import ObjectId, json_util

# With a pattern of at most 60 characters, a file's name stays below the usual limit of 255 bytes.
_MAX_NAME_CHARACTERS = 180
# Strings that look like a printed number or object id.
_LIKE_OTHERS = re.compile(r"-?[0-9]+|[0-9a-f]{24}")


def safe_name(document_id: Any) -> str:
    """A document's `_id` as part of a file name; different ids have different names.

    Strings, integers and object ids appear as printed. The names of all other ids, and of strings
    that look like a number or object id, contain something that the name of no other string has:
    %00, or a letter or digit written as %XX.
    """
    if isinstance(document_id, str):
        # The byte C0, which is not valid in UTF-8, keeps %00 for the names of other ids.
        name = quote(document_id, safe=" ,=+@()[]").replace("%00", "%C0%80")
        if _LIKE_OTHERS.fullmatch(name) or name.startswith("."):
            name = f"%{ord(name[0]):02X}{name[1:]}"
    elif isinstance(document_id, (int, ObjectId)) and not isinstance(document_id, bool):
        name = str(document_id)
    else:
        name = "%00" + quote(json_util.dumps(document_id), safe="")
    if len(name) > _MAX_NAME_CHARACTERS:
        return "%00" + hashlib.sha256(name.encode()).hexdigest()
    return name or "%00"
