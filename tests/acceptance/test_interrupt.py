"""After Ctrl-C or SIGTERM, returned results are committed, and no process or job is left."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.acceptance.conftest import HeldXtb, processes_of
from tests.conftest import WATER, Campaigns, Cli, wait_until
from wqmaster.engines.choosing import why_not

SLOTS = 2
COUNT = 6


@pytest.fixture
def path(campaigns: Campaigns, held_xtb: HeldXtb) -> Path:
    """A campaign with six documents, two slots, and an xtb that waits until the test lets it go."""
    campaigns.waters(COUNT)
    return campaigns.write(software=held_xtb.software)


def begin(cli: Cli, held_xtb: HeldXtb, *words: str | Path) -> "subprocess.Popen[str]":
    """Start `wqmaster run WORDS...` and wait until its first tasks are running."""
    process = cli.start("run", *words)
    wait_until(lambda: held_xtb.begun() == SLOTS or process.poll() is not None)
    assert process.poll() is None
    return process


def heard(process: "subprocess.Popen[str]") -> str:
    """The line with which the run acknowledges a signal."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("stopping"):
            return line
    raise AssertionError("the run did not report that it is stopping")


def ended(process: "subprocess.Popen[str]", cli: Cli) -> str:
    """Wait for a run to end without errors or leftover processes; return its last output."""
    process.wait(timeout=30)
    assert processes_of(cli.folder) == {}
    # communicate() would lose the output that heard() has buffered.
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stderr.read() == ""
    return process.stdout.read()


def done(campaigns: Campaigns) -> int:
    """The number of documents that have a result."""
    return campaigns.documents.count_documents({"xtb.gfn2.energy": {"$lt": 0}})


def spooled(cli: Cli) -> list[Path]:
    """The running and returned tasks in the spool."""
    spool = cli.folder / "test.run" / "spool"
    return [*(spool / "running").iterdir(), *(spool / "returned").iterdir()]


def continues_to_the_end(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb, path: Path, *, left: int
) -> None:
    """Assert that the same command completes the campaign, with one attempt at each document."""
    held_xtb.let_go()
    output = cli("run", path)
    assert f"done                 {COUNT} ({left} in this run" in output
    assert done(campaigns) == COUNT
    assert campaigns.documents.count_documents({"xtb.gfn2._run.attempt": 1}) == COUNT
    assert campaigns.failures.count_documents({}) == 0
    assert spooled(cli) == []
    assert processes_of(cli.folder) == {}


def test_ctrl_c_lets_running_tasks_end_and_the_same_command_continues(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb, path: Path
) -> None:
    process = begin(cli, held_xtb, path)
    process.send_signal(signal.SIGINT)
    assert heard(process) == (
        "stopping: running tasks may finish within 60 s, and what they return is stored; "
        "press Ctrl-C again to stop immediately\n"
    )
    held_xtb.let_go()
    output = ended(process, cli)
    assert process.returncode == 130
    assert "test: stopped" in output
    committed = done(campaigns)
    assert SLOTS <= committed < COUNT
    assert f"done                 {committed} ({committed} in this run)" in output
    assert f"pending              {COUNT - committed}" in output
    assert spooled(cli) == []
    continues_to_the_end(campaigns, cli, held_xtb, path, left=COUNT - committed)


def test_after_ctrl_c_no_further_task_starts(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb, path: Path
) -> None:
    process = begin(cli, held_xtb, path)
    process.send_signal(signal.SIGINT)
    heard(process)
    held_xtb.let_go()
    ended(process, cli)
    assert process.returncode == 130
    assert held_xtb.begun() == SLOTS
    assert done(campaigns) == SLOTS


def test_with_no_grace_ctrl_c_cancels_running_tasks(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb, path: Path
) -> None:
    process = begin(cli, held_xtb, path, "--grace", "0")
    process.send_signal(signal.SIGINT)
    assert "running tasks may finish within 0 s" in heard(process)
    output = ended(process, cli)
    assert process.returncode == 130
    assert f"pending              {COUNT}" in output
    assert (done(campaigns), spooled(cli)) == (0, [])
    continues_to_the_end(campaigns, cli, held_xtb, path, left=COUNT)


def test_ctrl_c_twice_stops_immediately(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb, path: Path
) -> None:
    process = begin(cli, held_xtb, path)
    process.send_signal(signal.SIGINT)
    heard(process)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    said = heard(process)
    assert said == "stopping immediately; returned tasks stay in the spool for the next run\n"
    ended(process, cli)
    assert time.monotonic() - started < 5
    assert process.returncode == 130
    assert done(campaigns) == 0
    continues_to_the_end(campaigns, cli, held_xtb, path, left=COUNT)


def test_sigterm_drains_with_its_own_exit_code(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb, path: Path
) -> None:
    # The grace period does not apply.
    process = begin(cli, held_xtb, path, "--quiet", "--grace", "0")
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("draining: running tasks may finish")
    held_xtb.let_go()
    ended(process, cli)
    assert process.returncode == 143
    assert SLOTS <= done(campaigns) < COUNT
    assert spooled(cli) == []


@pytest.mark.skipif(why_not("work_queue") is not None, reason=str(why_not("work_queue")))
def test_ctrl_c_twice_ends_the_workers_of_work_queue_too(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb, path: Path
) -> None:
    process = begin(cli, held_xtb, path, "--engine", "work_queue")
    assert any("work_queue_worker" in line for line in processes_of(cli.folder).values())
    process.send_signal(signal.SIGINT)
    heard(process)
    process.send_signal(signal.SIGINT)
    ended(process, cli)
    assert process.returncode == 130
    assert done(campaigns) == 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_while_the_private_server_starts_leaves_no_server(
    number: signal.Signals, code: int, campaigns: Campaigns, cli: Cli
) -> None:
    path = campaigns.write(database={})
    process = cli.start("run", path)
    try:
        lock = cli.folder / "test.run" / "mongod" / "data" / "mongod.lock"
        wait_until(lambda: lock.exists() and lock.read_text())
        process.send_signal(number)
        process.communicate(timeout=30)
        assert processes_of(cli.folder) == {}
        assert process.returncode == code
    finally:
        process.kill()
        cli("db", "stop", path)


def test_ctrl_c_while_connecting_to_the_database_exits_with_130(
    campaigns: Campaigns, cli: Cli
) -> None:
    path = campaigns.write(database={"uri": "mongodb://127.0.0.1:1/"})
    process = cli.start("run", path)
    wait_until((cli.folder / "test.run" / "logs" / "master.log").exists)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert "Traceback" not in errors
    assert process.returncode == 130
    assert processes_of(cli.folder) == {}


def test_ctrl_c_ends_smoke_and_what_it_started(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb, tmp_path: Path
) -> None:
    campaigns.insert({"_id": "water", **WATER})
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    path = campaigns.write(software=held_xtb.software)
    process = cli.start("smoke", path, env={"TMPDIR": str(temporary)})
    wait_until(held_xtb.begun)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert "Traceback" not in errors
    assert processes_of(cli.folder) == {}
    assert list(temporary.iterdir()) == []
    assert process.returncode == 130


def test_many_documents_without_a_molecule_do_not_delay_ctrl_c(
    campaigns: Campaigns, cli: Cli
) -> None:
    many = 30_000
    campaigns.insert(*({"_id": number, "atomic_numbers": [1]} for number in range(many)))
    process = cli.start("run", campaigns.write())
    wait_until(lambda: campaigns.failures.count_documents({}))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert campaigns.failures.count_documents({}) < many
