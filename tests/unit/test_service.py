"""The parts of a service, in this process: messages, pipes, dispatch, files, service.yaml."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from wqmaster.campaign.loading import LoadedCampaign, load
from wqmaster.campaign.models import Campaign
from wqmaster.campaign.service import load_service
from wqmaster.cli.status import _service_lines
from wqmaster.engines.base import EngineStats, Returned, TaskResult
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError, CampaignLocked, NothingMatches
from wqmaster.factory import Demand
from wqmaster.jobs.job import Input, Task
from wqmaster.run.progress import Progress, RunState
from wqmaster.run.service import proxy
from wqmaster.run.service.campaign_process import report_of
from wqmaster.run.service.dispatch import Dispatch
from wqmaster.run.service.folder import Change, Files, Stamp, in_folder, is_campaign_file
from wqmaster.run.service.messages import (
    Back,
    Begun,
    BlockHost,
    Cancel,
    Canceled,
    CancelWaiting,
    Finished,
    Report,
    Room,
    Start,
    State,
    Stop,
    Submit,
    Taken,
    Wants,
    from_campaign,
    to_campaign,
)
from wqmaster.run.service.proxy import BrokerGone, Link, ProxyStaff
from wqmaster.run.service.running import check_not_served
from wqmaster.run.service.seat import Order, Seat
from wqmaster.run.service.seat_state import SeatState
from wqmaster.run.service.service_file import ServiceFileWatch
from wqmaster.run.service.shared import shared_by
from wqmaster.run.service.status import published, typed_here
from wqmaster.run.service.table import _row, progress_of
from wqmaster.run.service.workforce import as_campaign, largest
from wqmaster.run.spool import Spool
from wqmaster.system.processes import this_process
from wqmaster.system.this_command import suggest_absolutely, this_command

RETURNED = Returned("t-1", TaskResult.OK, 0, "host", 1.0, 3.5, "said")
MINIMAL = {
    "campaign": "small",
    "campaign_config": {
        "func_name": "wqmaster.tasks.command.run",
        "args": [{"name": "one", "command": "true"}],
    },
}


def task(name: str, **more: Any) -> Task:
    return Task(name, 1, 60, **more)


# --- messages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        Back(returned=RETURNED),
        Canceled(tasks=("a", "b")),
        Room(tasks=3),
        State(stats=EngineStats(workers=2), trouble="no", waits_for_workers=True),
        Stop(grace=None),
    ],
)
def test_a_message_to_a_campaign_arrives_as_it_was_sent(message: Any) -> None:
    assert to_campaign(message.line()) == message


@pytest.mark.parametrize(
    "message",
    [
        Begun(recipe="r", target="t"),
        Submit(task=task("a", priority=3, memory=5), folder="/f"),
        Cancel(task="a"),
        CancelWaiting(),
        Taken(task="a"),
        BlockHost(host="h", seconds=5),
        Wants(tasks=None),
        Report(campaign="c", engine="local", state="running", failures={"x": 1}),
        Finished(message="m", code="c", exit_code=3),
    ],
)
def test_a_message_of_a_campaign_arrives_as_it_was_sent(message: Any) -> None:
    assert from_campaign(message.line()) == message


def test_a_task_arrives_with_its_shared_inputs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    message = Submit(task=task("a", inputs=(Input(tmp_path / "file", "name"),)), folder="/f")
    assert from_campaign(message.line()) == message
    (tmp_path / "file").unlink()
    with pytest.raises(FileNotFoundError):
        from_campaign(message.line())


@pytest.mark.parametrize("line", [b"", b"{", b'{"kind": "other"}', b'{"kind": "room"}', b"[]"])
def test_what_is_not_a_message_is_refused(line: bytes) -> None:
    for read in (to_campaign, from_campaign):
        with pytest.raises(ValueError, match="validation error"):
            read(line)


def test_a_reported_progress_is_shown_as_it_was() -> None:
    progress = Progress("c", "local", done_before=3, total=20, done=5, warned=1)
    progress.failures["scf"] = 2
    progress.state = RunState.STOPPING
    progress.limit_left = 7
    report = from_campaign(report_of(progress).line())
    assert isinstance(report, Report)
    assert report.limit_left == 7
    shown = progress_of(report, EngineStats())
    for name in ("all_done", "all_failed", "left", "total", "warned", "state", "failed"):
        assert getattr(shown, name) == getattr(progress, name), name


# --- the campaign's side -------------------------------------------------------------------------


class Broker:
    """The broker's ends of the pipes to a proxy."""

    def __init__(self) -> None:
        reads, self._writes = os.pipe()
        self._reads, writes = os.pipe()
        os.set_blocking(self._reads, False)
        self.link = Link(reads, writes)
        self._ours = [reads, writes]

    def tell(self, *messages: Any) -> None:
        os.write(self._writes, b"".join(one.line() for one in messages))

    def heard(self) -> list[Any]:
        try:
            lines = os.read(self._reads, 1 << 16).splitlines()
        except BlockingIOError:
            return []
        return [from_campaign(line) for line in lines]

    def hang_up(self) -> None:
        os.close(self._writes)
        self._writes = -1

    def close(self) -> None:
        for number in (*self._ours, self._reads, self._writes):
            if number >= 0:
                os.close(number)


