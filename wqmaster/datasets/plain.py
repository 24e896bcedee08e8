"""Values of documents as plain data and as Markdown, without secrets and active characters."""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence, Set
from typing import Any

LEFT_OUT = "(left out)"
# A database's address names its host and can hold a password with any character but white space.
_DATABASE = re.compile(r"mongodb(?:\+srv)?://\S*", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^\s/@]+@")
_SECRET_KEY = re.compile(r"passw|secret|token|api_?key|credential", re.IGNORECASE)
# The characters that Markdown, HTML within it, or GitHub's formulas would interpret. An underscore
# between letters or digits is a plain character, and most keys have one.
_SPECIAL = re.compile(r"([\\`*\[\]<>|~&$]|(?<![^\W_])_|_(?![^\W_]))")
# Control, format, surrogate, private and unassigned characters, and separators of lines.
_INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def without_secrets(text: str) -> str:
    """The text without addresses of databases, and without users and passwords in other URLs.

    Bytes of a command line that are not text (surrogates) are escaped, since JSON cannot hold them.
    """
    text = text.encode("utf-8", "backslashreplace").decode()
    return _USER.sub("", _DATABASE.sub(f"mongodb://{LEFT_OUT}", text))


def plain(value: Any) -> Any:
    """The value in a form that JSON can hold, without secrets.

    A number that is not finite becomes None, since JSON has no such numbers. An object of any other
    type becomes its text.
    """
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, Mapping):
        return {
            without_secrets(str(key)): LEFT_OUT if _SECRET_KEY.search(str(key)) else plain(inner)
            for key, inner in value.items()
        }
    if hasattr(value, "tolist"):  # numpy
        return plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [plain(inner) for inner in value]
    if isinstance(value, Set):
        return sorted((plain(inner) for inner in value), key=repr)
    return without_secrets(str(value))


def markdown(value: object) -> str:
    """The value as one line of Markdown, also for a table, that shows the text literally."""
    text = "".join(
        f"\\u{ord(sign):04x}" if unicodedata.category(sign) in _INVISIBLE else sign
        for sign in " ".join(without_secrets(str(value)).splitlines())
    )
    return _SPECIAL.sub(r"\\\1", text)


def code(text: str) -> str:
    """The text as a block of code; its fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"
