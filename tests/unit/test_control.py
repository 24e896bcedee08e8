"""What a running master does when it is told to; store, engine and collectors are in memory."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.test_master import House, fails, well
from wqmaster.campaign.loading import load
from wqmaster.database.orders import Answer, Block, Command, Orders, Pause, Who
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError
from wqmaster.recipe.resolving import resolve
from wqmaster.run.collector.messages import EndedJob
from wqmaster.run.control import control as control_module
from wqmaster.run.control import stored
from wqmaster.run.control.choice import Choice
from wqmaster.run.control.control import Control, InService
from wqmaster.run.control.pausing import PauseGate
from wqmaster.run.control.reloading import Reloader, differences
from wqmaster.run.control.wording import how_long, retried
from wqmaster.run.gates import Gates
from wqmaster.run.holds import Hold, HoldKind
from wqmaster.run.master import Master
from wqmaster.run.progress import Progress, RunState
from wqmaster.testing import Answer as Outcome
from wqmaster.testing import SandboxedJob

ME = Who("me", "here", 1)
NOW = datetime(2026, 11, 29, tzinfo=UTC)


class Steered(House):
    """A house whose master takes commands."""

    def __init__(self, folder: Path, answer: Callable[[SandboxedJob], Any], **top: Any) -> None:
        super().__init__(folder, answer, **top)
        self.count = 0

    def steered(
        self,
        *gates: Any,
        reloader: Reloader | None = None,
        service: InService | None = None,
        **settings: Any,
    ) -> Master:
        gate = PauseGate("wqmaster resume")
        commands = self.store.commands
        control = Control("first", commands, gate, self.recipe, reloader, service=service)
        return self.master(gates=Gates([gate, *gates]), control=control, **settings)

    def order(self, verb: str, **arguments: Any) -> int:
        """Leave a command for the master; return its id."""
        self.count += 1
        self.store.commands.waiting.append(Command(self.count, verb, arguments, ME, NOW))
        return self.count

    def answer(self, command: int) -> Answer:
        return self.store.commands.answers[command]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The master looks for commands in each turn of its loop."""
    monkeypatch.setattr(control_module, "COMMANDS_INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(control_module, "ORDERS_INTERVAL_SECONDS", 0.0)


def after(steps: int, act: Callable[[], Any]) -> Callable[[Progress], None]:
    """Call `act` once, when the progress is shown for the given time."""
    shown = []

    def show(progress: Progress) -> None:
        shown.append(progress)
        if len(shown) == steps:
            act()

    return show


def test_a_paused_run_sends_nothing_and_goes_on_when_it_is_resumed(tmp_path: Path) -> None:
    house = Steered(tmp_path, well)
    house.fill(5)
    paused = house.order("pause", reason="lunch")
    sent: list[int] = []

    def resume() -> None:
        sent.append(len(house.engine.submitted))
        assert house.progress.hold is not None
        assert house.progress.hold.kind is HoldKind.PAUSE
        house.order("resume")

    house.steered(show=after(2, resume)).run()
    assert sent == [0]
    assert set(house.values) == {1, 2, 3, 4, 5}
    assert house.answer(paused).ok
    assert house.answer(2).details == {"ended": ["pause"]}
    assert house.progress.state is RunState.FINISHED


def test_a_pause_that_another_process_stored_is_followed_without_a_command(tmp_path: Path) -> None:
    house = Steered(tmp_path, well)
    house.fill(2)
    house.store.commands.save(Orders(Pause(ME, NOW)))

    def resume() -> None:
        assert house.engine.submitted == []
        house.store.commands.save(Orders())

    house.steered(show=after(2, resume)).run()
    assert set(house.values) == {1, 2}


def test_a_pause_takes_back_the_jobs_that_no_worker_has(tmp_path: Path) -> None:
    house = Steered(tmp_path, well)
    house.engine.slots = 2
    house.fill(6)
    house.engine.working = False
    held: list[int] = []

    def more_waits() -> None:
        house.engine.slots = 1  # one of two tasks waits now
        house.order("pause")

    def resume() -> None:
        held.append(house.progress.sent)
        house.engine.working = True
        house.order("resume")

    first, second = after(1, more_waits), after(4, resume)
    house.steered(show=lambda progress: [first(progress), second(progress)]).run()
    assert held == [1]
    assert set(house.values) == set(range(1, 7))
    assert house.failures == []


def test_a_drained_run_ends_with_its_jobs_in_flight(tmp_path: Path) -> None:
    house = Steered(tmp_path, well)
    house.engine.slots = 2
    house.fill(9)
    house.engine.working = False

    def drain() -> None:
        house.order("drain")

    def let_go() -> None:
        assert house.progress.state is RunState.STOPPING
        house.engine.working = True

    first, second = after(1, drain), after(4, let_go)
    # The grace period would end at once.
    house.steered(grace=0.0, show=lambda progress: [first(progress), second(progress)]).run()
    assert set(house.values) == {1, 2}
    assert house.progress.state is RunState.STOPPED
    assert house.store.commands.orders().pause is None


@pytest.mark.parametrize("follows_file", [True, False])
def test_only_a_service_that_starts_campaigns_again_keeps_a_drained_one_paused(
    tmp_path: Path, follows_file: bool
) -> None:
    """`run a b` ends, and its next call must not begin paused."""
    house = Steered(tmp_path, well)
    house.fill(9)
    house.order("drain")
    house.steered(service=InService(follows_file)).run()
    # Nothing had been sent.
    assert "no job is in flight" in house.answer(1).message
    assert (house.progress.drained is not None) is follows_file
    assert (house.store.commands.orders().pause is not None) is follows_file
    assert ("stays paused until" in house.answer(1).message) is follows_file


def test_a_second_pause_reports_the_reason_that_it_replaces(tmp_path: Path) -> None:
    house = Steered(tmp_path, well)
    house.fill(2)
    for reason in ("lunch", "dinner", None):
        house.order("pause", **({} if reason is None else {"reason": reason}))

    def resume() -> None:
        pause = house.store.commands.orders().pause
        assert pause is not None
        assert pause.reason == "dinner"
        house.order("resume")

    house.steered(show=after(4, resume)).run()
    found = [house.answer(number).details["replaced"] for number in (1, 2, 3)]
    assert found == [None, "lunch", None]
    assert "lunch" in house.answer(2).message
    assert "dinner" in house.answer(3).message


def test_a_drain_does_not_count_jobs_that_wait_and_keeps_the_reason_of_a_pause(
    tmp_path: Path,
) -> None:
    house = Steered(tmp_path, well)
    house.engine.slots = 2
    house.fill(9)
    house.engine.working = False

    def one_waits() -> None:
        house.engine.slots = 1
        house.store.commands.save(Orders(Pause(ME, NOW, "lunch")))
        house.order("drain")

    def let_go() -> None:
        house.engine.working = True

    first, second = after(1, one_waits), after(4, let_go)
    service = InService(follows_file=True)
    house.steered(service=service, show=lambda found: [first(found), second(found)]).run()
    assert house.answer(1).details == {"running": 1}
    assert len(house.values) == 1
    pause = house.store.commands.orders().pause
    assert pause is not None
    assert pause.reason == "lunch"


def test_a_canceled_document_fails_and_the_others_of_its_task_run_again(tmp_path: Path) -> None:
    house = Steered(tmp_path, well, bundle={"size": 3})
    house.fill(6)
    house.engine.working = False

    def cancel() -> None:
        house.order("cancel", documents="[2, 99]")

    def let_go() -> None:
        assert house.answer(1).details == {"canceled": 1, "returned": 0, "left": 1}
        house.engine.working = True

    first, second = after(1, cancel), after(4, let_go)
    house.steered(show=lambda progress: [first(progress), second(progress)]).run()
    assert set(house.values) == {1, 3, 4, 5, 6}
    assert house.failures == [(2, 1, "canceled", True)]
    assert house.progress.failures == {"canceled": 1}
    # A further run leaves it alone.
    house.master(token="second").run()
    assert 2 not in house.values


def test_a_document_that_was_fetched_but_not_sent_is_canceled_too(tmp_path: Path) -> None:
    house = Steered(tmp_path, well)
    house.engine.slots = 1
    house.fill(5)
    house.engine.working = False

    def cancel() -> None:
        house.order("cancel", query='{"number": 4.5}')

    def let_go() -> None:
        house.engine.working = True

    first, second = after(1, cancel), after(4, let_go)
    house.steered(show=lambda progress: [first(progress), second(progress)]).run()
    assert set(house.values) == {1, 2, 3, 5}
    assert house.failures == [(4, 1, "canceled", True)]


def test_a_document_that_changes_after_it_was_canceled_runs_again(tmp_path: Path) -> None:
    house = Steered(tmp_path, well)
    house.fill(2)
    house.order("cancel", documents="[1]")
    house.steered().run()
    assert set(house.values) == {2}
    house.store.documents["1"] |= {"charge": 2}
    house.master(token="second").run()
    assert set(house.values) == {1, 2}


def test_failed_documents_are_retried_at_once(tmp_path: Path) -> None:
    def answer(job: SandboxedJob) -> Outcome:
        return fails(job) if broken else well(job)

    broken = [True]
    house = Steered(tmp_path, answer)
    house.fill(3)
    house.engine.slots = 1
    house.progress.total = 3

    def mend() -> None:
        broken.clear()
        house.order("retry", **{"class": "program_error"})

    # A document that is added keeps the run from ending.
    shown = after(2, mend)
    master = house.steered(watch=True, show=shown)

    def end(progress: Progress) -> None:
        shown(progress)
        if len(house.values) == 3:
            master.stop()

    master._show = end
    master.run()
    assert set(house.values) == {1, 2, 3}
    assert house.answer(1).details == {"retried": 3}
    assert (house.progress.failed, house.progress.done, house.progress.left) == (0, 3, 0)


def test_blocks_reach_the_engine_and_end(tmp_path: Path) -> None:
    house = Steered(tmp_path, well)
    house.fill(3)
    later, earlier = NOW + timedelta(hours=1), NOW - timedelta(hours=1)
    house.store.commands.save(
        Orders(None, (Block("a", ME, NOW, later), Block("b", ME, NOW, earlier)), NOW)
    )
    house.order("block", host="c", seconds=60)
    seen: list[list[str]] = []

    def unblock() -> None:
        seen.append([*house.engine.blocked])
        house.order("unblock", host="a")

    house.engine.working = False

    def let_go() -> None:
        seen.append([*house.engine.blocked])
        house.engine.working = True

    first, second = after(1, unblock), after(3, let_go)
    house.steered(show=lambda progress: [first(progress), second(progress)]).run()
    assert seen == [["a", "c"], ["c"]]
    assert house.answer(2).details == {"host": "a", "was_blocked": True}
    assert [block.host for block in house.store.commands.orders().blocks] == ["b", "c"]


def test_a_misspelled_host_is_noticed(tmp_path: Path) -> None:
    house = Steered(tmp_path, well)
    house.fill(2)
    house.engine.port = 9123  # its workers can be on several hosts
    house.order("block", host="nod1")
    house.order("unblock", host="node")
    house.engine.working = False

    def let_go() -> None:
        house.engine.working = True

    house.steered(show=after(3, let_go)).run()
    assert "no task of this run has ended on a host with this name" in house.answer(1).message
    assert house.answer(2).details == {"host": "node", "was_blocked": False}
    assert house.answer(2).message == "node was not blocked"


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("nonsense", {}),
        ("cancel", {}),
        ("cancel", {"documents": "[1"}),
        ("cancel", {"query": "1"}),
        ("block", {}),
        ("block", {"host": 5}),
        ("block", {"host": "two words"}),
        ("retry", {"documents": 5}),
    ],
)
def test_a_command_that_cannot_be_read_is_refused_and_disturbs_nothing(
    verb: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    house = Steered(tmp_path, well)
    house.fill(2)
    wrong = house.order(verb, **arguments)
    house.steered().run()
    assert (house.answer(wrong).ok, house.answer(wrong).code) == (False, ErrorCode.COMMAND_INVALID)
    assert set(house.values) == {1, 2}


def test_resume_ends_holds_that_need_a_user(tmp_path: Path) -> None:
    class Strict:
        """A gate that waits for a user."""

        is_over = False

        def heard(self, job: EndedJob) -> None:
            """Ignore the job."""

        def hold(self) -> Hold | None:
            return None if self.is_over else Hold(HoldKind.SPOOL, "look at this", "resume")

        def release(self) -> None:
            self.is_over = True

    house = Steered(tmp_path, well)
    house.fill(2)
    show = after(2, lambda: house.order("resume"))
    house.steered(Strict(), show=show).run()
    assert set(house.values) == {1, 2}
    assert house.answer(1).details == {"ended": ["spool"]}


def test_a_command_over_many_documents_is_carried_out_in_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_module, "_STEP_SECONDS", 0.0)
    monkeypatch.setattr("wqmaster.run.control.choice.CHUNK_DOCUMENTS", 2)
    house = Steered(tmp_path, well)
    house.engine.slots = 1
    house.fill(20)
    house.order("cancel", query="{}")
    house.steered().run()
    canceled = {number for number, _, kind, _ in house.failures if kind == "canceled"}
    # Each document has either a result or a failure, also those whose jobs ran meanwhile.
    assert canceled | set(house.values) == set(range(1, 21))
    assert not canceled & set(house.values)
    assert len(canceled) >= 5
    assert house.answer(1).details["canceled"] == len(canceled)


