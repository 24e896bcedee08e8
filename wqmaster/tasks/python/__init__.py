"""A Python function of the user, run on the workers."""

from wqmaster.tasks.python.task import PROGRAM, call

__all__ = ["PROGRAM", "call"]
