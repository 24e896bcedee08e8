"""The former path of `wqmaster.jobs.failures`, for users' modules that import from it."""

from wqmaster.jobs.failures import Failure, FailureClass

__all__ = ["Failure", "FailureClass"]