def reloader(house: Steered, **more: Any) -> Reloader:
    return Reloader(house.recipe, asked_for={"engine": None, "port": None}, **more)


def change(house: Steered, **changes: Any) -> None:
    path = house.recipe.loaded.source.path
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))


def test_a_reload_changes_the_tasks_that_follow(tmp_path: Path) -> None:
    house = Steered(tmp_path, well)
    house.engine.slots = 2
    house.fill(6)
    house.engine.working = False
    seen = []

    def edit() -> None:
        change(house, bundle={"size": 2}, resources={"cores": 3})
        house.order("reload")

    def let_go() -> None:
        house.engine.working = True

    first, second = after(1, edit), after(3, let_go)
    house.steered(
        reloader=reloader(house, apply=lambda recipe: seen.append(recipe.hash)),
        show=lambda progress: [first(progress), second(progress)],
    ).run()
    assert set(house.values) == set(range(1, 7))
    assert sorted(house.answer(1).details["changed"]) == ["bundle", "resources"]
    assert {(task.jobs, task.cores) for task in house.engine.submitted} == {(1, 1), (2, 3)}
    assert seen == [house.recipe.hash]


def test_a_reload_that_is_refused_changes_nothing(tmp_path: Path) -> None:
    house = Steered(tmp_path, well)
    house.fill(3)
    config = yaml.safe_load(house.recipe.loaded.source.path.read_text())["campaign_config"]
    step = {**config["args"][0], "command": "cat ./number"}
    change(house, bundle={"size": 3}, campaign_config={**config, "args": [step]}, folder="other")
    house.order("reload")
    house.steered(reloader=reloader(house)).run()
    answer = house.answer(1)
    assert (answer.ok, answer.code) == (False, ErrorCode.RELOAD_REFUSED)
    assert answer.details == {"refused": ["campaign_config.args", "folder"]}
    assert {task.jobs for task in house.engine.submitted} == {1}


