"""The diagnosis of xtb's outputs: why an output is not a result.

xtb exits with 0 and prints "normal termination" even after energies that diverged, impossible
charges, optimizations that did not converge, molecular dynamics that blew up, and unknown options.

A Hessian at a geometry that is not stationary is not a failure, because the user asked for it. The
parsers `stationary` and `imaginary_frequencies` reveal such a geometry.
"""

import math
import re
from collections.abc import Callable, Mapping
from itertools import islice, pairwise
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import Failure, FailureClass
from wqmaster.jobs.job import Asked
from wqmaster.jobs.molecule import COINCIDENT_ANGSTROM, SYMBOLS, closest
from wqmaster.parsers.base import Output
from wqmaster.parsers.xtb import asking, moving
from wqmaster.parsers.xtb.evaluation import is_mixed
from wqmaster.parsers.xtb.molecular import ENERGY_ROUNDING_EH, FINAL, energy, printed_energy
from wqmaster.parsers.xtb.text import boxed, last_line, stdout
from wqmaster.parsers.xyz import frames

# The gradient norm above which atoms clash. Measured: two atoms of the same element reach it at a
# distance of 0.1 A (H), 0.4 A (C), 0.5 A (O), 0.9 A (Cl) or 1.5 A (I), about half a bond length or
# less.
_STEEP_GRADIENT_EH_PER_BOHR = 40.0
# The energy (Eh) of a molecule with charge q is below _ABOVE * q^2. Bare nuclei come closest: C4+
# has 0.37 q^2 with GFN1. With GFN-FF, whose zero of energy is that of neutral atoms, the energy is
# below _ABOVE_FF * (1 + q); H+ has 1.64 Eh, Mg2+ 3.88 Eh.
_ABOVE, _ABOVE_FF = 0.5, 2.0

# The last element with parameters in GFN1 and GFN2 is radon. GFN-FF has none for Fr, Ra and Rf to
# Og. Each element was tried with 6.7.1.
_LAST_ELEMENT = 86
_NO_PARAMETERS = frozenset((87, 88, *range(104, 119)))
_NUMBER_OF = {symbol: number for number, symbol in enumerate(SYMBOLS)}

_ERROR_LINE = re.compile(r"^-\d+- (.*)$", re.MULTILINE)
# xtb's warnings about its input that change nothing.
_HARMLESS = (
    *("is discouraged", "Two dimensional input", "Charge in sdf/mol input was overwritten"),
    # Without these variables, 6.2 and 6.3 look for their files in the home folder; without any
    # file they use the same parameters, which are compiled in.
    *("XTBPATH is not set, using", "XTBHOME is not set, using"),
)
_INPUTS = ("--input", "-I")
# Every GFN-FF run prints this message, even in its list of errors.
_NO_TOPOLOGY = "Could not read topology file."

_BANNER = "|                           x T B                           |"
# xtb prints this message above the one that describes the error.
_COMMAND_LINE = "Command line argument parsing failed"

# Messages in failed runs and the failure class of each. The first match counts.
_CAUSES = (
    ("Self consistent charge iterator did not converge", FailureClass.SCF_NOT_CONVERGED),
    ("FAILED TO CONVERGE GEOMETRY OPTIMIZATION", FailureClass.OPT_NOT_CONVERGED),
    ("Geometry optimization failed", FailureClass.OPT_NOT_CONVERGED),
    ("*very* short distance", FailureClass.COINCIDENT_ATOMS),
    ("Particular close distance present", FailureClass.COINCIDENT_ATOMS),
    ("No space left on device", FailureClass.DISK_FULL),
    ("is not parametrized", FailureClass.INPUT_KEYWORD),
    ("was not included in this version of xTB", FailureClass.INPUT_KEYWORD),
    ("Compiled without support for", FailureClass.INPUT_KEYWORD),
    ("are not implemented with this method", FailureClass.INPUT_KEYWORD),
    (_COMMAND_LINE, FailureClass.INPUT_KEYWORD),
    ("_getIntValue: could not parse", FailureClass.INPUT_KEYWORD),
    ("basis set could not be setup completely", FailureClass.INPUT_BASIS),
    ("no basis found for atom", FailureClass.INPUT_BASIS),
    ("Cannot allocate memory", FailureClass.MEMORY),
    ("Insufficient virtual memory", FailureClass.MEMORY),
    ("Allocation would exceed memory limit", FailureClass.MEMORY),
)
# How much of stderr is searched for the cause.
_MAX_STDERR_CHARACTERS = 100_000
_SIGNALS = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGABRT", "SIGFPE")


