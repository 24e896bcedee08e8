"""Campaigns with four workers: one is held, one is evicted, and one is removed."""

from dataclasses import dataclass
from typing import Any

from tests.acceptance.conftest import processes_of
from tests.condor.pool import digest, environments_of, job_id
from tests.condor.site import Site

ENGINES = ("work_queue", "taskvine")
JOBS = 100
WORKERS = 4


@dataclass(frozen=True)
class Story:
    """Observations of one campaign."""

    site: Site
    jobs: list[dict[str, Any]]  # HTCondor's jobs before any was disturbed
    environments: list[dict[str, str]]  # environments of the processes on workers
    held: str  # number of the job that was held
    evicted: str  # number of the job that was evicted
    removed: str  # number of the job that was removed
    replaced: set[str]  # numbers of the jobs that replaced held and removed ones
    events: str
    workers_lost: int
    code: int  # the master's exit code
    said: str


class Disturbed:
    """A campaign while it runs, before and after its workers are disturbed."""

    def __init__(self, site: Site, engine: str) -> None:
        self.site = site
        site.campaigns.waters(JOBS)
        site.write(engine={"type": engine}, workers={"max": WORKERS})
        self.master = site.start()

    def disturb(self) -> None:
        """Wait until all workers work; then hold one, evict one and remove one."""
        site = self.site
        site.until(lambda: site.running(WORKERS) and site.held.begun() >= WORKERS, 90)
        self.jobs = site.jobs()
        on_workers = processes_of(site.pool.folder / "execute").items()
        self.environments = environments_of(
            pid for pid, line in on_workers if not line.startswith("condor_")
        )
        self.held, self.evicted, self.removed, _ = map(job_id, self.jobs)
        site.pool.tool("condor_hold", self.held)
        site.pool.tool("condor_vacate_job", self.evicted)
        site.pool.tool("condor_rm", self.removed)

    def end(self) -> Story:
        """Wait until all workers are back; then let the jobs end, and return the story."""
        site = self.site
        gone = {self.held, self.removed}
        site.until(lambda: not gone & set(site.running(WORKERS) or gone), 120)
        site.until(lambda: site.status().get("workers") == WORKERS, 60)
        known = {job_id(job) for job in self.jobs}
        replaced = set(site.running(WORKERS)) - known
        lost = site.status()["workers_lost"]
        events = digest(site.logs())
        print(events)  # for pytest -rP
        site.held.let_go()
        said, errors = self.master.communicate(timeout=90)
        return Story(
            site,
            self.jobs,
            self.environments,
            self.held,
            self.evicted,
            self.removed,
            replaced,
            events,
            lost,
            self.master.returncode,
            said + errors,
        )
