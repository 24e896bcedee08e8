"""Any program, with input files from templates."""

from wqmaster.tasks.command.task import run

__all__ = ["run"]
