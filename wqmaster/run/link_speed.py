"""How fast outputs come back from workers, which decides whether they are compressed there."""

import logging
import statistics
from collections import deque

log = logging.getLogger("wqmaster.master")

# Below this speed in bytes per second, the time that compression saves on the way is longer than
# the time that it takes: `gzip -1` reads about 70 MB/s of text, of which it leaves a quarter.
SLOW_BYTES_PER_SECOND = 20e6
# The speed in bytes per second at which outputs are no longer compressed: not twice as fast by
# chance. On one machine, a manager receives 200 to 1,000 MB/s, and half of that under load.
FAST_BYTES_PER_SECOND = 60e6
# Smaller outputs say more about latencies than about the link.
_MIN_BYTES = 20_000
# How many of the last outputs decide, and how many are enough.
_MAX_OUTPUTS, _MIN_OUTPUTS = 40, 5


class LinkSpeed:
    """The speed of the way back, as the median of the last outputs.

    A manager that cannot receive outputs one by one sees slow ones only, so that the median of a
    mixed pool is that of the workers from which most outputs come.
    """

    def __init__(self) -> None:
        self._speeds: deque[float] = deque(maxlen=_MAX_OUTPUTS)
        self.is_slow = False

    def received(self, size: int, seconds: float) -> None:
        """Take note of outputs of `size` bytes that took `seconds`; 0 if that is unknown."""
        if seconds <= 0 or size < _MIN_BYTES:
            return
        self._speeds.append(size / seconds)
        if len(self._speeds) < _MIN_OUTPUTS:
            return
        speed = statistics.median(self._speeds)
        limit = FAST_BYTES_PER_SECOND if self.is_slow else SLOW_BYTES_PER_SECOND
        if self.is_slow != (speed < limit):
            self.is_slow = not self.is_slow
            how = "are compressed" if self.is_slow else "are not compressed"
            log.info("outputs come back with %.1f MB/s, so they %s", speed / 1e6, how)
