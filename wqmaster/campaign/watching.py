"""The sections `notify:` and `metrics:` of a campaign file: what a run tells the outside."""

import re
import shlex
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from wqmaster.campaign.base import Model
from wqmaster.campaign.units import Seconds

# A token in the address must not travel unencrypted, except on this machine.
_ADDRESS = re.compile(r"(https://[^\s/]|http://(localhost|127\.0\.0\.1|\[::1\])[:/])\S*")


# The longest time that a program or an address may take for one event.
_MAX_TIMEOUT_SECONDS = 600


def _short(seconds: int) -> int:
    if seconds > _MAX_TIMEOUT_SECONDS:
        raise PydanticCustomError("too_long_time", "must be at most 10 min")
    return seconds


def _has_host(url: str) -> bool:
    """Whether an address has a host, and after it a port or nothing."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # a ValueError if it is not a port
    except ValueError:
        return False
    return bool(parts.hostname)


class EventKind(StrEnum):
    """What a user can be told of; the values are keys of `on:` and of the hook's JSON."""

    FINISHED = "finished"  # the run has ended by itself
    PAUSED = "paused"  # a user has paused it
    CANARY = "canary"  # it is held because most jobs fail in the same way
    TROUBLE = "trouble"  # something is wrong, or the run ended with an error
    QUIET = "quiet"  # no job has ended for a long time


class Notify(Model):
    """`notify`: a program or an address that is told what happens to a run."""

    # A program and its arguments, quoted as in a shell, which is not used. Its standard input is
    # the event as JSON. The path is relative to the campaign file.
    command: str | None = None
    # Receives the event as JSON by POST. The address can hold a token.
    url: str | None = Field(default=None, repr=False)
    # The events to report.
    on: tuple[EventKind, ...] = tuple(EventKind)
    # How long without an ended job until `quiet` is reported.
    quiet: Seconds = 1800
    # How long the program or the address may take for one event.
    timeout: Annotated[Seconds, AfterValidator(_short)] = 30

    @model_validator(mode="before")
    @classmethod
    def _address_is_whole(cls, data: Any) -> Any:
        """Refuse an address that YAML split at a comma; the pieces can be parts of a token."""
        if isinstance(data, Mapping) and any(
            data[key] is None and key not in cls.model_fields for key in data
        ):
            raise PydanticCustomError(
                "address_divided",
                "a key has no value; if it is a piece of the address, write 'url:' in quotes",
            )
        return data

    @model_validator(mode="after")
    def _tells_somebody(self) -> "Notify":
        if self.command is None and self.url is None:
            raise PydanticCustomError("no_receiver", "give 'command' or 'url', or both")
        return self

    @field_validator("on")
    @classmethod
    def _names_events(cls, on: tuple[EventKind, ...]) -> tuple[EventKind, ...]:
        if not on:
            raise PydanticCustomError(
                "no_events", "must name at least one event; remove the key for all of them"
            )
        return on

    @field_validator("command")
    @classmethod
    def _words(cls, command: str | None) -> str | None:
        try:
            words = None if command is None else shlex.split(command)
        except ValueError as error:
            raise PydanticCustomError(
                "no_command", "the command is not quoted properly: {why}", {"why": str(error)}
            ) from error
        if words is not None and not (words and words[0]):
            raise PydanticCustomError("no_command", "the command is empty")
        return command

    @field_validator("url")
    @classmethod
    def _is_safe(cls, url: str | None) -> str | None:
        # The message does not quote the address, which can hold a token.
        if url is not None and not _ADDRESS.fullmatch(url):
            raise PydanticCustomError(
                "no_address",
                "the address must begin with https:// (or http:// on this machine) and hold no "
                "spaces",
            )
        if url is not None and not _has_host(url):
            raise PydanticCustomError(
                "no_address", "the address must have the form https://HOST:PORT/PATH or shorter"
            )
        return url

    @property
    def words(self) -> list[str]:
        """The program and its arguments; [] if there is none."""
        return shlex.split(self.command) if self.command is not None else []


class Metrics(Model):
    """`metrics`: where Prometheus finds the numbers of a run, on this machine only."""

    # The port on 127.0.0.1.
    port: int = Field(ge=1, le=65535)
