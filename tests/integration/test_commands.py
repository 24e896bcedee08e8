"""Commands and orders in the database."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Campaigns, wait_until
from wqmaster.campaign.loading import load
from wqmaster.database import commands as commands_module
from wqmaster.database.documents import Store
from wqmaster.database.orders import Answer, Block, Orders, Pause, Verb, Who
from wqmaster.error_codes import ErrorCode
from wqmaster.recipe.resolving import resolve
from wqmaster.run.control.client import Alone, give
from wqmaster.run.control.stored import changed

ME = Who.here()


@pytest.fixture
def store(campaigns: Campaigns) -> Iterator[Store]:
    campaign = resolve(load(campaigns.write())).loaded.campaign
    assert campaign.database.uri is not None
    found = Store(campaign.database.uri, campaign)
    found.prepare()
    yield found
    found.close()


def test_commands_are_taken_once_in_their_order_and_keep_their_answers(store: Store) -> None:
    commands = store.commands
    arguments = {"query": '{"a": {"$gt": 1}}', "$odd": "$name"}
    first = commands.send(Verb.PAUSE, arguments, ME, 60)
    second = commands.send(Verb.RESUME, {}, ME, 60)
    taken = commands.take("one")
    assert taken is not None
    assert (taken.id, taken.verb, taken.arguments, taken.by) == (first, "pause", arguments, ME)
    other = commands.take("two")
    assert other is not None
    assert other.id == second
    assert commands.take("two") is None
    answer = Answer(False, "no: $name", {"count": 1}, ErrorCode.COMMAND_INVALID)
    commands.answer(taken, answer)
    found = commands.get(first)
    assert found is not None
    assert found.answer == answer
    assert [entry["verb"] for entry in commands.last(5)] == ["resume", "pause"]


def test_two_masters_never_take_the_same_command(store: Store) -> None:
    for _ in range(40):
        store.commands.send(Verb.PAUSE, {}, ME, 60)
    taken: list[object] = []

    def take() -> None:
        while (found := store.commands.take("one")) is not None:
            taken.append(found.id)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 40


def test_a_command_expires_and_can_be_withdrawn(store: Store) -> None:
    expired = store.commands.send(Verb.PAUSE, {}, ME, 0.001)
    wait_until(lambda: store.commands.take("one") is None)
    assert store.commands.get(expired) is not None
    withdrawn = store.commands.send(Verb.PAUSE, {}, ME, 60)
    assert store.commands.withdraw(withdrawn)
    assert store.commands.take("one") is None
    taken = store.commands.send(Verb.PAUSE, {}, ME, 60)
    assert store.commands.take("one") is not None
    assert not store.commands.withdraw(taken)


def test_old_commands_are_deleted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands_module, "MAX_KEPT_COMMANDS", 3)
    for _ in range(10):
        store.commands.send(Verb.PAUSE, {}, ME, 60)
    # Commands of the same millisecond go together.
    assert 1 <= len(store.commands.last(100)) <= 3


def test_orders_outlive_the_lock_of_a_master(store: Store) -> None:
    assert store.commands.orders().pause is None
    store.presence.lock("one", {})
    now = store.commands.orders().now
    assert now is not None
    orders = Orders(Pause(ME, now, "why"), (Block("host", ME, now),))
    store.commands.save(orders)
    store.presence.heartbeat("one", {})
    store.presence.unlock("one")
    store.presence.lock("two", {})
    found = store.commands.orders()
    assert (found.pause, found.blocks) == (orders.pause, orders.blocks)


def test_orders_of_a_campaign_that_never_ran_are_kept_and_do_not_lock_it(store: Store) -> None:
    command = store.commands.get(store.commands.send(Verb.PAUSE, {}, ME, 60))
    assert command is not None
    store.commands.save(changed(store.commands.orders(), command))
    store.presence.lock("one", {})
    assert store.commands.orders().pause == Pause(ME, command.at)


def test_a_master_that_begins_meanwhile_gets_the_command_and_the_client_its_answer(
    store: Store, campaigns: Campaigns
) -> None:
    store.presence.lock("one", {})
    # The master seems to run on another machine, so only its heartbeat shows that it is alive.
    entries = campaigns.documents.database["wqmaster.campaigns"]
    elsewhere = {"lock.host": "elsewhere", "lock.boot": "another"}
    entries.update_one({"_id": "test"}, {"$set": elsewhere})

    def master() -> None:
        found = wait_until(lambda: store.commands.take("one"))
        store.commands.answer(found, Answer(True, "done"))

    thread = threading.Thread(target=master)
    thread.start()
    alone = Alone(store, load(Path(campaigns.folder / "campaign.yaml")))
    given = give(store, Verb.PAUSE, {}, 30.0, alone)
    thread.join()
    assert given.by_master
    assert given.answer == Answer(True, "done")
    assert store.commands.orders().pause is None
