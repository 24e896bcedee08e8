"""A YAML file of a user: its text, its values, and the line of each key for messages."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from wqmaster.campaign.base import ALLOWED, as_written
from wqmaster.campaign.wording import plain_message, yaml_fault
from wqmaster.campaign.workers import without_type
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError

# Pydantic's names for the branches of a union, which are not keys in the file.
_BRANCH = re.compile(r"[\[(]|^(function|list|dict|str|int)$")
_VARIABLE = re.compile(r"\$(\$?)\{([A-Za-z_][A-Za-z0-9_]*)\}")
# Keys of `notify:` whose values are not secret, unlike those of its program and its address.
_PLAIN_IN_NOTIFY = frozenset(("on", "quiet", "timeout"))


class Source:
    """The parsed text of a campaign file, which gives the line of each key."""

    def __init__(self, path: Path, root: yaml.Node | None) -> None:
        self.path = path
        self._root = root
        self._from_environment: set[int] = set()  # id() of each scalar that contains a variable

    def where(self, *keys: str | int, line: int | None = None) -> str:
        """`file:line` of the value at `keys`, or of the last of these keys that the file has.

        `line`, counted from 1, selects a line within that value's text. It is used only for a
        literal block ("|"), because in any other text the line breaks can differ from those in the
        file.
        """
        node, place = self._find(*keys)
        if line is not None and isinstance(node, yaml.ScalarNode) and node.style == "|":
            place = node.start_mark.line + 1 + line
        return f"{self.path}:{place}"

    def conceal(self, node: yaml.Node) -> None:
        """Mark a scalar whose value comes from the environment and can therefore be a secret."""
        self._from_environment.add(id(node))

    def shows(self, *keys: str | int) -> bool:
        """Whether the value at `keys` cannot be a secret, so that a message may show it."""
        node, _ = self._find(*keys)
        secret = "uri" in keys or ("notify" in keys and _PLAIN_IN_NOTIFY.isdisjoint(keys))
        return not secret and id(node) not in self._from_environment

    def scalar(self, *keys: str | int) -> str | None:
        """The text of the single value at `keys`; None if there is no such value."""
        node, _ = self._find(*keys)
        return node.value if isinstance(node, yaml.ScalarNode) else None

    def step_name(self, position: int) -> str | None:
        """The name of the step at `position` in `args:`; None if it has no name."""
        return self.scalar("campaign_config", "args", position, "name")

    def _find(self, *keys: str | int) -> tuple[yaml.Node | None, int]:
        node, line = self._root, 1
        for key in keys:
            found: tuple[yaml.Node, int] | None = None
            if isinstance(node, yaml.MappingNode):
                for name, value in node.value:
                    if name.value == str(key):
                        found = value, name.start_mark.line + 1
            elif (
                isinstance(node, yaml.SequenceNode)
                and isinstance(key, int)
                and key < len(node.value)
            ):
                found = node.value[key], node.value[key].start_mark.line + 1
            if found is None:
                continue
            node, line = found
        return node, line

    def has(self, *keys: str | int) -> bool:
        """Whether the file has a mapping with the last of these keys at the place of the others."""
        node, _ = self._find(*keys[:-1])
        if not isinstance(node, yaml.MappingNode):
            return False
        return any(name.value == str(keys[-1]) for name, _ in node.value)

    def error(
        self, message: str, *keys: str | int, code: ErrorCode = ErrorCode.CAMPAIGN_INVALID
    ) -> CampaignError:
        """A CampaignError with the file and line of `keys`, followed by `message`."""
        return CampaignError(f"{self.where(*keys)}: {message}", code=code)


_BOOL_TAG, _STR_TAG = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:str"


def _variables(node: yaml.Node | None, source: Source, environ: Mapping[str, str]) -> set[str]:
    """Insert environment variables into the scalars below `node`; return the variables' names.

    Keys that YAML 1.1 takes for true or false become names.
    """
    used: set[str] = set()

    def value_of(match: re.Match[str], node: yaml.Node) -> str:
        escaped, name = match.groups()
        if escaped:
            return match[0][1:]
        if name not in environ:
            raise CampaignError(
                f"{source.path}:{node.start_mark.line + 1}: the environment variable "
                f"'{name}' is not set; export {name}=... and try again",
                code=ErrorCode.VARIABLE_NOT_SET,
            )
        used.add(name)
        return environ[name]

    visited: set[int] = set()

    def visit(node: yaml.Node | None) -> None:
        if id(node) in visited:  # an alias of a node that was already visited
            return
        visited.add(id(node))
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in seen:
                    # A key without a value can be a piece of an address that YAML split at a
                    # comma, and so be part of a password.
                    empty = isinstance(value, yaml.ScalarNode) and value.value == ""
                    what = "key without a value" if empty else f"key '{key.value}'"
                    raise CampaignError(
                        f"{source.path}:{key.start_mark.line + 1}: duplicate {what}; remove one"
                    )
                seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")
                if key.tag == _BOOL_TAG:
                    key.tag = _STR_TAG  # `on:` and `No:` are names, as in YAML 1.2
                visit(value)
        elif isinstance(node, yaml.SequenceNode):
            for value in node.value:
                visit(value)
        elif isinstance(node, yaml.ScalarNode) and "${" in node.value:
            before = node.value
            node.value = _VARIABLE.sub(lambda match: value_of(match, node), node.value)
            if node.value != before:
                source.conceal(node)

    visit(node)
    return used


def describe(error: ValidationError, source: Source, *above: str | int) -> CampaignError:
    """Convert pydantic's errors to one CampaignError in terms of the campaign file.

    Each error becomes a line of the message. `above` are the keys that lead to the part of the file
    that pydantic validated.
    """
    found_at: dict[tuple[str | int, ...], list[str]] = {}
    # The place and the name, which precede the message.
    texts: dict[tuple[str | int, ...], str] = {}
    shown: dict[tuple[str | int, ...], str] = {}  # the value, which follows the message
    for found in error.errors():
        keys = [*above, *_keys(found["loc"], above, source, absent=found["type"] == "missing")]
        context = found.get("ctx") or {}
        name = _place_in_words(keys, source)
        if found["type"] in ("unknown_key", "other_type"):
            keys.append(str(context.get("key")))
        keys += context.get("keys", ())  # set by a check that compares several values
        message = plain_message(found)
        value = found["input"]
        if found["type"] == "missing":
            last = found["loc"][-1]
            message = f"the key '{last}' is missing"
            if isinstance(last, int):
                message = f"entry {last + 1} is missing"
            name = _place_in_words(keys[:-1], source)
        if found["type"] == "string_pattern_mismatch":
            message = f"{found['input']!r} cannot be used here; {_allowed(context['pattern'])}"
        # Each branch of a union gives its own reason for refusing the same value.
        messages = found_at.setdefault(tuple(keys), [])
        if messages and all(one.startswith("must be ") for one in (*messages, message)):
            message = message.removeprefix("must be ")
            if message not in messages[0].removeprefix("must be ").split(" or "):
                messages[0] += f" or {message}"
        elif message not in messages:
            messages.append(message)
        texts[tuple(keys)] = f"{source.where(*keys)}: {name + ': ' if name else ''}"
        if isinstance(value, (str, int, float)) and source.shows(*keys):
            shown[tuple(keys)] = f"; it is {as_written(value)}"
    # Pydantic reports errors in every branch of a union. The user most likely meant the branch with
    # the deepest error.
    kept = (
        f"{texts[keys]}{message}{shown.get(keys, '') if message.startswith('must ') else ''}"
        for keys, messages in found_at.items()
        for message in messages
        if not any(len(other) > len(keys) and other[: len(keys)] == keys for other in found_at)
    )
    return CampaignError("\n".join(dict.fromkeys(kept)))


def _allowed(pattern: str) -> str:
    """A description of what a pattern allows; the pattern itself if it is from a user's model."""
    return f"allowed: {ALLOWED[pattern]}" if pattern in ALLOWED else f"it must match {pattern}"


