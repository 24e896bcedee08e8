"""The private MongoDB server as a part of a run that can fail and be mended."""

from wqmaster.database.private_server import Mongod
from wqmaster.database.revival import Revival
from wqmaster.error_codes import ErrorCode
from wqmaster.run.upkeep import RunTrouble


class ServerPart:
    """Keeps the private server running."""

    def __init__(self, mongod: Mongod) -> None:
        self._revival = Revival(mongod)

    def tend(self) -> None:
        """Do nothing: a thread watches the server."""

    def trouble(self) -> RunTrouble | None:
        """Why the server does not run; None if it does."""
        text = self._revival.trouble
        if text is None:
            return None
        return RunTrouble(text, ErrorCode.DATABASE_NOT_STARTED, lasts=self._revival.lasts)

    def close(self) -> None:
        """Stop watching the server, which then can be stopped."""
        self._revival.close()
