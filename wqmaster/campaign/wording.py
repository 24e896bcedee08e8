"""Messages of pydantic and of the YAML parser in plain words."""

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


# Parts of the YAML parser's messages, and what they mean.
_YAML = (
    (r"'\t' that cannot start any token", "a tab is not allowed here; use spaces"),
    ("while parsing a flow sequence", "a list that begins with '[' is not closed properly"),
    ("while parsing a flow mapping", "a mapping that begins with '{' is not closed properly"),
    ("while scanning a quoted scalar", "a quotation mark is not closed"),
    (
        "mapping values are not allowed here",
        "a ':' is not allowed here; check the indentation, or put the text in quotes",
    ),
    ("could not find expected ':'", "a key has no ':' after it"),
    ("that cannot start any token", "a value that begins with this character needs quotes"),
    ("expected <block end>", "this line does not fit the lines above; check its indentation"),
)


def begins_before(error: yaml.MarkedYAMLError) -> bool:
    """Whether the fault is that something is not closed, and so lies where that begins.

    The YAML parser notices it elsewhere, perhaps after the last line.
    """
    return error.context in (
        "while parsing a flow sequence",
        "while parsing a flow mapping",
        "while scanning a quoted scalar",
    )


def plain_yaml(error: yaml.MarkedYAMLError) -> str:
    """Why a text is not valid YAML."""
    problem = " ".join(part for part in (error.problem, error.context) if part)
    return next((words for said, words in _YAML if said in problem), problem)
