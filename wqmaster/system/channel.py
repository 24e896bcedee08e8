"""The channel from a process to the master that started it: its standard output."""

import os
import sys


class Channel:
    """Sends lines to the master.

    Anything else that the process prints, such as a user's parser, goes to standard error.
    """

    def __init__(self) -> None:
        self._descriptor = os.dup(sys.stdout.fileno())
        os.set_inheritable(self._descriptor, False)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(self, line: bytes) -> None:
        """Send a complete line.

        Raises:
            BrokenPipeError: the master is gone.
        """
        while line:
            line = line[os.write(self._descriptor, line) :]
