"""Functions that several commands share: for arguments, ids, and the formatting of values."""

import contextlib
import json
import math
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from bson import ObjectId

from wqmaster.campaign.base import as_written, nearest
from wqmaster.campaign.loading import LoadedCampaign, load
from wqmaster.campaign.service import next_run, run_command, service_beside
from wqmaster.campaign.units import megabytes, seconds
from wqmaster.cli.help import WORDS_KEY
from wqmaster.database.attempts import key_of
from wqmaster.errors import ServiceError
from wqmaster.jobs.failures import FailureClass
from wqmaster.system.crashes import outlive_crashes
from wqmaster.system.this_command import this_command

# How many entries of a long list are shown.
_MAX_SHOWN_ENTRIES = 6

_YAML_SUFFIXES = (".yaml", ".yml")
_DEFAULT_FILE = "campaign.yaml"
# How many bytes of a file show whether it is a campaign file.
_PEEKED_BYTES = 1 << 16


class _CampaignFile(click.Path):
    """The campaign file of a command with further arguments, of which none may take its place."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path.

        Raises:
            UsageError: it is not a campaign file, but a later word is, or ./campaign.yaml exists;
                the message has the command in the right order.
        """
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        words = list(ctx.meta.get(WORDS_KEY, ())) if ctx else []
        if str(value) not in words or _is_campaign(path):
            return path
        later = [word for word in words if Path(word).suffix.lower() in _YAML_SUFFIXES]
        if later or Path(_DEFAULT_FILE).is_file():
            first = later[0] if later else _DEFAULT_FILE
            right = shlex.join([first, *(word for word in words if word != first)])
            verb = ctx.info_name if ctx else ""
            raise click.UsageError(
                f"the campaign file comes first: {this_command()} {verb} {right}"
            )
        return path


def _is_campaign(path: Path) -> bool:
    """Whether a word can be meant as a campaign file, by its ending or by what the file holds."""
    if path.suffix.lower() in _YAML_SUFFIXES or path.is_dir():
        return True
    try:
        with path.open("rb") as file:
            return re.search(rb"^campaign\s*:", file.read(_PEEKED_BYTES), re.MULTILINE) is not None
    except OSError:
        return False


campaign_argument = click.argument(
    "campaign", type=click.Path(path_type=Path), default=_DEFAULT_FILE
)
first_campaign_argument = click.argument("campaign", type=_CampaignFile(path_type=Path))


class Duration(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.1
    """A time on the command line: seconds, or a number with units as in a campaign file."""

    name = "time"

    def __init__(self, *, may_be_zero: bool = True) -> None:
        self._may_be_zero = may_be_zero

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The time in seconds."""
        try:
            number = float(value)
        except ValueError:
            try:
                number = float(seconds(value))
            except ValueError as error:
                self.fail(str(error), param, ctx)
        if not self._may_be_zero and not 0 < number < math.inf:
            self.fail(f"{value!r} is not a time of more than 0 seconds", param, ctx)
        if not 0 <= number < math.inf:
            self.fail(f"{value!r} is not a time of at least 0 seconds", param, ctx)
        return number


class Whole(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.1
    """A whole number on the command line; the range, if there is one, includes its limits."""

    name = "integer"

    def __init__(self, lowest: int | None = None, highest: int | None = None) -> None:
        self._lowest, self._highest = lowest, highest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        try:
            number = int(value)
        except ValueError:
            self.fail(f"{value!r} is not a whole number", param, ctx)
        if self._lowest is None:
            return number
        if self._highest is None and number < self._lowest:
            self.fail(f"{number} is less than {self._lowest}", param, ctx)
        if self._highest is not None and not self._lowest <= number <= self._highest:
            self.fail(f"{number} is not between {self._lowest} and {self._highest}", param, ctx)
        return number


class Folder(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.1
    """A folder that exists."""

    name = "folder"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path of the folder."""
        path = Path(value)
        if not path.exists():
            self.fail(f"there is no folder '{path}'", param, ctx)
        if not path.is_dir():
            self.fail(f"'{path}' is not a folder", param, ctx)
        return path


class Size(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.1
    """A size on the command line: MB, or a number with a unit as in a campaign file."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The size in MB."""
        try:
            number = megabytes(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if number < 1:
            self.fail(f"{value!r} is not a size of at least 1 MB", param, ctx)
        return number


def loaded(path: Path) -> LoadedCampaign:
    """Load the campaign file at `path`."""
    return load(path)


def typed(path: Path) -> str:
    """`path`, quoted for a shell."""
    return shlex.quote(str(path))


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 document`, `2 documents`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def next_computed(campaign: Path, *, is_running: bool) -> str:
    """What computes documents again that a command has prepared, for the end of a message.

    `is_running` states whether a master runs the campaign.
    """
    if not is_running or service_beside(campaign) is not None:
        return next_run(campaign)
    # A master does not look again at a document that it has passed, unless it watches.
    return (
        "the running master computes those that it has not reached yet; for the others, after it "
        f"has ended: {run_command(campaign)}"
    )


def printable(text: str) -> str:
    """Text from a worker or a document, with '?' in place of control characters."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def possible_ids(text: str) -> list[Any]:
    """The values of `_id` that `text` can stand for: a string, an ObjectId, an integer.

    A text in double quotes, as JSON, stands for that string alone, and for itself.
    """
    found: list[Any] = [text]
    with contextlib.suppress(ValueError):
        if text.startswith('"') and isinstance(json.loads(text), str):
            found.append(json.loads(text))
    if ObjectId.is_valid(text):
        found.insert(0, ObjectId(text))
    if text.lstrip("-").isdigit() and len(text) < 19:
        found.append(int(text))
    return found


def typed_id(document: Any) -> str:
    """An `_id` in the form that --id and --show accept; as JSON if they cannot express it."""
    if isinstance(document, (str, int, ObjectId)) and not isinstance(document, bool):
        return printable(str(document)).replace("\n", "?")
    return key_of(document)


def distinct_id(document: Any) -> str:
    """As `typed_id`, but with quotes around a string that could also stand for another `_id`."""
    if isinstance(document, str) and len(possible_ids(document)) > 1:
        return json.dumps(document)
    return typed_id(document)


def failure_class(text: str) -> str:
    """`text`, after checking that it is the name of a failure class.

    Raises:
        UsageError: there is no such class; the message suggests the nearest name.
    """
    labels = [member.label for member in FailureClass]
    if text not in labels:
        raise click.UsageError(f"'{text}' is not a failure class; {nearest(text, labels)}")
    return text


def shortened(value: Any) -> str:
    """A parsed value on one line; a long list is shown as its first entries and its length."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {shortened(item)}' for key, item in value.items())}}}"
    if isinstance(value, list) and len(value) > _MAX_SHOWN_ENTRIES:
        inner = ", ".join(shortened(item) for item in value[:_MAX_SHOWN_ENTRIES])
        return f"[{inner}, ... {len(value)} in total]"
    if isinstance(value, list):
        return f"[{', '.join(shortened(item) for item in value)}]"
    if value is None or isinstance(value, bool):
        return as_written(value)
    return f"{value:.12g}" if isinstance(value, float) else printable(str(value))


def outlive(say: Callable[..., None]) -> None:
    """Go on in a child process, which is replaced if a fault of a library ends it."""

    def told(text: str) -> None:
        say(f"wqmaster: {text}", err=True)

    outlive_crashes(told, passing=frozenset({ServiceError.exit_code}))
