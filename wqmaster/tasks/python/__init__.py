"""Call a user's Python function on workers."""

from wqmaster.tasks.python.task import PROGRAM, call

__all__ = ["PROGRAM", "call"]
