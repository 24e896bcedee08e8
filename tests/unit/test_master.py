"""The master's loop in memory: stop, grace, retry, demand; no processes, database or sleep."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from wqmaster.campaign.loading import load
from wqmaster.engines.base import Returned, TaskResult
from wqmaster.errors import CampaignLocked
from wqmaster.factory import Demand, Trouble
from wqmaster.jobs.failures import MAX_ATTEMPTS
from wqmaster.recipe.resolving import resolve
from wqmaster.run import feed, link_speed
from wqmaster.run.master import Master
from wqmaster.run.progress import Progress, RunState
from wqmaster.run.spool import Spool
from wqmaster.testing import (
    Answer,
    InlineCollectors,
    MemoryEngine,
    MemoryStore,
    SandboxedJob,
    outcome,
    step_outcome,
)

WATER = {
    "atomic_numbers": [8, 1, 1],
    "coordinates": [[0.0, 0.0, 0.0], [0.0, 0.0, 0.96], [0.93, 0.0, -0.24]],
}


def well(job: SandboxedJob) -> Answer:
    """The answer of a job that succeeds: `cat number` prints the document's number."""
    return outcome(step_outcome("one", job.files["number"]))


class MemoryFactory:
    """A factory that starts no workers and records the demand."""

    def __init__(self) -> None:
        self.told: list[Demand] = []

    def check(self) -> None:
        """Do nothing, because the factory runs."""

    def awaited(self) -> bool:
        """Whether the user must start the factory."""
        return False

    def tell(self, wanted: Demand) -> None:
        """Record the demand."""
        self.told.append(wanted)

    def trouble(self) -> Trouble | None:
        """None, because there is no trouble."""
        return None

    def last(self) -> list[str]:
        """No lines, because workers have no logs."""
        return []

    def close(self) -> str | None:
        """None, because no worker is left behind."""
        return None


class House:
    """A campaign with one command per document, and all parts that run the campaign."""

    def __init__(self, folder: Path, answer: Callable[[SandboxedJob], Answer], **top: Any) -> None:
        step = {
            "name": "one",
            "command": "cat number",
            "files": {"number": "{{ document.number }}"},
            "parsers": ["number"],
        }
        settings: Mapping[str, Any] = {
            "campaign": "test",
            "campaign_config": {"func_name": "wqmaster.tasks.command.run", "args": [step]},
            "bundle": 1,
            **top,
        }
        path = folder / "campaign.yaml"
        path.write_text(yaml.safe_dump(settings))
        self.recipe = resolve(load(path, {}))
        campaign = self.recipe.loaded.campaign
        self.store = MemoryStore(campaign)
        self.spool = Spool(folder / "spool")
        self.spool.prepare()
        self.engine = MemoryEngine(answer)
        self.collectors = InlineCollectors(self.recipe, self.store, self.spool, folder / "kept")
        self.factory = MemoryFactory()
        self.progress = Progress(campaign.campaign, self.engine.name)

    def fill(self, count: int) -> None:
        """Store the documents 1 to `count`, each with a different number."""
        self.store.insert({"_id": n, "number": n + 0.5, **WATER} for n in range(1, count + 1))

    def master(self, **settings: Any) -> Master:
        return Master(
            recipe=self.recipe,
            store=self.store,
            spool=self.spool,
            engine=self.engine,
            collectors=self.collectors,
            factory=self.factory,
            progress=self.progress,
            **{"token": "first", **settings},
        )

    @property
    def values(self) -> dict[int, float]:
        """The result of each document that has one, by `_id`."""
        key = self.recipe.loaded.campaign.output_key
        return {
            one["_id"]: one[key]["one"]["number"]
            for one in self.store.documents.values()
            if (one.get(key) or {}).get("one")
        }

    @property
    def failures(self) -> list[tuple[int, int, str, bool]]:
        records = self.store.ledger.records
        return [(one["document"], one["attempt"], one["class"], one["final"]) for one in records]


def test_each_document_gets_its_own_value(tmp_path: Path) -> None:
    house = House(tmp_path, well, bundle={"size": 3})
    house.fill(10)
    house.master().run()
    assert house.values == {n: n + 0.5 for n in range(1, 11)}
    assert [task.jobs for task in house.engine.submitted] == [3, 3, 3, 1]
    assert (house.progress.done, house.progress.failed) == (10, 0)
    assert house.progress.state is RunState.FINISHED
    assert house.store.presence.published[-1]["state"] == "finished"
    assert not list(house.spool.running.iterdir())
    assert not list(house.spool.waiting())


