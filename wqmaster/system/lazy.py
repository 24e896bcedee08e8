"""Import the names in a package when they are first used (PEP 562)."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def getter(package: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """Make a `__getattr__` for `package`, which imports each name when it is first used.

    `places` maps a name to the module that defines it. A name that maps to the module
    `package.name` stands for that module itself.
    """

    def get(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        module = importlib.import_module(places[name])
        found = module if places[name] == f"{package}.{name}" else getattr(module, name)
        # The next access finds the name without this function.
        setattr(sys.modules[package], name, found)
        return found

    return get


def lister(package: str, places: Mapping[str, str]) -> Callable[[], list[str]]:
    """Make a `__dir__` for `package`: the names that it has already, and those in `places`."""
    return lambda: sorted({*vars(sys.modules[package]), *places})