@pytest.fixture
def broker() -> Iterator[Broker]:
    found = Broker()
    yield found
    found.close()


def staff(broker: Broker, *held: str, stops: list[float] | None = None) -> ProxyStaff:
    start = Start(path="c.yaml", text="", engine="taskvine", why="", port=9, held=held)
    return ProxyStaff(broker.link, start, 4, (stops if stops is not None else []).append)


def test_a_proxy_is_as_hungry_as_the_broker_allows(broker: Broker, tmp_path: Path) -> None:
    engine = staff(broker).engine
    assert (engine.name, engine.port, engine.hungry()) == ("taskvine", 9, 0)
    broker.tell(Room(tasks=2), Room(tasks=1))
    assert engine.hungry() == 3
    engine.submit(task("a"), tmp_path)
    assert engine.hungry() == 2
    assert broker.heard() == [Submit(task=task("a"), folder=str(tmp_path))]


def test_a_returned_task_is_acknowledged_when_it_is_spooled(broker: Broker) -> None:
    engine = staff(broker).engine
    broker.tell(Back(returned=RETURNED))
    assert engine.wait(5) == RETURNED
    assert broker.heard() == []
    assert engine.wait(0) is None
    assert broker.heard() == [Taken(task="t-1")]
    broker.tell(Back(returned=RETURNED))
    engine.wait(5)
    engine.close()
    assert broker.heard() == [Taken(task="t-1")]


def test_waiting_tasks_are_canceled_when_the_broker_has_answered(broker: Broker) -> None:
    engine = staff(broker).engine
    broker.tell(State(stats=EngineStats(), waits_for_workers=False), Canceled(tasks=("a",)))
    assert engine.cancel_waiting() == ["a"]
    assert broker.heard() == [CancelWaiting()]