def test_a_lost_worker_costs_an_attempt_but_no_document(tmp_path: Path) -> None:
    seen: list[str] = []

    def answer(job: SandboxedJob) -> Answer:
        seen.append(job.task.id)
        return TaskResult.LOST if len(seen) == 1 else well(job)

    house = House(tmp_path, answer)
    house.fill(3)
    house.master().run()
    assert set(house.values) == {1, 2, 3}
    assert house.failures == [(1, 1, "worker_lost", False)]
    assert house.progress.attempts_failed == 1


def test_a_document_that_loses_every_worker_fails(tmp_path: Path) -> None:
    def answer(job: SandboxedJob) -> Answer:
        return TaskResult.LOST if job.files["number"] == b"2.5" else well(job)

    house = House(tmp_path, answer)
    house.fill(3)
    house.master().run()
    assert set(house.values) == {1, 3}
    attempts = [(number, final) for _, number, _, final in house.failures]
    assert attempts == [(n, n == MAX_ATTEMPTS) for n in range(1, MAX_ATTEMPTS + 1)]
    assert dict(house.progress.failures) == {"worker_lost": 1}


def test_a_failure_without_remedies_is_tried_once(tmp_path: Path) -> None:
    def answer(job: SandboxedJob) -> Answer:
        return outcome(step_outcome("one", b"", exit_code=3))

    house = House(tmp_path, answer)
    house.fill(1)
    house.master().run()
    assert [(number, final) for _, number, _, final in house.failures] == [(1, True)]
    assert len(house.engine.submitted) == 1


def test_a_document_that_cannot_be_built_fails_alone(tmp_path: Path) -> None:
    house = House(tmp_path, well)
    house.fill(3)
    del house.store.documents["2"]["number"]
    house.master().run()
    assert set(house.values) == {1, 3}
    assert house.failures == [(2, 1, "bad_document", True)]


def test_a_molecule_that_changed_meanwhile_gets_no_result(tmp_path: Path) -> None:
    house = House(tmp_path, well)
    house.fill(1)
    changes: list[float] = [1.0]

    def answer(job: SandboxedJob) -> Answer:
        if changes:
            moved = [[0, 0, 0], [0, 0, changes.pop()], [1.0, 0, 0]]
            house.store.documents["1"]["coordinates"] = moved
        return well(job)

    house.engine.answer = answer
    house.master().run()
    assert house.failures == [(1, 1, "document_changed", False)]
    assert len(house.engine.submitted) == 2
    [result] = house.store.of([1]).values()
    assert result["one"]["_run"]["molecule"] == house.store.molecules([1])["1"]


def test_a_stop_lets_running_tasks_finish_and_feeds_no_more(tmp_path: Path) -> None:
    house = House(tmp_path, well)
    house.engine.slots = 2
    house.fill(10)
    master = house.master(show=lambda progress: None)

    def answer(job: SandboxedJob) -> Answer:
        master.stop()
        return well(job)

    house.engine.answer = answer
    master.run()
    assert len(house.values) == 2
    assert house.progress.state is RunState.STOPPED
    assert house.store.presence.published[-1]["state"] == "stopped"
    assert not list(house.spool.running.iterdir())


@pytest.mark.parametrize("how", ["grace", "second"])
def test_unfinished_tasks_are_canceled_when_the_grace_period_is_over(
    tmp_path: Path, how: str
) -> None:
    house = House(tmp_path, well)
    house.fill(3)
    house.engine.working = False
    master = house.master(grace=0.0 if how == "grace" else 3600.0)
    master.stop()
    master.run()  # it was stopped before it fed any document
    assert house.engine.submitted == []
    again = house.master(
        grace=0.0 if how == "grace" else 3600.0,
        show=lambda progress: [again.stop() for _ in range(1 if how == "grace" else 2)],
    )
    again.run()
    canceled = house.engine.cancelled  # codespell:ignore cancelled
    assert sorted(canceled) == sorted(task.id for task in house.engine.submitted)
    assert house.values == {}
    assert not list(house.spool.running.iterdir())


def test_another_master_ends_this_one(tmp_path: Path) -> None:
    house = House(tmp_path, well)
    house.fill(3)
    house.store.presence.taken = True
    with pytest.raises(CampaignLocked):
        house.master().run()


