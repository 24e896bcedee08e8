"""What an ORCA output states: the molecule, and the input that it echoes.

ORCA (3 to 6.1) prints its input file between "INPUT FILE" and "****END OF INPUT****", each line
after `| NUMBER> `. Coordinates with six decimals follow in "CARTESIAN COORDINATES (ANGSTROEM)".
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.jobs.molecule import NUMBER_OF
from wqmaster.offline.adopting.base import Reason, Stated, Unfit, unknown_molecule
from wqmaster.parsers.base import Output
from wqmaster.parsers.orca import basis, charge, geometry, multiplicity, symbols, total_run_time
from wqmaster.parsers.orca.geometry import HEADING, is_atom, labels_and_coordinates
from wqmaster.parsers.orca.run import program_version
from wqmaster.parsers.orca.text import every
from wqmaster.tasks.orca.remedies import comments_out
from wqmaster.tasks.orca.route import read

_INPUT = "INPUT FILE"
_END_OF_INPUT = "****END OF INPUT****"
_LINE = re.compile(r"^\|[ \d]{1,9}> ?(.*)$", re.MULTILINE)
_NAME = re.compile(r"^NAME = (\S.{0,300})$", re.MULTILINE)
_NEW_JOB = re.compile(r"^[ \t]*\$new_job\b.*$", re.MULTILINE | re.IGNORECASE)
# Coordinates up to the closing asterisk, or the one line that names a file with them.
_FROM_FILE = re.compile(r"^[ \t]*\*[ \t]*(?:xyz|gzmt|pdb)file\b.*$", re.MULTILINE | re.IGNORECASE)
_COORDINATES = re.compile(
    r"^[ \t]*\*[ \t]*(?:xyz|int|internal|gzmt)\b[^*]*(?:\*|\Z)", re.MULTILINE | re.IGNORECASE
)
# Blocks that determine neither the level of theory nor the state: processes, memory, file names.
_RESOURCES = frozenset(("pal", "maxcore", "base", "id", "moinp", "coords"))
_PROCESSES = re.compile(r"pal\d{1,4}(\(\d+x\d+\))?")


def echoed_input(text: str) -> str:
    """The input file that the output echoes, without line numbers.

    Raises:
        Unfit: there is none, it is truncated, or the file holds several runs.
    """
    ends = text.count(_END_OF_INPUT)
    start = text.find(_INPUT)
    end = text.find(_END_OF_INPUT, start)
    if start < 0 or end < 0:
        raise Unfit(Reason.RECIPE_UNKNOWN, "the output does not echo its input file")
    if ends > 1:
        raise Unfit(Reason.RECIPE_UNKNOWN, f"the file has the outputs of {ends} runs; split it")
    # The last line holds the mark of the end instead of a line of the input.
    return "\n".join(_LINE.findall(text[start : text.rfind("\n", 0, end)])) + "\n"


def settings(route: str) -> dict[str, Any]:
    """A route or input in a normal form, without coordinates, processes, memory and file names.

    Two inputs with the same normal form ask for the same calculation. Keywords are in alphabetical
    order, in lower case, each once; blocks are in alphabetical order of their names. Jobs that
    follow a "$new_job" are under `further_jobs`.
    """
    parts = [_settings(part) for part in _NEW_JOB.split(comments_out(route))]
    return {**parts[0], **({"further_jobs": parts[1:]} if parts[1:] else {})}


def _settings(text: str) -> dict[str, Any]:
    found = read(_COORDINATES.sub("", _FROM_FILE.sub("", text)))
    keywords = {word for word in found.words if not _PROCESSES.fullmatch(word)}
    blocks = [(block.name, block.text) for block in found.blocks if block.name not in _RESOURCES]
    named: dict[str, str] = {}
    for name, words in sorted(blocks, key=lambda block: block[0]):
        named[name] = f"{named[name]} {words}" if name in named else words
    return {"keywords": " ".join(sorted(keywords)), "blocks": named}


def asked(output: Output) -> dict[str, Any]:
    """The recipe as read from the output: settings, basis set, version.

    Raises:
        Unfit: the output does not state it.
    """
    text = output.file("stdout")
    version = program_version(output.beside("stdout"))
    if version is None:
        raise Unfit(Reason.RECIPE_UNKNOWN, "the output does not state the version of ORCA")
    try:
        named: str | None = basis(output.beside("stdout"))
    except ParseError:
        # ORCA does not name a basis set that the input defines or that a method includes.
        named = None
    return {
        "adopted": "orca",
        **settings(echoed_input(text)),
        "basis": named,
        "version": version,
    }


def base_name(text: str) -> str | None:
    """The name of the run's files without their ending, from the echoed name of the input."""
    found = _NAME.search(text, max(text.find(_INPUT), 0))
    name = found[1].strip().replace("\\", "/").rpartition("/")[2] if found else ""
    return name.rpartition(".")[0] or name or None


