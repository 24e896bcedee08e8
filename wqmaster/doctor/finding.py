"""What a check finds, and the case that it looks at."""

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

# A shorter password would blacken half of what is said, and no message repeats it.
_SHORTEST_SECRET = 4


@dataclass(frozen=True)
class Finding:
    """One line of the doctor."""

    subject: str  # what was looked at
    state: State
    seen: str
    fix: str | None = None  # a command to type, or what to change; None where all is well
    code: ErrorCode | None = None  # which fault it is; None where all is well

    def hiding(self, secrets: tuple[str, ...]) -> "Finding":
        """The same without the words `secrets`."""
        return replace(
            self, seen=_hidden(self.seen, secrets), fix=self.fix and _hidden(self.fix, secrets)
        )


@dataclass(frozen=True)
class Case:
    """What is looked at: a machine, and a campaign that is to run on it."""

    environ: Mapping[str, str]  # for programs that a check starts
    loaded: LoadedCampaign | None = None
    recipe: Recipe | None = None  # None also where the campaign's functions cannot be resolved
    engine: str | None = None  # the one that the campaign would run with

    @property
    def campaign(self) -> Campaign | None:
        """The campaign, if there is one."""
        return self.loaded.campaign if self.loaded else None

    @property
    def workers(self) -> Workers | None:
        """Where the campaign's workers come from; None without a campaign."""
        return self.campaign.workers if self.campaign else None

    @property
    def remote(self) -> bool:
        """Whether workers may be on other machines."""
        return self.workers is not None and not self.workers.on_this_machine

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be printed: user and passwords of the database's address."""
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
    """One thing that may be missing or wrong."""

    subject: str
    look: Callable[[Case], Iterator[Finding]]


def _hidden(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, "...")
    return " ".join(text.split())
