"""The former place of `wqmaster.jobs.molecule`, for modules of users that import from here."""

from wqmaster.jobs.molecule import SYMBOLS, Molecule

__all__ = ["SYMBOLS", "Molecule"]
