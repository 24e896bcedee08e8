"""AutoDock Vina: a ligand of the document into a receptor."""

from wqmaster.tasks.vina.task import PROGRAM, dock

__all__ = ["PROGRAM", "dock"]
