"""The diagnosis of AutoDock Vina's outputs: why an output is not a result."""

import re
from collections.abc import Mapping
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import Failure, FailureClass
from wqmaster.jobs.job import Asked
from wqmaster.parsers.base import Output
from wqmaster.parsers.vina.blocks import (
    HEADING,
    POSES,
    Cut,
    Mode,
    is_poses,
    models_of,
    results_of,
    table_of,
    terms_of,
)
from wqmaster.parsers.vina.values import SEED

_CONF = "vina.conf"
# The highest affinity of a plausible best pose. An atom outside the box costs 10^6 kcal/mol per
# Angstrom, and overlapping atoms cost several hundred kcal/mol.
_MAX_AFFINITY_KCAL_PER_MOL = 100.0
_HEADER = re.compile(r"^AutoDock Vina v?\d", re.MULTILINE)
# Version 1.1.2 begins with this citation instead of a header.
_CITATION = "# If you used AutoDock Vina in your work"

# Vina prints this line at the end of a run that scored a pose and docked nothing.
_SCORE = "\nEstimated Free Energy of Binding "

# Vina's error messages and the failure class of each. The first match counts.
_CAUSES = (
    ("insufficient memory", FailureClass.MEMORY),
    ("std::bad_alloc", FailureClass.MEMORY),
    ("PDBQT parsing error", FailureClass.INPUT_ERROR),
    ("Parse error on line", FailureClass.INPUT_ERROR),
    ("Command line parse error", FailureClass.INPUT_KEYWORD),
    ("Configuration file parse error", FailureClass.INPUT_KEYWORD),
    ("Usage error", FailureClass.INPUT_KEYWORD),
    ("ERROR: Affinity map for atom type", FailureClass.INPUT_ERROR),
    ("ERROR: No *.map files with prefix", FailureClass.INPUT_ERROR),
    ("Error: could not open", FailureClass.INPUT_ERROR),
    ("Vina runtime error", FailureClass.INPUT_ERROR),
    ("ERROR: ", FailureClass.INPUT_ERROR),
    ("Zero poses in output container", FailureClass.PROGRAM_ERROR),
    ("Could not find any", FailureClass.PROGRAM_ERROR),
    ("An internal error occurred", FailureClass.MODULE_CRASH),
    ("An unknown error occurred", FailureClass.MODULE_CRASH),
    ("terminate called", FailureClass.MODULE_CRASH),
    ("File system error", FailureClass.PROGRAM_ERROR),
    ("An error occurred", FailureClass.PROGRAM_ERROR),
)
_UNKNOWN_SCORING = re.compile(r"^Scoring function \S+ unknown", re.MULTILINE)


def _cause(text: str, errors: str) -> Failure | None:
    """The failure that Vina reports in stdout (`text`) or stderr (`errors`), or None."""
    for source in (errors, text):
        for words, kind in _CAUSES:
            place = source.find(words)
            if place >= 0:
                start = source.rfind("\n", 0, place) + 1
                line = source[start:].partition("\n")[0].strip()[:300]
                return Failure(kind, f"vina: {line}")
        unknown = _UNKNOWN_SCORING.search(source)
        if unknown:
            return Failure(FailureClass.INPUT_KEYWORD, f"vina: {unknown[0]}")
    return None


def _agree(table: list[Mode], found: list[Mode], settings: Mapping[str, str]) -> None:
    """Check that the table and the poses are complete and come from the same run.

    Raises:
        ParseError: they contradict each other or the settings; `Cut` if modes are missing.
    """
    if len(table) < len(found):
        raise Cut(
            f"the table of modes is shorter than the list of poses ({len(table)}, {len(found)})"
        )
    for place, (row, pose) in enumerate(zip(table, found, strict=False), start=1):
        # Affinities have four significant digits in the table and three decimals in the poses.
        if abs(row.affinity - pose.affinity) > 1e-3 + 6e-4 * abs(pose.affinity):
            raise ParseError(
                f"mode {place} has {row.affinity} kcal/mol in the table, {pose.affinity} in the "
                "poses: they are from different runs"
            )
    try:
        reach = found[0].affinity + float(settings["energy_range"])
        most = int(settings["num_modes"])
    except (KeyError, ValueError):
        return
    if len(found) > most:
        raise ParseError(f"there are {len(found)} poses, but num_modes is {most}")
    for row in table[len(found) : most]:
        if row.affinity < reach - 2e-3 - 6e-4 * abs(row.affinity):
            raise Cut(f"mode {len(found) + 1} of the table is missing from the poses")


def _implausible(results: list[Mode], models: list[list[str]]) -> Failure | None:
    best = results[0].affinity
    for mode in results:
        for value in (mode.affinity, mode.lower, mode.upper):
            if not abs(value) < float("inf"):
                return Failure(FailureClass.NOT_FINITE, f"vina: a mode has the value {value}")
    if best > _MAX_AFFINITY_KCAL_PER_MOL:
        return Failure(
            FailureClass.IMPLAUSIBLE_ENERGY,
            f"vina: the best affinity is {best} kcal/mol: the ligand does not fit into the box, "
            "or the search was too short",
        )
    try:
        alone = terms_of(models[0], 1)["inter"] == 0 if models else best == 0
    except ParseError:  # versions before 1.2 write no energy terms
        alone = best == 0
    if alone:
        return Failure(
            FailureClass.IMPLAUSIBLE_ENERGY,
            "vina: the best pose does not touch the receptor: the box is in the wrong place",
        )
    return None


