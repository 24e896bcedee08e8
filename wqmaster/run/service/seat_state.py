"""The states of a campaign in a service."""

from enum import StrEnum


class SeatState(StrEnum):
    """The state of a campaign in a service; the values are published for `wqmaster status`."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    RESTARTING = "restarting"  # its process has died, or could not begin
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def is_end(self) -> bool:
        """Whether the campaign has come to its end."""
        return self in (SeatState.FINISHED, SeatState.STOPPED, SeatState.FAILED)
