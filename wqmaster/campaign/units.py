"""Times and sizes in a campaign file, with or without units.

Times are whole seconds. A plain number means seconds; `4h`, `90 min`, `1h30min`, and SLURM's time
limits `HH:MM:SS` and `D-HH:MM:SS` (`sbatch`, option --time) are accepted too.

Sizes are whole MB of 2^20 bytes, as ndcctools (`MEGABYTE` in its macros.h), HTCondor
(`request_memory`) and SLURM (`--mem`) count them. A plain number means MB. 1 GB is 1000 MB and 1 TB
is 1000 GB; 1 GiB is 1024 MB and 1 TiB is 1024 GiB. A size that is not a whole number of MB is
rounded up.
"""

import math
import re
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from wqmaster.campaign.base import as_written

# The number of seconds in each unit of time.
_SECONDS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86_400),
}
# The number of MB in each unit of size.
_MEGABYTES = {
    "mb": 1,
    "gb": 1000,
    "tb": 1_000_000,
    "mib": 1,
    "gib": 1024,
    "tib": 1_048_576,
}
_NUMBER = r"\d{1,15}(?:\.\d{1,9})?"
_PART = re.compile(rf"\s*({_NUMBER})\s*([a-z]+)")
_CLOCK = re.compile(r"(?:(\d{1,5})-)?(\d{1,5}):([0-5]\d):([0-5]\d)")
_SIZE = re.compile(rf"({_NUMBER})\s*([a-z]+)")
# The letter is U+00C5, or the sign for the unit, U+212B.
_FORCE = re.compile(rf"({_NUMBER})\s*meV/(?:A|\u00c5|\u212b|Angstrom)", re.IGNORECASE)
_TIMES = (
    "write a whole number of seconds, or use units (s, min, h, d), e.g. '4h', '1h30min' or "
    "'01:30:00'"
)
_SIZES = (
    "write a whole number of MB, or use a unit (MB, GB, TB, MiB, GiB, TiB), e.g. '4GB' or '512MiB'"
)


def seconds(text: str) -> int:
    """Convert a time such as "1h30min" to seconds.

    Raises:
        ValueError: `text` is not a time, or not a whole number of seconds.
    """
    given, text = text.strip(), text.strip().lower()
    if text.isdecimal():
        return int(text)
    clock = _CLOCK.fullmatch(text)
    if clock:
        days, hours, minutes, rest = (int(part or 0) for part in clock.groups())
        return days * 86_400 + hours * 3600 + minutes * 60 + rest
    parts = _PART.findall(text)
    units = [_SECONDS.get(unit) for _, unit in parts]
    sizes = [unit for unit in units if unit is not None]
    if not parts or _PART.sub("", text).strip() or len(sizes) < len(units):
        raise ValueError(f"'{given}' is not a time; {_TIMES}")
    if any(later >= earlier for earlier, later in pairwise(sizes)):
        raise ValueError(f"'{given}' is not a time: its units must decrease; {_TIMES}")
    total = sum(
        (Fraction(number) * unit for (number, _), unit in zip(parts, sizes, strict=True)),
        start=Fraction(0),
    )
    if total.denominator != 1:
        raise ValueError(f"'{given}' is not a whole number of seconds; {_TIMES}")
    return int(total)


def megabytes(text: str) -> int:
    """Convert a size such as "4GB" to MB, rounded up.

    Raises:
        ValueError: `text` is not a size.
    """
    text = text.strip()
    if text.isdecimal():
        return int(text)
    found = _SIZE.fullmatch(text.lower())
    unit = _MEGABYTES.get(found[2]) if found else None
    if found is None or unit is None:
        raise ValueError(f"'{text}' is not a size; {_SIZES}")
    return math.ceil(Fraction(found[1]) * unit)


def force_noise(text: str) -> float:
    """Convert a bound on the noise of force components, such as "1.0 meV/A", to meV/Angstrom.

    Raises:
        ValueError: `text` is not a number above 0 with the unit.
    """
    found = _FORCE.fullmatch(text.strip())
    if found is None or float(found[1]) <= 0:
        raise ValueError(
            f"'{text}' is not a force; write a number above 0 with its unit, e.g. "
            "'1.0 meV/A' (or meV/Angstrom)"
        )
    return float(found[1])


def _force(value: Any) -> Any:
    try:
        force_noise(value if isinstance(value, str) else repr(value))
    except ValueError as error:
        raise _error(str(error)) from error
    return value


def _read(value: Any, reader: Callable[[str], int], what: str, help: str) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise _error(f"{as_written(value)} is not a {what}; {help}")
    try:
        return reader(value) if isinstance(value, str) else value
    except ValueError as error:
        raise _error(str(error)) from error


def _time(value: Any) -> Any:
    return _read(value, seconds, "time", _TIMES)


def _size(value: Any) -> Any:
    return _read(value, megabytes, "size", _SIZES)


def size_or_auto(value: Any) -> Any:
    """A validator for the key of a size in MB that can also be "auto"."""
    return value if value == "auto" else _size(value)


def _error(why: str) -> PydanticCustomError:
    return PydanticCustomError("no_quantity", "{why}", {"why": why})


# Types for the campaign file's models: a time in seconds and a size in MB, both greater than 0.
Seconds = Annotated[int, Field(gt=0), BeforeValidator(_time)]
Megabytes = Annotated[int, Field(gt=0), BeforeValidator(_size)]
# A bound on the noise of force components, as it was written, with its unit.
ForceNoise = Annotated[str, BeforeValidator(_force)]
