"""The engine and the worker factory that the campaigns of a service share."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wqmaster import factory
from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.models import Campaign, Resources
from wqmaster.campaign.service import LoadedService
from wqmaster.campaign.task_sizes import Memory
from wqmaster.campaign.workers import BatchWorkers, LocalWorkers, NoWorkers
from wqmaster.engines import choosing
from wqmaster.errors import EngineError
from wqmaster.factory import Demand, Handle
from wqmaster.run.hiring import cores, local_count
from wqmaster.system.this_command import this_command

log = logging.getLogger("wqmaster.service")

_TEND_INTERVAL_SECONDS = 3.0
_MAX_PAUSE_SECONDS = 60.0


def largest(campaigns: Sequence[Campaign]) -> Resources:
    """Resources that suffice for the jobs of all `campaigns`."""

    def most(name: str) -> int | None:
        return max((getattr(one.resources, name) or 0 for one in campaigns), default=0) or None

    memory = most("fixed_memory")
    return Resources(
        cores=most("cores") or 1, memory=Memory(size=memory) if memory else None, disk=most("disk")
    )


def as_campaign(service: LoadedService, present: Sequence[LoadedCampaign]) -> LoadedCampaign:
    """A service in the form of a campaign without documents, from which its workers are planned.

    Local workers divide this computer's cores among them. `present` are the service's campaigns;
    suggested commands name the first, since commands for workers take the file of a campaign.
    """
    workers = service.file.workers
    resources = largest([one.campaign for one in present])
    if isinstance(workers, LocalWorkers):
        share = cores() // (workers.count or 1)
        resources = resources.model_copy(update={"cores": max(resources.cores, share)})
    campaign = Campaign.model_validate(
        {
            "campaign": service.file.service,
            "campaign_config": {"func_name": "none", "args": [{"name": "none"}]},
            "engine": service.file.engine,
            "workers": workers,
            "resources": resources,
        }
    )
    typed = present[0].typed if present else "CAMPAIGN"
    return LoadedCampaign(campaign, service.source, service.variables, service, typed)


@dataclass(frozen=True)
class Staffing:
    """What determines engine and workers."""

    loaded: LoadedCampaign  # whose engine, workers, resources and folder are used
    environ: Mapping[str, str]  # the workers' environment
    programs: Sequence[str] = ()  # programs that every worker's host must have
    harmless: Sequence[str] = ()  # those of them that print their version with --version


class Workforce:
    """Engine and workers, from the start of a service to its end.

    A factory that ends is started again.

    Raises:
        WqmasterError: the engine or the factory cannot be started.
    """

    def __init__(self, staffing: Staffing) -> None:
        self._staffing = staffing
        self._loaded = staffing.loaded
        campaign = self._loaded.campaign
        self.name, self.why = choosing.choose(campaign)
        log.info("engine %s: %s", self.name, self.why)
        self.engine = choosing.create(
            self.name, self._loaded, local_count(campaign), staffing.environ
        )
        self._handle: Handle | None = None
        self._trouble: str | None = None
        self._pause = 1.0
        self._retry_at = self._tended = 0.0
        self.host: str | None = None
        if self.port is not None:
            self.host = campaign.workers.host or factory.this_host()
        try:
            self._handle = self._hired(Demand(None, 0))
        except BaseException:
            self.engine.close()
            raise

    @property
    def port(self) -> int | None:
        """The port that workers connect to; None if none do."""
        return self.engine.port

    @property
    def workers_of(self) -> str | None:
        """See `Start.workers_of`."""
        if self._loaded.service is not None:
            return None
        return str(self._loaded.source.path.absolute())

    @property
    def how_to_connect(self) -> str | None:
        """The command that starts workers; None if the service starts them."""
        workers = self._loaded.campaign.workers
        by_hand = self.engine.how_to_connect()
        if by_hand is None or workers.managed:
            return None
        if not isinstance(workers, BatchWorkers):
            return by_hand
        return f"{this_command()} factory {self._loaded.typed} --start"

    @property
    def waits_for_workers(self) -> bool:
        """Whether the user must start workers, or their factory."""
        if self._loaded.campaign.workers.managed or self.port is None:
            return False
        return self._handle is None or self._handle.awaited()

    def _hired(self, wanted: Demand) -> Handle | None:
        loaded, campaign = self._loaded, self._loaded.campaign
        if isinstance(campaign.workers, NoWorkers) or self.port is None:
            return None
        manager = factory.manager_of(campaign, None, self.port)
        staffing, count = self._staffing, local_count(campaign)
        plan = factory.planned(
            loaded, self.name, manager, staffing.programs, count, staffing.harmless
        )
        folder, slots = loaded.workforce_folder, factory.worker_size(campaign).slots
        if not campaign.workers.managed:
            return factory.Detached(plan, folder, bundle=1, slots=slots)
        return factory.Factory(plan, folder, staffing.environ, slots=slots, wanted=wanted)

    def tend(self, wanted: Demand) -> None:
        """Report the demand in tasks, and start the factory again if it has ended."""
        now = time.monotonic()
        if now < self._tended + _TEND_INTERVAL_SECONDS or now < self._retry_at:
            return
        self._tended = now
        try:
            if self._handle is None:
                if not self._loaded.campaign.workers.managed or self.port is None:
                    return
                self._handle = self._hired(wanted)
                log.warning("workers: the factory was started again")
            if self._handle is None:
                return
            found = self._handle.trouble()
            self._handle.check()
            self._handle.tell(wanted)
            self._pause = 1.0
        except (EngineError, OSError) as error:
            log.error("workers: %s; next attempt in %.0f s", error, self._pause)
            self._trouble = f"workers: {error}"
            self._retry_at = now + self._pause
            self._pause = min(_MAX_PAUSE_SECONDS, 2 * self._pause)
            if isinstance(error, EngineError):
                self._dismiss()
            return
        text = None if found is None else f"workers: {found}"
        if text != self._trouble and text is not None:
            log.warning("%s", text)
            for line in self._handle.last():
                log.warning("last output of a worker: %s", line)
        self._trouble = text

    def trouble(self) -> str | None:
        """What keeps workers or tasks from running; None if nothing does."""
        return "; ".join(filter(None, (self.engine.trouble(), self._trouble))) or None

    def _dismiss(self) -> str | None:
        handle, self._handle = self._handle, None
        left = handle.close() if handle is not None else None
        if left:
            log.warning("%s", left)
        return left

    def close(self) -> str | None:
        """End the workers that the service started, and free the port; see `Handle.close`."""
        try:
            return self._dismiss()
        finally:
            self.engine.close()
