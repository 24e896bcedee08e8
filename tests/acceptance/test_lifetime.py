"""A run waits for what is broken, says so, and goes on by itself."""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from pymongo import MongoClient

from tests.acceptance.conftest import processes_of
from tests.conftest import Campaigns, Cli, master_of, wait_until
from wqmaster.database.private_server import Mongod, find_mongod

DONE = {"xtb.gfn2": {"$ne": None}}


def slow_xtb(folder: Path, seconds: float) -> str:
    """An xtb that takes `seconds` longer."""
    program = folder / "slow-xtb"
    program.write_text(f'#!/bin/sh\nsleep {seconds}\nexec {shutil.which("xtb")} "$@"\n')
    program.chmod(0o755)
    return str(program)


def status(cli: Cli) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cli("status", "--json"))
    return found


def hold(cli: Cli) -> dict[str, Any]:
    """The hold that the running master publishes; {} if there is none."""
    return (status(cli)["master"] or {}).get("hold") or {}


def log_of(folder: Path) -> str:
    return (folder / "test.run" / "logs" / "master.log").read_text()


def grows(count: Callable[[], int]) -> float:
    """Wait until there are more results than now; return how many seconds that took."""
    began, before = time.monotonic(), count()
    wait_until(lambda: count() > before)
    return round(time.monotonic() - began, 1)


def ends_well(process: "subprocess.Popen[str]", folder: Path) -> None:
    """Wait for the run's end, without errors and without processes in `folder`."""
    output, errors = process.communicate(timeout=180)
    assert process.returncode == 0, (output, errors)
    assert "Traceback" not in errors
    wait_until(lambda: not processes_of(folder))


