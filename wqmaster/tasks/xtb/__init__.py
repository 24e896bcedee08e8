"""xtb: single points, optimizations, Hessians, molecular dynamics."""

from wqmaster.tasks.xtb.task import PROGRAM, hessian, md, optimize, singlepoint

__all__ = ["PROGRAM", "hessian", "md", "optimize", "singlepoint"]
