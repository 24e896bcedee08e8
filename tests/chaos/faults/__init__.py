"""All faults, in `FAULTS`; importing a module registers its faults."""

from tests.chaos.faults import archives, clock, disk, network, server, signals
from tests.chaos.faults.base import FAULTS, Fault, Needs, NotDone

__all__ = [
    "FAULTS",
    "Fault",
    "Needs",
    "NotDone",
    "archives",
    "clock",
    "disk",
    "network",
    "server",
    "signals",
]
