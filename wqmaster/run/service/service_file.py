"""Watch service.yaml, which a running service does not read again."""

import time
from collections.abc import Callable

from wqmaster.campaign.service import LoadedService, load_service
from wqmaster.errors import CampaignError
from wqmaster.run.service.folder import Files, single


class ServiceFileWatch:
    """Compares service.yaml with what the service read when it began.

    `service` (its settings) is None if the service has no such file. `clock` returns the time in
    seconds.
    """

    def __init__(
        self, service: LoadedService | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._service = service
        paths = [] if service is None else [service.source.path.absolute()]
        self._files = Files(single(paths), clock)
        # What has changed, and what to do; None if the service runs by the file as it is.
        self.difference: str | None = None

    def rescan(self) -> None:
        """Let the next call of `look` look at the file, whatever the time."""
        self._files.rescan()

    def look(self) -> str | None:
        """Look at the file; return a difference that was not there before."""
        before = self.difference
        for _ in self._files.changes():
            self.difference = self._compared()
        return None if self.difference == before else self.difference

    def _compared(self) -> str | None:
        if self._service is None:
            return None
        path = self._service.source.path.absolute()
        try:
            now = load_service(path)
        except CampaignError as error:
            return f"{error.message}; the service continues with the {path.name} that it has read"
        if now.file == self._service.file:
            return None
        return f"{path} has changed; restart the service to apply the change"
