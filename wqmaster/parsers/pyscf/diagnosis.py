"""Why a step of PySCF is not a result.

The driver reports what it was asked for, which is compared with the campaign, and what PySCF then
used, which is compared with what was asked for. An energy is accepted only if the SCF converged.
"""

import math
from collections.abc import Mapping
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import Failure, FailureClass
from wqmaster.jobs.job import Asked
from wqmaster.parsers.base import Output
from wqmaster.parsers.pyscf.report import FILE, report

_KINDS = {kind.label: kind for kind in FailureClass}
_MAX_TEXT_CHARACTERS = 300
# The largest deviation of the number of electrons on the grid, per electron, with a usable grid:
# level 0 loses about 1e-3 for organic molecules.
_MAX_ELECTRON_ERROR = 1e-2
# What a Python that lacks PySCF, or that cannot start, prints to stderr.
_NO_MODULE = "No module named "
_FATAL = "Fatal Python error:"


def _failure(kind: FailureClass, message: str) -> Failure:
    return Failure(kind, f"PySCF: {' '.join(message.split())[:_MAX_TEXT_CHARACTERS]}")


def diagnose(output: Output, asked: Asked | None, options: Mapping[str, Any]) -> Failure | None:
    """Why this output of PySCF is not a result, or None if it is one."""
    name = output.name if output.name.endswith(".json") else FILE
    if not output.has(name):
        return _without_report(output)
    try:
        found = report(output)
    except ParseError as error:
        return _failure(FailureClass.TRUNCATED, error.message)
    stated = found.get("error")
    if stated is not None:
        return _of_error(stated)
    try:
        return _incomplete(found) or _not_as_asked(found, asked, options) or _implausible(found)
    except (TypeError, ValueError, KeyError, AttributeError) as problem:
        return _failure(FailureClass.PARSE_ERROR, f"{name} is not a whole report: {problem!r}")


def _without_report(output: Output) -> Failure:
    errors = output.file("stderr") if output.has("stderr") else ""
    lines = [line for line in errors.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    if "std::bad_alloc" in errors or "MemoryError" in last or "Cannot allocate memory" in errors:
        return _failure(FailureClass.MEMORY, f"it ran out of memory: {last}")
    if _FATAL in errors and ("init" in errors or "encodings" in errors):
        return _failure(FailureClass.PROGRAM_MISSING, f"Python cannot start: {last}")
    if _NO_MODULE in last or "SyntaxError" in last:
        return _failure(FailureClass.PROGRAM_MISSING, last)
    why = f": {last}" if last else ""
    return _failure(FailureClass.MODULE_CRASH, f"it ended without {FILE}{why}")


def _of_error(error: Any) -> Failure:
    if not isinstance(error, Mapping):
        return _failure(FailureClass.PARSE_ERROR, f"{FILE} has an unreadable error")
    kind = _KINDS.get(str(error.get("kind")), FailureClass.PROGRAM_ERROR)
    message, type_name = str(error.get("message", "")), str(error.get("type", ""))
    if kind is FailureClass.PROGRAM_MISSING:
        return _failure(kind, f"{message}; the worker's Python lacks PySCF")
    if type_name in ("KeyboardInterrupt", "SystemExit"):
        return _failure(FailureClass.KILLED, f"it was interrupted: {message}")
    return _failure(kind, message if type_name == "Refused" else f"{type_name}: {message}")


def _incomplete(found: Mapping[str, Any]) -> Failure | None:
    if found.get("finished") is not True:
        return _failure(FailureClass.TRUNCATED, f"{FILE} does not state that the run finished")
    scf, values = found["scf"], found["values"]
    if scf["converged"] is not True:
        return _failure(FailureClass.SCF_NOT_CONVERGED, "the SCF did not converge")
    total = values.get("energy")
    if isinstance(total, bool) or not isinstance(total, (int, float)):
        return _failure(FailureClass.PARSE_ERROR, f"{FILE} has no energy")
    if not math.isfinite(total):
        return _failure(FailureClass.NOT_FINITE, f"the energy is {total}")
    return None


def _not_as_asked(
    found: Mapping[str, Any], asked: Asked | None, options: Mapping[str, Any]
) -> Failure | None:
    molecule, method, basis = found["molecule"], found["method"], found["basis"]
    if asked is not None:
        if molecule["natoms"] != asked.natoms:
            return _failure(
                FailureClass.ATOM_COUNT,
                f"{molecule['natoms']} atoms were computed, {asked.natoms} asked for",
            )
        if molecule["charge"] != asked.charge or molecule["multiplicity"] != asked.multiplicity:
            return _failure(
                FailureClass.NOT_AS_ASKED,
                f"charge {molecule['charge']} and multiplicity {molecule['multiplicity']} were "
                f"computed, {asked.charge} and {asked.multiplicity} asked for",
            )
    echoed = found["options"]
    for name, wanted in options.items():
        if name in echoed and echoed[name] != wanted:
            return _failure(
                FailureClass.NOT_AS_ASKED,
                f"{name} was {echoed[name]!r:.60}, but {wanted!r:.60} was asked for",
            )
    had = {
        "xc": (method["xc"], echoed["xc"]),
        "density_fit": (method["density_fit"], echoed["density_fit"]),
        "conv_tol": (found["scf"]["conv_tol"], echoed["conv_tol"]),
        "solvent": (method["solvent"] is not None, echoed["solvent"] is not None),
    }
    if method["scf"].endswith("KS"):
        had["grid"] = (method["grid"], echoed["grid"])
        had["nlc_grid"] = (method["nlc_grid"], echoed["nlc_grid"])
    if isinstance(echoed["basis"], str):
        had["basis"] = (sorted(set(basis["names"].values())), [echoed["basis"]])
    if echoed["dispersion"] is not None:
        had["dispersion"] = (method["dispersion"] is not None, True)
    for name, (has, wanted) in had.items():
        if has != wanted:
            return _failure(
                FailureClass.NOT_AS_ASKED, f"PySCF had {name} {has!r:.60}, not {wanted!r:.60}"
            )
    return None


def _implausible(found: Mapping[str, Any]) -> Failure | None:
    molecule, values = found["molecule"], found["values"]
    electrons = molecule["electrons"]
    grid = values.get("integrated_electrons")
    if grid is not None and not abs(grid["total"] - electrons) <= _MAX_ELECTRON_ERROR * electrons:
        return _failure(
            FailureClass.IMPLAUSIBLE_ENERGY,
            f"the grid has {grid['total']} electrons, the molecule {electrons}",
        )
    if not values["energy"] < 0:
        return _failure(
            FailureClass.IMPLAUSIBLE_ENERGY, f"an energy of {values['energy']} Eh is above zero"
        )
    parts = values["energy_parts"]
    sum_ = sum(
        parts.get(name, 0.0)
        for name in (
            *("nuclear", "one_electron", "two_electron", "dispersion", "solvent", "solvent_cds"),
        )
    )
    if not abs(sum_ - values["energy"]) <= 1e-6 * max(1.0, abs(values["energy"])):
        return _failure(
            FailureClass.IMPLAUSIBLE_ENERGY,
            f"the energy is {values['energy']} Eh, but its parts add up to {sum_} Eh",
        )
    return None
