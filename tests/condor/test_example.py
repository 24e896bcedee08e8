"""The example for the OSPool, run in the tests' pool as its README describes."""

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.condor import as_user
from tests.condor.site import Site
from wqmaster.campaign.loading import load

EXAMPLE = Path(__file__).parents[2] / "examples" / "osg"
MOLECULES = EXAMPLE.parent / "xtb-gradients" / "molecules.extxyz.gz"
COUNT = 40
# In Eh, from examples/xtb-gradients/README.md.
FIRST_ENERGY = -26.11435947


@pytest.fixture
def settings(site: Site) -> dict[str, Any]:
    """The example's campaign, with its archive packed and its molecules imported."""
    xtb, data = shutil.which("xtb"), Path("/usr/share/xtb")
    if not data.is_dir():
        pytest.skip("xtb's parameters are not where Debian has them")
    assert xtb is not None
    found = yaml.safe_load((EXAMPLE / "campaign.yaml").read_text())
    found["database"] = {"uri": "${MONGO_URI}", "name": site.campaigns.database}
    found["engine"]["port"] = 0  # another test could use the example's port now
    found["workers"] |= {"host": "127.0.0.1", "max": 2, "manage": True}
    site.path.write_text(yaml.safe_dump(found))
    proof = ("--run", "--version", "--prove", "environment")
    site.cli("software", "pack", "xtb", "--program", xtb, "--data", data, *proof)
    site.cli("import", site.path, MOLECULES, env=site.environment)
    return found


def see_results(site: Site, said: str) -> None:
    assert said.count(f"done                 {COUNT} ({COUNT} in this run)") == 1
    first = site.campaigns.documents.find_one({"xtb.gfn2": {"$ne": None}}, sort=[("_id", 1)])
    assert first["xtb"]["gfn2"]["energy"] == pytest.approx(FIRST_ENERGY, abs=1e-6)


def test_no_process_is_started_on_an_access_point() -> None:
    """The OSPool's policy forbids this; once, the example let the master start a factory there."""
    assert not load(EXAMPLE / "campaign.yaml").campaign.workers.managed


def test_jobs_of_a_factory_ask_for_what_the_example_states(
    site: Site, settings: dict[str, Any]
) -> None:
    """The pool cannot run the container, so the jobs stay idle."""
    site.start("--limit", "1")
    job = site.until(site.jobs)[0]
    workers = settings["workers"]
    requested = [job[name] for name in ("RequestCpus", "RequestMemory", "RequestDisk")]
    assert requested == [1, 2000, 2000 * 1024]
    assert job["ProjectName"] == workers["project"]
    assert job["ContainerImage"] == workers["image"].rpartition("/")[2]
    assert workers["image"] in job["TransferInput"]
    assert job["JobDurationCategory"] == "Medium"
    assert "--ssl" in job["Arguments"]


def test_a_factory_runs_the_example(site: Site, settings: dict[str, Any]) -> None:
    del settings["workers"]["image"]
    site.path.write_text(yaml.safe_dump(settings))
    site.start("--limit", str(COUNT))
    see_results(site, site.ended())


def test_workers_of_an_ordinary_submit_file_run_the_example(
    site: Site, settings: dict[str, Any]
) -> None:
    """Workers are submitted as on an access point: the master is elsewhere, and no factory runs."""
    del settings["workers"]["manage"]
    site.path.write_text(yaml.safe_dump(settings))
    site.start("--limit", str(COUNT))
    site.until(lambda: site.status().get("port"))
    said = site.cli("factory", site.path, "--json", "--submit-file", env=site.environment)
    made = json.loads(said)
    point = site.folder / "access-point"
    point.mkdir(mode=0o755)
    for path in (made["file"], *made["files"]):
        shutil.copy2(path, point)
    file = point / "workers.sub"
    lines = file.read_text().splitlines()
    # The pool runs no containers.
    job = [line for line in lines if not line.startswith(("universe", "container_image"))]
    assert len(job) == len(lines) - 2
    file.write_text("\n".join(job) + "\n")
    submit = shlex.split(made["commands"]["submit"][0])
    done = subprocess.run(
        as_user.words(*submit),
        cwd=point,
        env={**os.environ, **site.pool.environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    see_results(site, site.ended())
    jobs = site.pool.jobs(point)
    assert len(jobs) <= 2
    assert not list(site.folder.glob("osg.run/factory/*.log"))
