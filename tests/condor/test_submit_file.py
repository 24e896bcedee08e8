"""Workers that came by a submit file alone, in a pool that enforces the OSPool's rules."""

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.condor import as_user
from tests.condor.disturbed import ENGINES
from tests.condor.pool import Pool, why_not
from tests.condor.site import Site
from tests.conftest import wait_until
from wqmaster.database.private_server import Mongod

JOBS = 30
# More jobs may be in the queue only by late materialization.
MOST_QUEUED = 20
# The policy's checks: a category and a project are required, a copied environment is refused, and
# the number of jobs is limited. Machines advertise what those of the OSPool do.
RULES = f"""
SUBMIT_REQUIREMENT_NAMES = $(SUBMIT_REQUIREMENT_NAMES) Category Project
SUBMIT_REQUIREMENT_Category = JobDurationCategory =?= "Medium" || JobDurationCategory =?= "Long"
SUBMIT_REQUIREMENT_Category_REASON = "a JobDurationCategory is required"
SUBMIT_REQUIREMENT_Project = isString(ProjectName)
SUBMIT_REQUIREMENT_Project_REASON = "a ProjectName is required"
SUBMIT_ALLOW_GETENV = False
MAX_JOBS_PER_OWNER = {MOST_QUEUED}
MAX_JOBS_PER_SUBMISSION = {MOST_QUEUED}
SYSTEM_PERIODIC_HOLD = NumJobStarts > 30
OSGVO_OS_STRING = "RHEL 10"
HAS_CVMFS_oasis_opensciencegrid_org = True
STARTD_ATTRS = $(STARTD_ATTRS) OSGVO_OS_STRING HAS_CVMFS_oasis_opensciencegrid_org
"""


@pytest.fixture(scope="module")
def strict_pool() -> Iterator[Pool]:
    reason = why_not()
    if reason is not None:
        pytest.skip(f"cannot start an HTCondor pool: {reason}")
    found = Pool(16, RULES)
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture
def strict(tmp_path: Path, strict_pool: Pool, mongod: Mongod) -> Iterator[Site]:
    found = Site(tmp_path, strict_pool, mongod)
    yield found
    found.close()


