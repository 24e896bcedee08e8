"""What an xtb output states: the molecule, and its command line and settings.

xtb prints no coordinates of its input. They come from files that the run wrote (NAME.engrad,
xtbopt.log) or read: the coordinate file, which may have been replaced since, so it must agree with
the former, or belong to the only run in its folder.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from wqmaster.errors import NotApplicable, ParseError
from wqmaster.jobs.molecule import NUMBER_OF
from wqmaster.offline.adopting.base import Reason, Stated, Unfit, unknown_molecule
from wqmaster.parsers.base import Output
from wqmaster.parsers.xtb import geometry, symbols
from wqmaster.parsers.xtb.asking import stated_method
from wqmaster.parsers.xtb.engrad import BOHR, engrad
from wqmaster.parsers.xtb.molecular import FINAL, energy, net_charge
from wqmaster.parsers.xtb.orbitals import multiplicity
from wqmaster.parsers.xtb.run import program_version
from wqmaster.parsers.xtb.text import last_line, real, setup, stdout
from wqmaster.parsers.xyz import frames

_BANNER = "|                           x T B                           |"
# The largest difference between the same coordinates in two files (Angstrom): molecule.engrad has
# 7 decimals in Bohr.
_SAME_PLACE_ANGSTROM = 2e-6
# The largest difference between the energies of one run in two files (Eh).
_SAME_ENERGY_EH = 2e-8
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
# The kinds of runs, by argument; the function of a step has the same name.
_KINDS = {"--opt": "optimize", "-o": "optimize", "--hess": "hessian", "--md": "md"}


def _arguments(text: str) -> list[str]:
    call = last_line(text, "program call ")
    words = (call or "").partition(":")[2].split()[1:]
    if call is None:
        raise Unfit(Reason.RECIPE_UNKNOWN, "the output does not repeat the command line of xtb")
    if text.count(_BANNER) > 1:
        raise Unfit(Reason.RECIPE_UNKNOWN, "the file has the outputs of several runs; divide it")
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
    names = (coordinate_file(text), _input(_arguments(text)))
    return tuple(name for name in names if name)


def asked(output: Output, sums: Mapping[str, str]) -> dict[str, Any]:
    """The recipe as read from the output; `sums` has the SHA-256 of files beside it, by name.

    Raises:
        Unfit: the output does not state it, or a file with detailed input is missing.
    """
    text = stdout(output)
    words = _arguments(text)
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
        "electronic_temperature": setup(text, "electronic temp."),
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
    """What an output was asked for that steps of `function` (a dotted name) do not ask for.

    The method, solvent, accuracy and level are compared by `diagnose`, with the step's options.
    """
    words = stated["arguments"].split()
    flags = [word for word in words if word.startswith("-") and not _is_number(word)]
    kinds = sorted({_KINDS[flag] for flag in flags if flag in _KINDS}) or ["singlepoint"]
    wanted = function.rpartition(".")[2]
    if kinds != [wanted]:
        yield f"it is a run of {' and '.join(kinds)}, and the step one of {wanted}"
    others = [flag for flag in flags if flag not in _KINDS and flag not in _STATED]
    if others:
        yield f"the output also has the arguments '{' '.join(others)}'"
    if stated["input"] is not None:
        yield "the output has detailed input ('--input')"


# --- the molecule ------------------------------------------------------------------------------


Rows = tuple[tuple[str, ...], tuple[tuple[float, float, float], ...]]


def _written(output: Output, text: str) -> Rows | None:
    """The first geometry, from a file that this run wrote; None if there is no such file."""
    if FINAL in text:
        if not output.has("xtbopt.log"):
            return None
        first = next(frames(output.file("xtbopt.log"), "xtbopt.log"), None)
        return (first.symbols, first.coordinates) if first is not None else None
    if not output.has("molecule.engrad"):
        return None
    found = engrad(output)
    if not abs(found.energy - energy(output.beside("stdout"))) <= _SAME_ENERGY_EH:
        return None  # it is of another run
    elements = _elements(text)
    if not elements:
        return None
    if len(elements) != len(found.geometry):
        raise ParseError("molecule.engrad has another number of atoms than the output")
    return elements, tuple((x, y, z) for x, y, z in found.geometry)


def _elements(text: str) -> tuple[str, ...]:
    """The symbol of each atom, from the table `ID Z sym. atoms`, in which `1-3` is a range.

    () before xtb 6.3, which prints no such table.
    """
    place = text.find("ID    Z sym.   atoms")
    found: dict[int, str] = {}
    symbol = ""
    for line in text[text.find("\n", place) + 1 :].splitlines() if place >= 0 else ():
        words = line.replace(",", " ").split()
        if len(words) >= 4 and words[0].isdecimal() and words[1].isdecimal():
            symbol, words = words[2], words[3:]
        elif not words or not symbol or not words[0].replace("-", "").isdecimal():
            break
        for word in words:
            first, _, last = word.partition("-")
            try:
                found |= dict.fromkeys(range(int(first), int(last or first) + 1), symbol)
            except ValueError:
                raise ParseError("the table of atoms cannot be read") from None
    if sorted(found) != list(range(1, len(found) + 1)):
        raise ParseError("the table of atoms is incomplete")
    return tuple(found[number] for number in sorted(found))


def _given(text: str, name: str) -> Rows | None:
    """The geometry in a coordinate file of the formats XYZ and Turbomole; None for others."""
    if name.endswith(".xyz"):
        found = next(frames(text, name), None)
        return (found.symbols, found.coordinates) if found is not None else None
    if text.lstrip().startswith("$coord") and "angs" not in text.split("\n", 1)[0]:
        rows = [line.split() for line in text.partition("$coord")[2].split("$")[0].split("\n")[1:]]
        atoms = [row for row in rows if len(row) >= 4]
        try:
            places = [tuple(float(word) * BOHR for word in row[:3]) for row in atoms]
        except ValueError as error:
            raise ParseError(f"{name} is not a file with coordinates: {error}") from error
        return tuple(row[3] for row in atoms), tuple((x, y, z) for x, y, z in places)
    return None


def _capitals(symbols: Sequence[str]) -> tuple[str, ...]:
    return tuple(symbol.capitalize() for symbol in symbols)


def _agree(one: Rows, other: Rows) -> bool:
    return _capitals(one[0]) == _capitals(other[0]) and all(
        abs(x - y) <= _SAME_PLACE_ANGSTROM
        for row, row2 in zip(one[1], other[1], strict=True)
        for x, y in zip(row, row2, strict=True)
    )


def _final(output: Output, text: str) -> Rows:
    """The optimized geometry, which xtb prints and writes to xtbopt.xyz; both must agree."""
    printed = None
    lines = text[text.rfind(FINAL) :].split("\n")[1:]
    if len(lines) > 1 and set(lines[0].strip()) == {"="} and lines[1].strip().isdecimal():
        block = lines[1 : int(lines[1].strip()[:9]) + 3]
        printed = next(frames("\n".join(block) + "\n", "the printed final structure"), None)
    if output.has("xtbopt.xyz"):
        rows = tuple((x, y, z) for x, y, z in geometry(output.beside("xtbopt.xyz")))
        written = tuple(symbols(output.beside("xtbopt.xyz"))), rows
        if printed is None or _agree(written, (printed.symbols, printed.coordinates)):
            return written
        raise ParseError("xtbopt.xyz has another geometry than the printed final structure")
    if printed is None:
        raise ParseError("the final geometry is unknown: there is no xtbopt.xyz")
    return printed.symbols, printed.coordinates


def _start(output: Output, text: str, alone: bool) -> tuple[Rows, str] | None:
    """The first geometry, and the file that it comes from; None if it is unknown."""
    name = coordinate_file(text) or ""
    written = _written(output, text)
    source = "xtbopt.log" if FINAL in text else "molecule.engrad"
    given = _given(output.file(name), name) if name and output.has(name) else None
    if given is not None and written is not None:
        if not _agree(given, written):
            raise ParseError(f"{name} has another geometry than {source}; it was changed since")
        return given, name  # it has more digits
    if written is not None:
        return written, source
    if given is None or not alone:
        return None
    elements = _elements(text)
    count = (last_line(text, "number of atoms            :") or str(len(elements))).strip()
    if str(len(given[0])) != count or (elements and _capitals(given[0]) != _capitals(elements)):
        raise ParseError(f"{name} has other atoms than the output; it was changed since")
    return given, name


def _charge(output: Output, text: str) -> float:
    """The charge in the SUMMARY, or up to xtb 6.3, which has none there, the one that was set."""
    given = last_line(text, "charge                     :")
    if last_line(text, ":: total charge ") is None and given is not None:
        return real(given.strip(), "the charge")
    return float(net_charge(output))


def _multiplicity(output: Output, text: str) -> int:
    """The multiplicity; xtb 6.5 and 6.6 state it only in a command line with `--uhf`."""
    try:
        found: int = multiplicity(output)
    except NotApplicable:
        words = _arguments(text)
        for flag, value in pairwise(words):
            if flag in ("--uhf", "-u") and value.isascii() and value.isdecimal():
                return int(value) + 1
        raise
    return found


def _alone_in_space(text: str) -> None:
    """Refuse energies with restraints, walls, or point charges.

    Raises:
        Unfit: the energy has such a term.
    """
    what = "point charges" if setup(text, "PC potential") == "true" else None
    stated = last_line(text, ":: add. restraining ")
    try:
        if stated is not None and real(stated.split()[0], "the restraint") != 0:
            what = f"a restraint of {stated.split()[0]} Eh"
    except (ParseError, IndexError) as error:
        raise Unfit(Reason.RECIPE_UNKNOWN, "the energy of restraints cannot be read") from error
    if what is not None:
        message = f"the energy includes {what}, which a document cannot hold"
        raise Unfit(Reason.EXTERNAL_TERMS, message)


def stated(output: Output, *, alone: bool) -> Stated:
    """The molecule of an output that has passed the diagnosis.

    `alone`: whether the folder has no output of another run.

    Raises:
        Unfit: the files do not state the whole molecule.
    """
    text = stdout(output)
    _alone_in_space(text)
    try:
        final = _final(output, text) if FINAL in text else None
        start = _start(output, text, alone)
        if start is None and final is not None:
            start = final, "final structure"
        if start is None:
            raise ParseError(
                "the geometry is unknown: neither an .engrad file nor a coordinate file in the "
                "format XYZ or Turbomole can be ascribed to this run"
            )
        (elements, places), source = start
        if final is not None and _capitals(final[0]) != _capitals(elements):
            raise ParseError("the first and the final geometry are of different molecules")
        charge = _charge(output, text)
        spin = _multiplicity(output, text)
    except ParseError as error:
        raise unknown_molecule(error) from error
    if abs(charge - round(charge)) > 1e-3:
        raise Unfit(Reason.MOLECULE_UNKNOWN, f"the charge {charge} is not a whole number")
    unknown = sorted({one for one in _capitals(elements) if one not in NUMBER_OF})
    if unknown:
        raise Unfit(Reason.MOLECULE_UNKNOWN, f"unknown elements: {', '.join(unknown)[:100]}")
    return Stated(
        numbers=tuple(NUMBER_OF[one] for one in _capitals(elements)),
        coordinates=places,
        final=places if final is None else final[1],
        charge=round(charge),
        multiplicity=spin,
        host=(last_line(text, "hostname ") or "").strip(" :") or None,
        source=source,
    )
