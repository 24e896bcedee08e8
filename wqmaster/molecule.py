"""The former path of `wqmaster.jobs.molecule`, for users' modules that import from it."""

from wqmaster.jobs.molecule import SYMBOLS, Molecule

__all__ = ["SYMBOLS", "Molecule"]
