"""What the run of an xtb output was asked for: its command line and settings."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.offline.adopting.base import Reason, Unfit
from wqmaster.parsers.base import Output
from wqmaster.parsers.xtb.asking import stated_method
from wqmaster.parsers.xtb.run import program_version
from wqmaster.parsers.xtb.text import last_line, setup, stdout

_BANNER = "|                           x T B                           |"
# Arguments that change neither the result nor its geometry, with the number of their values.
_IDLE = {
    **dict.fromkeys(("--json", "--verbose", "-v", "--silent", "-s", "--norestart", "--strict"), 0),
    **dict.fromkeys(("--wbo", "--pop", "--dipole", "--molden", "--lmo", "--restart"), 0),
    **dict.fromkeys(("--chrg", "--charge", "-c", "--uhf", "-u", "--parallel", "-P"), 1),
    "--namespace": 1,
}
# Arguments whose effect the output states elsewhere (`diagnose` compares it with the options).
_STATED = {
    **dict.fromkeys(("--gfn", "--acc", "-a", "--alpb", "--gbsa", "-g", "--cosmo"), 1),
    **dict.fromkeys(("--iterations", "--cycles", "--etemp"), 1),
    **dict.fromkeys(("--gfn1", "--gfn2", "--gfn0", "--gfnff", "--gff", "--grad"), 0),
}
# The kinds of runs, by argument; the task functions have the same names.
_KINDS = {"--opt": "optimize", "-o": "optimize", "--hess": "hessian", "--md": "md"}


def arguments_of(text: str) -> list[str]:
    """The arguments in the command line of the only run in an output.

    Raises:
        Unfit: the command line is not repeated, or there are several runs.
    """
    call = last_line(text, "program call ")
    words = (call or "").partition(":")[2].split()[1:]
    if call is None:
        raise Unfit(Reason.RECIPE_UNKNOWN, "the output does not repeat the command line of xtb")
    if text.count(_BANNER) > 1:
        raise Unfit(Reason.RECIPE_UNKNOWN, "the file has the outputs of several runs; split it")
    return words


def coordinate_file(text: str) -> str | None:
    """The name of the coordinate file, without its folder; None if it is not stated."""
    stated = (last_line(text, "coordinate file            : ") or "").strip()
    return stated.rpartition("/")[2] or None


def _input(words: Sequence[str]) -> str | None:
    """The name of the file with detailed input (xcontrol) in a command line, or None."""
    for word, value in zip(words, [*words[1:], ""], strict=False):
        if word in ("--input", "-I"):
            return value.rpartition("/")[2]
    return None


def further_files(text: str) -> tuple[str, ...]:
    """The files beside an output that are needed to read its recipe or its molecule."""
    try:
        control = _input(arguments_of(text))
    except Unfit:
        control = None  # `asked` refuses the output, unless the diagnosis names a better reason
    return tuple(name for name in (coordinate_file(text), control) if name)


def asked(output: Output, sums: Mapping[str, str]) -> dict[str, Any]:
    """The recipe as read from the output; `sums` has the SHA-256 of files beside it, by name.

    Raises:
        Unfit: the output does not state it, or a file with detailed input is missing.
    """
    text = stdout(output)
    words = arguments_of(text)
    version = program_version(output.beside("stdout"))
    if version is None:
        raise Unfit(Reason.RECIPE_UNKNOWN, "the output does not state the version of xtb")
    control = _input(words)
    if control is not None and control not in sums:
        raise Unfit(
            Reason.RECIPE_UNKNOWN,
            f"the settings of '--input {control}' are unknown: the file is not beside the output",
        )
    try:
        method = stated_method(output, text)
    except ParseError as error:
        raise Unfit(Reason.RECIPE_UNKNOWN, error.message) from error
    return {
        "adopted": "xtb",
        "arguments": " ".join(_telling(words, text)),
        "input": sums[control] if control is not None else None,
        "method": method,
        "accuracy": setup(text, "accuracy"),
        "electronic_temperature": " ".join((setup(text, "electronic temp.") or "").split()) or None,
        "version": version,
    }


def _telling(words: Sequence[str], text: str) -> list[str]:
    """The arguments that determine a result, in alphabetical order, each with its values."""
    given = coordinate_file(text)
    found: list[list[str]] = []
    skip = 0
    for word in words:
        # GNU-style long options may be written with one hyphen.
        flag = f"-{word}" if word[:1] == "-" != word[1:2] and len(word) > 2 else word
        if skip:
            skip -= 1
        elif flag in _IDLE:
            skip = _IDLE[flag]
        elif flag in ("--input", "-I"):
            skip = 1
        elif flag.startswith("-") and not _is_number(flag):
            found.append([flag])
        elif word.rpartition("/")[2] != given and found:
            found[-1].append(word)
    return [" ".join(one) for one in sorted(found)]


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def differences(stated: Mapping[str, Any], function: str) -> Iterator[str]:
    """Yield what a run was asked for that steps of `function` (a dotted name) do not ask for.

    `diagnose` compares the method, solvent, accuracy and level with the step's options.
    """
    words = stated["arguments"].split()
    flags = [word for word in words if word.startswith("-") and not _is_number(word)]
    kinds = sorted({_KINDS[flag] for flag in flags if flag in _KINDS}) or ["singlepoint"]
    wanted = function.rpartition(".")[2]
    if kinds != [wanted]:
        shown = " and ".join(f"'{kind}'" for kind in kinds)
        yield f"the output is of {shown}, but the step is '{wanted}'"
    others = [flag for flag in flags if flag not in _KINDS and flag not in _STATED]
    if others:
        yield f"the output also has the arguments '{' '.join(others)}'"
    if stated["input"] is not None:
        yield "the output has detailed input ('--input')"
