"""A Python function of the user, run on the workers."""

from wqmaster.tasks.python.task import call

__all__ = ["call"]
