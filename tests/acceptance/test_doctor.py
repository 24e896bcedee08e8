"""`wqmaster doctor` as a process, on real faults."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.condor.pool import Pool
from tests.conftest import Campaigns, Cli, master_of, wait_until
from wqmaster.database.private_server import Mongod, find_mongod

WRONG = 3
FILE_IS_WRONG = 2


class Findings:
    """What the doctor printed, by subject."""

    def __init__(self, text: str) -> None:
        self.all: list[dict[str, Any]] = json.loads(text)["findings"]

    def __getitem__(self, subject: str) -> dict[str, Any]:
        found = [one for one in self.all if one["subject"] == subject]
        assert len(found) == 1, (subject, self.all)
        return found[0]

    def wrong(self) -> list[str]:
        """The subjects that are wrong."""
        return [one["subject"] for one in self.all if one["state"] == "wrong"]


def doctor(
    cli: Cli,
    path: Path | None,
    code: int | tuple[int, ...] = 0,
    env: Mapping[str, str] | None = None,
) -> Findings:
    """Run `wqmaster doctor`, which must exit with `code` and print a fix with each problem."""
    words = ["doctor", "--json", *([str(path)] if path else [])]
    found = Findings(cli(*words, code=code, env=env))
    for one in found.all:
        assert one["state"] in ("ok", "warning", "wrong")
        assert (one["fix"] is None) == (one["state"] == "ok"), one
    return found


def program(folder: Path, name: str, text: str) -> dict[str, str]:
    """Write the program `name` into `folder`; return variables that put it first on the PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def has_ndcctools() -> bool:
    return shutil.which("work_queue_worker") is not None


needs_ndcctools = pytest.mark.skipif(not has_ndcctools(), reason="ndcctools is not installed")


# --- all is well -------------------------------------------------------------------------------


