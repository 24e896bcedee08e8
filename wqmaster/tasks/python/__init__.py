"""A user's Python function, called on the workers."""

from wqmaster.tasks.python.task import PROGRAM, call

__all__ = ["PROGRAM", "call"]
