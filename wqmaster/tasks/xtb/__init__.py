"""xtb: single points, optimisations, Hessians, molecular dynamics."""

from wqmaster.tasks.xtb.task import hessian, md, optimize, singlepoint

__all__ = ["hessian", "md", "optimize", "singlepoint"]
