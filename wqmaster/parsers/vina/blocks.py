"""The blocks of AutoDock Vina's files: the table of modes in stdout, the models in out.pdbqt.

The formats are those that src/lib/vina.cpp and src/lib/model.cpp write in 1.2.7.
"""

import re
from dataclasses import dataclass

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output

POSES = "out.pdbqt"
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|nan|inf)", re.ASCII)
# The longest word that is read as a number; Vina never writes a longer one.
_MAX_NUMBER_CHARACTERS = 40
# The longest table and the longest file (lines) that are read. Vina never writes longer ones, which
# would be slow to read.
_MAX_ROWS = 100_000
_MAX_LINES = 1_000_000
HEADING = "mode |   affinity | dist from best mode"
_RULE = re.compile(r"-+\+-+\+-+\+-+\s*")
_RESULT = "REMARK VINA RESULT:"
_TERMS = {
    "INTER + INTRA": "total",
    "INTER": "inter",
    "INTRA": "intra",
    "CONF_INDEPENDENT": "conf_independent",
    "UNBOUND": "unbound",
}
_TERM = re.compile(r"REMARK ([A-Z_+ ]{1,20}): +(\S{1,40})\s*")


class Cut(ParseError):
    """The file is incomplete."""


@dataclass(frozen=True)
class Mode:
    """One binding mode, from the table or from the poses."""

    affinity: float  # kcal/mol
    lower: float  # lower bound of the RMSD from the best mode (Angstrom)
    upper: float  # upper bound of the RMSD from the best mode (Angstrom)


def number(text: str, what: str) -> float:
    """Convert `text` to a number, which can be NaN or infinite.

    Raises:
        ParseError: `text` is not a number; the message names `what`.
    """
    if len(text) > _MAX_NUMBER_CHARACTERS or not _NUMBER.fullmatch(text):
        raise ParseError(f"{what} is not a number: {text[:20]!r}")
    return float(text)


def _mode(words: list[str], what: str) -> Mode:
    if len(words) != 3:
        raise ParseError(f"{what} must have three numbers, not {len(words)}")
    affinity, lower, upper = (number(word, what) for word in words)
    return Mode(affinity, lower, upper)


def is_poses(text: str) -> bool:
    """Whether `text` is the content of a file with poses rather than a printout."""
    return text.lstrip().startswith("MODEL")


def table_of(text: str, name: str) -> list[Mode]:
    """The last table of modes in `text`, the content of the file `name`.

    Raises:
        ParseError: there is no table, or it is invalid; `Cut` if it is missing or incomplete.
    """
    start = text.rfind(HEADING)
    if start < 0 or (start > 0 and text[start - 1] != "\n"):
        raise Cut(f"the block 'table of modes' is missing from {name}")
    if text.count("\n", start) > _MAX_ROWS:
        raise ParseError(f"the table of modes in {name} has too many lines")
    lines = text[start:].splitlines(keepends=True)[2:]
    if not lines or not _RULE.fullmatch(lines[0]):
        raise Cut(f"the table of modes in {name} has no rows")
    modes: list[Mode] = []
    for line in lines[1:]:
        words = line.split()
        if not words or not words[0][0].isdigit():
            break
        what = f"row {len(modes) + 1} of the table of modes"
        if not line.endswith("\n"):
            raise Cut(f"{what} is truncated")
        if words[0] != str(len(modes) + 1):
            raise ParseError(f"{what} is numbered {words[0][:20]}")
        modes.append(_mode(words[1:], what))
    if not modes:
        raise Cut(f"the table of modes in {name} has no rows")
    return modes


def models_of(text: str, name: str) -> list[list[str]]:
    """The lines of each model in `text`, the content of the file `name`, without MODEL and ENDMDL.

    Raises:
        ParseError: the file contains anything but models; `Cut` if it is incomplete.
    """
    if text.count("\n") > _MAX_LINES:
        raise ParseError(f"{name} has too many lines")
    models: list[list[str]] = []
    inside = False
    for line in text.split("\n"):
        if line.startswith("MODEL"):
            words = line.split()
            if inside or words[1:] != [str(len(models) + 1)]:
                raise ParseError(f"model {len(models) + 1} of {name} begins with {line[:20]!r}")
            models.append([])
            inside = True
        elif line.startswith("ENDMDL") and inside:
            inside = False
        elif inside:
            models[-1].append(line)
        elif line.strip():
            raise ParseError(f"{name} has {line[:20]!r} outside its models")
    if inside or not models or not text.endswith("\n"):
        raise Cut(f"{name} is truncated" if models else f"there is no pose in {name}")
    return models


def poses_name(output: Output) -> str | None:
    """The name of the file with the poses, or None if there is no such file."""
    if output.has(POSES):
        return POSES
    names = [name for name in (output.name, "stdout") if output.has(name)]
    return next((name for name in names if is_poses(output.file(name))), None)


def result_of(model: list[str], place: int) -> Mode:
    """Vina's result for pose number `place`, whose lines are `model`.

    Raises:
        ParseError: the result is missing or cannot be read.
    """
    # Only the first line certainly comes from Vina; later REMARK lines can come from the ligand.
    if not model or not model[0].startswith(_RESULT):
        raise ParseError(f"the block 'REMARK VINA RESULT' is missing from pose {place}")
    return _mode(model[0][len(_RESULT) :].split(), f"the result of pose {place}")


def results_of(models: list[list[str]]) -> list[Mode]:
    """Vina's result for each pose.

    Raises:
        ParseError: a pose has no result.
    """
    return [result_of(model, place) for place, model in enumerate(models, start=1)]


def poses_of(output: Output) -> list[list[str]]:
    """The lines of each model in the file with the poses.

    Raises:
        ParseError: the file is missing or incomplete, or a pose has no result.
    """
    name = poses_name(output)
    if name is None:
        raise ParseError(f"the file {POSES} is missing")
    models = models_of(output.file(name), name)
    results_of(models)
    return models


def terms_of(model: list[str], place: int) -> dict[str, float]:
    """The energy terms (kcal/mol) of pose number `place`, whose lines are `model`.

    Raises:
        ParseError: a term is missing, or INTER and INTRA do not add up to their stated sum.
    """
    found: dict[str, float] = {}
    for line in model[1 : 1 + len(_TERMS)]:
        stated = _TERM.fullmatch(line)
        key = _TERMS.get(stated[1]) if stated else None
        if stated is None or key is None or key in found:
            break
        found[key] = number(stated[2], f"{stated[1]} of pose {place}")
    for label, key in _TERMS.items():
        if key not in found and key != "conf_independent":
            raise ParseError(f"the block 'REMARK {label}' is missing from pose {place}")
    if abs(found["inter"] + found["intra"] - found["total"]) > 2e-3:  # terms have three decimals
        raise ParseError(f"INTER and INTRA of pose {place} do not add up to INTER + INTRA")
    return found
