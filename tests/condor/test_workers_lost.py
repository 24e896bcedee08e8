"""Campaigns with real jobs on workers that HTCondor holds, evicts and removes.

Factories look at the queue only every 35 s, so both engines run at the same time, and the other
tests of this folder run meanwhile. Therefore these tests come last.
"""

import pytest

from tests.acceptance.conftest import processes_of
from tests.condor.disturbed import ENGINES, JOBS, WORKERS, Story
from tests.condor.site import SECRET
from tests.conftest import wait_until


@pytest.fixture(params=ENGINES)
def story(request: pytest.FixtureRequest, stories: dict[str, Story]) -> Story:
    """The story of each engine's campaign; if a test fails, the events are shown."""
    found = stories[request.param]
    print(found.events)
    return found


def test_all_jobs_are_done_and_no_eviction_counts_as_a_failure(story: Story) -> None:
    failures = list(story.site.campaigns.failures.find())
    assert (story.code, failures) == (0, []), story.said
    done = list(story.site.campaigns.documents.find())
    assert len(done) == JOBS
    for document in done:
        assert document["xtb"]["gfn2"]["energy"] == pytest.approx(-5.0703, abs=0.01)
        assert document["xtb"]["gfn2"]["_run"]["attempt"] == 1
    assert story.workers_lost >= 3


def test_a_held_job_does_not_block_its_place(story: Story) -> None:
    """Otherwise the factory would forever count the held job as a worker that is about to start."""
    events = [line for line in story.events.splitlines() if f"({padded(story.held)})" in line]
    kinds = [line[:3] for line in events]
    assert kinds.index("012") < kinds.index("009")
    assert "PeriodicRemove" in events[kinds.index("009")]
    assert len(story.replaced) == 2


def test_an_evicted_worker_signs_off_and_comes_back(story: Story) -> None:
    """HTCondor signals the process of the shell that it started, which is now the worker."""
    kinds = [line[:3] for line in story.events.splitlines() if padded(story.evicted) in line]
    assert kinds.count("001") == 2
    assert "004" in kinds[: len(kinds) - kinds[::-1].index("001")]
    # The held and the removed worker received the same signal as the evicted one.
    assert story.site.debug().count("info vacating") >= 3


def test_no_secret_is_in_a_job(story: Story) -> None:
    """With `getenv = true` in a submit file, the factory's environment would be in the queue."""
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
    """A job's number as written in an event log."""
    cluster, _, process = job.partition(".")
    return f"{int(cluster):03d}.{int(process):03d}.000"
