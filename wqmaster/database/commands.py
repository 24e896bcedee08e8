"""Commands to a running master, in the collection `wqmaster.commands`.

Any machine that reaches the database can steer a campaign. Times are the server's, so that clocks
that differ do no harm. Whoever carries out a command takes it first, in one atomic operation.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, ReturnDocument
from pymongo.database import Database

from wqmaster.campaign.models import Campaign
from wqmaster.database.orders import Answer, Command, Orders, Verb, Who
from wqmaster.jobs.molecule import Document

# How many commands of a campaign are kept; older ones are deleted.
MAX_KEPT_COMMANDS = 200


class Commands:
    """The commands of one campaign, and the field `control` of its entry in `wqmaster.campaigns`.

    It implements `orders.CommandStore`.
    """

    def __init__(self, database: Database[Document], campaign: Campaign) -> None:
        self._commands = database["wqmaster.commands"]
        self._campaigns = database["wqmaster.campaigns"]
        self._campaign = campaign.campaign

    def prepare(self) -> None:
        """Create the indexes that are missing."""
        self._commands.create_index(
            [("campaign", ASCENDING), ("taken", ASCENDING), ("at", ASCENDING)]
        )

    # --- for whoever gives a command ---------------------------------------------------------

    def send(self, verb: Verb, arguments: Mapping[str, Any], by: Who, lifetime: float) -> Any:
        """Leave a command for the master, which it can take for `lifetime` seconds.

        Returns its id.
        """
        new = ObjectId()
        self._commands.update_one(
            {"_id": new},
            [
                {
                    "$set": {
                        "campaign": self._campaign,
                        "verb": str(verb),
                        "arguments": {"$literal": dict(arguments)},
                        "by": {"$literal": by.stored()},
                        "at": "$$NOW",
                        "expires": {"$add": ["$$NOW", round(lifetime * 1000)]},
                        "taken": None,
                        "answered": None,
                        "answer": None,
                    }
                }
            ],
            upsert=True,
        )
        self._forget_old()
        return new

    def _forget_old(self) -> None:
        mine = {"campaign": self._campaign}
        old = self._commands.find(mine, {"at": 1}).sort("at", DESCENDING)
        first = next(old.skip(MAX_KEPT_COMMANDS).limit(1), None)
        if first is not None:
            self._commands.delete_many({**mine, "at": {"$lte": first["at"]}})

    def withdraw(self, command: Any) -> bool:
        """Withdraw a command that nobody has taken; return False if it was taken meanwhile."""
        changed = self._commands.update_one(
            {"_id": command, "taken": None}, [{"$set": {"expires": "$$NOW"}}]
        )
        return bool(changed.matched_count)

    def get(self, command: Any) -> Command | None:
        """The command with this id; None if it was deleted."""
        found = self._commands.find_one({"_id": command})
        return None if found is None else _read(found)

    def last(self, count: int) -> list[Document]:
        """The last commands, the newest first, as they are stored."""
        found = self._commands.find({"campaign": self._campaign}, {"campaign": 0})
        return list(found.sort([("at", DESCENDING), ("_id", DESCENDING)]).limit(count))

    # --- for whoever carries it out ----------------------------------------------------------

    def take(self, token: str, command: Any = None) -> Command | None:
        """Take the oldest waiting command for the master `token`; None if none is waiting.

        `command` limits this to the command with this id.
        """
        query: Document = {
            "campaign": self._campaign,
            "taken": None,
            "$expr": {"$gt": ["$expires", "$$NOW"]},
        }
        if command is not None:
            query["_id"] = command
        found = self._commands.find_one_and_update(
            query,
            [{"$set": {"taken": {"by": token, "at": "$$NOW"}}}],
            sort=[("at", ASCENDING), ("_id", ASCENDING)],
            return_document=ReturnDocument.AFTER,
        )
        return None if found is None else _read(found)

    def answer(self, command: Command, answer: Answer) -> None:
        """Record what became of a command."""
        self._commands.update_one(
            {"_id": command.id},
            [{"$set": {"answer": {"$literal": answer.stored()}, "answered": "$$NOW"}}],
        )

    # --- what stays in force -----------------------------------------------------------------

    def orders(self) -> Orders:
        """The orders that are in force, with the server's time."""
        found = self._campaigns.aggregate(
            [
                {"$match": {"_id": self._campaign}},
                {"$project": {"control": 1, "now": "$$NOW"}},
            ]
        )
        entry = next(iter(found), None) or {}
        now: datetime | None = entry.get("now")
        return Orders.of(entry.get("control"), now)

    def save(self, orders: Orders) -> None:
        """Replace the orders that are in force."""
        self._campaigns.update_one(
            {"_id": self._campaign},
            {"$set": {"control": orders.stored()}, "$setOnInsert": {"lock": None}},
            upsert=True,
        )


def _read(found: Document) -> Command:
    answer = found.get("answer")
    return Command(
        id=found["_id"],
        verb=str(found["verb"]),
        arguments=found.get("arguments") or {},
        by=Who.of(found["by"]),
        at=found["at"],
        taken=found.get("taken") is not None,
        answer=None if answer is None else Answer.of(answer),
    )
