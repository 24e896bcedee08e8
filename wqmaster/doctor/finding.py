"""The case that checks examine, and the findings that they report."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import unquote

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.models import Campaign
from wqmaster.campaign.workers import Workers
from wqmaster.error_codes import ErrorCode
from wqmaster.recipe.recipe import Recipe

State = Literal["ok", "warning", "wrong"]

# Shorter secrets are not hidden, since messages would become unreadable.
_SHORTEST_SECRET = 4


@dataclass(frozen=True)
class Finding:
    """One line that the doctor prints."""

    subject: str  # what was checked
    state: State
    seen: str  # what the check saw
    fix: str | None = None  # a command, or what to change; None if the state is ok
    code: ErrorCode | None = None  # None if the state is ok

    def hiding(self, secrets: tuple[str, ...]) -> "Finding":
        """This finding with all `secrets` replaced."""
        return replace(
            self, seen=_hidden(self.seen, secrets), fix=self.fix and _hidden(self.fix, secrets)
        )


@dataclass(frozen=True)
class Case:
    """This machine, and a campaign to run on it."""

    environ: Mapping[str, str]  # the environment for programs that checks start
    loaded: LoadedCampaign | None = None
    recipe: Recipe | None = None  # also None if its task function or parsers are unusable
    engine: str | None = None  # the engine that the campaign would use

    @property
    def campaign(self) -> Campaign | None:
        """The campaign, if there is one."""
        return self.loaded.campaign if self.loaded else None

    @property
    def workers(self) -> Workers | None:
        """The campaign's `workers:`; None without a campaign."""
        return self.campaign.workers if self.campaign else None

    @property
    def starts_no_workers(self) -> bool:
        """Whether the campaign's jobs run without workers, whatever `workers:` is."""
        return self.campaign is not None and self.engine == "local"

    @property
    def remote(self) -> bool:
        """Whether workers can run on other machines."""
        if self.starts_no_workers:
            return False
        return self.workers is not None and not self.workers.on_this_machine

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets in the database's URI (user name, passwords), which must not be printed."""
        uri = (self.campaign.database.uri if self.campaign else None) or ""
        words = set(re.findall(r"(?i)(?:password|properties)=([^&]*)", uri))
        found = re.search(r"^(?:mongodb(?:\+srv)?:/*)?(.*)@", uri)
        if found is not None:
            words |= {found[1], found[1].partition(":")[2]}
        words |= {unquote(word) for word in words}
        return tuple(
            sorted((word for word in words if len(word) >= _SHORTEST_SECRET), key=len, reverse=True)
        )


@dataclass(frozen=True)
class Check:
    """A check of one thing that can be missing or wrong."""

    subject: str
    look: Callable[[Case], Iterator[Finding]]


def _hidden(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, "...")
    return " ".join(text.split())