def test_a_file_that_the_recipe_names_may_not_change(tmp_path: Path) -> None:
    (tmp_path / "shared").write_text("one")
    house = Steered(tmp_path, well)
    step = {
        "name": "one",
        "command": "cat number",
        "files": {"number": "{{ document.number }}"},
        "inputs": ["shared"],
        "parsers": ["number"],
    }
    config = {"func_name": "wqmaster.tasks.command.run", "args": [step]}
    change(house, campaign_config=config)
    house.recipe = resolve(load(house.recipe.loaded.source.path, {}))
    house.fill(1)
    (tmp_path / "shared").write_text("two")
    house.order("reload")
    house.steered(reloader=reloader(house)).run()
    assert house.answer(1).code is ErrorCode.RELOAD_REFUSED


def test_a_part_that_refuses_its_new_setting_leaves_the_others_as_they_were(
    tmp_path: Path,
) -> None:
    def refuse(value: Any) -> None:
        raise CampaignError("there is no such program", code=ErrorCode.PROGRAM_MISSING)

    house = Steered(tmp_path, well)
    house.fill(3)
    change(house, notify={"command": "/nothing"}, bundle={"size": 3})
    house.order("reload")
    house.steered(reloader=reloader(house, also={"notify": refuse})).run()
    assert house.answer(1).code is ErrorCode.PROGRAM_MISSING
    assert {task.jobs for task in house.engine.submitted} == {1}


