"""wqmaster runs campaigns of many short chemistry calculations on opportunistic workers."""

from importlib.metadata import version

__version__ = version("wqmaster")
