"""Messages of pydantic, and of the parsers of YAML and JSON, in plain words."""

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

_WHOLE, _NUMBER, _FLAG = "must be a whole number", "must be a number", "must be true or false"
_LIST, _MAPPING, _TEXT = "must be a list", "must be a mapping (KEY: VALUE)", "must be text"
_PATH = "must be the path of a file"
# The messages of wqmaster for pydantic's types of errors.
_MESSAGES = {
    **dict.fromkeys(("bool_type", "bool_parsing"), _FLAG),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), _WHOLE),
    **dict.fromkeys(("float_type", "float_parsing"), _NUMBER),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "iterable_type"), _LIST),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "model_attributes_type"), _MAPPING),
    **dict.fromkeys(("string_type", "string_unicode"), _TEXT),
    **dict.fromkeys(("path_type", "path_not_file"), _PATH),
    "finite_number": "must be a finite number",
    "none_required": "must be empty (null)",
    "string_too_short": "must not be empty",
}

_PHRASES = (
    ("Input should be", "must be"),
    ("greater than or equal to", "at least"),
    ("less than or equal to", "at most"),
    ("greater than", "above"),
    ("less than", "below"),
)


def plain_message(found: Mapping[str, Any]) -> str:
    """The message of one of pydantic's errors; a demand on a value begins with "must"."""
    kind, context = str(found["type"]), found.get("ctx") or {}
    if kind == "too_short":
        least = context.get("min_length", 1)
        return "must not be empty" if least == 1 else f"must have at least {least} entries"
    if kind == "too_long":
        return f"must have at most {context.get('max_length')} entries"
    if kind == "string_too_short" and context.get("min_length", 1) > 1:
        return f"must have at least {context['min_length']} characters"
    if kind == "string_too_long":
        return f"must have at most {context.get('max_length')} characters"
    if kind in _MESSAGES:
        return _MESSAGES[kind]
    message = str(found["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if kind == "literal_error":
        message = message.replace("False", "false").replace("True", "true")
    for pydantics, ours in _PHRASES:
        message = message.replace(pydantics, ours)
    return message


# Patterns in the YAML parser's messages, and what they mean; {0} is the group of the pattern.
_YAML = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"'\\t' that cannot start any token", "a tab is not allowed here; use spaces"),
        ("while parsing a flow sequence", "a list that begins with '[' is not closed properly"),
        ("while parsing a flow mapping", "a mapping that begins with '{{' is not closed properly"),
        ("'<stream end>' while parsing a flow node", "a '[' or '{{' is not closed"),
        ("while scanning a quoted scalar", "a quotation mark is not closed"),
        (
            "mapping values are not allowed here",
            "a ':' is not allowed here; check the indentation, or put the text in quotes",
        ),
        (
            "sequence entries are not allowed here",
            "a '-' is not allowed here; begin a line with it, or put the text in quotes",
        ),
        ("could not find expected ':'", "a key has no ':' after it"),
        (
            "cannot start any token|expected alphabetic or numeric character",
            "a value that begins with this character needs quotes",
        ),
        (
            "expected <block end>",
            "this line does not fit the lines above; check its indentation",
        ),
        (
            "expected '<document start>'|found another document",
            "a second YAML document begins here; the file must be a single mapping (KEY: VALUE)",
        ),
        (
            r"expected the node content, but found '([]},])'",
            "'{0}' is not allowed here; if it is part of a text, put the text in quotes",
        ),
        (
            "found undefined alias '(.*)'",
            "there is no '&{0}' before '*{0}'; put a text that begins with '*' in quotes",
        ),
        ("found duplicate anchor '(.*)'", "'&{0}' marks two values"),
        (
            "could not determine a constructor for the tag '(!.*)'",
            "the tag '{0}' is unknown; put a text that begins with '!' in quotes",
        ),
        (
            "found unhashable key",
            "a list or mapping cannot be a key; put a text that begins with '[' or '{{' in quotes",
        ),
        (
            "found unknown escape character '(.)'",
            r"'\{0}' is not an escape sequence; in single quotes, a backslash needs none",
        ),
    )
)
# In these parts of a text, the parser notices elsewhere, perhaps after the last line, that
# something is not closed.
_OPEN = (
    "while parsing a flow sequence",
    "while parsing a flow mapping",
    "while scanning a quoted scalar",
)


def yaml_fault(error: yaml.MarkedYAMLError, loader: yaml.SafeLoader | None) -> tuple[int, str]:
    """The line of a fault in a YAML text, counted from 1, and the fault in plain words.

    `loader` was reading the text; None if there is none yet.
    """
    problem = " ".join(part for part in (error.problem, error.context) if part)
    mark = error.problem_mark or error.context_mark
    if error.context in _OPEN:
        mark = error.context_mark
    elif error.context == "while parsing a flow node" and "<stream end>" in problem and loader:
        mark = loader.marks[-1]  # where the innermost open list or mapping begins
    for pattern, words in _YAML:
        found = pattern.search(problem)
        if found is not None:
            problem = words.format(*found.groups())
            break
    return mark.line + 1 if mark else 1, problem


# The messages of the JSON parser, and what they mean.
_JSON = {
    "Expecting value": "a value is missing",
    "Expecting property name enclosed in double quotes": "a name in double quotes is missing",
    "Expecting ',' delimiter": "a ',' is missing",
    "Expecting ':' delimiter": "a ':' is missing",
    "Extra data": "there is more after its end",
    "Unterminated string starting at": "a quotation mark is not closed",
}


def plain_json(error: json.JSONDecodeError) -> str:
    """Why a text is not valid JSON."""
    return _JSON.get(error.msg, error.msg)
