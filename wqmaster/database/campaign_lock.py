"""Which master has a campaign: a lock with a heartbeat in the database, and its last counts."""

import contextlib
import socket
from collections.abc import Mapping
from typing import Any

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from wqmaster.campaign.models import Campaign
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignLocked
from wqmaster.system.processes import lives, this_process

# Seconds without a heartbeat after which a master on another machine counts as dead.
LOCK_TIMEOUT_SECONDS = 60

Document = dict[str, Any]


class Presence:
    """The lock of one campaign: collection `wqmaster.campaigns`. `place` is named in errors."""

    def __init__(self, database: Database[Document], campaign: Campaign, place: str) -> None:
        self._campaigns = database["wqmaster.campaigns"]
        self._campaign = campaign.campaign
        self._place = place

    def lock(self, token: str, status: Mapping[str, Any]) -> None:
        """Take the campaign for the master `token`, and publish its first status.

        Raises:
            CampaignLocked: a living master has it.
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
                f"the campaign '{name}' on {self._place}; see 'wqmaster status', stop "
                f"that one first, or wait {LOCK_TIMEOUT_SECONDS} s if its machine is gone"
            )

    def heartbeat(self, token: str, status: Mapping[str, Any]) -> None:
        """Keep the lock, and publish the master's counts.

        Raises:
            CampaignLocked: another master has taken it.
        """
        kept = self._campaigns.update_one(
            {"_id": self._campaign, "lock.owner": token},
            [{"$set": {"lock.heartbeat": "$$NOW", "status": {"$literal": dict(status)}}}],
        )
        if not kept.matched_count:
            raise CampaignLocked(
                f"another master has taken the campaign '{self._campaign}' from this one; "
                "this one stops, what it has spooled is kept",
                code=ErrorCode.CAMPAIGN_TAKEN_OVER,
            )

    def unlock(self, token: str) -> None:
        """Give the campaign free."""
        self._campaigns.update_one(
            {"_id": self._campaign, "lock.owner": token}, {"$set": {"lock": None}}
        )

    def published(self) -> Document | None:
        """What a living master last published, with `master` (host, pid); None if there is none."""
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