def differences(stated: Mapping[str, Any], options: Mapping[str, Any]) -> Iterator[str]:
    """Yield how the recipe that an output states differs from that of a step with these options."""
    wanted = settings(str(options.get("route", "")))
    here, there = set(stated["keywords"].split()), set(wanted["keywords"].split())
    if here - there:
        yield f"the output also has the keywords '{' '.join(sorted(here - there))}'"
    if there - here:
        yield f"the output lacks the keywords '{' '.join(sorted(there - here))}'"
    for name in sorted({*stated["blocks"], *wanted["blocks"]}):
        one, other = stated["blocks"].get(name), wanted["blocks"].get(name)
        if one != other:
            said, meant = (repr(text) if text else "absent" for text in (one, other))
            yield f"%{name}: {said} in the output, {meant} in the route"
    if "further_jobs" in stated:
        yield f"the output has {len(stated['further_jobs']) + 1} jobs ($new_job)"
    if options.get("moread") is not None:
        yield "the step starts from the orbitals of an earlier step ('moread')"


def route_of(text: str) -> str:
    """The echoed input without the coordinates and the processes, as a route."""
    lines = _FROM_FILE.sub("", echoed_input(text))
    return re.sub(r"\bpal\d+\b", "", _COORDINATES.sub("", lines), flags=re.IGNORECASE)


def stated(output: Output) -> Stated:
    """The molecule of an output that has passed the diagnosis.

    Raises:
        Unfit: the output does not state the whole molecule, or computes several.
    """
    out = output.beside("stdout")
    text = out.text
    try:
        first = next(every(text, HEADING), -1)
        if first < 0:
            raise out.missing(f"'{HEADING}'")
        labels, start = labels_and_coordinates(text, first)
        final, last = geometry(out), symbols(out)
        state = charge(out), multiplicity(out)
    except ParseError as error:
        raise unknown_molecule(error) from error
    if labels != last:
        raise Unfit(
            Reason.MOLECULE_UNKNOWN,
            "the first and the final geometry are of different molecules; split the output",
        )
    others = sorted({label for label in labels if not is_atom(label)})
    words = settings(echoed_input(text))
    if others or "pointcharges" in words["blocks"]:
        what = ", ".join(others) or "%pointcharges"
        raise Unfit(
            Reason.EXTERNAL_TERMS,
            f"the energy includes centers that are not atoms ({what}), which a document cannot "
            "hold",
        )
    unknown = sorted({label for label in labels if label.capitalize() not in NUMBER_OF})
    if unknown:
        raise Unfit(Reason.MOLECULE_UNKNOWN, f"unknown elements: {', '.join(unknown)[:100]}")
    return Stated(
        numbers=tuple(NUMBER_OF[label.capitalize()] for label in labels),
        coordinates=tuple((x, y, z) for x, y, z in start),
        final=tuple((x, y, z) for x, y, z in final),
        charge=state[0],
        multiplicity=state[1],
        wall_time=_seconds(out),
    )


def _seconds(out: Output) -> float | None:
    try:
        return float(total_run_time(out))
    except ParseError:
        return None