def test_tasks_that_a_slow_broker_cancels_late_are_not_lost(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = staff(broker).engine
    monkeypatch.setattr(proxy, "_ANSWER_TIMEOUT_SECONDS", 0.0)
    assert engine.cancel_waiting() == engine.cancel_waiting() == []
    assert broker.heard() == [CancelWaiting()]
    broker.tell(Canceled(tasks=("a",)))
    engine.wait(0)
    assert engine.cancel_waiting() == ["a"]
    assert broker.heard() == [CancelWaiting()]


def test_a_proxy_passes_on_state_demand_blocks_and_stops(broker: Broker) -> None:
    stops: list[float] = []
    found = staff(broker, stops=stops)
    stats = EngineStats(workers=3, cores=6)
    broker.tell(State(stats=stats, trouble="full", waits_for_workers=True), Stop(grace=5.0))
    broker.tell(Stop(grace=None))
    found.engine.hungry()
    assert (found.engine.stats(), found.engine.trouble()) == (stats, "full")
    assert found.factory.awaited()
    assert stops == [5.0, float("inf")]
    found.engine.block_host("h", 9)
    for _ in range(2):
        found.factory.tell(Demand(9, 1))
    assert broker.heard() == [BlockHost(host="h", seconds=9), Wants(tasks=3)]


def test_a_campaign_ends_with_its_broker(broker: Broker) -> None:
    engine = staff(broker).engine
    broker.tell(Back(returned=RETURNED))
    assert engine.wait(5) == RETURNED
    broker.hang_up()
    with pytest.raises(BrokerGone):
        engine.wait(5)


def test_tasks_are_adopted_if_the_spool_has_them(broker: Broker, tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.prepare()
    for place in ("running/flying", "running/unknown", "returned/spooled"):
        (tmp_path / place).mkdir()
    found = staff(broker, "flying", "spooled", "gone")
    spool.prepare(found.held)
    assert found.adopt(spool) == ["flying"]
    assert [entry.name for entry in spool.running.iterdir()] == ["flying"]
    assert broker.heard() == [Cancel(task="gone"), Taken(task="spooled")]


def test_lines_after_the_first_are_not_lost(broker: Broker) -> None:
    broker.tell(Room(tasks=1), Room(tasks=2), Room(tasks=3))
    assert broker.link.first(5) == Room(tasks=1).line().rstrip()
    assert [to_campaign(line) for line in broker.link.hear(5)] == [Room(tasks=2), Room(tasks=3)]


# --- the order of tasks --------------------------------------------------------------------------


class Engine:
    """An engine with two slots and a reserve of two, which records what it is told."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.started: list[str] = []
        self.back: list[Returned] = []
        self.broken = False

    def submit(self, task: Task, folder: Path) -> None:
        if self.broken:
            raise OSError(28, "No space left on device")
        assert task.id not in self.tasks
        self.tasks[task.id] = task

    def dispatch(self) -> None:
        """Start waiting tasks, the last one first: managers keep no order."""
        while len(self.started) < 2 and self.waiting():
            self.started.append(self.waiting()[-1])

    def end(self, name: str) -> None:
        self.started.remove(name)
        del self.tasks[name]
        self.back.append(Returned(name, TaskResult.OK, 0, "h", 1.0, 2.0))

    def waiting(self) -> list[str]:
        return [name for name in self.tasks if name not in self.started]

    def hungry(self, priority: int | None = None) -> int:
        waiting = [self.tasks[name] for name in self.waiting()]
        counted = sum(priority is None or one.priority >= priority for one in waiting)
        return max(0, 2 + 2 - len(self.started) - counted)

    def cancel(self, name: str) -> None:
        del self.tasks[name]

    def wait(self, seconds: float) -> Returned | None:
        return self.back.pop(0) if self.back else None


class Hall:
    """A dispatch with its engine and campaigns, each of which has `count` tasks waiting."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.dispatch = Dispatch(self.engine)  # type: ignore[arg-type]
        self.seats: list[Seat] = []

    def add(self, name: str, count: int, priority: int = 0) -> Seat:
        seat = Seat(Order(name, f"{name}.yaml", "", priority=priority))
        self.dispatch.shares.set(name, priority, 1.0)
        for number in range(count):
            seat.submitted(task(f"{name}{number}"), Path("/f"))
        self.seats.append(seat)
        return seat

    def feed(self) -> list[str]:
        self.dispatch.feed(self.seats)
        return self.engine.waiting()


def test_the_engine_gets_no_more_than_it_is_hungry_for() -> None:
    hall = Hall()
    seat = hall.add("a", 9)
    assert hall.feed() == ["a0", "a1", "a2", "a3"]
    assert [one.task.id for one in seat.buffer] == ["a4", "a5", "a6", "a7", "a8"]
    assert len(seat.held) == 9


def test_waiting_tasks_of_a_lower_priority_are_taken_back() -> None:
    hall = Hall()
    low = hall.add("low", 9)
    hall.feed()
    hall.engine.dispatch()
    hall.feed()
    assert sorted(hall.engine.started) == ["low2", "low3"]
    high = hall.add("high", 1, priority=10)
    # The one of high priority is alone in the engine's queue, whatever order that keeps.
    assert hall.feed() == ["high0"]
    assert [one.task.id for one in low.buffer][:2] == ["low0", "low1"]
    hall.engine.end("low3")
    hall.engine.dispatch()
    assert "high0" in hall.engine.started
    assert hall.dispatch.wait(0) == (low, Returned("low3", TaskResult.OK, 0, "h", 1.0, 2.0))
    # Then the others go on; a task that was taken back has another id in the engine.
    assert hall.feed() == ["low0+1", "low1+1"]
    assert not high.buffer
    hall.engine.end("low2")
    hall.engine.dispatch()
    hall.engine.end("low1+1")
    names = [found[1].task_id for found in iter(lambda: hall.dispatch.wait(0), None)]
    assert names == ["low2", "low1"]


def test_a_task_is_canceled_wherever_it_is() -> None:
    hall = Hall()
    seat = hall.add("a", 6)
    hall.feed()
    hall.engine.dispatch()
    for name in ("a0", "a3", "a5", "unknown"):
        hall.dispatch.cancel(seat, name)
    assert sorted(seat.held) == ["a1", "a2", "a4"]
    assert sorted(hall.engine.tasks) == ["a1", "a2"]
    assert hall.dispatch.cancel_waiting(seat) == ["a4", "a1"]
    assert seat.held == ("a2",)


def test_no_waiting_task_of_a_stopping_campaign_starts() -> None:
    hall = Hall()
    seat = hall.add("a", 6)
    hall.feed()
    hall.engine.dispatch()
    # The campaign's process cancels its waiting tasks, but it can take its time.
    seat.stops = Stop(grace=None)
    hall.dispatch.recall(seat)
    hall.engine.end("a3")
    assert hall.feed() == []
    hall.engine.dispatch()
    assert hall.engine.started == ["a2"]
    assert sorted(hall.dispatch.cancel_waiting(seat)) == ["a0", "a1", "a4", "a5"]


def test_an_engine_that_cannot_take_a_task_is_asked_again_later() -> None:
    hall = Hall()
    hall.add("a", 1)
    hall.engine.broken = True
    hall.feed()
    assert hall.dispatch.trouble == ("tasks cannot be started: [Errno 28] No space left on device")


# --- a campaign's place at the broker ------------------------------------------------------------


def test_counts_add_up_over_the_processes_of_a_campaign() -> None:
    seat = Seat(Order("a", "a.yaml", "", limit=10))
    first = {"done_before": 4, "done": 3, "failures": {"scf": 1}, "total": 20, "limit_left": 5}
    seat.reported(Report(campaign="a", engine="local", state="running", **first))
    seat.submitted(task("a0"), Path("/f"))
    assert seat.limit_left == 4
    seat.died(-9)
    assert seat.state is SeatState.RESTARTING
    second = {"done_before": 7, "done": 2, "failures_before": {"scf": 1}, "total": 20}
    seat.reported(Report(campaign="a", engine="local", state="running", **second))
    total = seat.total_report()
    assert (total.done_before, total.done, total.failures, total.failures_before) == (
        *(4, 5, {"scf": 1}, {}),
    )
    assert seat.limit_left == 4


def test_jobs_that_the_broker_has_taken_back_are_pending() -> None:
    """Once, the last report of a campaign decided, and 39 jobs were running on two cores."""
    seat = Seat(Order("a", "a.yaml", ""))
    counts = {"done": 3, "sent": 39, "total": 60}
    seat.reported(Report(campaign="a", engine="local", state="stopping", **counts))
    shown = _row(seat, [1, 1], EngineStats(workers=2, cores=2), 2.0).published()
    assert (shown["done"], shown["running"], shown["pending"]) == (3, 2, 55)


def test_an_ended_service_shows_no_workers() -> None:
    found: dict[str, Any] = {
        "service": "ours",
        "pid": 7,
        "engine": "taskvine",
        "workers": 2,
        "cores": 2,
        "campaigns": [],
        "trouble": None,
        "refused": [],
        "running": True,
    }
    assert "2 workers" in "\n".join(_service_lines(found, Path("svc")))
    assert "2 workers" not in "\n".join(_service_lines({**found, "running": False}, Path("svc")))


def test_a_process_that_dies_again_and_again_is_started_less_often() -> None:
    seat = Seat(Order("a", "a.yaml", ""))
    pauses = []
    for _ in range(9):
        before = time.monotonic()
        seat.died(1)
        pauses.append(seat.restart_at - before)
    assert pauses == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60], abs=0.9)


