"""Factories: what sends out workers, by work_queue_factory or vine_factory.

`plan` says what is to be started, `condor`, `slurm` and `local` what is known of each batch system;
a `supervisor` process has the factory and watches it; `handle` is what master and command line
have of it in hand.
"""

from wqmaster.factory.campaigns import here, identity, manager_of, planned, this_host
from wqmaster.factory.demand import Demand
from wqmaster.factory.handle import Detached, Factory, Handle, start, status, stop
from wqmaster.factory.plan import PROGRAMS, Plan, slots
from wqmaster.factory.shown import lines, printed
from wqmaster.factory.supervisor import Locked
from wqmaster.factory.trouble import Trouble, TroubleKind

__all__ = [
    "PROGRAMS",
    "Demand",
    "Detached",
    "Factory",
    "Handle",
    "Locked",
    "Plan",
    "Trouble",
    "TroubleKind",
    "here",
    "identity",
    "lines",
    "manager_of",
    "planned",
    "printed",
    "slots",
    "start",
    "status",
    "stop",
    "this_host",
]
