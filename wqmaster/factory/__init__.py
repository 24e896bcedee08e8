"""Factories, which start workers through work_queue_factory or vine_factory.

`plan` decides how a factory is started, and `batch` describes each batch system. A `supervisor`
process runs and watches the factory. The master and the command line control it through `handle`.
"""

from wqmaster.factory.campaigns import identity, local_plan, manager_of, planned, requested
from wqmaster.factory.demand import Demand, Numbers
from wqmaster.factory.handle import Detached, Factory, Handle, start, status, stop
from wqmaster.factory.lasting import LastingFactory
from wqmaster.factory.leftovers import Locked
from wqmaster.factory.plan import ENGINE_PROGRAMS, Address, Plan, Project, numbers
from wqmaster.factory.shown import lines, printed
from wqmaster.factory.sizes import worker_size
from wqmaster.factory.submit_file import MARK, Needs, SubmitFile, submit_file
from wqmaster.factory.submitted import note_submit_file, noted_submit_file
from wqmaster.factory.trouble import Trouble, TroubleKind
from wqmaster.system.hosts import this_host

__all__ = [
    "ENGINE_PROGRAMS",
    "MARK",
    "Address",
    "Demand",
    "Detached",
    "Factory",
    "Handle",
    "LastingFactory",
    "Locked",
    "Needs",
    "Numbers",
    "Plan",
    "Project",
    "SubmitFile",
    "Trouble",
    "TroubleKind",
    "identity",
    "lines",
    "local_plan",
    "manager_of",
    "note_submit_file",
    "noted_submit_file",
    "numbers",
    "planned",
    "printed",
    "requested",
    "start",
    "status",
    "stop",
    "submit_file",
    "this_host",
    "worker_size",
]