def _place_in_words(keys: Sequence[str | int], source: Source) -> str:
    """The keys as a message shows them.

    Steps have names there or, without a valid one, are counted from 1.
    """
    if tuple(keys[:2]) == ("campaign_config", "args") and len(keys) > 2:
        name = None if keys[3:4] == ["name"] else source.step_name(int(keys[2]))
        step = f"step {int(keys[2]) + 1}" if name is None else f"step '{name}'"
        return ": ".join([step, *filter(None, [_dotted(keys[3:])])])
    return _dotted(keys)


def _dotted(keys: Sequence[str | int]) -> str:
    """Keys with dots between them; an entry of a list is counted from 1, as in `size[3]`."""
    return "".join(
        f"[{key + 1}]" if isinstance(key, int) else f".{key}" for key in keys
    ).removeprefix(".")


def _keys(
    place: tuple[str | int, ...], above: Sequence[str | int], source: Source, *, absent: bool
) -> list[str | int]:
    """The keys in pydantic's location of an error, without the branches of unions.

    A key can have the name of a branch, as the option `function` has. `absent`: the last key is
    the one that the file lacks.
    """
    if place[:1] == ("workers",):
        place = without_type(place)
    keys: list[str | int] = []
    for number, key in enumerate(place, start=1):
        is_branch = isinstance(key, str) and _BRANCH.search(key) is not None
        if not is_branch or source.has(*above, *keys, key) or (absent and number == len(place)):
            keys.append(key)
    return keys


