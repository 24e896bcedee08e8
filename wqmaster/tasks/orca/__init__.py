"""ORCA: steps of any routes."""

from wqmaster.tasks.orca.task import sequential

__all__ = ["sequential"]
