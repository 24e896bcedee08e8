"""Read pyscf.json, which the driver of `wqmaster.tasks.pyscf` writes on the worker.

It is one JSON object: `values` (atomic units) of the final evaluation, at `molecule.geometry`
(Angstrom); `frames` of an optimization; `method`, `basis`, `scf`, as PySCF itself states them;
`options`, as they were asked for; `versions`, `timings`; and `finished`, or `error` if it failed.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output

FILE = "pyscf.json"
# The version of the report's format that these parsers read.
FORMAT = 1


@lru_cache(maxsize=1)
def _loaded(text: str) -> Any:
    """The content of the report, cached because all parsers of a step read the same text."""
    return json.loads(text)


def report(output: Output) -> Mapping[str, Any]:
    """The content of pyscf.json.

    Raises:
        ParseError: the file is missing, truncated or not from the driver.
    """
    name = output.name if output.name.endswith(".json") else FILE
    try:
        found = _loaded(output.file(name))
    except (ValueError, RecursionError) as error:
        raise ParseError(f"{name} is not valid JSON: {error}") from error
    if not isinstance(found, dict) or found.get("wqmaster") != FORMAT:
        raise ParseError(f"{name} was not written by the PySCF driver")
    return found


def section(output: Output, name: str) -> Mapping[str, Any]:
    """One section of the report.

    Raises:
        ParseError: it is missing, or the calculation ended with an error.
    """
    found = report(output)
    if not found.get("finished"):
        raise ParseError("the calculation ended with an error, so it has no values")
    part = found.get(name)
    if not isinstance(part, dict):
        raise ParseError(f"the section '{name}' is missing from {FILE}")
    return part


def value(output: Output, name: str, why: str = "") -> Any:
    """One of the `values`.

    Raises:
        ParseError: it is missing; `why`, if given, ends the message.
    """
    found = section(output, "values")
    if name not in found:
        raise ParseError(f"'{name}' is missing from {FILE}" + (f": {why}" if why else ""))
    return found[name]


def number(found: Any, name: str) -> float:
    """`found` as a number.

    Raises:
        ParseError: it is not one.
    """
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise ParseError(f"'{name}' in {FILE} is {found!r:.40}, which is not a number")
    return float(found)


def numbers(found: Any, name: str, *shape: int | None) -> Any:
    """`found` as nested lists of numbers with these lengths (None: any).

    Raises:
        ParseError: it has another shape.
    """
    if not shape:
        return number(found, name)
    if not isinstance(found, list) or (shape[0] is not None and len(found) != shape[0]):
        raise ParseError(f"'{name}' in {FILE} does not have the shape {shape}")
    return [numbers(item, name, *shape[1:]) for item in found]


def natoms(output: Output) -> int:
    """The number of atoms.

    Raises:
        ParseError: the report has none.
    """
    found = section(output, "molecule").get("natoms")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ParseError(f"the number of atoms is missing from {FILE}")
    return found