def read(path: Path, what: str = "campaign", hint: str = "") -> str:
    """The text of the `what` file at `path`; `hint` follows the message if there is none.

    Raises:
        CampaignError: the file cannot be read, or is not UTF-8 text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        # A name without an ending can be meant as a folder's.
        kind = f"{what} file" if path.suffix else f"folder or {what} file"
        raise CampaignError(
            f"{path}: there is no such {kind}{hint}", code=ErrorCode.CAMPAIGN_NOT_FOUND
        ) from None
    except OSError as error:
        why = f"the {what} file cannot be read: {error.strerror or error}"
        raise CampaignError(f"{path}: {why}", code=ErrorCode.CAMPAIGN_UNREADABLE) from error
    except UnicodeDecodeError as error:
        why = f"the {what} file is not UTF-8 text (byte {error.start})"
        raise CampaignError(f"{path}: {why}", code=ErrorCode.CAMPAIGN_UNREADABLE) from error


def parsed(
    path: Path, text: str, environ: Mapping[str, str] = os.environ, what: str = "campaign"
) -> tuple[dict[str, Any], Source, frozenset[str]]:
    """The values of a YAML file, its source, and the names of the variables that it uses.

    Raises:
        CampaignError: the text is not valid YAML, or not a mapping, or a variable is not set.
    """
    loader: yaml.SafeLoader | None = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        source = Source(path, root)
        variables = _variables(root, source, environ)
        data = loader.construct_document(root) if root else None
    except yaml.MarkedYAMLError as error:
        line, fault = yaml_fault(error, loader)
        raise CampaignError(
            f"{path}:{line}: invalid YAML: {fault}", code=ErrorCode.CAMPAIGN_NOT_YAML
        ) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise CampaignError(
            f"{path}:{line}: invalid YAML: the character {chr(error.character)!a} is not allowed",
            code=ErrorCode.CAMPAIGN_NOT_YAML,
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise CampaignError(
            f"{path}: invalid YAML: {error}", code=ErrorCode.CAMPAIGN_NOT_YAML
        ) from error
    finally:
        if loader is not None:
            loader.dispose()
    if not isinstance(data, dict):
        why = f"a {what} file must be a mapping with keys such as '{what}:'"
        if root is None:
            why = f"the {what} file is empty"
        raise CampaignError(f"{path}:1: {why}", code=ErrorCode.CAMPAIGN_NOT_YAML)
    return data, source, frozenset(variables)
