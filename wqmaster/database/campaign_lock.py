"""A master's lock on its campaign: a heartbeat in the database, with the master's last status."""

import contextlib
import socket
from collections.abc import Mapping
from typing import Any

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, PyMongoError

from wqmaster.campaign.models import Campaign
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignLocked
from wqmaster.system.processes import lives, this_process

# Seconds without a heartbeat after which a master on another machine counts as dead.
LOCK_TIMEOUT_SECONDS = 60

Document = dict[str, Any]


class Presence:
    """The lock on one campaign, in the collection `wqmaster.campaigns`.

    `place` is the collection of the campaign's documents, for error messages.
    """

    def __init__(self, database: Database[Document], campaign: Campaign, place: str) -> None:
        self._campaigns = database["wqmaster.campaigns"]
        self._campaign = campaign.campaign
        self._place = place

    def lock(self, token: str, status: Mapping[str, Any]) -> None:
        """Lock the campaign for the master `token`, and publish the master's first status.

        Raises:
            CampaignLocked: another running master holds the lock.
        """
        name = self._campaign
        mine = {"owner": token, "host": socket.gethostname(), **this_process()}
        with contextlib.suppress(DuplicateKeyError):
            self._campaigns.update_one({"_id": name}, {"$setOnInsert": {"lock": None}}, upsert=True)
        free: list[Document] = [
            {"lock": None},
            {
                "$expr": {
                    "$lt": [
                        "$lock.heartbeat",
                        {"$subtract": ["$$NOW", LOCK_TIMEOUT_SECONDS * 1000]},
                    ]
                }
            },
        ]
        holder = ((self._campaigns.find_one({"_id": name}) or {}).get("lock")) or {}
        if lives(holder) is False:
            free.append({"lock.owner": holder["owner"]})
        taken = self._campaigns.update_one(
            {"_id": name, "$or": free},
            [
                {
                    "$set": {
                        "lock": {**mine, "heartbeat": "$$NOW"},
                        "status": {"$literal": dict(status)},
                    }
                }
            ],
        )
        if not taken.matched_count:
            raise CampaignLocked(
                f"another master (process {holder.get('pid')} on {holder.get('host')}) is running "
                f"the campaign '{name}' on {self._place}; stop it first, or wait "
                f"{LOCK_TIMEOUT_SECONDS} s if its machine is gone"
            )

    def heartbeat(self, token: str, status: Mapping[str, Any]) -> None:
        """Renew the lock of the master `token`, and publish the master's status.

        Raises:
            CampaignLocked: another master has taken over the campaign.
        """
        kept = self._campaigns.update_one(
            {"_id": self._campaign, "lock.owner": token},
            [{"$set": {"lock.heartbeat": "$$NOW", "status": {"$literal": dict(status)}}}],
        )
        if not kept.matched_count:
            raise CampaignLocked(
                f"another master has taken over the campaign '{self._campaign}'; this one is "
                "stopping, and its spool is kept",
                code=ErrorCode.CAMPAIGN_TAKEN_OVER,
            )

    def unlock(self, token: str) -> None:
        """Release the lock if the master `token` holds it, and the database answers.

        The lock of a process that has ended is free, too.
        """
        mine = {"_id": self._campaign, "lock.owner": token}
        with contextlib.suppress(PyMongoError):
            self._campaigns.update_one(mine, {"$set": {"lock": None}})

    def published(self) -> Document | None:
        """The last status of the running master, with `master` (host, pid); None if none runs."""
        entry = self._campaigns.find_one(
            {
                "_id": self._campaign,
                "$expr": {
                    "$gt": [
                        "$lock.heartbeat",
                        {"$subtract": ["$$NOW", LOCK_TIMEOUT_SECONDS * 1000]},
                    ]
                },
            }
        )
        if entry is None or not entry.get("lock"):
            return None
        lock = entry["lock"]
        if lives(lock) is False:
            return None
        return {**entry.get("status", {}), "master": {"host": lock["host"], "pid": lock["pid"]}}