def test_a_killed_private_server_is_started_again(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    settings = campaigns.settings(software={"xtb": slow_xtb(tmp_path, 0.3)})
    del settings["database"]
    path = tmp_path / "campaign.yaml"
    path.write_text(yaml.safe_dump(settings))
    own = Mongod(tmp_path / "test.run" / "mongod")
    with own.used() as uri:
        other = Campaigns(tmp_path, uri)
        other.waters(200)
        with MongoClient[dict[str, Any]](uri) as client:
            client["wqmaster"]["molecules"].insert_many(list(other.documents.find()))
        other.close()
    process = cli.start("run", path, "--quiet")
    client = MongoClient[dict[str, Any]](own.uri, serverSelectionTimeoutMS=30_000)
    documents = client["wqmaster"]["molecules"]
    wait_until(lambda: own.pid() is not None and documents.count_documents(DONE) > 0)
    times = []
    for _ in range(3):
        pid = own.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        wait_until(lambda pid=pid: own.pid() not in (None, pid) or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        grows(lambda: documents.count_documents(DONE))
        times.append(round(time.monotonic() - began, 1))
    print(f"results again after {times} s")
    ends_well(process, tmp_path)
    assert own.pid() is None
    with own.used():
        assert documents.count_documents(DONE) == 200
        assert client["wqmaster"]["wqmaster.failures"].count_documents({}) == 0
    client.close()


def test_a_user_whose_rights_are_withdrawn_is_waited_for(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    """The password changes while the run uses it; the server closes the user's connections."""
    own = Mongod(tmp_path / "own")
    own.start()
    with MongoClient[dict[str, Any]](own.uri) as client:
        client.admin.command("createUser", "root", pwd="rootpw", roles=["root"])
        client.admin.command("createUser", "chemist", pwd="right", roles=["root"])
    own.stop()
    socket = str(own.socket)
    server = subprocess.Popen(
        [
            *(find_mongod(), "--auth", "--dbpath", str(own.data), "--bind_ip", socket),
            *("--nounixsocket", "--logpath", str(tmp_path / "auth.log")),
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        admin: MongoClient[dict[str, Any]] = MongoClient(
            own.uri, username="root", password="rootpw", serverSelectionTimeoutMS=60_000
        )
        uri = f"mongodb://chemist:right@{own.uri.rpartition('@')[2]}"
        other = Campaigns(tmp_path, uri)
        wait_until(lambda: admin.admin.command("ping"))
        other.waters(60)
        path = other.write(software={"xtb": slow_xtb(tmp_path, 0.3)})
        process = cli.start("run", path, "--quiet")
        documents = admin[other.database]["molecules"]
        wait_until(lambda: documents.count_documents(DONE) > 5)
        admin.admin.command("revokeRolesFromUser", "chemist", roles=["root"])
        wait_until(lambda: "the database refuses this user" in log_of(tmp_path))
        assert process.poll() is None
        admin.admin.command("grantRolesToUser", "chemist", roles=["root"])
        print(f"results again after {grows(lambda: documents.count_documents(DONE))} s")
        ends_well(process, tmp_path / "test.run")
        assert documents.count_documents(DONE) == 60
        assert "right@" not in log_of(tmp_path)
        admin.admin.command("updateUser", "chemist", pwd="wrong")
        documents.update_one({"_id": 1}, {"$unset": {"xtb": 1}})
        cli("run", path, code=3)
        assert "rejects the user name or the password" in cli.errors
        admin.close()
        other._client.close()
    finally:
        server.terminate()
        server.wait()


def test_a_database_that_is_away_stops_the_feed_only_when_the_spool_is_full(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    """A stopped server accepts connections and does not answer, as in a network that hangs."""
    own = Mongod(tmp_path / "own")
    own.start()
    try:
        other = Campaigns(tmp_path, own.uri)
        other.waters(150)
        path = other.write(limits={"spool": 1})
        process = cli.start("run", path, "--quiet")
        wait_until(lambda: other.documents.count_documents(DONE) > 5)
        pid = own.pid()
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_until(lambda: "the database cannot be reached" in log_of(tmp_path), 90)
            returned = tmp_path / "test.run" / "spool" / "returned"
            wait_until(lambda: list(returned.iterdir()))
        finally:
            os.kill(pid, signal.SIGCONT)
        print(f"results again after {grows(lambda: other.documents.count_documents(DONE))} s")
        ends_well(process, tmp_path / "test.run")
        assert other.documents.count_documents(DONE) == 150
        assert other.failures.count_documents({}) == 0
        other.close()
    finally:
        own.stop()


def test_a_disk_that_is_nearly_full_holds_the_run(
    campaigns: Campaigns, cli: Cli, tmpfs: Path
) -> None:
    campaigns.waters(100)
    path = campaigns.write(
        folder=str(tmpfs / "test.run"),
        limits={"disk": 30},
        software={"xtb": slow_xtb(campaigns.folder, 0.2)},
    )
    process = cli.start("run", path)
    done = lambda: campaigns.documents.count_documents(DONE)  # noqa: E731
    wait_until(lambda: done() > 5 or process.poll() is not None)
    (tmpfs / "other").write_bytes(bytes(45 << 20))
    wait_until(lambda: hold(cli).get("kind") == "disk" or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    assert "MB left" in status(cli)["master"]["trouble"]
    wait_until(lambda: not status(cli)["master"]["running"])
    assert done() < 100
    (tmpfs / "other").unlink()
    print(f"results again after {grows(done)} s")
    ends_well(process, tmpfs)
    assert campaigns.failures.count_documents({}) == 0


def test_a_folder_that_is_away_is_waited_for(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(60)
    path = campaigns.write(engine="local", software={"xtb": slow_xtb(campaigns.folder, 0.2)})
    process = cli.start("run", path, "--quiet")
    done = lambda: campaigns.documents.count_documents(DONE)  # noqa: E731
    wait_until(lambda: done() > 5 or process.poll() is not None)
    folder = campaigns.folder / "test.run"
    log = folder / "logs" / "master.log"
    away = folder.rename(campaigns.folder / "away")
    wait_until(
        lambda: (
            "cannot be used" in (away / "logs" / log.name).read_text() or process.poll() is not None
        )
    )
    assert process.poll() is None, process.communicate()
    away.rename(folder)
    print(f"results again after {grows(done)} s")
    ends_well(process, campaigns.folder)
    assert done() == 60


def test_descriptors_that_run_out_hold_the_run(campaigns: Campaigns, cli: Cli) -> None:
    """The limit is lowered below what is open, as if many workers had connected."""
    campaigns.waters(60)
    path = campaigns.write(software={"xtb": slow_xtb(campaigns.folder, 0.2)})
    process = cli.start("run", path, "--quiet")
    done = lambda: campaigns.documents.count_documents(DONE)  # noqa: E731
    wait_until(lambda: done() > 5 or process.poll() is not None)
    master = master_of(process)
    before = resource.prlimit(master, resource.RLIMIT_NOFILE)
    opened = len(list(Path(f"/proc/{master}/fd").iterdir()))
    resource.prlimit(master, resource.RLIMIT_NOFILE, (opened + 1, before[1]))
    wait_until(lambda: hold(cli).get("kind") == "descriptors" or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    resource.prlimit(master, resource.RLIMIT_NOFILE, before)
    print(f"results again after {grows(done)} s")
    ends_well(process, campaigns.folder)
    assert campaigns.failures.count_documents({}) == 0


def test_a_run_that_is_not_to_wait_ends_with_the_reason(
    campaigns: Campaigns, cli: Cli, tmpfs: Path
) -> None:
    campaigns.waters(60)
    path = campaigns.write(
        folder=str(tmpfs / "test.run"),
        limits={"disk": 1},
        software={"xtb": slow_xtb(campaigns.folder, 0.2)},
    )
    process = cli.start("run", path, "--exit-on-trouble")
    wait_until(lambda: campaigns.documents.count_documents(DONE) > 2 or process.poll() is not None)
    folder = tmpfs / "test.run"
    folder.rename(tmpfs / "away")
    shutil.copytree(tmpfs / "away", folder, ignore=shutil.ignore_patterns("*.sock"))
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 3, (output, errors)
    assert "another folder has taken the place" in errors
    cli("run", path, code=(0, 1))
    assert campaigns.documents.count_documents(DONE) == 60


def test_a_service_manager_hears_of_a_run(campaigns: Campaigns, cli: Cli, tmp_path: Path) -> None:
    campaigns.waters(20)
    path = campaigns.write(software={"xtb": slow_xtb(tmp_path, 0.5)})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
        process = cli.start("run", path, "--quiet", env=environ)
        heard: list[str] = []
        while heard.count("WATCHDOG=1") < 2:
            heard.append(manager.recv(4096).decode())
        assert heard[0] == "READY=1"
        assert any(line.startswith("STATUS=") and "/20 done" in line for line in heard)
        process.send_signal(signal.SIGTERM)
        while "STOPPING=1" not in heard:
            heard.append(manager.recv(4096).decode())
        assert process.wait(timeout=60) == 128 + signal.SIGTERM
