"""Campaigns of real jobs on workers that HTCondor holds, evicts and removes.

Both engines at the same time, since their factories look at the queue every 35 s only.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.acceptance.conftest import processes_of
from tests.condor.pool import Pool, digest, environment_of, job_id
from tests.condor.site import SECRET, Site
from tests.conftest import wait_until
from wqmaster.mongod import Mongod

ENGINES = ("work_queue", "taskvine")
JOBS = 100
WORKERS = 4


@dataclass(frozen=True)
class Story:
    """What was seen of one campaign."""

    site: Site
    jobs: list[dict[str, object]]  # of HTCondor, before anything happened to them
    environments: list[dict[str, str]]  # of the processes on workers
    held: str  # numbers of the jobs to which that happened
    evicted: str
    removed: str
    replaced: set[str]  # numbers of the jobs that came in their place
    events: str
    workers_lost: int
    code: int  # of the master
    said: str


class Disturbed:
    """One campaign on four workers, of which one is held, one evicted, one removed."""

    def __init__(self, site: Site, engine: str) -> None:
        self.site = site
        site.campaigns.waters(JOBS)
        site.write(engine=engine, workers={"max": WORKERS})
        self.master = site.start()

    def disturb(self) -> None:
        """Wait until all workers work; then do to three of them what HTCondor does."""
        site = self.site
        site.until(lambda: site.running(WORKERS) and site.held.begun() >= WORKERS, 90)
        self.jobs = site.jobs()
        self.environments = [
            environment_of(pid) for pid, line in processes_of(site.held.command).items()
        ]
        self.held, self.evicted, self.removed, _ = map(job_id, self.jobs)
        site.pool.tool("condor_hold", self.held)
        site.pool.tool("condor_vacate_job", self.evicted)
        site.pool.tool("condor_rm", self.removed)

    def end(self) -> Story:
        """Wait until all workers are there again; then let the jobs end."""
        site = self.site
        gone = {self.held, self.removed}
        site.until(lambda: not gone & set(site.running(WORKERS) or gone), 120)
        site.until(lambda: site.status().get("workers") == WORKERS, 60)
        known = {job_id(job) for job in self.jobs}
        replaced = set(site.running(WORKERS)) - known
        lost = site.status()["workers_lost"]
        events = digest(site.logs())
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


@pytest.fixture(scope="module")
def stories(
    pool: Pool, mongod: Mongod, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Story]]:
    """Both campaigns, from their start to their end."""
    sites = {
        engine: Site(tmp_path_factory.mktemp(f"condor-{engine}"), pool, mongod)
        for engine in ENGINES
    }
    try:
        running = {engine: Disturbed(site, engine) for engine, site in sites.items()}
        for campaign in running.values():
            campaign.disturb()
        yield {engine: campaign.end() for engine, campaign in running.items()}
    finally:
        for site in sites.values():
            site.close()


@pytest.fixture(params=ENGINES)
def story(request: pytest.FixtureRequest, stories: dict[str, Story]) -> Story:
    """The campaign of each engine; its events are shown if a test of it fails."""
    found = stories[request.param]
    print(found.events)
    return found


def test_all_jobs_are_done_and_no_eviction_counts_as_a_failure(story: Story) -> None:
    assert story.code == 0, story.said
    done = list(story.site.campaigns.documents.find())
    assert len(done) == JOBS
    for document in done:
        assert document["xtb"]["gfn2"]["energy"] == pytest.approx(-5.0703, abs=0.01)
        assert document["xtb"]["gfn2"]["_run"]["attempt"] == 1
    assert list(story.site.campaigns.failures.find()) == []
    assert story.workers_lost >= 3


def test_a_held_job_does_not_block_its_place(story: Story) -> None:
    """The factory would count it as a worker that is to come, for ever."""
    events = [line for line in story.events.splitlines() if f"({padded(story.held)})" in line]
    kinds = [line[:3] for line in events]
    assert kinds.index("012") < kinds.index("009")
    assert "PeriodicRemove" in events[kinds.index("009")]
    assert len(story.replaced) == 2


def test_an_evicted_worker_says_so_and_comes_back(story: Story) -> None:
    """HTCondor's signal comes to the shell that it started: the worker has taken its place."""
    kinds = [line[:3] for line in story.events.splitlines() if padded(story.evicted) in line]
    assert kinds.count("001") == 2
    assert "004" in kinds[: len(kinds) - kinds[::-1].index("001")]
    # Those that were held and removed had the same signal.
    assert story.site.debug().count("info vacating") >= 3


def test_no_secret_is_in_a_job(story: Story) -> None:
    """The submit file says `getenv = true`: all that the factory knows goes into the queue."""
    password = (story.site.folder / "test.run" / "password").read_text().strip()
    kept = (SECRET, password, story.site.campaigns.uri)
    for job in story.jobs:
        assert not [secret for secret in kept if secret in str(job)]
        assert "PATH=" in str(job["Environment"])
    assert len(story.environments) >= WORKERS
    for environment in story.environments:
        assert not [secret for secret in kept if secret in str(environment)]
        assert "_CONDOR_SCRATCH_DIR" in environment


def test_nothing_is_left(story: Story) -> None:
    wait_until(lambda: not story.site.jobs(), 20)
    wait_until(lambda: not processes_of(story.site.folder), 20)


def padded(job: str) -> str:
    """A job's number as it stands in a log of events."""
    cluster, _, process = job.partition(".")
    return f"{int(cluster):03d}.{int(process):03d}.000"
