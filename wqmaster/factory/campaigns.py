"""Plan a campaign's factory from the campaign, its folder and this machine."""

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
from wqmaster.system import credentials, elf
from wqmaster.system.files import replacing
from wqmaster.system.hosts import numeric, this_host

# File names that are a single word in every shell.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")


def identity(place: Path, campaign: str) -> str:
    """The name that identifies the workers of the factory's folder `place` in the batch system.

    The name survives restarts. It is stored with the folder's inode number, so that a copy of the
    folder gets another name: the copy must not end the workers of the original.
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
    """The plan for the factory of a campaign; see `requested`.

    Raises:
        CampaignError: see `requested`.
    """
    asked = requested(loaded, engine, manager, programs, local_count, harmless)
    return plan(loaded.campaign, asked)


def requested(
    loaded: LoadedCampaign,
    engine: str,
    manager: Address | Project,
    programs: Sequence[str],
    local_count: int,
    harmless: Sequence[str] = (),
) -> PlanRequest:
    """What determines the workers of a campaign besides its file.

    `programs` must exist on each worker's host. Those in `harmless` print their version with
    --version, and do nothing else. `local_count` is the number of workers if they run on this
    machine.

    Raises:
        CampaignError: the worker program cannot be sent, the batch system cannot pass on the name
            of a program, or a job does not fit in a worker.
    """
    campaign, source = loaded.campaign, loaded.source
    worker = _program_to_send(loaded)
    _check_size(loaded)
    factory_id = identity(loaded.workforce_folder / "factory", campaign.campaign)
    password = credentials.password(loaded.workforce_folder)
    # A relative path leads into the sandbox, so it cannot be checked on the host.
    needed = tuple(name for name in programs if not name.startswith("."))
    system = batch_system(campaign.workers.type)
    for name in needed:
        refusal = system.refusal(name)
        if refusal is not None:
            raise source.error(refusal, "software")
    return PlanRequest(
        engine=engine,
        manager=_numeric(manager) if _is_static(worker) else manager,
        factory_id=factory_id,
        catalog=campaign.engine.catalog or os.environ.get("CATALOG_HOST") or "127.0.0.1",
        password=f"../{password.name}",
        worker=worker,
        local_count=local_count,
        # This machine's clock agrees with itself, unless it is set back meanwhile.
        began=0 if campaign.workers.on_this_machine else int(time.time()),
        programs_needed=needed,
        programs_tried=tuple(name for name in needed if name in harmless),
        campaign_file=loaded.typed,
    )


def _is_static(worker: Path | None) -> bool:
    if worker is None:
        return False
    try:
        found = elf.needs(worker)
    except (OSError, ValueError):
        return False  # `doctor` reports it
    return found is not None and found.static


def _numeric(manager: Address | Project) -> Address | Project:
    """The manager's address in numbers, for a worker that may lack files to look names up with.

    A static program has no plug-ins for names (nsswitch.conf(5)), and a bare root no /etc/hosts.
    """
    if isinstance(manager, Project):
        return manager
    return Address(numeric(manager.host), manager.port)


def _program_to_send(loaded: LoadedCampaign) -> Path | None:
    """The worker program that the campaign names; None if this machine's own is sent.

    Raises:
        CampaignError: there is no such file, or the factory cannot send it.
    """
    found = loaded.worker_program
    if found is None:
        return None
    if not found.is_file():
        raise loaded.source.error(f"there is no worker program {found}", "workers", "worker")
    if "'" in str(found) or not _PLAIN.fullmatch(found.name):
        # The factory copies the file with one shell command, and names it in another.
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
    for name, has, needs in (
        ("cores", workers.cores, job.cores),
        ("memory", workers.memory, job.fixed_memory),
        ("disk", workers.disk, job.disk),
    ):
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
    """The plan for `local_count` workers of `cores` cores on this machine, without a campaign."""
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