def test_a_run_that_is_not_that_of_the_file_takes_no_changes(tmp_path: Path) -> None:
    house = Steered(tmp_path, well)
    house.fill(1)
    house.order("reload")
    house.steered().run()
    assert house.answer(1).code is ErrorCode.RELOAD_REFUSED


def test_every_section_of_the_file_may_change_or_is_refused_with_a_reason(tmp_path: Path) -> None:
    old = House(tmp_path, well).recipe.loaded.campaign
    other: dict[str, Any] = {
        "campaign": "b",
        "molecule": {**old.molecule.model_dump(), "charge": "q"},
        "engine": "local",
        "workers": {"type": "local", "count": 9},
        "software": {"cat": "/bin/cat"},
        "metrics": {"port": 9000},
        "submit": {"query": {"a": 1}, "queue": "x", "projection": ["c"]},
        "remedies": False,
        "checks": "strict",
        "archive": {"keep": "all"},
    }
    new = type(old).model_validate({**old.model_dump(exclude={"checks"}), **other})
    found = differences(old, new, {})
    assert set(found.keys) == {
        *("workers.count", "submit.query", "submit.queue", "remedies", "checks", "archive"),
    }
    assert set(found.refused) == {
        *("campaign", "molecule.charge", "engine.type", "software", "metrics"),
        "submit.projection",
    }
    assert all(found.refused.values())