def test_a_limit_is_respected(tmp_path: Path) -> None:
    house = House(tmp_path, well, bundle={"size": 4})
    house.fill(10)
    house.master(limit=6).run()
    assert set(house.values) == set(range(1, 7))


def test_tasks_that_an_earlier_master_spooled_are_committed_and_not_run_again(
    tmp_path: Path,
) -> None:
    house = House(tmp_path, well)
    house.fill(2)

    class Killed(Exception):
        pass

    def killed(task: str) -> None:
        raise Killed

    first = house.master()
    house.collectors.collect = killed  # type: ignore[method-assign]
    with pytest.raises(Killed):
        first.run()
    assert (len(list(house.spool.waiting())), house.values) == (1, {})
    del house.collectors.collect
    house.engine = MemoryEngine(well)
    house.spool.prepare()
    house.master(token="second").run()
    assert set(house.values) == {1, 2}
    # One task had returned; only the other one, which had not, ran again.
    assert len(house.engine.submitted) == 1


def test_the_factory_receives_the_demand(tmp_path: Path) -> None:
    house = House(tmp_path, well)
    house.fill(3)
    house.progress.total = 3
    house.engine.working = False
    master = house.master(show=lambda progress: setattr(house.engine, "working", True))
    master.run()
    assert house.factory.told[0] == Demand(3, 1)


def fails(job: SandboxedJob) -> Answer:
    return outcome(step_outcome("one", b"", exit_code=3))


def test_a_failed_document_is_left_alone_until_it_changes(tmp_path: Path) -> None:
    house = House(tmp_path, fails)
    house.fill(3)
    house.master().run()
    assert house.progress.failed == 3
    house.engine.answer = well
    house.master(token="second").run()
    assert house.values == {}
    house.store.documents["2"] |= {"charge": 2}
    house.master(token="third").run()
    assert house.values == {2: 2.5}
    assert [one for one in house.failures if one[0] == 2] == [(2, 1, "program_error", False)]
    # The master's counts agree with the database.
    assert (house.progress.done, house.progress.failed, house.progress.mended) == (1, 2, 1)
    assert sum(final for _, _, _, final in house.failures) == 2


def test_a_change_of_an_irrelevant_field_does_not_retry_a_failed_document(tmp_path: Path) -> None:
    house = House(tmp_path, fails, submit={"projection": ["comment"]})
    house.fill(1)
    house.master().run()
    house.engine.answer = well
    house.store.documents["1"] |= {"comment": "other"}
    house.master(token="second").run()
    assert (house.values, len(house.failures)) == ({}, 1)
    house.store.documents["1"] |= {"number": 7.5}
    house.master(token="third").run()
    assert house.values == {1: 7.5}


@pytest.mark.parametrize(
    ("bad", "kinds"),
    [
        ({"multiplicity": 2}, ["bad_document"]),
        ({"coordinates": None}, ["bad_document"]),
        ({"number": None}, ["bad_document"]),
    ],
)
def test_a_document_without_a_molecule_is_taken_up_when_it_changes(
    bad: dict[str, Any], kinds: list[str], tmp_path: Path
) -> None:
    house = House(tmp_path, well)
    house.fill(2)
    good = dict(house.store.documents["2"])
    house.store.documents["2"] |= bad
    house.master().run()
    house.master(token="second").run()
    assert [kind for document, _, kind, _ in house.failures if document == 2] == kinds
    # The document is still unusable, but for another reason, which is recorded.
    house.store.documents["2"] |= {"multiplicity": 4}
    house.master(token="third").run()
    assert [final for document, *_, final in house.failures if document == 2] == [False, True]
    house.store.documents["2"] = good | {"multiplicity": 1}
    house.master(token="fourth").run()
    assert house.values == {1: 1.5, 2: 2.5}
    assert (house.progress.done, house.progress.failed) == (2, 0)


def test_a_failure_that_an_earlier_version_recorded_is_taken_up_once_there_is_a_molecule(
    tmp_path: Path,
) -> None:
    house = House(tmp_path, well)
    house.fill(2)
    house.store.documents["2"] |= {"multiplicity": 2}
    house.master().run()
    for record in house.store.ledger.records:
        del record["unusable"]
    house.store.documents["2"] |= {"multiplicity": 4}
    house.master(token="second").run()
    assert house.failures == [(2, 1, "bad_document", True)]
    house.store.documents["2"] |= {"multiplicity": 1}
    house.master(token="third").run()
    assert set(house.values) == {1, 2}


