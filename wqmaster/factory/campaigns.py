"""A campaign's factory: what a plan needs to know of the campaign, its folder, this machine."""

import os
import re
import secrets
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.models import Campaign
from wqmaster.factory.plan import Address, Asked, Plan, Project, plan
from wqmaster.system import credentials

# Names of files that are one word of a shell, whatever shell.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
# In the arguments of a job HTCondor takes ' for its own, and expands $(X), $$(X), $FUNCTION(X).
_NOT_FOR_CONDOR = re.compile(r"['\n]|\$\$?\w*\(|\$\$\[")


def this_host() -> str:
    """The name by which others reach this machine, as far as it knows."""
    host = socket.getfqdn()
    return socket.gethostname() if host.startswith("localhost") else host


def identity(place: Path, campaign: str) -> str:
    """By what the batch system knows the workers of this folder; the same after every restart.

    A copy of a campaign's folder has workers of its own: to end its own it must not end those of
    the first. So the name stands beside the number of the folder that it was made for.
    """
    path = place / "id"
    place.mkdir(parents=True, exist_ok=True)
    folder = str(place.stat().st_ino)
    words = path.read_text(encoding="utf-8").split() if path.exists() else []
    if len(words) != 2 or words[1] != folder:
        words = [f"{campaign}-{secrets.token_hex(6)}", folder]
        part = path.with_name(f".id-{os.getpid()}")
        part.write_text(" ".join(words) + "\n", encoding="utf-8")
        part.rename(path)
    return words[0]


def manager_of(campaign: Campaign, host: str | None, port: int) -> Address | Project:
    """Where workers find the master."""
    if campaign.workers.type == "local":
        return Address("127.0.0.1", port)
    if campaign.engine.name:
        return Project(campaign.engine.name)
    return Address(campaign.workers.host or host or this_host(), port)


def planned(
    loaded: LoadedCampaign,
    engine: str,
    manager: Address | Project,
    programs: Sequence[str],
    count: int,
    harmless: Sequence[str] = (),
) -> Plan:
    """The factory of a campaign. `programs` must be on each host; `count`: of local workers.

    `harmless`: those of the programs that print their version, and do nothing else, with --version.

    Raises:
        CampaignError: the worker or a program cannot be sent or named, or no job fits in a worker.
    """
    campaign = loaded.campaign
    sent = campaign.workers.worker
    worker = (loaded.source.path.parent / sent).absolute() if sent else None
    if worker is not None and not worker.is_file():
        raise loaded.source.error(f"there is no worker program {worker}", "workers", "worker")
    if worker is not None and ("'" in str(worker) or not _PLAIN.fullmatch(worker.name)):
        # The factory copies it by a shell command, and its name is a word of another.
        raise loaded.source.error(
            f"a worker cannot be sent from {str(worker)!r}: a path without quotes, and a name of "
            "letters, digits and . _ + - alone can; copy it to one",
            "workers",
            "worker",
        )
    for name in ("cores", "memory", "disk"):
        has, needs = getattr(campaign.workers, name), getattr(campaign.resources, name)
        if has and needs and has < needs:
            raise loaded.source.error(
                f"a worker with {name}: {has} can never run a job that asks for {needs} "
                f"('resources: {{{name}: {needs}}}')",
                "workers",
                name,
            )
    known_as = identity(loaded.folder / "factory", campaign.campaign)
    password = credentials.password(loaded.folder)
    # A path below the sandbox is nothing that a host has.
    there = tuple(name for name in programs if not name.startswith("."))
    for name in there:
        if campaign.workers.type == "condor" and _NOT_FOR_CONDOR.search(name):
            raise loaded.source.error(
                f"a job of HTCondor cannot name the program {name!r}: quotes, line ends and $(...) "
                "are its own; name it by another path",
                "software",
            )
    return plan(
        campaign,
        Asked(
            engine=engine,
            manager=manager,
            factory=known_as,
            catalog=campaign.engine.catalog or os.environ.get("CATALOG_HOST") or "127.0.0.1",
            password=f"../{password.name}",
            worker=worker,
            count=count,
            began=int(time.time()),
            here=there,
            run=tuple(name for name in there if name in harmless),
        ),
    )


def here(
    engine: str,
    count: int,
    cores: int,
    port: int,
    *,
    worker: Path | None = None,
) -> Plan:
    """A factory of `count` workers on this machine, of `cores` cores each, without a campaign."""
    campaign = Campaign.model_validate(
        {
            "campaign": "workers",
            "campaign_config": {"func_name": "none", "args": [{"name": "none"}]},
            "resources": {"cores": cores},
        }
    )
    asked = Asked(
        engine=engine,
        manager=Address("127.0.0.1", port),
        factory="workers",
        catalog=os.environ.get("CATALOG_HOST") or "127.0.0.1",
        worker=worker,
        count=count,
    )
    return plan(campaign, asked)
