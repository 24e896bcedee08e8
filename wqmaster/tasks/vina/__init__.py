"""AutoDock Vina: a ligand of the document into a receptor."""

from wqmaster.tasks.vina.task import dock

__all__ = ["dock"]
