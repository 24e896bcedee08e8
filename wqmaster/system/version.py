"""The version of wqmaster, which `pyproject.toml` states."""

from importlib import metadata

__version__ = metadata.version("wqmaster")