def test_orders_survive_their_stored_form() -> None:
    block = Block("a", ME, NOW, NOW + timedelta(minutes=1))
    orders = Orders(Pause(ME, NOW, "why"), (block, Block("b", ME, NOW)), NOW)
    assert Orders.of(orders.stored(), NOW) == orders
    assert Orders.of(None, NOW) == Orders(now=NOW)
    assert [one.host for one in orders.valid_blocks] == ["a", "b"]
    later = Orders.of(orders.stored(), NOW + timedelta(minutes=2))
    assert [one.host for one in later.valid_blocks] == ["b"]


def test_the_reason_of_a_pause_is_one_line() -> None:
    command = Command(1, "pause", {"reason": "a\nb\x1b[31m" + "c" * 9999}, ME, NOW)
    pause = stored.changed(Orders(), command).pause
    assert pause is not None
    assert pause.reason is not None
    assert pause.reason.startswith("a b [31mccc")
    assert len(pause.reason) == 500


def test_a_new_block_of_a_host_replaces_the_earlier_one() -> None:
    orders = Orders(now=NOW)
    for seconds in (60, 5):
        command = Command(1, "block", {"host": "a", "seconds": seconds}, ME, NOW)
        orders = stored.changed(orders, command)
    assert [block.until for block in orders.blocks] == [NOW + timedelta(seconds=5)]


def test_a_choice_survives_as_arguments() -> None:
    for choice in (
        Choice(documents=(1, "a")),
        Choice(kind="killed"),
        Choice(query={"a": {"$gt": 1}}),
    ):
        assert Choice.of(choice.arguments()) == choice


@pytest.mark.parametrize(
    ("choice", "named"),
    [
        (Choice(documents=("w1",)), ["'w1'"]),
        (Choice(documents=("w1", 2, "w3")), ["3", "'w1'", "2", "'w3'"]),
        (Choice(documents=tuple(range(100, 120))), ["20", "100", "..."]),
        (Choice(kind="scf_not_converged"), ["scf_not_converged"]),
        (Choice(query={"n": 1}), ["query"]),
    ],
)
def test_a_retry_of_nothing_names_what_was_chosen(choice: Choice, named: list[str]) -> None:
    found = retried(0, choice)
    assert (found.ok, found.details) == (True, {"retried": 0})
    assert all(one in found.message for one in named)
    assert "119" not in found.message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"host": "h"}, "until you unblock it"), ({"host": "h", "seconds": 5400}, "1 h 30 min")],
)
def test_a_block_states_how_long_it_lasts(arguments: dict[str, Any], words: str) -> None:
    assert words in how_long(arguments)


def test_an_answer_with_a_code_of_another_version_is_still_a_refusal() -> None:
    found = Answer.of({"ok": False, "message": "no", "code": "code-of-tomorrow"})
    assert found.code is ErrorCode.COMMAND_FAILED
