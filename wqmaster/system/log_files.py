"""Log files that are rotated, and that no full disk turns into tracebacks on the terminal."""

import logging
import logging.handlers
import sys
from pathlib import Path

_LARGEST_LOG_BYTES = 5_000_000
_OLD_LOGS = 3


class LogFile(logging.handlers.RotatingFileHandler):
    """Writes to the file `path`, and rotates it at 5 MB. Lines that cannot be written are lost."""

    def __init__(self, path: Path | str, format: str, *, delay: bool = False) -> None:
        super().__init__(path, maxBytes=_LARGEST_LOG_BYTES, backupCount=_OLD_LOGS, delay=delay)
        self.setFormatter(logging.Formatter(format))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # as logging names it
        """Ignore errors of the disk, which the run itself reports; show all others."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)
