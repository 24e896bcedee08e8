"""A run tells a program or an address what happens, and Prometheus its numbers."""

import http.server
import json
import os
import signal
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.conftest import HeldXtb, processes_of
from tests.conftest import Campaigns, Cli, master_of, wait_until

COUNT = 4
TOKEN = "s3cr3t-token"


def hook(folder: Path, body: str) -> str:
    """A program for `notify:`, as the campaign file names it."""
    program = folder / "hook"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return "./hook"


def events(folder: Path) -> list[dict[str, Any]]:
    path = folder / "events"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def test_a_program_hears_of_a_pause_and_of_the_end(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb, tmp_path: Path
) -> None:
    campaigns.waters(COUNT)
    told = '{ cat; echo; } >> events; echo "$WQMASTER_EVENT $WQMASTER_CAMPAIGN $1" >> words'
    path = campaigns.write(
        software=held_xtb.software, notify={"command": f"{hook(tmp_path, told)} 'two words'"}
    )
    process = cli.start("run", path)
    wait_until(held_xtb.begun)
    cli("pause", path, "--reason", "lunch")
    [paused] = wait_until(lambda: events(tmp_path))
    assert (paused["event"], paused["hold"]["kind"]) == ("paused", "pause")
    assert "lunch" in paused["message"]
    assert paused["pid"] == master_of(process)
    held_xtb.let_go()
    cli("resume", path)
    process.communicate(timeout=60)
    assert process.returncode == 0
    finished = events(tmp_path)[-1]
    assert (finished["event"], finished["done"], finished["failed"]) == ("finished", COUNT, 0)
    assert (tmp_path / "words").read_text().splitlines() == [
        "paused test two words",
        "finished test two words",
    ]
    assert processes_of(cli.folder) == {}


def test_a_program_that_hangs_is_killed_and_disturbs_nothing(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.waters(COUNT)
    command = hook(tmp_path, "trap '' TERM; echo $$ > began; exec sleep 1000")
    path = campaigns.write(notify={"command": command, "timeout": 1})
    output = cli("run", path)
    assert f"done                 {COUNT} " in output
    log = (tmp_path / "test.run" / "logs" / "notify.log").read_text()
    assert "finished: the program did not end within 1 s and was killed" in log
    assert (tmp_path / "began").exists()
    assert processes_of(cli.folder) == {}


def test_a_program_that_fails_disturbs_nothing_and_one_that_is_missing_is_refused(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.waters(COUNT)
    path = campaigns.write(notify={"command": "./nothing"})
    remarks = json.loads(cli("check", path, "--json"))["remarks"]
    assert [remark["code"] for remark in remarks] == ["program-missing"]
    findings = json.loads(cli("doctor", path, "--json", code=3))["findings"]
    found = {one["subject"]: (one["state"], one["code"]) for one in findings}
    assert found["notify"] == ("wrong", "program-missing")
    cli("run", path, code=2)
    assert "nothing' does not exist" in cli.errors
    assert campaigns.documents.count_documents({"xtb": {"$exists": True}}) == 0
    path = campaigns.write(notify={"command": hook(tmp_path, "echo no mail server >&2; exit 7")})
    cli("run", path)
    log = (tmp_path / "test.run" / "logs" / "notify.log").read_text()
    assert "exit code 7: no mail server" in log


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted."""

    received: ClassVar[list[tuple[str, dict[str, Any]]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((self.path, json.loads(body)))
        self.send_response(302 if "moved" in self.path else 204)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def receiver() -> Iterator[str]:
    """The address of an HTTP server on this machine."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    Receiver.received.clear()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_address_receives_the_event_and_its_token_is_never_shown(
    campaigns: Campaigns, cli: Cli, receiver: str, tmp_path: Path
) -> None:
    campaigns.waters(COUNT)
    path = campaigns.write(notify={"url": "${HOOK}", "on": ["finished"]})
    for place in (f"/{TOKEN}", f"/moved/{TOKEN}"):
        campaigns.documents.update_many({}, {"$unset": {"xtb": ""}})
        output = cli("run", path, env={"HOOK": receiver + place})
        assert TOKEN not in output + cli.errors
    # A redirect is not followed, since the token could reach another host.
    assert [place for place, _ in Receiver.received] == [f"/{TOKEN}", f"/moved/{TOKEN}"]
    assert [event["event"] for _, event in Receiver.received] == ["finished", "finished"]
    logs = "".join(log.read_text() for log in (tmp_path / "test.run" / "logs").iterdir())
    assert "HTTP 204" in logs
    assert "HTTP 302" in logs
    assert TOKEN not in logs
    # Nobody listens there, and an address without TLS is refused without being quoted.
    campaigns.documents.update_many({}, {"$unset": {"xtb": ""}})
    cli("run", path, env={"HOOK": f"https://127.0.0.1:1/{TOKEN}"})
    cli("run", path, env={"HOOK": f"http://example.org/{TOKEN}"}, code=2)
    assert "https://" in cli.errors
    assert TOKEN not in cli.errors
    logs = "".join(log.read_text() for log in (tmp_path / "test.run" / "logs").iterdir())
    assert "the address cannot be reached" in logs
    assert TOKEN not in logs


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def scraped(port: int) -> dict[tuple[str, str], float]:
    """The samples by name and by the label besides the campaign."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        text = response.read().decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert sample.labels.pop("campaign") == "test"
            found[sample.name, "".join(sample.labels.values())] = sample.value
    return found


def test_prometheus_scrapes_a_run_even_while_its_master_is_stopped(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb
) -> None:
    campaigns.waters(COUNT)
    port = free_port()
    path = campaigns.write(software=held_xtb.software, metrics={"port": port})
    process = cli.start("run", path)
    wait_until(held_xtb.begun)
    found = wait_until(
        lambda: (now := scraped(port)).get(("wqmaster_tasks", "running")) == 2 and now
    )
    assert found["wqmaster_documents", "done"] == 0
    assert found["wqmaster_documents", "pending"] == COUNT - 2
    assert found["wqmaster_documents", "running"] == 2
    assert found["wqmaster_workers", ""] == 1
    assert found["wqmaster_worker_cores", ""] == 2
    assert found["wqmaster_troubled", ""] == 0
    assert found["wqmaster_sent_bytes_total", ""] > 0
    os.kill(master_of(process), signal.SIGSTOP)
    before = scraped(port)
    assert scraped(port) == before
    os.kill(master_of(process), signal.SIGCONT)
    cli("pause", path)
    held_xtb.let_go()
    found = wait_until(
        lambda: (now := scraped(port)).get(("wqmaster_jobs_done_total", "")) == 2 and now
    )
    assert found["wqmaster_held", "pause"] == 1
    # Only this machine can read the numbers.
    addresses = {
        entry[4][0] for entry in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
    }
    for address in addresses - {"127.0.0.1", "127.0.1.1"}:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, port), timeout=1).close()
    # A second run cannot use the port.
    other = campaigns.folder / "other"
    other.mkdir()
    (other / "campaign.yaml").write_text(
        path.read_text()
        .replace("campaign: test", "campaign: other")
        .replace("xtb.gfn2", "o.gfn2")
        .replace("mongo_output_key: xtb", "mongo_output_key: o")
    )
    answer = json.loads(cli("status", other / "campaign.yaml", "--json"))
    assert answer["campaign"] == "other"
    cli("run", other / "campaign.yaml", code=3)
    assert f"port {port}" in cli.errors
    cli("resume", path)
    process.communicate(timeout=60)
    assert process.returncode == 0
    with pytest.raises(urllib.error.URLError):
        scraped(port)
    assert processes_of(cli.folder) == {}