def test_a_document_that_changed_in_each_attempt_is_taken_up_by_the_next_run(
    tmp_path: Path,
) -> None:
    house = House(tmp_path, well)
    house.fill(1)
    moves = [0.9, 1.0, 1.1]

    def answer(job: SandboxedJob) -> Answer:
        if moves:
            moved = [[0.0, 0.0, 0.0], [0.0, 0.0, moves.pop()], [1.0, 0.0, 0.0]]
            house.store.documents["1"]["coordinates"] = moved
        return well(job)

    house.engine.answer = answer
    house.master().run()
    assert house.failures[-1] == (1, MAX_ATTEMPTS, "document_changed", True)
    house.master(token="second").run()
    assert house.values == {1: 1.5}
    assert house.progress.failed == 0


def test_a_changed_document_gets_all_its_infrastructure_attempts(tmp_path: Path) -> None:
    house = House(tmp_path, lambda job: TaskResult.LOST)
    house.fill(1)
    house.master().run()
    assert len(house.failures) == MAX_ATTEMPTS
    house.store.documents["1"] |= {"charge": 2}
    lost = [TaskResult.LOST] * (MAX_ATTEMPTS - 1)
    house.engine.answer = lambda job: lost.pop() if lost else well(job)
    house.master(token="second").run()
    assert house.values == {1: 1.5}


def test_many_failed_documents_do_not_delay_the_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(tmp_path, fails)
    house.fill(10)
    house.master().run()
    house.fill(11)
    house.engine.answer = well
    # Each page takes longer than the time limit for a search.
    monkeypatch.setattr(feed, "PAGE_DOCUMENTS", 1)
    monkeypatch.setattr(feed, "_LOOKING_SECONDS", 0.0)
    looked = feed.Feed(house.store, lambda key: False)
    took = [len(looked.take(1)) for _ in range(10)]
    assert took == [0] * 10
    assert looked.look()
    # A master that goes on from there does not search again, so it finds no later change.
    house.store.ledger.retry_all([1])
    house.master(token="second", begun=looked).run()
    assert house.values == {11: 11.5}


class SlowlyReceiving(MemoryEngine):
    """Reports that it took a second to receive the outputs of each task."""

    def wait(self, seconds: float) -> Returned | None:
        found = super().wait(seconds)
        return found and replace(found, receiving=1.0)


@pytest.mark.parametrize(
    ("asked", "used"), [("auto", {"none", "gzip"}), ("none", {"none"}), ("gzip", {"gzip"})]
)
def test_outputs_are_compressed_once_they_come_back_slowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, used: set[str]
) -> None:
    monkeypatch.setattr(link_speed, "_MIN_BYTES", 1)
    house = House(tmp_path, well, archive={"compression": asked})
    house.engine = SlowlyReceiving(well)
    house.fill(40)
    house.master().run()
    assert len(house.values) == 40
    compressions = [task.compression for task in house.engine.submitted]
    assert set(compressions) == used
    assert compressions == sorted(compressions, reverse=True)  # first none, then gzip


def test_jobs_are_bundled_once_their_times_are_known(tmp_path: Path) -> None:
    house = House(tmp_path, well, bundle={"size": "auto", "time": 20})
    house.fill(400)
    house.progress.total = 400
    house.master().run()
    assert house.values == {n: n + 0.5 for n in range(1, 401)}
    sizes = [task.jobs for task in house.engine.submitted]
    assert set(sizes[:8]) == {1}
    assert max(sizes) == 19  # each job takes a second
    assert sizes[-1] == 1  # at the end, no slot waits for another
    assert sum(sizes) == 400


def test_only_the_job_that_ends_its_task_fails(tmp_path: Path) -> None:
    def answer(job: SandboxedJob) -> Answer:
        return TaskResult.NO_OUTPUT if b"37.5" in job.files["number"] else well(job)

    house = House(tmp_path, answer, bundle=64)
    house.fill(64)
    house.master().run()
    assert house.values.keys() == {*range(1, 65)} - {37}
    assert {document for document, *_ in house.failures} == {37}
    assert house.failures[-1][1:] == (3, "transfer", True)
