"""PySCF: single points, optimizations, Hessians."""

from wqmaster.tasks.pyscf.task import PROGRAM, hessian, optimize, singlepoint

__all__ = ["PROGRAM", "hessian", "optimize", "singlepoint"]
