"""Problems with a factory or its workers, each with a kind and a message."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class TroubleKind(StrEnum):
    """The kinds of trouble; their values are stored in status.json."""

    ALL_END_AT_ONCE = "all_end_at_once"  # all exited immediately, so the factory submits no more
    END_AT_ONCE = "end_at_once"  # some workers exited immediately
    SENT_SLOWLY = "sent_slowly"  # many exited immediately, so the factory submits one at a time
    SOME_ABSENT = "some_absent"  # some workers run but do not connect
    ALL_ABSENT = "all_absent"  # workers run, but none connects
    NONE_CONNECTED = "none_connected"  # all workers ended without connecting
    HELD = "held"  # the batch system holds a worker
    QUEUED = "queued"  # all workers have waited in the queue for a long time
    NOT_SUBMITTED = "not_submitted"
    NO_MASTER = "no_master"
    FACTORY_KILLED = "factory_killed"
    FACTORY_ENDED = "factory_ended"
    FACTORY_RESTARTS = "factory_restarts"  # it died, and the master starts it again
    FACTORY_FAILING = "factory_failing"  # it died so often that it is only tried now and then
    FOLDER_FAILED = "folder_failed"
    WORKERS_LEFT = "workers_left"  # the factory has ended, but its workers are still in the queue
    OTHER_PORT = "other_port"  # workers connect to a port that is not the master's
    UNKNOWN = "unknown"  # another version of wqmaster wrote the status


@dataclass(frozen=True)
class Trouble:
    """A problem with a factory or its workers."""

    kind: TroubleKind
    text: str
    about: str = ""  # what distinguishes two problems of one kind, such as an exit code

    def __str__(self) -> str:
        return self.text

    def is_new(self, before: "Trouble | None") -> bool:
        """Whether this differs from `before` in more than the text, which can change meanwhile."""
        return before is None or (self.kind, self.about) != (before.kind, before.about)

    @property
    def code(self) -> str:
        """The kind, spelled like an error code."""
        return self.kind.value.replace("_", "-")

    def as_json(self) -> dict[str, Any]:
        """The trouble as plain data, for status.json."""
        return {**asdict(self), "code": self.code}


def trouble_in(status: Any) -> Trouble | None:
    """The trouble in a status, even one that another version wrote; None if it has none."""
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