def test_a_sound_campaign_has_no_faults_and_is_left_unchanged(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(2)
    database = campaigns.documents.database
    before = list(campaigns.documents.find())
    path = campaigns.write()
    files = sorted(path.parent.iterdir())
    found = doctor(cli, path)
    assert found["database"]["seen"].startswith(
        f"MongoDB {database.client.server_info()['version']} at "
    )
    for subject in ("campaign", "python", "clock of the database", "database, writing", "xtb"):
        assert found[subject]["state"] == "ok"
    assert database.list_collection_names() == ["molecules"]
    assert list(campaigns.documents.find()) == before
    assert sorted(path.parent.iterdir()) == files


def test_the_doctor_knows_the_indexes_that_a_run_creates(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    path = campaigns.write()
    assert "2 of 2 indexes missing" in doctor(cli, path)["indexes"]["seen"]
    cli("run", path)
    found = doctor(cli, path)
    assert found["indexes"]["seen"].endswith("has all 2 indexes")
    assert found["password"]["state"] == "ok"
    assert found["refused workers"]["state"] == "ok"
    failures = campaigns.failures
    keys = [("campaign", 1), ("collection", 1), ("document", 1), ("attempt", 1)]
    failures.drop_index(keys)
    failures.create_index(keys)
    assert doctor(cli, path, WRONG).wrong() == ["indexes"]


@pytest.mark.parametrize(("version", "is_too_old"), [("6.2.3", True), ("6.10.0", False)])
def test_a_program_that_the_parsers_are_too_new_for_is_wrong(
    campaigns: Campaigns, cli: Cli, tmp_path: Path, version: str, is_too_old: bool
) -> None:
    campaigns.waters(1)
    script = f"#!/bin/sh\necho '   * xtb version {version} (5a1b2c3) compiled by x'\n"
    env = program(tmp_path / "programs", "xtb", script)
    found = doctor(cli, campaigns.write(), WRONG if is_too_old else 0, env)["xtb"]
    assert found["state"] == ("wrong" if is_too_old else "ok")
    assert f"xtb version {version}" in found["seen"]
    if is_too_old:
        assert found["code"] == "program-unsuitable"
        assert found["fix"].startswith("install xtb 6.3 or newer (")


@needs_ndcctools
def test_without_a_campaign_the_machine_is_examined(cli: Cli) -> None:
    found = doctor(cli, None)
    for engine, worker in (("Work Queue", "work_queue_worker"), ("TaskVine", "vine_worker")):
        version, protocol = found[engine]["seen"].removeprefix("ndcctools ").split(", protocol ")
        assert found[worker]["state"] == "ok"
        assert found[worker]["seen"].endswith(f": {version}, protocol {int(protocol)}")
    assert "database" not in [one["subject"] for one in found.all]
    said = cli("doctor")
    assert [line.split()[0] for line in said.splitlines() if not line.startswith(" ")] == [
        "ok" if one["state"] == "ok" else "warning" for one in found.all
    ]


# --- the campaign file -------------------------------------------------------------------------


def test_a_wrong_campaign_file_is_reported_along_with_the_machine(
    campaigns: Campaigns, cli: Cli
) -> None:
    path = campaigns.write("campaign: test\ncampaign_confg: {}\n")
    found = doctor(cli, path, FILE_IS_WRONG)
    assert found["campaign"]["seen"].startswith(f"{path}:2: ")
    assert found["python"]["state"] == "ok"
    found = doctor(cli, campaigns.folder / "none.yaml", FILE_IS_WRONG)
    assert "there is no such campaign file" in found["campaign"]["seen"]
    config = campaigns.settings()["campaign_config"]
    path = campaigns.write(campaign_config={**config, "func_name": "wqmaster.tasks.xtb.singlpoint"})
    found = doctor(cli, path, FILE_IS_WRONG)
    assert "did you mean 'wqmaster.tasks.xtb.singlepoint'?" in found["campaign"]["seen"]
    assert found["database"]["state"] == "ok"


# --- engines and workers -----------------------------------------------------------------------


@needs_ndcctools
def test_workers_of_another_version_are_recognized_by_their_first_message_to_a_manager(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.waters(1)
    path = campaigns.write(engine="work_queue")
    old = "#!/bin/sh\necho 'work_queue_worker version 6.2.1 FINAL (released 2017)'\n"
    found = doctor(cli, path, WRONG, program(tmp_path / "bin", "work_queue_worker", old))
    assert found.wrong() == ["work_queue_worker"]
    assert (
        f"{tmp_path}/bin/work_queue_worker: 6.2.1; it did not contact a manager"
        in (found["work_queue_worker"]["seen"])
    )
    talks = f"""#!{sys.executable}
import socket, sys
if "--version" in sys.argv:
    print("work_queue_worker version 7.4.16 FINAL")
else:
    with socket.create_connection((sys.argv[-2], int(sys.argv[-1]))) as manager:
        manager.sendall(b"workqueue 9 node17 Linux x86_64 7.4.16\\n")
        manager.recv(1)
"""
    env = program(tmp_path / "bin", "work_queue_worker", talks)
    found = doctor(cli, path, WRONG, env)
    assert "7.4.16, protocol 9; a manager of ndcctools 7" in found["work_queue_worker"]["seen"]
    assert "refuses it" in found["work_queue_worker"]["seen"]
    # For a campaign that does not use Work Queue, the finding is only a warning.
    found = doctor(cli, campaigns.write(engine="taskvine"), 0, env)
    assert found["work_queue_worker"]["state"] == "warning"
    bare = {"PATH": str(tmp_path / "empty")}
    found = doctor(cli, campaigns.write(engine="taskvine"), WRONG, bare)
    assert {"vine_worker", "vine_factory"} <= set(found.wrong())


@needs_ndcctools
def test_the_worker_that_is_sent_is_examined(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.waters(1)
    workers = {"type": "condor", "worker": "other-worker", "host": "127.0.0.1"}
    path = campaigns.write(engine="work_queue", workers=workers)
    assert "does not exist" in doctor(cli, path, WRONG)["worker sent"]["seen"]
    worker = tmp_path / "other-worker"
    shutil.copy(shutil.which("vine_worker") or "", worker)
    worker.chmod(0o644)
    assert doctor(cli, path, WRONG)["worker sent"]["fix"] == f"chmod +x {worker}"
    worker.chmod(0o755)
    found = doctor(cli, path, WRONG)
    # A vine_worker was given as the worker for Work Queue.
    assert "refuses it" in found["worker sent"]["seen"]
    # Programs built on Debian 13 need its glibc, which Enterprise Linux does not have.
    told = found["worker's glibc"]
    needed = tuple(map(int, told["seen"].partition("needs glibc ")[2].split(":")[0].split(".")))
    assert (told["state"] == "ok") == (needed <= (2, 28))
    # The same holds for a packed copy of the worker.
    folder = tmp_path / "packed"
    (folder / "bin").mkdir(parents=True)
    shutil.copy(worker, folder / "bin" / "xtb")
    cli("software", "pack", "xtb", "--from", folder, "--run=--version")
    for image, state in (("htc/debian:13", "ok"), ("ubuntu-18.04", "wrong")):
        path = campaigns.write(
            engine="work_queue",
            workers={**workers, "image": image},
            software={"xtb": {"command": "bin/xtb", "archive": "xtb.tar.gz"}},
        )
        found = doctor(cli, path, WRONG)
        assert found["worker's glibc"]["state"] == state
        assert found["glibc of xtb.tar.gz"]["state"] == state


# --- the campaign's programs -------------------------------------------------------------------


def test_missing_broken_and_mistaken_programs_are_reported(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.waters(1)
    found = doctor(cli, campaigns.write(software={"xtb": "/opt/no/xtb"}), WRONG)
    assert found.wrong() == ["/opt/no/xtb"]
    env = program(
        tmp_path / "bin", "xtb", "#!/bin/sh\necho 'libopenblas.so.0: not found' >&2; exit 127\n"
    )
    found = doctor(cli, campaigns.write(), WRONG, env)
    assert "does not run: libopenblas.so.0: not found" in found["xtb"]["seen"]
    reader = "#!/usr/bin/python3\nimport gi\nfrom gi.repository import Atspi\n# Orca Team\n"
    config = {
        "func_name": "wqmaster.tasks.orca.sequential",
        "args": [{"name": "sp", "route": "! HF STO-3G", "parsers": ["total_energy"]}],
        "kwargs": {"mongo_output_key": "orca"},
    }
    path = campaigns.write(campaign_config=config, submit={"query": {}})
    found = doctor(cli, path, WRONG, program(tmp_path / "bin", "orca", reader))
    assert found.wrong() == ["orca"]
    assert "screen reader" in found["orca"]["seen"]
    # Workers on other machines use the programs there, so the finding is only a warning.
    path = campaigns.write(campaign_config=config, workers="none", engine="work_queue")
    if has_ndcctools():
        assert doctor(cli, path, 0, program(tmp_path / "bin", "orca", reader))["orca"]["state"] == (
            "warning"
        )
    # Of two programs that the campaign needs, only one is sent, so the other is reported.
    both = {
        "func_name": "wqmaster.tasks.command.run",
        "args": [{"name": name, "command": [name]} for name in ("sent", "absent")],
        "kwargs": {"mongo_output_key": "both"},
    }
    sent = {"sent": {"command": "bin/sent", "url": "https://example.org/sent.tar.gz"}}
    path = campaigns.write(campaign_config=both, submit={"query": {}}, software=sent)
    found = doctor(cli, path, WRONG)
    assert found.wrong() == ["absent"]
    assert "sent (url)" in found["programs"]["seen"]


# --- the folder and its secrets ----------------------------------------------------------------


def test_a_folder_of_another_user_is_reported(campaigns: Campaigns, cli: Cli) -> None:
    path = campaigns.write(folder="closed/run", database={})
    closed = cli.folder / "closed"
    (closed / "run" / "mongod" / "data").mkdir(parents=True)
    # Only without its capabilities is root bound by file modes.
    bound = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if os.getuid() == 0 else []
    if bound and shutil.which("setpriv") is None:
        pytest.skip("run as root, and setpriv is not installed")

    def said(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [*bound, sys.executable, "-m", "wqmaster", *words, str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cli.folder)

    closed.chmod(0)
    try:
        found = said("doctor", "--json")
        assert found.returncode == WRONG
        assert Findings(found.stdout)["folder"]["seen"].endswith(
            "is not writable: Permission denied"
        )
        status = said("status")
    finally:
        closed.chmod(0o755)
    assert (status.returncode, status.stdout) == (WRONG, "")
    (line,) = status.stderr.splitlines()
    assert line.startswith(f"wqmaster: {closed}/run/mongod/data: Permission denied; ")


def test_secrets_that_others_can_read_are_reported_and_the_fix_protects_them(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(1)
    path = campaigns.write(engine={"type": "local", "ssl": True})
    folder = campaigns.folder / "test.run"
    folder.mkdir()
    for name, mode in (("password", 0o644), ("ssl.key", 0o640)):
        (folder / name).write_text("secret")
        (folder / name).chmod(mode)
    key, made = folder / "ssl.key", folder / "ssl.cert"

    def certificate(days: int) -> None:
        command = [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-batch"),
            *("-days", str(days), "-keyout", str(key), "-out", str(made)),
        ]
        subprocess.run(command, check=True, capture_output=True)

    certificate(365)
    key.chmod(0o640)
    found = doctor(cli, path, WRONG)
    assert found.wrong() == ["password", "key"]
    assert "has mode 0644: others can read it" in found["password"]["seen"]
    for subject in found.wrong():
        subprocess.run(["sh", "-c", found[subject]["fix"]], check=True)
    assert doctor(cli, path).wrong() == []
    certificate(1)
    (folder / "password").write_text("")
    found = doctor(cli, path, WRONG)
    assert "is empty" in found["password"]["seen"]
    assert "has expired" in found["certificate"]["seen"]
    if os.getuid() == 0:
        (folder / "password").write_text("secret")
        os.chown(folder / "password", 12345, -1)
        assert "belongs to user 12345" in doctor(cli, path, WRONG)["password"]["seen"]


def test_a_full_or_read_only_disk_is_reported(campaigns: Campaigns, cli: Cli, tmpfs: Path) -> None:
    campaigns.waters(1)
    path = campaigns.write(folder=str(tmpfs / "run"))
    found = doctor(cli, path, WRONG)  # the tmpfs has only 64 MB
    assert found.wrong() == ["disk"]
    assert f"MB free in {tmpfs}" in found["disk"]["seen"]
    subprocess.run(["mount", "-o", "remount,ro", str(tmpfs)], check=True)
    found = doctor(cli, path, WRONG)
    assert "is not writable: Read-only file system" in found["folder"]["seen"]
    path = campaigns.write(folder=str(path / "run"))
    assert "is not a folder" in doctor(cli, path, WRONG)["folder"]["seen"]


# --- the machine's limits ----------------------------------------------------------------------


@needs_ndcctools
def test_a_limit_of_open_files_below_the_number_of_workers_is_reported(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(1)
    path = campaigns.write(engine="work_queue", workers={"type": "slurm", "max": 5000})
    wqmaster = [sys.executable, "-m", "wqmaster", "doctor", "--json", str(path)]
    limited = ["sh", "-c", 'ulimit -Sn 300 && exec "$@"', "sh", *wqmaster]
    done = subprocess.run(limited, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == WRONG, done.stderr
    found = Findings(done.stdout)
    assert "open files" in found.wrong()
    assert found["open files"]["seen"].startswith(
        "300 open files are allowed (ulimit -n), and 5,200 "
    )
    assert found["open files"]["fix"] == "ulimit -n 5200"
    limited[2] = limited[2].replace("-Sn", "-n")
    done = subprocess.run(limited, capture_output=True, text=True, check=False, timeout=60)
    assert "'workers: {max: 100}'" in Findings(done.stdout)["open files"]["fix"]


# --- the network -------------------------------------------------------------------------------


@needs_ndcctools
def test_a_port_in_use_by_another_program_is_reported(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        path = campaigns.write(engine={"type": "work_queue", "port": port})
        found = doctor(cli, path, WRONG)
        assert found.wrong() == ["port"]
        assert f"{port}: process {os.getpid()} (" in found["port"]["seen"]
    assert doctor(cli, path)["port"]["seen"] == f"{port} is free"


@needs_ndcctools
def test_the_port_and_refused_workers_of_a_running_master_are_reported(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    path = campaigns.write(
        engine={"type": "work_queue", "port": port}, workers={"type": "none", "host": "127.0.0.1"}
    )
    master = cli.start("run", path)

    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return True
        return False

    wait_until(listens)
    # The master refuses this real worker, whose password is wrong.
    (campaigns.folder / "other").write_text("no password of ours")
    worker = subprocess.Popen(
        [
            *("work_queue_worker", "--password", str(campaigns.folder / "other")),
            *("--workdir", str(campaigns.folder), "127.0.0.1", str(port)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: "state" in doctor(cli, path)["master"])
        wait_until(lambda: doctor(cli, path)["refused workers"]["state"] == "warning")
    finally:
        worker.kill()
        worker.wait()
    found = doctor(cli, path)
    assert "its password is not the one in" in found["refused workers"]["seen"]
    assert f"this campaign's master (process {master_of(master)}) listens" in found["port"]["seen"]


@needs_ndcctools
def test_a_host_name_that_workers_cannot_reach_is_reported(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    config = {"engine": {"type": "work_queue", "port": 0}}
    workers = {"type": "none", "host": "no-such-host.invalid"}
    found = doctor(cli, campaigns.write(**config, workers=workers), WRONG)
    assert "has no address" in found["address"]["seen"]
    found = doctor(cli, campaigns.write(**config, workers={**workers, "host": "127.0.0.1"}))
    assert "is a loopback address" in found["address"]["seen"]
    found = doctor(cli, campaigns.write(**config, workers={**workers, "host": "192.0.2.7"}))
    assert "is not an address of this machine" in found["address"]["seen"]
    # A fact that cannot be checked is not reported as ok.
    assert found["reachable"]["state"] == "warning"


@needs_ndcctools
def test_an_unreachable_catalog_and_one_that_lists_another_master_are_reported(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.waters(1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
    path = campaigns.write(engine={"type": "work_queue", "name": "twins"})
    env = {"CATALOG_HOST": place}
    assert doctor(cli, path, WRONG, env)["catalog"]["seen"].endswith("Connection refused")
    manager = "from ndcctools import work_queue\nqueue = work_queue.WorkQueue(0, name='twins')\n"
    commands = [
        [
            *("catalog_server", "-I", "127.0.0.1", "-p", place.rpartition(":")[2]),
            *("-u", "127.0.0.1", "-n", "localhost", "-H", str(tmp_path)),
        ],
        [sys.executable, "-c", f"{manager}while True: queue.wait(1)"],
    ]
    with contextlib.ExitStack() as stack:
        for command in commands:
            process = subprocess.Popen(
                command,
                cwd=tmp_path,
                env={**os.environ, **env},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            wait_until(lambda: doctor(cli, path, (0, WRONG), env)["catalog"]["state"] != "wrong")
        wait_until(
            lambda: (
                "lists another master as 'twins'" in doctor(cli, path, 0, env)["catalog"]["seen"]
            )
        )


# --- the database ------------------------------------------------------------------------------


def test_a_database_that_is_down_or_never_answers_is_reported(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        silent = server.getsockname()[1]
        processes = []
        for number, port in enumerate((1, silent)):
            uri = f"mongodb://chemist:topsecret@127.0.0.1:{port}"
            text = json.dumps(campaigns.settings(database={"uri": uri}))
            path = tmp_path / f"{number}.yaml"
            path.write_text(text)
            processes.append(cli.start("doctor", path))
        for process in processes:
            output, errors = process.communicate(timeout=60)
            assert process.returncode == WRONG
            assert "WRONG    database" in output
            assert "cannot be reached" in output
            assert "topsecret" not in output + errors
            assert "chemist" not in output + errors


@pytest.fixture
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """A server that requires passwords. Its users are `admin` and `reader`, who may only read."""
    server = Mongod(tmp_path_factory.mktemp("guarded"))
    server.data.mkdir()
    process = subprocess.Popen(
        [
            *(
                find_mongod(),
                "--auth",
                "--dbpath",
                str(server.data),
                "--bind_ip",
                str(server.socket),
            ),
            *("--wiredTigerCacheSizeGB", "0.25", "--logpath", str(server.log)),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        with MongoClient[dict[str, Any]](server.uri) as client:
            client.admin.command("createUser", "admin", pwd="adminpw", roles=["root"])
        uri = server.uri.replace("//", "//admin:adminpw@")
        with MongoClient[dict[str, Any]](uri) as client:
            client.admin.command("createUser", "reader", pwd="readerpw", roles=["readAnyDatabase"])
            client["chem"]["molecules"].insert_one({"_id": 1})
        yield server
    finally:
        process.kill()
        process.wait()


def test_a_read_only_and_an_unknown_user_are_reported(
    campaigns: Campaigns, cli: Cli, guarded: Mongod
) -> None:
    def uri(user: str) -> dict[str, str]:
        return {"uri": guarded.uri.replace("//", f"//{user}@"), "name": "chem"}

    found = doctor(cli, campaigns.write(database=uri("reader:readerpw")), WRONG)
    assert found.wrong() == ["database, writing"]
    assert "not authorized on chem" in found["database, writing"]["seen"]
    assert "readWrite" in found["database, writing"]["fix"]
    assert "readerpw" not in json.dumps(found.all)
    assert doctor(cli, campaigns.write(database=uri("admin:adminpw"))).wrong() == []
    with MongoClient[dict[str, Any]](uri("admin:adminpw")["uri"]) as client:
        assert client["chem"].list_collection_names() == ["molecules"]
        assert list(client["chem"]["molecules"].find()) == [{"_id": 1}]
    found = doctor(cli, campaigns.write(database=uri("reader:wrongpw")), WRONG)
    assert found.wrong() == ["database"]
    assert "rejects the user name or the password" in found["database"]["seen"]
    assert "wrongpw" not in json.dumps(found.all)


def test_a_private_server_that_cannot_be_started_is_reported(
    campaigns: Campaigns, cli: Cli
) -> None:
    path = campaigns.write(database={})
    found = doctor(cli, path, WRONG, {"WQMASTER_MONGOD": "/nowhere/mongod"})
    assert found.wrong() == ["mongod"]
    assert "does not exist yet; a run starts it" in found["database"]["seen"]
    assert not (campaigns.folder / "test.run").exists()


# --- HTCondor and SLURM ------------------------------------------------------------------------


@needs_ndcctools
def test_a_missing_batch_system_is_reported(campaigns: Campaigns, cli: Cli, tmp_path: Path) -> None:
    campaigns.waters(1)
    cluster = tmp_path / "slurm.conf"
    cluster.write_text(
        "ClusterName=none\nSlurmctldHost=localhost(127.0.0.1)\nSlurmctldPort=1\nMessageTimeout=1\n"
        "NodeName=localhost\nPartitionName=none Nodes=localhost\n"
    )
    nowhere = {"CONDOR_CONFIG": str(tmp_path / "none"), "SLURM_CONF": str(cluster)}
    for kind, subject in (("condor", "HTCondor"), ("slurm", "SLURM")):
        workers = {"type": kind, "host": "127.0.0.1"}
        path = campaigns.write(engine="work_queue", workers=workers)
        assert subject in doctor(cli, path, WRONG, nowhere).wrong()
        bare = {"PATH": str(tmp_path)}
        assert "not on the PATH" in doctor(cli, path, WRONG, bare)[subject]["seen"]


@pytest.mark.skipif(shutil.which("condor_master") is None, reason="HTCondor is not installed")
@needs_ndcctools
def test_an_access_point_that_forbids_getenv_and_holds_workers_is_reported(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.waters(1)
    pool = Pool(cpus=2)
    try:
        pool.start()
        path = campaigns.write(engine="work_queue", workers={"type": "condor", "host": "127.0.0.1"})
        found = doctor(cli, path, 0, pool.environment)
        assert found["condor_submit"]["state"] == "ok"
        assert found["held workers"]["seen"] == "none"
        path = campaigns.write(
            engine="work_queue",
            workers={"type": "condor", "host": "127.0.0.1", "requirements": "Memory ==== (("},
        )
        found = doctor(cli, path, WRONG, pool.environment)
        assert found.wrong() == ["condor_submit"]
        assert "Parse error in expression" in found["condor_submit"]["seen"]
        path = campaigns.write(engine="work_queue", workers={"type": "condor", "host": "127.0.0.1"})
        held = tmp_path / "held.submit"
        held.write_text(
            "executable = /bin/true\narguments = work_queue_worker localhost 9123\n"
            "transfer_executable = false\nhold = true\nqueue 2\n"
        )
        pool.tool("condor_submit", held)
        config = Path(pool.environment["CONDOR_CONFIG"])
        demands = (
            "\nSUBMIT_ALLOW_GETENV = false\nSUBMIT_REQUIREMENT_NAMES = Payer\n"
            "SUBMIT_REQUIREMENT_Payer = ProjectName =!= undefined\n"
        )
        config.write_text(config.read_text() + demands)
        pool.tool("condor_reconfig")
        found = wait_until(
            lambda: next(
                (
                    found
                    for found in [doctor(cli, path, WRONG, pool.environment)]
                    if found["queue requirements"]["state"] == "warning"
                ),
                None,
            )
        )
        assert "SUBMIT_ALLOW_GETENV" in found["condor_submit"]["seen"]
        assert "Payer: ProjectName" in found["queue requirements"]["seen"]
        assert "2 worker jobs are held" in found["held workers"]["seen"]
        subprocess.run(
            found["held workers"]["fix"].split(),
            env={**os.environ, **pool.environment},
            check=True,
            capture_output=True,
        )
        assert pool.tool("condor_q", "-constraint", "JobStatus == 5", "-af", "ClusterId") == ""
    finally:
        pool.stop()
