"""Parsers of ORCA's run times."""

import re
from itertools import islice

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.orca.text import block, last_beginning, number

_NO_LETTER = re.compile(r"[^0-9a-z]+")
# The largest number of lines in the table of timings; ORCA has fewer modules.
_MAX_LINES = 200
_TOTAL = "TOTAL RUN TIME:"
_SECONDS = {"days": 86400.0, "hours": 3600.0, "minutes": 60.0, "seconds": 1.0, "msec": 0.001}
# How much (s) the modules' times can exceed the printed sum because of rounding. They can also be
# less, since the sum includes modules without a line (MD, ROCIS).
_ROUNDING = 0.05


@reads("stdout")
def timings(output: Output) -> dict[str, float]:
    """Time for each module in seconds, from "Timings for individual modules" at the end of a run.

    The keys are ORCA's names in lower case with underscores, since MongoDB allows no dots in keys:
    `sum_of_individual_times`, `scf_iterations`, `solution_of_cp_scf_eqns`.

    Raises:
        ParseError: the table is missing or incomplete.
    """
    found: dict[str, float] = {}
    for line in islice(block(output, "Timings for individual modules:"), _MAX_LINES):
        if not line.strip() and not found:
            continue
        name, dots, rest = line.partition("...")
        words = rest.split()
        if not dots or len(words) < 2 or words[1] != "sec":
            break
        key = _NO_LETTER.sub("_", name.lower()).strip("_")
        if not key or key in found:
            raise ParseError(f"a line of the timings is damaged: {line.strip()[:60]!r}")
        found[key] = number(words[0])
    else:
        raise ParseError(f"the timings in {output.name} are truncated")
    total = found.get("sum_of_individual_times")
    if total is None:
        raise output.missing("'Sum of individual times'")
    if sum(found.values()) - 2 * total > _ROUNDING:
        raise ParseError("the timings of the modules exceed their printed sum")
    return found


@reads("stdout")
def total_run_time(output: Output) -> float:
    """Wall time of the whole run in seconds, from the last line of an output that ended normally.

    Raises:
        ParseError: the line is missing.
    """
    position = last_beginning(output.text, _TOTAL)
    if position < 0:
        raise output.missing(f"'{_TOTAL}'")
    # This is the last line of the file. The unit after the last number shows that it is complete.
    words = output.text[position + len(_TOTAL) : position + 200].split("\n")[0].split()
    values, units = words[::2], words[1::2]
    if units != list(_SECONDS) or len(values) != len(units):
        raise ParseError(f"the line '{_TOTAL}' in {output.name} cannot be read")
    return sum(number(value) * _SECONDS[unit] for value, unit in zip(values, units, strict=True))
