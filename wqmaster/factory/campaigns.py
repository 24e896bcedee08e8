"""The factory of a campaign, planned from the campaign, its folder and this machine."""

import os
import re
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.models import Campaign
from wqmaster.campaign.workers import BatchWorkers
from wqmaster.factory.batch.registry import batch_system
from wqmaster.factory.plan import Address, Plan, PlanRequest, Project, plan
from wqmaster.system import credentials
from wqmaster.system.files import replacing
from wqmaster.system.hosts import this_host

# File names that are a single word in every shell.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")


def identity(place: Path, campaign: str) -> str:
    """The name by which the batch system knows the workers of this folder, also after a restart.

    A copy of a campaign's folder has separate workers, and must not end those of the original. So
    the name is stored with the inode number of the folder for which it was made.
    """
    path = place / "id"
    place.mkdir(parents=True, exist_ok=True)
    folder = str(place.stat().st_ino)
    words = path.read_text(encoding="utf-8").split() if path.exists() else []
    if len(words) != 2 or words[1] != folder:
        words = [f"{campaign}-{secrets.token_hex(6)}", folder]
        with replacing(path) as part:
            part.write_text(" ".join(words) + "\n", encoding="utf-8")
    return words[0]


def manager_of(campaign: Campaign, host: str | None, port: int) -> Address | Project:
    """The address or project name by which workers find the master."""
    if campaign.workers.on_this_machine:
        return Address("127.0.0.1", port)
    if campaign.engine.name:
        return Project(campaign.engine.name)
    return Address(campaign.workers.host or host or this_host(), port)


def planned(
    loaded: LoadedCampaign,
    engine: str,
    manager: Address | Project,
    programs: Sequence[str],
    local_count: int,
    harmless: Sequence[str] = (),
) -> Plan:
    """The factory of a campaign.

    `programs` must be on each host. Those that are `harmless` print their version with --version,
    and do nothing else. `local_count`: the number of workers, if they run on this machine.

    Raises:
        CampaignError: the worker or a program cannot be sent or named, or no job fits in a worker.
    """
    campaign, source = loaded.campaign, loaded.source
    worker = _program_to_send(loaded)
    _check_size(loaded)
    factory_id = identity(loaded.folder / "factory", campaign.campaign)
    password = credentials.password(loaded.folder)
    # A path below the sandbox does not exist on the host.
    needed = tuple(name for name in programs if not name.startswith("."))
    system = batch_system(campaign.workers.type)
    for name in needed:
        refusal = system.refusal(name)
        if refusal is not None:
            raise source.error(refusal, "software")
    return plan(
        campaign,
        PlanRequest(
            engine=engine,
            manager=manager,
            factory_id=factory_id,
            catalog=campaign.engine.catalog or os.environ.get("CATALOG_HOST") or "127.0.0.1",
            password=f"../{password.name}",
            worker=worker,
            local_count=local_count,
            began=int(time.time()),
            programs_needed=needed,
            programs_tried=tuple(name for name in needed if name in harmless),
            campaign_file=loaded.typed,
        ),
    )


def _program_to_send(loaded: LoadedCampaign) -> Path | None:
    """The worker program that the campaign names; None if this machine's own is sent."""
    workers = loaded.campaign.workers
    if not isinstance(workers, BatchWorkers) or workers.worker is None:
        return None
    found = (loaded.source.path.parent / workers.worker).absolute()
    if not found.is_file():
        raise loaded.source.error(f"there is no worker program {found}", "workers", "worker")
    if "'" in str(found) or not _PLAIN.fullmatch(found.name):
        # The factory copies it with a shell command, and its name is a word of another one.
        raise loaded.source.error(
            f"a worker cannot be sent from {str(found)!r}; copy it to a path without single "
            "quotes, with a name of letters, digits and . _ + - only",
            "workers",
            "worker",
        )
    return found


def _check_size(loaded: LoadedCampaign) -> None:
    workers, job = loaded.campaign.workers, loaded.campaign.resources
    if not isinstance(workers, BatchWorkers):
        return
    for name in ("cores", "memory", "disk"):
        has, needs = getattr(workers, name), getattr(job, name)
        if has and needs and has < needs:
            raise loaded.source.error(
                f"a worker with {name}: {has} can never run a job that asks for {needs} "
                f"('resources: {{{name}: {needs}}}')",
                "workers",
                name,
            )


def local_plan(
    engine: str,
    local_count: int,
    cores: int,
    port: int,
    *,
    worker: Path | None = None,
) -> Plan:
    """A factory of workers with `cores` cores each on this machine, without a campaign."""
    campaign = Campaign.model_validate(
        {
            "campaign": "workers",
            "campaign_config": {"func_name": "none", "args": [{"name": "none"}]},
            "resources": {"cores": cores},
        }
    )
    request = PlanRequest(
        engine=engine,
        manager=Address("127.0.0.1", port),
        factory_id="workers",
        catalog=os.environ.get("CATALOG_HOST") or "127.0.0.1",
        worker=worker,
        local_count=local_count,
    )
    return plan(campaign, request)
