"""A new password for workers, while a campaign runs."""

import os
import signal
from pathlib import Path

import pytest
import yaml

from tests.acceptance.conftest import HeldXtb, processes_of
from tests.conftest import Campaigns, Cli, wait_until


def workers(folder: Path) -> set[int]:
    """The processes of the factory's workers."""
    names = ("vine_worker", "work_queue_worker")
    found = processes_of(folder)
    return {pid for pid, line in found.items() if Path(line.split()[0]).name in names}


@pytest.mark.parametrize("engine", ["work_queue", "taskvine"])
def test_the_factory_gives_new_workers_the_new_password(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb, engine: str
) -> None:
    campaigns.waters(4)
    path = campaigns.write(
        engine=engine, workers={"type": "local", "count": 1}, software=held_xtb.software
    )
    running = cli.start("run", path)
    wait_until(lambda: held_xtb.begun() == 1)
    password = cli.folder / "test.run" / "password"
    before = password.read_text()
    said = cli("factory", path, "--rotate-password")
    assert said == f"new workers need the new password in {password}\n"
    after = password.read_text()
    assert after != before
    [copy] = (cli.folder / "test.run" / "factory").glob("workers-*/pwfile")
    wait_until(lambda: copy.read_text() == after)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert running.poll() is None
    # The connected worker goes on; when it has gone, its successor is admitted.
    ended = workers(cli.folder)
    assert ended
    for pid in ended:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: held_xtb.begun() >= 2, 120)
    held_xtb.let_go()
    output, _ = running.communicate(timeout=120)
    assert running.returncode == 0, output
    assert campaigns.documents.count_documents({"xtb.gfn2.energy": {"$lt": 0}}) == 4


def test_a_service_gives_new_workers_the_new_password(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    path = campaigns.write()
    service = {"service": "ours", "engine": "taskvine", "workers": {"count": 1}}
    (cli.folder / "service.yaml").write_text(yaml.safe_dump(service))
    text = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({k: text[k] for k in text if k not in ("engine", "workers")}))
    password = cli.folder / "service.run" / "password"
    serving = cli.start("serve", cli.folder)
    wait_until(lambda: campaigns.documents.count_documents({"xtb.gfn2.energy": {"$lt": 0}}) == 1)
    before = password.read_text()
    said = cli("factory", path, "--rotate-password")
    assert said == f"new workers need the new password in {password}\n"
    assert password.read_text() != before
    log = cli.folder / "service.run" / "logs" / "master.log"
    wait_until(lambda: "the password for workers was changed" in log.read_text())
    serving.send_signal(signal.SIGTERM)
    assert serving.wait(120) == 0