class AccessPoint:
    """A folder on an access point, with what the printed command copies there."""

    def __init__(self, site: Site, *words: str) -> None:
        self.site = site
        said = site.cli(
            "factory", site.path, "--json", "--submit-file", "w.sub", *words, env=site.environment
        )
        self.made: dict[str, Any] = json.loads(said)
        self.folder = site.folder / "access-point"
        self.folder.mkdir(mode=0o755)
        ssh, copy = map(shlex.split, self.made["commands"]["copy"])
        assert ssh[:2] == ["ssh", "ACCESS-POINT"]
        assert (copy[0], copy[-1].partition(":")[0]) == ("scp", "ACCESS-POINT")
        for name in copy[2:-1]:
            shutil.copy2(site.folder / name, self.folder)
        self.cluster = ""

    def run(self, command: str, count: int = 0) -> str:
        """Run a printed command there, with the cluster and the number filled in."""
        words = shlex.split(command.replace("CLUSTER", self.cluster).replace("=N", f"={count}"))
        done = subprocess.run(
            as_user.words(*words),
            cwd=self.folder,
            env={**os.environ, **self.site.pool.environment},
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        # HTCondor reports an error if no worker waits that could be removed.
        nothing_waits = words[0] == "condor_rm" and "find/remove all jobs" in done.stderr
        assert done.returncode == 0 or nothing_waits, (words, done.stdout, done.stderr)
        return done.stdout

    def do(self, purpose: str, count: int = 0) -> str:
        """Run all printed commands for a purpose."""
        return "".join(self.run(one, count) for one in self.made["commands"][purpose])

    def submit(self) -> None:
        self.cluster = self.do("submit").split("cluster ")[1].split(".")[0]

    def factories(self) -> dict[str, int]:
        """The clusters of which HTCondor makes jobs, each with the number of the next job."""
        said = self.site.pool.tool("condor_q", "-factory", "-nobatch")
        rows = [line.split() for line in said.splitlines()]
        return {row[0]: int(row[-3]) for row in rows if row and row[0].rstrip(".").isdecimal()}

    def next_job(self) -> int:
        """The number of the next job that HTCondor makes; it has made all before."""
        return self.factories()[f"{self.cluster}."]


def write(site: Site, engine: str, **workers: Any) -> None:
    site.write(
        engine={"type": engine, "ssl": True},
        workers={
            "manage": False,
            "walltime": 9 * 3600,
            "project": "WqmasterTest",
            "per_cycle": 3,
            **workers,
        },
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_workers_of_a_submit_file_are_grown_renewed_shrunk_and_ended_by_the_printed_commands(
    strict: Site, engine: str
) -> None:
    strict.campaigns.waters(JOBS)
    # A worker's time is over after 36 s, while its task still waits.
    write(strict, engine, max=2, walltime=40)
    strict.start()
    strict.until(lambda: strict.status().get("port"))
    point = AccessPoint(strict)
    assert point.made["total"] > MOST_QUEUED
    point.submit()
    strict.until(lambda: strict.running(2) and strict.status().get("workers") == 2, 60)
    assert {job["JobDurationCategory"] for job in strict.jobs()} == {"Medium"}
    point.do("grow", 4)
    strict.until(lambda: len(strict.running(4)) == 4, 60)
    # Those whose time is over are replaced, and their tasks run again.
    strict.until(lambda: point.next_job() >= 6, 90)
    assert len(strict.jobs()) <= 4
    point.do("shrink", 1)
    strict.until(lambda: len(strict.jobs()) == 1, 90)
    strict.held.let_go()
    said = strict.ended(seconds=120)
    assert f"done                 {JOBS} ({JOBS} in this run)" in said
    assert not list(strict.campaigns.failures.find())
    point.do("end")
    wait_until(lambda: not strict.jobs(), 20)
    assert not point.factories()
    assert not (point.folder / "password").exists()
    assert not list(strict.folder.glob("test.run/factory/*.log"))


def test_workers_that_cannot_start_keep_their_place_until_they_are_let_go(strict: Site) -> None:
    """Otherwise a single bad host would use up all workers of the file within minutes."""
    strict.campaigns.waters(1)
    strict.write(
        engine={"type": "work_queue", "port": 9123},
        workers={"manage": False, "walltime": 3600, "project": "P", "max": 3},
        software={"xtb": "/opt/no-such-place/xtb"},
    )
    point = AccessPoint(strict)
    point.submit()
    wait_until(lambda: [job["JobStatus"] for job in strict.jobs()] == [4, 4, 4], 60)
    assert {job["ExitCode"] for job in strict.jobs()} == {82}
    assert point.next_job() == 3
    said = "".join(path.read_text() for path in point.folder.glob("worker.*.err"))
    assert "the program '/opt/no-such-place/xtb' is missing" in said
    point.do("wake")
    wait_until(lambda: point.next_job() == 6, 60)
    point.do("end")
    wait_until(lambda: not strict.jobs(), 20)


def test_the_pool_refuses_jobs_without_a_category(strict: Site) -> None:
    """The rules are in force; without them, the other tests would prove nothing."""
    strict.write(
        engine={"type": "work_queue", "port": 9123},
        workers={"manage": False, "walltime": 3600, "project": "P", "max": 1},
    )
    point = AccessPoint(strict)
    file = point.folder / "w.sub"
    text = file.read_text()
    for word in ("+JobDurationCategory", "+ProjectName"):
        lines = [line for line in text.splitlines() if not line.startswith(word)]
        file.write_text("\n".join(lines) + "\n")
        with pytest.raises(AssertionError, match=f"a {word[1:]} is required"):
            point.do("submit")
    file.write_text("\n".join(text.splitlines()[:-3]) + f"\nqueue {MOST_QUEUED + 1}\n")
    with pytest.raises(AssertionError, match="MAX_JOBS_PER_OWNER"):
        point.do("submit")
