"""What is wrong with a factory or its workers: of which kind, and in words."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class TroubleKind(StrEnum):
    """Kinds of trouble; the values stand in status.json."""

    ALL_END_AT_ONCE = "all_end_at_once"  # no more workers are sent
    END_AT_ONCE = "end_at_once"
    SENT_SLOWLY = "sent_slowly"  # so many ended at once that they are sent one at a time
    SOME_ABSENT = "some_absent"  # they run and do not connect
    ALL_ABSENT = "all_absent"
    NONE_CONNECTED = "none_connected"  # they came and went
    HELD = "held"  # by the batch system
    QUEUED = "queued"
    NOT_SUBMITTED = "not_submitted"
    NO_MASTER = "no_master"
    FACTORY_KILLED = "factory_killed"
    FACTORY_ENDED = "factory_ended"
    FOLDER_FAILED = "folder_failed"
    WORKERS_LEFT = "workers_left"  # in the queue, after its end
    OTHER_PORT = "other_port"
    UNKNOWN = "unknown"  # of a status that another version wrote


@dataclass(frozen=True)
class Trouble:
    """Something that is wrong."""

    kind: TroubleKind
    text: str
    about: str = ""  # what distinguishes it from others of its kind: an exit code

    def __str__(self) -> str:
        return self.text

    def is_new(self, before: "Trouble | None") -> bool:
        """Whether it is another one than `before`; the words of one change while it lasts."""
        return before is None or (self.kind, self.about) != (before.kind, before.about)

    @property
    def code(self) -> str:
        """The kind, as codes are written elsewhere."""
        return self.kind.value.replace("_", "-")

    def as_json(self) -> dict[str, Any]:
        """As plain data, for status.json."""
        return {**asdict(self), "code": self.code}


def trouble_in(status: Any) -> Trouble | None:
    """The trouble that a status has, also one that another version has written."""
    detail = status.get("trouble_detail")
    if isinstance(detail, dict):
        try:
            return Trouble(
                TroubleKind(str(detail["kind"])), str(detail["text"]), str(detail["about"])
            )
        except (KeyError, ValueError):
            pass
    text = status.get("trouble")
    return Trouble(TroubleKind.UNKNOWN, str(text)) if text else None