def _settings(output: Output, options: Mapping[str, Any]) -> dict[str, str]:
    """The settings for this run: those in vina.conf, or in the step's options if it is missing."""
    if output.has(_CONF):
        pairs = (line.partition("=") for line in output.file(_CONF).splitlines())
        return {key.strip(): value.strip() for key, equals, value in pairs if equals}
    known = ("exhaustiveness", "scoring", "seed", "energy_range", "num_modes")
    return {key: str(options[key]) for key in known if options.get(key) is not None}


def _stated(text: str, label: str) -> str | None:
    """The rest of the first line that begins with `label`, or None if there is no such line."""
    place = text.find(f"\n{label}")
    if place < 0:
        return None
    return text[place + 1 + len(label) :].partition("\n")[0].strip()


def _same(wanted: str, stated: str | None) -> bool:
    """Whether two values agree; Vina prints six digits of a number that is not an integer."""
    if stated is None or wanted == stated or "." not in wanted:
        return wanted == stated
    try:
        return abs(float(stated) - float(wanted)) <= 1e-5 * max(1.0, abs(float(wanted)))
    except ValueError:
        return False


def _not_as_asked(text: str, settings: Mapping[str, str]) -> Failure | None:
    drawn = SEED.search(text)
    echoes = {
        "exhaustiveness": _stated(text, "Exhaustiveness:"),
        "scoring": _stated(text, "Scoring function :"),
        "ligand": _stated(text, "Ligand:"),
        "receptor": _stated(text, "Rigid receptor:"),
        "spacing": _stated(text, "Grid space :"),
        "seed": drawn[1] if drawn else None,
    }
    for what, label in (("center", "Grid center:"), ("size", "Grid size  :")):
        words = (_stated(text, label) or "").split()
        for axis, value in zip("xyz", words[1::2], strict=False):
            echoes[f"{what}_{axis}"] = value
    for key, wanted in settings.items():
        if key in echoes and not _same(wanted, echoes[key]):
            told = "not stated" if echoes[key] is None else str(echoes[key])[:60]
            return Failure(
                FailureClass.NOT_AS_ASKED, f"vina: {key} is {told}, but {wanted} was asked for"
            )
    if "maps" in settings and "\nReading " not in text:
        return Failure(FailureClass.NOT_AS_ASKED, "vina: it read no maps, but was asked to")
    return None


def diagnose(output: Output, asked: Asked | None, options: Mapping[str, Any]) -> Failure | None:
    """Why this output of Vina is not a result, or None if it is one.

    `output` contains either stdout, together with out.pdbqt, vina.conf and stderr if they exist, or
    only a file with poses. Vina exits with 0 even if a ligand does not fit into the box or the box
    is nowhere near the receptor.
    """
    if not output.has(output.name):
        return Failure(FailureClass.MISSING_OUTPUT, f"vina: {output.name} is missing")
    text = output.text
    try:
        if output.name == POSES or is_poses(text):
            models = models_of(text, output.name)
            return _implausible(results_of(models), models)
        return _run(output, text, asked, options)
    except Cut as error:
        return Failure(FailureClass.TRUNCATED, f"vina: {error.message}")
    except ParseError as error:
        return Failure(FailureClass.PARSE_ERROR, f"vina: {error.message}")


def _run(
    output: Output, text: str, asked: Asked | None, options: Mapping[str, Any]
) -> Failure | None:
    """Diagnose a run whose stdout is `text`; ParseError if its files cannot be read."""
    errors = output.file("stderr") if output.has("stderr") else ""
    if text.strip() and not _HEADER.search(text) and _CITATION not in text:
        # In a job, a worker has another program of that name.
        kind = FailureClass.PARSE_ERROR if asked is None else FailureClass.PROGRAM_MISSING
        return Failure(kind, "vina: this is not the output of AutoDock Vina")
    cause = _cause(text, errors)
    if cause is not None:
        return cause
    if _SCORE in text and HEADING not in text:
        return Failure(
            FailureClass.NOT_AS_ASKED,
            "vina: a pose was scored (--score_only or --local_only), but nothing was docked",
        )
    table = table_of(text, output.name)
    settings = _settings(output, options)
    failure = _not_as_asked(text, settings)
    if failure is not None:
        return failure
    if not output.has(POSES):
        if asked:
            return Failure(FailureClass.MISSING_OUTPUT, f"vina: {POSES} is missing")
        return _implausible(table, [])
    models = models_of(output.file(POSES), POSES)
    results = results_of(models)
    failure = _implausible(results, models)
    if failure is None:
        _agree(table, results, settings)
    return failure
