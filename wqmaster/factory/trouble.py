"""Problems of a factory or its workers, with a kind and a message."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class TroubleKind(StrEnum):
    """Kinds of trouble; the values are stored in status.json."""

    ALL_END_AT_ONCE = "all_end_at_once"  # no more workers are submitted
    END_AT_ONCE = "end_at_once"
    SENT_SLOWLY = "sent_slowly"  # so many exited immediately that they are submitted one at a time
    SOME_ABSENT = "some_absent"  # some run but do not connect
    ALL_ABSENT = "all_absent"
    NONE_CONNECTED = "none_connected"  # all ended without connecting
    HELD = "held"  # by the batch system
    QUEUED = "queued"
    NOT_SUBMITTED = "not_submitted"
    NO_MASTER = "no_master"
    FACTORY_KILLED = "factory_killed"
    FACTORY_ENDED = "factory_ended"
    FOLDER_FAILED = "folder_failed"
    WORKERS_LEFT = "workers_left"  # in the queue, after the factory's end
    OTHER_PORT = "other_port"
    UNKNOWN = "unknown"  # from a status that another version wrote


@dataclass(frozen=True)
class Trouble:
    """A problem of a factory or its workers."""

    kind: TroubleKind
    text: str
    about: str = ""  # distinguishes it from others of its kind, for example an exit code

    def __str__(self) -> str:
        return self.text

    def is_new(self, before: "Trouble | None") -> bool:
        """Whether it differs from `before`; the text of a trouble changes while it lasts."""
        return before is None or (self.kind, self.about) != (before.kind, before.about)

    @property
    def code(self) -> str:
        """The kind, spelled like an error code."""
        return self.kind.value.replace("_", "-")

    def as_json(self) -> dict[str, Any]:
        """As plain data, for status.json."""
        return {**asdict(self), "code": self.code}


def trouble_in(status: Any) -> Trouble | None:
    """The trouble in a status, which another version may have written."""
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
