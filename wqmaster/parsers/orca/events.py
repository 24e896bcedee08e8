"""The positions of all lines in an ORCA output that separate or belong to evaluations.

The run time of the search is linear in the length of the text.
"""

import re
from collections.abc import Iterator
from itertools import zip_longest

from wqmaster.parsers.orca.final_lines import FINAL
from wqmaster.parsers.orca.text import every, every_beginning, line_end, line_start, lines

GEOMETRY = "CARTESIAN COORDINATES (ANGSTROEM)"
GRADIENTS = (
    "CARTESIAN GRADIENT",
    "CARTESIAN GRADIENT (NUMERICAL)",
    "The final MP2 gradient",
    "The cartesian gradient:",
)
STATIONARY = "FINAL ENERGY EVALUATION AT THE STATIONARY POINT"
_BANNER = "* O   R   C   A *"
_SCF = ("SCF CONVERGED AFTER", "SCF NOT CONVERGED AFTER")
_DISPLACED = ("<< Calculating", "<<<Displacing")  # the first since 5.0, the second before 5.0
# Headings after the displaced geometries of a numerical Hessian or gradient.
_AFTER_DISPLACED = ("VIBRATIONAL FREQUENCIES", "CARTESIAN GRADIENT (NUMERICAL)")
# The text that announces an evaluation, and the name of the event.
_ANNOUNCED = {
    "JOB NUMBER": "job",
    "COMPOUND JOB": "job",
    "RELAXED SURFACE SCAN STEP": "scan",
    "TRAJECTORY STEP": "scan_point",
    "GEOMETRY OPTIMIZATION CYCLE": "optimisation_cycle",
    STATIONARY: "stationary_point",
    "Molecular Dynamics Simulation": "dynamics_step",
}
# A line that announces an evaluation can also contain a frame of asterisks and a number.
_FRAME = re.compile(r"[\s*$]{0,200}")
_NUMBER = re.compile(r"\s{0,40}(\d{1,9})[\s*$]{0,200}")


def _block_lines(text: str, position: int) -> Iterator[str]:
    """The lines of the geometry whose heading is at `position`, up to the next empty line."""
    for count, line in enumerate(lines(text, position)):
        # An empty line in place of the dashed line under the heading does not end the geometry.
        if (count and not line.strip()) or GEOMETRY in line:
            return
        yield line


def geometry_block(text: str, position: int) -> str:
    """The geometry whose heading is at `position`, including the heading."""
    return "\n".join([GEOMETRY, *_block_lines(text, position)])


def same_block(text: str, one: int, other: int) -> bool:
    """Whether the geometries at two positions have identical lines."""
    pairs = zip_longest(_block_lines(text, one), _block_lines(text, other))
    return all(line == again for line, again in pairs)


def _framed(text: str, words: str) -> Iterator[int]:
    """The positions of `words` that have nothing but a frame before them on their line."""
    position = text.find(words)
    while position >= 0:
        if _FRAME.fullmatch(text, line_start(text, position), position):
            yield position
        position = text.find(words, line_end(text, position))


def _announced(text: str, words: str) -> Iterator[tuple[int, int | None]]:
    """The start and the number of each line that has only `words`, a frame and maybe a number."""
    for position in _framed(text, words):
        after = text[position + len(words) : line_end(text, position)]
        found = _NUMBER.fullmatch(after)
        if found or _FRAME.fullmatch(after):
            yield line_start(text, position), int(found[1]) if found else None


def events(text: str) -> list[tuple[int, str, int | None]]:
    """The position, name and number of each event, in order of position.

    The number is None if ORCA prints none.
    """
    found: list[tuple[int, str, int | None]] = []
    for words, name in _ANNOUNCED.items():
        found += [(place, name, count) for place, count in _announced(text, words)]
    found += [(place, "job", None) for place in every(text, _BANNER)]
    found += [(place, "geometry", None) for place in every(text, GEOMETRY)]
    for words in _SCF:
        found += [(place, "scf", None) for place in _framed(text, words)]
    found += [(place, "energy", None) for place in every_beginning(text, FINAL)]
    for words in GRADIENTS:
        found += [(place, "gradient", None) for place in every(text, words)]
    displaced = [words for words in _DISPLACED if words in text]
    for words in displaced:
        found += [(place, "displaced", None) for place in every_beginning(text, words)]
    if displaced:
        for words in _AFTER_DISPLACED:
            # The sort puts this event before a gradient at the same position.
            found += [(place, "after displaced", None) for place in every(text, words)]
    return sorted(found, key=lambda event: (event[0], event[1] != "after displaced"))
