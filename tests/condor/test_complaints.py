"""The reports about problems between a factory and HTCondor."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

from tests.acceptance.conftest import processes_of
from tests.condor.pool import digest, job_id
from tests.condor.site import Site
from tests.conftest import wait_until


def test_a_host_without_the_program_is_reported(site: Site) -> None:
    """Both the master and the worker's output, which HTCondor returned, report the problem."""
    site.campaigns.waters(3)
    site.write(software={"xtb": "/opt/no-such-place/xtb"})
    site.start()
    trouble = site.until(lambda: site.status().get("trouble"), 60)
    assert "a program is missing" in trouble
    assert "'/opt/no-such-place/xtb'" in trouble
    assert "wqmaster worker: the program '/opt/no-such-place/xtb'" in site.said_by_workers()
    assert not list(site.campaigns.failures.find())


def test_workers_that_all_exit_immediately_are_not_submitted_forever(site: Site) -> None:
    """The worker program starts on no host, like one that was built for another C library."""
    worker = site.folder / "truncated_worker"
    real = shutil.which("work_queue_worker")
    assert real is not None
    worker.write_bytes(Path(real).read_bytes()[:100_000])
    worker.chmod(0o755)
    site.campaigns.waters(20)
    site.write(workers={"worker": str(worker), "max": 10})
    site.start("--exit-on-trouble")
    said = site.ended(code=3)
    assert "the worker program does not start" in said
    assert "no more will be submitted" in said
    assert not site.jobs()
    assert digest(site.logs()).count("Job submitted") <= 12


def test_workers_end_with_a_killed_master(site: Site) -> None:
    """The factory starts as many workers as the jobs need for their cores, not one for each job."""
    site.campaigns.waters(4)
    site.write(workers={"cores": 2, "max": 4})
    master = site.start()
    site.until(lambda: site.running(2) and site.held.begun() == 4, 60)
    assert len(site.jobs()) == 2
    master.kill()
    wait_until(lambda: not site.jobs(), 30)
    wait_until(lambda: not processes_of(site.folder), 30)


def test_workers_find_the_master_by_its_project_name(site: Site, catalog: str) -> None:
    """Neither the factory nor the workers know the master's port, but a catalog does."""
    site.campaigns.waters(4)
    site.write(engine={"type": "work_queue", "name": "condor-test", "catalog": catalog})
    site.start()
    site.until(lambda: site.status().get("workers") == 2, 90)
    assert all("-M condor-test" in job["Arguments"] for job in site.jobs())
    listed = site.pool.tool("work_queue_status", "-C", catalog)
    assert "condor-test" in listed
    site.held.let_go()
    site.ended()


def test_jobs_that_a_killed_master_left_are_removed_at_the_next_start(site: Site) -> None:
    site.campaigns.waters(4)
    site.write()
    site.start()
    left = site.until(lambda: site.running(2), 60)
    site.kill()
    assert set(site.pool.running(site.folder)) == set(left)
    site.start()

    def renewed() -> bool:
        return bool(site.running(2)) and not set(left) & {job_id(job) for job in site.jobs()}

    # The wait exceeds the factory's interval, because earlier workers can reconnect to the port.
    site.until(renewed, 120)
    # The new factory has a separate event log, because it would replay an existing one.
    logs = {str(job["UserLog"]) for job in site.jobs()}
    assert len(logs) == 1
    events = digest([path for path in site.logs() if str(path) in logs])
    assert not [job for job in left if f"({int(job.split('.')[0]):03d}.000.000)" in events]
    site.held.let_go()
    site.ended()
    assert site.campaigns.documents.count_documents({"xtb.gfn2": {"$ne": None}}) == 4


def test_stop_removes_the_jobs_of_a_killed_factory(site: Site) -> None:
    site.campaigns.waters(1)
    site.write(workers={"min": 2, "manage": False})
    master = site.start()
    site.until(lambda: site.status().get("port"), 30)
    site.cli("factory", site.path, "--start", env=site.environment)
    site.until(lambda: site.running(2), 60)

    def seen() -> dict[str, Any]:
        said = site.cli("factory", site.path, "--status", "--json", env=site.environment)
        found: dict[str, Any] = json.loads(said)
        assert found["running"]
        return found if found["running_workers"] == 2 else {}

    status = site.until(seen, 30)
    # Supervisor and factory must die together, because each would clean up after the other.
    os.kill(status["pid"], signal.SIGSTOP)
    site.kill(site.folder / "test.run" / "factory")
    os.kill(status["pid"], signal.SIGKILL)
    assert len(site.pool.running(site.folder)) == 2
    site.cli("factory", site.path, "--stop", env=site.environment)
    wait_until(lambda: not site.jobs(), 20)
    master.kill()