def diagnose(output: Output, asked: Asked | None, options: Mapping[str, Any]) -> Failure | None:
    """Why this output of xtb is not a result, or None if it is one.

    If `asked` is None, the charge and the options are compared with the command line in the output.
    """
    if not output.has("stdout"):
        return Failure(FailureClass.MISSING_OUTPUT, "xtb: the standard output is missing")
    text = stdout(output)
    errors = output.file("stderr") if output.has("stderr") else ""
    steps: tuple[Callable[[], Failure | None], ...] = (
        lambda: _crash(output, text, errors, asked is not None),
        lambda: _input(text),
        lambda: _convergence(text),
        lambda: _dynamics(output, text, asked),
        lambda: _values(output, text, asked, options),
    )
    try:
        return next((found for step in steps if (found := step())), None)
    except ParseError as error:
        return Failure(FailureClass.PARSE_ERROR, f"xtb: {error.message}")


def _failure(kind: FailureClass, cause: str) -> Failure:
    return Failure(kind, f"xtb: {' '.join(cause.split())[:300]}")


def _crash(output: Output, text: str, errors: str, job: bool) -> Failure | None:
    """A failure if xtb reports an error or the output is incomplete.

    `job`: whether the output comes from a job. Other outputs can lack the standard error.
    """
    ended = "normal termination of xtb" in text or "normal termination of xtb" in errors
    ended = ended and not any("abnormal termination of xtb" in said for said in (text, errors))
    if not job and not output.has("stderr"):  # "normal termination" goes to stderr
        ended = ended or last_line(text, "* finished run on ") is not None
    if not job and not ended and text.strip() and not _is_of_xtb(text):
        first = next(line for line in text.splitlines() if line.strip())
        return _failure(
            FailureClass.PARSE_ERROR,
            f"this is not an output of xtb: it has no banner and begins with {_shown(first)}",
        )
    place = text.find("[ERROR]")
    if place < 0 and ended:
        # On a full disk xtb ends normally, but its output is incomplete.
        if last_line(text, "* finished run on ") is None:
            return _failure(FailureClass.TRUNCATED, "the output ends before 'finished run'")
        return None
    blown = _blown(text)
    if blown is not None:
        return blown
    causes = [line for line in _ERROR_LINE.findall(text[place:]) if not _is_noise(line)]
    cause = causes[-1] if place >= 0 and causes else "xtb ended with an error"
    both = text[max(place, 0) :] + errors
    for words, kind in _CAUSES:
        if words in both or (place >= 0 and words in text):
            line = next((line for line in causes if words in line), None)
            return _failure(kind, cause if line is None and causes else line or words)
    failure = _beyond(output) or _coincident(output)
    if failure is not None:
        return failure
    if place >= 0 or "abnormal termination" in both:
        return _failure(FailureClass.PROGRAM_ERROR, cause)
    said = [line for line in errors[:_MAX_STDERR_CHARACTERS].splitlines() if line.strip()]
    for line in said:
        if any(name in line for name in _SIGNALS):
            return _failure(FailureClass.MODULE_CRASH, f"no 'normal termination', but {line}")
    if said:
        return _failure(FailureClass.PROGRAM_ERROR, f"no 'normal termination', but {said[0]}")
    return _failure(FailureClass.TRUNCATED, "no 'normal termination': the output is incomplete")


def _is_of_xtb(text: str) -> bool:
    """Whether `text` contains the banner or other lines that are typical of xtb."""
    return _BANNER in text or last_line(text, "* xtb version ") is not None or "[ERROR]" in text


def _shown(line: str) -> str:
    """A line of another program in quotes, with unprintable characters replaced."""
    if "\ufffd" in line or "\0" in line:
        return "binary data"
    return repr("".join(sign if sign.isprintable() else "?" for sign in line.strip()[:60]))


def _is_noise(line: str) -> bool:
    return any(
        words in line for words in (_NO_TOPOLOGY, _COMMAND_LINE, "incompletely optimized geometry")
    )


