"""The former place of `wqmaster.jobs.molecule`, for users' modules that import from here."""

from wqmaster.jobs.molecule import SYMBOLS, Molecule

__all__ = ["SYMBOLS", "Molecule"]
