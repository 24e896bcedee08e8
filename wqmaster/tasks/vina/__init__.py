"""AutoDock Vina: dock a document's ligand into a receptor."""

from wqmaster.tasks.vina.task import PROGRAM, dock

__all__ = ["PROGRAM", "dock"]