def _input(text: str) -> Failure | None:
    """A failure if xtb warns that it ignores or changes something in the input."""
    place = text.find("[WARNING] Please study the warnings concerning your input")
    if place < 0:
        return None
    end = text.find("\n###", place)
    for line in _ERROR_LINE.findall(text[place : end if end >= 0 else len(text)]):
        if any(words in line for words in _HARMLESS) or _is_copied_later(line, text):
            continue
        reset = "We cannot provide" in line
        kind = FailureClass.NOT_AS_ASKED if reset else FailureClass.INPUT_KEYWORD
        return _failure(kind, line)
    return None


def _is_copied_later(line: str, text: str) -> bool:
    """Whether `line` only warns that xtb.inp, which `--copy` writes later, does not exist yet.

    If `--input` names xtb.inp, the warning matters: the settings in that file are not used.
    """
    called = (last_line(text, "program call ") or "").split()
    named = [after for word, after in pairwise(called) if word in _INPUTS]
    return "could not find 'xtb.inp'" in line and "--copy" in called and "xtb.inp" not in named


def _convergence(text: str) -> Failure | None:
    if "FAILED TO CONVERGE GEOMETRY OPTIMIZATION" in text:
        return _failure(FailureClass.OPT_NOT_CONVERGED, "the optimization did not converge")
    if "convergence criteria cannot be satisfied" in text:
        return _failure(FailureClass.SCF_NOT_CONVERGED, "the SCC did not converge")
    return None


def _blown(text: str) -> Failure | None:
    """A failure if a molecular dynamics run blew up."""
    if not moving.has_dynamics(text):
        return None
    if "MD is unstable" in text:
        return _failure(FailureClass.DIVERGED, "xtb reports that the MD is unstable")
    try:
        run = moving.dynamics(text)
    except ParseError:
        return None  # `_dynamics` reports this when it reads the values
    for name in ("T", "Epot", "Ekin", "Etot"):
        if not math.isfinite(run.averages.get(name, 0.0)):
            return _failure(FailureClass.DIVERGED, f"the mean {name} of the MD is not finite")
    accurate = run.averages.get("Epot (accurate SCC)", 0.0)
    if run.steps > 10 and not math.isfinite(accurate):
        return _failure(FailureClass.DIVERGED, "the mean energy of the MD is not finite")
    return _heated(run)


def _heated(run: moving.Dynamics) -> Failure | None:
    """A failure if the total energy rose by more than the thermostat could have added.

    In a time t, Berendsen's thermostat with xtb's time constant of 500 fs adds at most t / 500 fs
    times the thermal energy of all degrees of freedom. The limit includes one more thermal energy
    for integration errors.
    """
    if not run.rows or not run.ended:
        return None
    thermal = 0.5 * run.freedom * moving.BOLTZMANN_EH_PER_K
    granted = thermal * max(run.temperature, 300.0) + 0.005
    start = run.rows[0][1]
    for step, total in (*run.rows[1:], (run.steps, run.mean("Etot"))):
        warmed = thermal * run.temperature * step * run.step / 500 if run.thermostat else 0.0
        if not total - start <= warmed + granted:
            return _failure(
                FailureClass.DIVERGED,
                f"the total energy of the MD rose by {total - start:.4f} Eh by step {step}",
            )
    return None


def _dynamics(output: Output, text: str, asked: Asked | None) -> Failure | None:
    blown = _blown(text)
    if blown is not None or not moving.has_dynamics(text):
        return blown
    run = moving.dynamics(text)
    if not run.ended:
        return _failure(FailureClass.PROGRAM_ERROR, "no 'normal exit of md()' in the output")
    if not output.has("xtb.trj"):
        return None
    found = moving.trajectory(output.beside("xtb.trj"))
    if len(found) != run.frames:
        return _failure(
            FailureClass.TRUNCATED,
            f"the number of structures in xtb.trj is {len(found)} instead of {run.frames}",
        )
    if asked and any(len(frame.symbols) != asked.natoms for frame in found):
        return _failure(FailureClass.ATOM_COUNT, "xtb.trj has a different number of atoms")
    return None


