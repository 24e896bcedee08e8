"""wqmaster runs campaigns of many short chemistry calculations on opportunistic workers.

`__all__` lists the names that users' modules import, and docs/api.md describes them. Each name is
imported on first use, which keeps `import wqmaster` fast.
"""

from typing import TYPE_CHECKING

from wqmaster.system import lazy as _lazy

if TYPE_CHECKING:
    from wqmaster import testing
    from wqmaster.campaign.base import Model
    from wqmaster.errors import BadDocument, ParseError, WqmasterError
    from wqmaster.jobs.failures import Failure, FailureClass
    from wqmaster.jobs.job import Asked, Execution, Input, Job
    from wqmaster.jobs.molecule import Molecule
    from wqmaster.parsers.base import Output, reads
    from wqmaster.system.version import __version__
    from wqmaster.tasks.base import Rung, Software, StepRequest, task
    from wqmaster.tasks.leaves import Lack, Leaves, Remark
    from wqmaster.tasks.program import Change, DataFolder, Program, Trial

__all__ = [
    "Asked",
    "BadDocument",
    "Change",
    "DataFolder",
    "Execution",
    "Failure",
    "FailureClass",
    "Input",
    "Job",
    "Lack",
    "Leaves",
    "Model",
    "Molecule",
    "Output",
    "ParseError",
    "Program",
    "Remark",
    "Rung",
    "Software",
    "StepRequest",
    "Trial",
    "WqmasterError",
    "__version__",
    "reads",
    "task",
    "testing",
]

_PLACES = {
    "Asked": "wqmaster.jobs.job",
    "BadDocument": "wqmaster.errors",
    "Change": "wqmaster.tasks.program",
    "DataFolder": "wqmaster.tasks.program",
    "Execution": "wqmaster.jobs.job",
    "Failure": "wqmaster.jobs.failures",
    "FailureClass": "wqmaster.jobs.failures",
    "Input": "wqmaster.jobs.job",
    "Job": "wqmaster.jobs.job",
    "Lack": "wqmaster.tasks.leaves",
    "Leaves": "wqmaster.tasks.leaves",
    "Model": "wqmaster.campaign.base",
    "Molecule": "wqmaster.jobs.molecule",
    "Output": "wqmaster.parsers.base",
    "ParseError": "wqmaster.errors",
    "Program": "wqmaster.tasks.program",
    "Remark": "wqmaster.tasks.leaves",
    "Rung": "wqmaster.tasks.base",
    "Software": "wqmaster.tasks.base",
    "StepRequest": "wqmaster.tasks.base",
    "Trial": "wqmaster.tasks.program",
    "WqmasterError": "wqmaster.errors",
    "__version__": "wqmaster.system.version",
    "reads": "wqmaster.parsers.base",
    "task": "wqmaster.tasks.base",
    "testing": "wqmaster.testing",
}

__getattr__ = _lazy.getter(__name__, _PLACES)
__dir__ = _lazy.lister(__name__, _PLACES)
