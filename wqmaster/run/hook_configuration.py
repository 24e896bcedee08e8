"""What the process that runs a user's hook is sent first."""

from pydantic import BaseModel, ConfigDict


class HookConfiguration(BaseModel):
    """Whom to tell. It holds secrets, so it is sent only through a pipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: list[str]  # the program and its arguments; [] for none
    url: str | None
    timeout: float  # seconds
    folder: str  # where the program runs
    log: str  # path of the log