def _values(
    output: Output, text: str, asked: Asked | None, options: Mapping[str, Any]
) -> Failure | None:
    """A failure if the energy is impossible or the output does not match the request."""
    wanted = asking.wanted(text, asked, options)
    force_field = asking.stated_method(output, text) == asking.FORCE_FIELD
    if asked and not force_field and not output.has("xtbout.json"):
        if wanted.method == asking.FORCE_FIELD:
            return _failure(
                FailureClass.NOT_AS_ASKED, "the method is not GFN-FF, which was asked for"
            )
        return _failure(FailureClass.MISSING_OUTPUT, "xtbout.json is missing")
    try:
        total = printed_energy(text) if is_mixed(output) else energy(output)
    except ParseError:  # if atoms clash, numbers are too wide for their fields
        failure = _implausible(text, printed_energy(text), force_field) or _coincident(output)
        if failure is None:
            raise
        return failure
    if not math.isfinite(total):
        return _failure(FailureClass.NOT_FINITE, f"the energy is {total}")
    failure = asking.contradiction(text) or _implausible(text, total, force_field)
    failure = failure or asking.not_as_asked(output, text, wanted)
    if failure is not None:
        return failure
    if output.has("xtbout.json") and last_line(text, "| TOTAL ENERGY ") is not None:
        printed = printed_energy(text)
        if not abs(printed - total) <= ENERGY_ROUNDING_EH:
            return _failure(
                FailureClass.PARSE_ERROR,
                f"the energy is {total} Eh in xtbout.json, but {printed} Eh in stdout",
            )
    return _beyond(output) or _coincident(output) or _unfinished(output, text)


def _implausible(text: str, total: float, force_field: bool) -> Failure | None:
    if asking.is_unsettled(text):
        return _failure(
            FailureClass.PROGRAM_ERROR,
            "with a solvent, the energy is unreliable if no orbital is empty: xtb 6.7.1 adds an "
            "uninitialized number; the energy in the gas phase is right",
        )
    stated = asking.total_charge(text)
    charge = abs(stated) if math.isfinite(stated) else 0.0
    limit = _ABOVE_FF * (1 + charge) if force_field else _ABOVE * round(charge) ** 2
    if not total < limit:
        if asking.is_full(text):
            cause = "xtb added an uninitialized number, since no orbital is empty"
            return _failure(FailureClass.ERRATIC, f"an energy of {total} Eh: {cause}")
        where = "above zero" if limit == 0 else "too high for its charge"
        return _failure(FailureClass.IMPLAUSIBLE_ENERGY, f"an energy of {total} Eh is {where}")
    slope = boxed(text, "gradient norm")
    if slope is not None and not slope < _STEEP_GRADIENT_EH_PER_BOHR:
        return _failure(
            FailureClass.IMPLAUSIBLE_ENERGY, f"atoms clash: the gradient norm is {slope} Eh/Bohr"
        )
    return None


def _coincident(output: Output) -> Failure | None:
    """A failure if the computed structure has two atoms in the same place.

    If two atoms are closer than 1e-4 Angstrom, xtb leaves out their repulsion, and the energy looks
    normal. Below 1e-9 Bohr, xtb refuses to run.
    """
    for name in ("molecule.xyz", "xtbopt.xyz"):
        if not output.has(name):
            continue
        for frame in islice(frames(output.file(name), name), 1):
            pair = closest(frame.coordinates, COINCIDENT_ANGSTROM)
            if pair is not None:
                first, second = (f"{frame.symbols[number]}{number + 1}" for number in pair)
                apart = math.dist(*(frame.coordinates[number] for number in pair))
                return _failure(
                    FailureClass.COINCIDENT_ATOMS,
                    f"{first} and {second} in {name} are {apart:.1e} Angstrom apart",
                )
    return None


def _beyond(output: Output) -> Failure | None:
    """A failure if the molecule has an element without parameters; xtb does not always crash."""
    if not output.has("molecule.xyz"):
        return None
    force_field = asking.stated_method(output, stdout(output)) == asking.FORCE_FIELD
    for frame in islice(frames(output.file("molecule.xyz"), "molecule.xyz"), 1):
        for symbol in frame.symbols:
            number = _NUMBER_OF.get(symbol.capitalize(), 0)
            if number in _NO_PARAMETERS or (number > _LAST_ELEMENT and not force_field):
                return _failure(FailureClass.INPUT_BASIS, f"there are no parameters for {symbol}")
    return None


def _unfinished(output: Output, text: str) -> Failure | None:
    """A failure if an optimization took no step, or xtb does not report that it converged."""
    if FINAL not in text or ".. CYCLE " not in text:
        return None
    if last_line(text, moving.CONVERGED) is None:
        return _failure(
            FailureClass.OPT_NOT_CONVERGED, "xtb does not report that the optimization converged"
        )
    if moving.opt_cycles(output) < 1:
        return _failure(FailureClass.OPT_NOT_CONVERGED, "the optimization took no step")
    return None
