"""ORCA, with any route."""

from wqmaster.tasks.orca.task import PROGRAM, sequential

__all__ = ["PROGRAM", "sequential"]