# --- files ---------------------------------------------------------------------------------------


def test_hidden_files_and_backups_are_not_campaigns() -> None:
    names = ["a.yaml", "b.yml", ".a.yaml", "#a.yaml", "a.yaml~", "a.yaml.swp", "service.yaml"]
    assert [name for name in names if is_campaign_file(name)] == ["a.yaml", "b.yml"]


def test_a_file_is_taken_when_it_is_complete() -> None:
    now = [100.0]
    there: dict[Path, Stamp] = {}
    files = Files(lambda: dict(there), lambda: now[0])
    a = Path("a.yaml")

    def changes(after: float) -> list[tuple[Path, bool]]:
        now[0] += after
        return [(one.path, one.gone) for one in files.changes()]

    assert changes(0) == []
    there[a] = (1, 1, 10)
    assert changes(2) == []
    there[a] = (1, 2, 20)  # it is still being written
    assert changes(1.1) == []
    assert changes(1.1) == [(a, False)]
    assert changes(10) == []
    there[a] = (2, 2, 20)  # an editor replaced it
    assert changes(2) == []
    assert changes(1.1) == [(a, False)]
    del there[a]
    assert changes(2) == []
    there[a] = (2, 2, 20)  # it was gone for a moment only
    assert changes(1.1) == []
    del there[a]
    assert [changes(2), changes(1.1), changes(2)] == [[], [(a, True)], []]


