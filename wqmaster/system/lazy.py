"""Names of a package that are imported when they are first asked for (PEP 562)."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def getter(package: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the `__getattr__` of `package`: it imports a name from the module in `places`.

    A name whose place is the module `package.name` is that module.
    """

    def get(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        module = importlib.import_module(places[name])
        found = module if places[name] == f"{package}.{name}" else getattr(module, name)
        # The next access finds it without this function.
        setattr(sys.modules[package], name, found)
        return found

    return get


def lister(package: str, places: Mapping[str, str]) -> Callable[[], list[str]]:
    """Make the `__dir__` of `package`: what it holds already, and the names in `places`."""
    return lambda: sorted({*vars(sys.modules[package]), *places})
