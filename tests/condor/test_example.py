"""The example for OSG, run on the pool as its README describes."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.condor.site import Site
from wqmaster.campaign.loading import load

EXAMPLES = Path(__file__).parents[2] / "examples"
COUNT = 40


def test_the_example_runs_with_jobs_as_described(site: Site) -> None:
    xtb, data = shutil.which("xtb"), Path("/usr/share/xtb")
    if not data.is_dir():
        pytest.skip("xtb's parameters are not where Debian installs them")
    assert xtb is not None
    settings = yaml.safe_load((EXAMPLES / "osg" / "campaign.yaml").read_text())
    settings["database"] = {"uri": "${MONGO_URI}", "name": site.campaigns.database}
    settings["workers"] |= {"host": "127.0.0.1", "max": 2}
    site.path.write_text(yaml.safe_dump(settings))
    proof = ("--run", "--version", "--prove", "environment")
    site.cli("software", "pack", "xtb", "--program", xtb, "--data", data, *proof)
    molecules = EXAMPLES / "xtb-gradients" / "molecules.extxyz.gz"
    site.cli("import", site.path, molecules, env=site.environment)
    site.start("--limit", str(COUNT))
    job = site.until(site.jobs)[0]
    workers = settings["workers"]
    asked = [job[name] for name in ("RequestCpus", "RequestMemory", "RequestDisk")]
    assert asked == [workers["cores"], workers["memory"], workers["disk"] * 1024]
    assert job["ProjectName"] == workers["project"]
    assert job["SingularityImage"] == workers["image"]
    assert "HAS_SINGULARITY" in job["Requirements"]
    assert "--ssl" in job["Arguments"]
    said = site.ended()
    assert said.count(f"done                 {COUNT} ({COUNT} in this run)") == 1
    first = site.campaigns.documents.find_one({"xtb.gfn2": {"$ne": None}}, sort=[("_id", 1)])
    # The value in examples/xtb-gradients/README.md.
    assert first["xtb"]["gfn2"]["energy"] == pytest.approx(-26.11435947, abs=1e-6)
    assert load(EXAMPLES / "osg" / "campaign.yaml").campaign.workers.managed
