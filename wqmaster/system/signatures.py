"""Check that a function accepts the arguments with which it will be called."""

import inspect
from typing import Any


def misfit(function: Any, *names: str) -> str | None:
    """Why `function` cannot be called with positional arguments of these names; None if it can.

    A function without a signature, such as some written in C, is not refused.
    """
    if not callable(function):
        return f"{function!r:.60} is not a function"
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    try:
        signature.bind(*names)
    except TypeError:
        return f"it takes {signature}, but is called with ({', '.join(names)})"
    return None