def test_a_broken_link_is_reported_once_until_it_leads_to_a_file(tmp_path: Path) -> None:
    now = [100.0]
    target, link = tmp_path / "target", tmp_path / "a.yaml"
    link.symlink_to(target)
    files = Files(in_folder(tmp_path), lambda: now[0])

    def changes() -> list[Change]:
        found = []
        for _ in range(4):
            now[0] += 2.1
            found += files.changes()
        return found

    assert changes() == [Change(link, broken=True)]
    assert changes() == []
    target.touch()
    assert changes() == [Change(link)]
    target.unlink()
    assert changes() == [Change(link, broken=True)]
    link.unlink()
    assert changes() == [Change(link, gone=True)]


# --- service.yaml --------------------------------------------------------------------------------


def test_a_change_of_service_yaml_is_reported_until_it_is_undone(tmp_path: Path) -> None:
    now = [100.0]
    path = tmp_path / "service.yaml"
    path.write_text("service: ours\nworkers: {count: 1}\n")
    watch = ServiceFileWatch(load_service(path), lambda: now[0])

    def look(text: str | None = None) -> list[str]:
        if text is not None:
            path.write_text(text)
        found = []
        for _ in range(4):
            now[0] += 2.1
            found.append(watch.look())
        return [one for one in found if one is not None]

    assert look() == []
    assert look("# Only a comment.\nservice: ours\nworkers: {count: 1}\n") == []
    assert len(look("service: ours\nworkers: {count: 12}\n")) == 1
    assert watch.difference is not None
    [invalid] = look("service: ours\nnonsense: 1\n")
    assert f"{path}:2" in invalid
    assert look("service: ours\nworkers: {count: 1} # again\n") == []
    assert watch.difference is None
    path.unlink()
    assert len(look()) == 1
    assert watch.difference is not None


