"""A factory as the user sees it: a command line to copy, and a status."""

import json
import os
import secrets
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.factory.demand import write
from wqmaster.factory.plan import Plan

# The configuration of a factory that is started by hand. The supervisor uses another file, which it
# changes while its factory runs.
_BY_HAND_FILE = "by-hand.json"


@dataclass(frozen=True)
class Printed:
    """A factory that the user starts by hand."""

    plan: Plan
    command: Sequence[str]
    folder: Path  # the folder in which the command must run
    file: Path  # the configuration file
    hidden: frozenset[str]  # environment variables that workers must not see

    def as_json(self) -> dict[str, Any]:
        """The factory as plain data, for JSON."""
        plan = self.plan
        passed = plan.batch_system.copies_environment
        return {
            "engine": plan.engine,
            "type": plan.type,
            "manager": plan.manager,
            # The user runs this command in `folder`.
            "command": list(self.command),
            "folder": str(self.folder),
            # The names of the variables that the factory may see; None if workers get no copy of
            # them.
            "environment": sorted(plan.environment(os.environ)) if passed else None,
            "hidden": sorted(self.hidden),
            "catalog": plan.catalog,
            "configuration_file": str(self.file),
            "configuration": dict(plan.configuration),
        }

    def as_text(self) -> str:
        """The factory as lines that can be copied into a shell."""
        plan = self.plan
        content = json.dumps(plan.configuration, indent=2).splitlines()
        catalog = f"CATALOG_HOST={shlex.quote(plan.catalog)}"
        if plan.batch_system.copies_environment:
            names = sorted(plan.environment(os.environ).keys() - {"CATALOG_HOST"})
            begin = ["env", "-i", *(f'{name}="${name}"' for name in names), catalog]
        else:
            begin = ["env", *(f"-u {shlex.quote(name)}" for name in sorted(self.hidden)), catalog]
        return "\n".join(
            [
                f"# {self.file} (reread when it changes):",
                *(f"# {line}" for line in content),
                f"cd {shlex.quote(str(self.folder))}",
                " ".join([*begin, shlex.join(self.command)]),
            ]
        )


def printed(plan: Plan, loaded: LoadedCampaign) -> Printed:
    """Write the configuration of a factory that the user starts by hand, and return the factory.

    Raises:
        FolderError: the campaign's folder cannot be written.
    """
    place = loaded.workforce_folder / "factory"
    file = place / _BY_HAND_FILE
    write(file, dict(plan.configuration), newer=True)
    # The factory needs a new folder, since it would take an old event log for the current one.
    scratch = f"by-hand-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    return Printed(plan, plan.command(_BY_HAND_FILE, scratch), place, file, loaded.variables)


def lines(status: Mapping[str, Any]) -> list[str]:
    """The status of a factory as lines to print."""
    where = (
        f"{status['engine']} workers of type {status['type']}, for the master at "
        f"{status['manager']}"
    )
    if status["running"]:
        state = f"process {status['pid']}"
        if status.get("managed"):
            state += ", managed by the running master"
    else:
        state = "not running"
    found = [
        f"factory    {state}: {where}",
        f"workers    {status['submitted']} submitted ({status['idle']} idle, "
        f"{status['running_workers']} running, {status['held']} held), {status['connected']} "
        f"connected, {status['waiting']} not yet connected; {status['ended']} ended",
        f"limits     at least {status['min']} now, at most {status['max']}",
        f"log        {status['log']}",
    ]
    if status.get("trouble"):
        found.append(f"trouble    {status['trouble']}")
    found += [f"  {line}" for line in status.get("last", [])]
    return found
