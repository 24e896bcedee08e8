"""Run any program with input files from templates."""

from wqmaster.tasks.command.task import PROGRAM, run

__all__ = ["PROGRAM", "run"]
