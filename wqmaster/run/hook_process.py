"""A process that tells a user's program or an address what happens to a run.

    python -m wqmaster.run.hook_process

Its first line of standard input is a `HookConfiguration`, each further line an event. A failure is
logged and otherwise ignored. The process ends when standard input closes.
"""

import contextlib
import json
import logging
import logging.handlers
import os
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from types import FrameType
from typing import Any

from wqmaster.run.hook_configuration import HookConfiguration
from wqmaster.system.lines import last_line

log = logging.getLogger("wqmaster.notify")

_MAX_QUOTED_CHARACTERS = 300


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects, which could carry a token to another host."""

    def redirect_request(self, *_: Any) -> None:
        """None: the redirect is reported as an error."""


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise TimeoutError after `seconds`, whatever the connection does meanwhile."""

    def over(number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def post(url: str, event: bytes, timeout: float) -> str:
    """POST an event; return what became of it. The text never holds the address."""
    request = urllib.request.Request(  # noqa: S310  # the campaign file allows http and https only
        url, event, {"Content-Type": "application/json", "User-Agent": "wqmaster"}, method="POST"
    )
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with _limited(timeout), opener.open(request, timeout=timeout) as response:
            return f"the address answered with HTTP {response.status}"
    except urllib.error.HTTPError as error:
        return f"the address refused the message with HTTP {error.code}"
    except TimeoutError:
        return f"the address did not answer within {timeout:.0f} s"
    except (OSError, ValueError) as error:
        # Messages of other errors can quote the address.
        why = getattr(error, "reason", None)
        text = why.strerror if isinstance(why, OSError) and why.strerror else ""
        return f"the address cannot be reached: {text or type(error).__name__}"


class Program:
    """A user's program, which is called for each event."""

    def __init__(self, configuration: HookConfiguration) -> None:
        self._words = configuration.words
        self._folder = configuration.folder
        self._timeout = configuration.timeout
        self._process: subprocess.Popen[bytes] | None = None

    def call(self, event: bytes) -> str:
        """Call the program with an event; return what became of it."""
        found = json.loads(event)
        variables = {
            f"WQMASTER_{name.upper()}": str(found[name]).replace("\0", "")
            for name in ("event", "campaign", "message", "state")
        }
        with tempfile.TemporaryFile() as output:
            try:
                self._process = subprocess.Popen(
                    self._words,
                    cwd=self._folder,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    env={**os.environ, **variables},
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                return f"the program cannot be started: {error}"
            try:
                self._process.communicate(event, timeout=self._timeout)
            except subprocess.TimeoutExpired:
                self.end()
                return f"the program did not end within {self._timeout:.0f} s and was killed"
            output.seek(0)
            said = last_line(output.read(100_000).decode(errors="replace"))
        code, self._process = self._process.returncode, None
        quoted = f": {said[:_MAX_QUOTED_CHARACTERS]}" if said and code else ""
        return f"the program ended with exit code {code}{quoted}"

    def end(self) -> None:
        """Kill the program and what it started, if it runs."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


def main() -> None:
    """Run until standard input closes."""
    configuration = HookConfiguration.model_validate_json(sys.stdin.buffer.readline())
    handler = logging.handlers.RotatingFileHandler(
        configuration.log, maxBytes=1_000_000, backupCount=1
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    program = Program(configuration)

    def stop(number: int, frame: FrameType | None) -> None:
        program.end()
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    for line in sys.stdin.buffer:
        event = line.strip()
        kind = json.loads(event)["event"]
        if configuration.words:
            log.info("%s: %s", kind, program.call(event))
        if configuration.url is not None:
            log.info("%s: %s", kind, post(configuration.url, event, configuration.timeout))


if __name__ == "__main__":
    main()
