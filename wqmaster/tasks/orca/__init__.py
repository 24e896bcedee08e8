"""ORCA: steps of any routes."""

from wqmaster.tasks.orca.task import PROGRAM, sequential

__all__ = ["PROGRAM", "sequential"]
