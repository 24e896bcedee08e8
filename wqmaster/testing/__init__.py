"""Tools for testing programs, and for testing campaigns without processes or a database."""

from wqmaster.testing.collectors import InlineCollectors
from wqmaster.testing.conformance import Sample, check_program
from wqmaster.testing.engine import (
    Answer,
    MemoryEngine,
    SandboxedJob,
    outcome,
    packed_outcomes,
    step_outcome,
)
from wqmaster.testing.store import MemoryStore

__all__ = [
    "Answer",
    "InlineCollectors",
    "MemoryEngine",
    "MemoryStore",
    "Sample",
    "SandboxedJob",
    "check_program",
    "outcome",
    "packed_outcomes",
    "step_outcome",
]
