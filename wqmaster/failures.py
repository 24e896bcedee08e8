"""The former place of `wqmaster.jobs.failures`, for users' modules that import from here."""

from wqmaster.jobs.failures import Failure, FailureClass

__all__ = ["Failure", "FailureClass"]