def test_a_service_without_service_yaml_watches_nothing() -> None:
    assert ServiceFileWatch(None).look() is None


def test_the_folder_of_single_served_files_names_one_of_them(tmp_path: Path) -> None:
    with pytest.raises(NothingMatches) as before:
        published(tmp_path)
    place = tmp_path / "a.run" / "service"
    place.mkdir(parents=True)
    # Whether a process of another machine lives is unknown, so it counts as running.
    status = {
        "pid": 1,
        "boot": "other",
        "state": "running",
        "campaigns": [{"file": f"{tmp_path}/a.yaml"}],
    }
    (place / "status.json").write_text(json.dumps(status))
    (tmp_path / "other" / "service").mkdir(parents=True)
    (tmp_path / "other" / "service" / "status.json").write_text("[1]")
    with pytest.raises(NothingMatches) as found:
        published(tmp_path)
    assert f"status {tmp_path}/a.yaml" in found.value.message
    assert before.value.code is found.value.code is ErrorCode.MASTER_NOT_RUNNING
    (place / "status.json").write_text(json.dumps({**status, "state": "ended"}))
    with pytest.raises(NothingMatches) as after:
        published(tmp_path)
    assert after.value.message == before.value.message


def test_a_served_file_is_shown_as_it_can_be_typed_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert typed_here(f"{tmp_path}/a.yaml", Path()) == "a.yaml"
    assert typed_here("/elsewhere/a.yaml", Path()) == "/elsewhere/a.yaml"
    # What an earlier version published.
    assert typed_here("a.yaml", Path()) == "a.yaml"


def test_the_commands_of_a_service_work_in_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WQMASTER_CALLED_BY", "./shell")
    suggest_absolutely()
    assert this_command() == f"{tmp_path}/shell wqmaster"
    monkeypatch.delenv("WQMASTER_CALLED_BY")
    suggest_absolutely()
    assert this_command() == "wqmaster"


def member(folder: Path, service: dict[str, Any], **campaign: Any) -> LoadedCampaign:
    """A campaign next to a service.yaml."""
    (folder / "service.yaml").write_text(yaml.safe_dump({"service": "group", **service}))
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({**MINIMAL, **campaign}, sort_keys=False))
    return load(path, {})


def test_a_campaign_next_to_service_yaml_uses_what_is_shared(tmp_path: Path) -> None:
    service = {"engine": "local", "workers": {"count": 3}, "database": {"name": "ours"}}
    found = member(tmp_path, service, database={"collection": "mine"})
    campaign = found.campaign
    assert (campaign.engine.type, campaign.workers.type) == ("local", "local")
    assert campaign.workers.model_dump()["count"] == 3
    assert (campaign.database.name, campaign.database.collection) == ("ours", "mine")
    assert found.folder == tmp_path / "small.run"
    assert found.workforce_folder == tmp_path / "service.run"
    assert found.mongod_folder == tmp_path / "service.run" / "mongod"
    # A campaign that already has results on a private server keeps it.
    (tmp_path / "small.run" / "mongod" / "data").mkdir(parents=True)
    assert found.mongod_folder == tmp_path / "small.run" / "mongod"


def test_a_campaign_with_its_own_server_takes_nothing_of_the_database(tmp_path: Path) -> None:
    database = {"uri": "mongodb://own", "name": "mine"}
    found = member(tmp_path, {"database": {"name": "ours"}}, database=database)
    assert found.campaign.database.name == "mine"


