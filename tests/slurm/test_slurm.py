"""Campaigns whose workers are jobs of a real SLURM cluster."""

import contextlib
import json
from pathlib import Path

import pytest

from tests.acceptance.conftest import HeldXtb, processes_of
from tests.conftest import Campaigns, Cli, wait_until
from tests.slurm.cluster import Cluster

SECRET = "hunter2-of-the-master"
WORKERS = {
    "type": "slurm",
    "manage": True,
    "host": "127.0.0.1",
    "max": 3,
    "cores": 1,
    "memory": 256,
    "disk": 100,
    "timeout": 120,
    "walltime": 1200,
    "partition": "tests",
}


@pytest.fixture
def environment(cluster: Cluster, campaigns: Campaigns) -> dict[str, str]:
    """The master's environment: the cluster, the database, and a secret that must not spread."""
    return {
        **cluster.environment,
        "MONGO_URI": campaigns.uri,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }


def written(campaigns: Campaigns, software: dict[str, str], engine: str = "work_queue") -> Path:
    """Write a campaign file with SLURM workers."""
    return campaigns.write(
        workers=WORKERS,
        engine=engine,
        software=software,
        database={"uri": "${MONGO_URI}", "name": campaigns.database},
        resources={"cores": 1, "memory": 100, "disk": 50},
    )


def held_by(cluster: Cluster) -> str:
    """Everything that SLURM keeps on disk or prints about its jobs."""
    text = ""
    for path in [*cluster.folder.glob("state/**/*"), *cluster.folder.glob("spool/**/*")]:
        with contextlib.suppress(OSError):  # a folder, or a file that was just removed
            text += path.read_bytes().decode(errors="replace")
    return text + cluster.tool("scontrol", "show", "job", "--details")


@pytest.mark.parametrize("engine", ["work_queue", "taskvine"])
def test_a_campaign_on_slurm_loses_no_job_with_a_canceled_worker(
    campaigns: Campaigns,
    cli: Cli,
    cluster: Cluster,
    environment: dict[str, str],
    held_xtb: HeldXtb,
    engine: str,
) -> None:
    campaigns.waters(20)
    path = written(campaigns, held_xtb.software, engine)
    master = cli.start("run", path, env=environment)
    wait_until(lambda: held_xtb.begun() >= 3 and len(cluster.jobs("running")) == 3, 60)
    password = (campaigns.folder / "test.run" / "password").read_text().strip()
    seen = held_by(cluster)
    assert "PATH=" in seen
    assert not [secret for secret in (SECRET, campaigns.uri, password) if secret in seen]
    limits = cluster.tool("squeue", "-h", "-o", "%l %P").split()
    assert set(limits) == {"20:00", "tests"}
    cluster.tool("scancel", cluster.jobs("running")[0])
    wait_until(lambda: len(cluster.jobs("running")) == 2, 30)
    held_xtb.let_go()
    said, errors = master.communicate(timeout=60)
    assert master.returncode == 0, (said, errors, cluster.logs())
    for document in campaigns.documents.find():
        assert document["xtb"]["gfn2"]["energy"] == pytest.approx(-5.0703, abs=0.01)
        assert document["xtb"]["gfn2"]["_run"]["attempt"] == 1
    assert not list(campaigns.failures.find())
    wait_until(lambda: not cluster.jobs())
    wait_until(lambda: not processes_of(campaigns.folder))


def test_a_node_without_the_program_is_reported(
    campaigns: Campaigns, cli: Cli, cluster: Cluster, environment: dict[str, str]
) -> None:
    campaigns.waters(1)
    path = written(campaigns, {"xtb": "/opt/no-such-place/xtb"})
    master = cli.start("run", path, env=environment)

    def trouble() -> str:
        found = json.loads(cli("status", path, "--json", env=environment))["master"] or {}
        return str(found.get("trouble") or "")

    said = wait_until(trouble, 60)
    assert "the program '/opt/no-such-place/xtb' is missing" in said
    master.terminate()
    master.communicate(timeout=60)
    wait_until(lambda: not cluster.jobs())


def test_the_doctor_tries_the_requests_of_the_factory_on_the_cluster(
    campaigns: Campaigns, cli: Cli, cluster: Cluster, environment: dict[str, str]
) -> None:
    campaigns.waters(1)

    def found(**changed: object) -> dict[str, str]:
        path = campaigns.write(workers={**WORKERS, **changed}, engine="work_queue")
        said = cli("doctor", "--json", path, env=environment, code=(0, 3))
        lines = json.loads(said)["findings"]
        return {line["subject"]: f"{line['state']}: {line['seen']}" for line in lines}

    well = found()
    assert well["SLURM"].startswith("ok: responds; 1 node, partitions: tests")
    assert well["sbatch"].startswith("ok")
    # Too much memory (stated, or the default for the cores), and an unknown partition or feature.
    for changed in ({"memory": 10**6}, {"cores": 9, "memory": None}, {"partition": "none"}):
        assert found(**changed)["sbatch"].startswith("wrong: refuses"), changed
    assert found(options=["--constraint=no-such"])["sbatch"].startswith("wrong: refuses")
    assert not cluster.jobs()


def test_the_cluster_listens_on_loopback_only(cluster: Cluster) -> None:
    said = cluster.tool("scontrol", "ping")
    assert "is UP" in said
    listening = [
        line.split()[1].split(":")
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    ]
    found = [address for address, port in listening if int(port, 16) in cluster.ports]
    assert found == ["0100007F"] * 2