def test_a_campaign_may_repeat_but_not_change_what_is_shared(tmp_path: Path) -> None:
    member(tmp_path, {"engine": "local"}, engine={"type": "local"})
    with pytest.raises(CampaignError) as caught:
        member(tmp_path, {"engine": "local"}, engine="taskvine")
    assert caught.value.code is ErrorCode.SERVICE_DIFFERS
    assert f"{tmp_path}/small.yaml:7: 'engine' differs" in caught.value.message


def test_commands_for_the_workers_of_a_service_name_one_of_its_campaigns(tmp_path: Path) -> None:
    """Once, they named service.yaml, which no command about workers accepts."""
    campaign = member(tmp_path, {})
    assert campaign.service is not None
    assert as_campaign(campaign.service, [campaign]).typed == str(tmp_path / "small.yaml")
    shared = shared_by([tmp_path])
    assert shared.staffing.loaded.copy().typed == str(tmp_path / "small.yaml")


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The identity of a process that passes for a service: this one."""
    monkeypatch.setattr("wqmaster.system.processes.command_line", lambda pid: "wqmaster serve")
    return {**this_process(), "state": "running"}


def test_a_service_that_has_ended_leaves_its_campaigns_to_a_run(
    tmp_path: Path, running: dict[str, Any]
) -> None:
    """Nor does a service of another machine, or a damaged status, keep a campaign from running."""
    campaign = member(tmp_path, {})
    assert campaign.service is not None
    check_not_served(campaign)
    status = campaign.service.folder / "status.json"
    status.parent.mkdir()
    row = {"file": f"{tmp_path}/small.yaml", "state": "running", "error": None}
    now = {**running, "campaigns": [row]}
    status.write_text(json.dumps(now))
    with pytest.raises(CampaignLocked):
        check_not_served(campaign)
    for other in ({"state": "ended"}, {"began": 1.0}, {"boot": "other"}, {"campaigns": []}):
        status.write_text(json.dumps({**now, **other}))
        check_not_served(campaign)
    status.write_text("[1]")
    check_not_served(campaign)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("running", "is running this campaign; after a pause, continue it with"),
        ("stopped", "has stopped this campaign; after a drain, continue it with"),
        # Once, it was said to run.
        ("failed", "has this campaign (failed: it is empty); it looks for documents to compute"),
    ],
)
def test_a_run_of_a_served_campaign_says_what_the_service_does(
    state: str, said: str, tmp_path: Path, running: dict[str, Any]
) -> None:
    campaign = member(tmp_path, {})
    assert campaign.service is not None
    status = campaign.service.folder / "status.json"
    status.parent.mkdir()
    row = {"file": f"{tmp_path}/small.yaml", "state": state, "error": "it is empty"}
    status.write_text(json.dumps({**running, "campaigns": [row]}))
    with pytest.raises(CampaignLocked) as caught:
        check_not_served(campaign)
    assert said in caught.value.message
    assert (f"kill -HUP {running['pid']}" in caught.value.message) == (state == "failed")


def test_an_invalid_service_yaml_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match=r"service.yaml:1: unknown key 'nonsense'"):
        member(tmp_path, {"nonsense": 1})


def test_workers_are_large_enough_for_all_campaigns() -> None:
    def campaign(**resources: int) -> Campaign:
        return Campaign.model_validate({**MINIMAL, "resources": resources})

    found = largest([campaign(cores=2), campaign(memory=500), campaign(cores=1, memory=100)])
    assert (found.cores, found.fixed_memory, found.disk) == (2, 500, None)


def test_a_share_is_an_average_of_the_last_minute() -> None:
    seat = Seat(Order("a", "a.yaml", ""))
    for second in range(600):
        seat.use(2 * (second % 2), second)  # it has both cores every other second
    assert seat.cores == pytest.approx(1, abs=0.02)
    for second in range(600, 900):
        seat.use(0, second)
    assert seat.cores < 0.02
