"""Checks that xtb's output matches the request: charge, spin, method, solvent and so on.

The request comes from the job or, for an output without a job, from xtb's command line.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import Failure, FailureClass
from wqmaster.jobs.job import Asked
from wqmaster.jobs.molecule import SYMBOLS
from wqmaster.parsers.base import Output
from wqmaster.parsers.xtb import moving
from wqmaster.parsers.xtb.evaluation import is_of_an_ion
from wqmaster.parsers.xtb.molecular import FINAL, charges, net_charge
from wqmaster.parsers.xtb.orbitals import unpaired_electrons
from wqmaster.parsers.xtb.text import (
    last_line,
    real,
    results,
    setup,
    stated_unpaired,
    whole,
)
from wqmaster.parsers.xtb.vibrational import thermal_temperature

FORCE_FIELD = "GFN-FF"
# The thresholds of each optimization level for the energy (Eh) and the gradient norm (Eh/Bohr)
# (xtb, src/optimizer.f90: get_optthr).
_LEVELS = {
    "crude": (5e-4, 1e-2),
    "sloppy": (1e-4, 6e-3),
    "loose": (5e-5, 4e-3),
    "lax": (2e-5, 2.5e-3),
    "normal": (5e-6, 1e-3),
    "tight": (1e-6, 8e-4),
    "verytight": (1e-7, 2e-4),
    "extreme": (5e-8, 5e-5),
}
_LEVEL_NAMES = {
    "-3": "crude",
    "-2": "sloppy",
    "-1": "loose",
    "0": "normal",
    "1": "tight",
    "2": "verytight",
    "3": "extreme",
    "vtight": "verytight",
}
# The options that take a value, and what each of them sets.
_FLAGS = {
    "--chrg": "charge",
    "--charge": "charge",
    "-c": "charge",
    "--uhf": "unpaired",
    "-u": "unpaired",
    "--gfn": "method",
    "--acc": "accuracy",
    "-a": "accuracy",
    "--alpb": "ALPB",
    "--gbsa": "GBSA",
    "-g": "GBSA",
    "--cosmo": "COSMO",
    "--tmcosmo": "COSMO",
    "--opt": "level",
    "-o": "level",
    "--ohess": "level",
}
_LANTHANIDES = frozenset(SYMBOLS[58:72])
# xtb's default electronic temperature (K).
_ELECTRONIC_TEMPERATURE_K = 300.0


@dataclass(frozen=True)
class Wanted:
    """The values that an output should state; None if a value is unknown."""

    natoms: int | None = None
    charge: float | None = None
    unpaired: int | None = None
    method: str | None = None
    solvent: tuple[str, str] | None = None  # model and name
    gas: bool = False  # no solvent was asked for
    accuracy: float | None = None
    electronic: float | None = None  # electronic temperature in K
    level: str | None = None
    thermal: float | None = None  # temperature of the thermochemistry in K
    dynamics: Mapping[str, Any] | None = None


def _called(text: str) -> Wanted:
    """The values that the command line in the output requests."""
    rest = last_line(text, "program call ")
    words = rest.split() if rest else []
    found: dict[str, str] = {}
    for word, value in zip(words, [*words[1:], ""], strict=False):
        flag = f"-{word}" if word[:1] == "-" != word[1:2] and len(word) > 2 else word
        if flag in ("--gfnff", "--gff"):
            found["method"] = "ff"
        elif flag in ("--gfn1", "--gfn2", "--gfn0"):
            found["method"] = flag[-1]
        elif flag in _FLAGS:
            found[_FLAGS[flag]] = value
    wanted = Wanted(method=_method(found.get("method")))
    try:
        if "charge" in found:
            wanted = replace(wanted, charge=float(int(found["charge"])))
        if "unpaired" in found:
            wanted = replace(wanted, unpaired=int(found["unpaired"]))
        if "accuracy" in found:
            wanted = replace(wanted, accuracy=float(found["accuracy"]))
    except ValueError as error:
        raise ParseError(f"the command line in the output cannot be read: {error}") from error
    for model in ("ALPB", "GBSA", "COSMO"):
        if model in found:
            wanted = replace(wanted, solvent=(model, found[model].lower()))
    level = found.get("level", "")
    geometry = (last_line(text, "coordinate file            : ") or "").strip()
    if level in _LEVEL_NAMES or (level and not level.startswith("-") and level != geometry):
        return replace(wanted, level=level)  # xtb takes any other argument for a file name
    return wanted


def _method(gfn: Any) -> str | None:
    if gfn is None or str(gfn) not in ("0", "1", "2", "ff"):
        return None
    return FORCE_FIELD if str(gfn) == "ff" else f"GFN{gfn}-xTB"


def wanted(text: str, asked: Asked | None, options: Mapping[str, Any]) -> Wanted:
    """The values that the output should state, from the command line, the job and the options."""
    found = _called(text)
    if asked is not None:
        found = replace(
            found,
            natoms=asked.natoms,
            charge=float(asked.charge),
            unpaired=asked.multiplicity - 1,
        )
    if "gfn" not in options:  # these options belong to a user's own task function
        return found
    solvent = options.get("solvent")
    model = str(options.get("solvation", "alpb")).upper()
    return replace(
        found,
        method=_method(options["gfn"]),
        solvent=None if solvent is None else (model, str(solvent).lower()),
        gas=solvent is None,
        accuracy=options.get("accuracy", found.accuracy),
        electronic=_ELECTRONIC_TEMPERATURE_K,
        level=options.get("level", found.level),
        thermal=None if "time" in options else options.get("temperature"),
        dynamics=options if "time" in options else None,
    )


def stated_method(output: Output, text: str) -> str | None:
    """The method that the output states, or None if it states none."""
    stated = setup(text, "Hamiltonian")
    if stated:
        return stated
    if "G F N - F F" in text:
        return FORCE_FIELD
    if output.has("xtbout.json"):
        return str(results(output).get("method", "")) or None
    return None


def contradiction(text: str) -> Failure | None:
    """A failure if the stated charge or spin is impossible or contradicts the atomic charges."""

    def failure(words: str) -> Failure:
        return Failure(FailureClass.CHARGE_MULTIPLICITY, f"xtb: {words}")

    ion = is_of_an_ion(Output({"stdout": text.encode()}))
    electrons, charge = setup(text, "# electrons"), setup(text, "net charge")
    # xtb 6.3 and 6.4 state the spin only for the molecule, but their last SETUP block is the ion's.
    unpaired = stated_unpaired(text) if setup(text, "unpaired electrons") or not ion else None
    if charge is not None:
        total = total_charge(text)
        net = whole(charge, "the net charge")
        if math.isfinite(total) and not abs(total - net) < 1e-3:
            return failure(f"the net charge was set to {net}, but the atoms have {total:.3f} e")
    if electrons is not None and unpaired is not None:
        count, odd = whole(electrons, "the number of electrons"), unpaired
        if count < 0 or odd > count or (count - odd) % 2:
            return failure(
                f"impossible spin: {odd} unpaired of {count} valence electrons{_frozen(text)}"
            )
    return None


def _frozen(text: str) -> str:
    """A remark on the electron count of a molecule with a lanthanide, or "" for other molecules."""
    place = text.rfind("ID    Z sym.   atoms")
    rows = text[place : place + 2000].splitlines()[1:] if place >= 0 else []
    for row in rows:
        words = row.split()
        if len(words) < 3 or not words[1].isdecimal():
            break
        if words[2] in _LANTHANIDES:
            return f" (the 4f electrons of {words[2]} are in xtb's core and not counted)"
    return ""


def is_full(text: str) -> bool:
    """Whether the alpha electrons fill all orbitals, as in H with GFN2 or F- with GFN1.

    If they do, xtb 6.7.1 adds an uninitialized entropy to the energy (src/scc_core.f90: ga; F25),
    unless the electronic temperature is 0. Measured: in the gas phase that entropy is 0, or exactly
    3600 Eh in one run out of five (GFN1), so it helps to run the job again. With a solvent it is
    often a few Eh of either sign. For F- in water with GFN2, the correct energy is -5.0805 Eh, but
    -6.1514 and -3.7504 Eh are just as frequent.
    """
    stated = [setup(text, f"# {what}") for what in ("electrons", "atomic orbitals")]
    unpaired = stated_unpaired(text)
    if None in stated or unpaired is None:
        return False
    electrons, orbitals = (whole(str(word), "a number of the setup") for word in stated)
    return (electrons + unpaired) // 2 >= orbitals


def is_unsettled(text: str) -> bool:
    """Whether the energy can include the wrong entropy (see `is_full`) without looking wrong."""
    if _stated_solvent(text) is None or not is_full(text):
        return False
    warmth = setup(text, "electronic temp.")
    return warmth is None or real(warmth.split()[0], "the electronic temperature") > 0


def total_charge(text: str) -> float:
    """The sum of the atomic charges in e, or NaN if it cannot be read."""
    try:
        return float(net_charge(Output({"stdout": text.encode()})))
    except ParseError:
        return math.nan


def _stated_charge(text: str) -> float:
    """The charge in the SUMMARY, or else the one that xtb was given; NaN if it cannot be read.

    6.3.2 has no charge in its SUMMARY.
    """
    given = last_line(text, "charge                     :")
    if last_line(text, ":: total charge ") is not None or given is None:
        return total_charge(text)
    return real(given.strip(), "the charge")


def not_as_asked(output: Output, text: str, wish: Wanted) -> Failure | None:
    """A failure if the output does not match the request."""
    found = _other_molecule(output, text, wish) or _other_method(output, text, wish)
    if found is None and wish.level is not None:
        found = _other_level(text, wish.level)
    if found is None and wish.thermal is not None:
        if "THERMODYNAMIC" not in text:
            return _failure("no Hessian was computed")
        stated = thermal_temperature(text)
        if not abs(stated - wish.thermal) < 6e-3:
            found = f"the thermochemistry is at {stated} K, but {wish.thermal} K was asked for"
    if found is None and wish.dynamics is not None:
        if not moving.has_dynamics(text):
            return _failure("no molecular dynamics was run")
        found = _other_dynamics(moving.dynamics(text), wish.dynamics)
    if isinstance(found, Failure):
        return found
    return _failure(found) if found else None


def _failure(words: str) -> Failure:
    return Failure(FailureClass.NOT_AS_ASKED, f"xtb: {words}")


def _natoms(output: Output, text: str) -> int | None:
    if (output.has("xtbout.json") or output.has("gfnff_charges")) and not is_of_an_ion(output):
        return len(charges(output))
    rest = last_line(text, "#atoms :")
    return None if rest is None else whole(rest.strip(), "the number of atoms")


def _other_molecule(output: Output, text: str, wish: Wanted) -> Failure | str | None:
    if wish.natoms is not None:
        natoms = _natoms(output, text)
        counts = [natoms] if natoms is not None else []
        if output.has("xtbopt.xyz"):
            counts.append(len(moving.geometry(output)))
        if not counts:
            raise ParseError("the output does not state the number of atoms")
        for count in counts:
            if count != wish.natoms:
                return Failure(
                    FailureClass.ATOM_COUNT,
                    f"xtb: the number of atoms is {count}, but {wish.natoms} was asked for",
                )
    if wish.charge is not None:
        charge = _stated_charge(text)
        if not abs(charge - wish.charge) < 1e-3:
            return f"the total charge is {charge} e, but {wish.charge:.0f} was asked for"
    if wish.unpaired is not None and stated_method(output, text) != FORCE_FIELD:
        unpaired = _unpaired(output, text)
        if unpaired is not None and unpaired != wish.unpaired:
            return (
                f"the number of unpaired electrons is {unpaired}, but {wish.unpaired} was asked for"
            )
    return None


def _unpaired(output: Output, text: str) -> int | None:
    """The molecule's number of unpaired electrons, or None if it is not stated (6.5 and 6.6)."""
    if output.has("xtbout.json") and not is_of_an_ion(output):
        return int(unpaired_electrons(output))
    return stated_unpaired(text)


def _other_method(output: Output, text: str, wish: Wanted) -> str | None:
    method = stated_method(output, text)
    if wish.method is not None and method != wish.method:
        return f"the method is {method}, but {wish.method} was asked for"
    solvent = _stated_solvent(text)
    if (wish.solvent is not None and solvent != wish.solvent) or (wish.gas and solvent):
        stated, asked = (" ".join(pair) if pair else "none" for pair in (solvent, wish.solvent))
        return f"the solvent is {stated}, but {asked} was asked for"
    if method == FORCE_FIELD:  # for GFN-FF, xtb states neither value
        return None
    for label, value in (("accuracy", wish.accuracy), ("electronic temp.", wish.electronic)):
        stated_value = setup(text, label)
        if value is None or (stated_value is None and label != "accuracy"):
            continue
        number = real((stated_value or "none").split()[0], f"the {label}")
        if not abs(number - value) < 1e-6 * (1 + abs(value)):
            return f"the {label} is {number}, but {value} was asked for"
    return None


def _stated_solvent(text: str) -> tuple[str, str] | None:
    """The solvation model and solvent, such as ("ALPB", "water"), or None for the gas phase."""
    place = text.rfind("* Solvation model:")
    if place < 0:
        named = last_line(text, "Solvent             :")  # xtb 6.2 knows only this model
        if setup(text, "GBSA solvation") != "true" or not (named or "").strip():
            return None
        return "GBSA", str(named).strip().lower()
    lines = text[place : place + 400].splitlines()
    words = [line.split() for line in lines[:2]]
    if len(words) < 2 or words[1][:1] != ["Solvent"] or len(words[1]) < 2 or len(words[0]) < 4:
        raise ParseError("the block 'Solvation model' in stdout is truncated")
    return words[0][3].upper(), words[1][1].lower()


def _other_level(text: str, level: str) -> str | None:
    if FINAL not in text:
        return "no optimization was run"
    if ".. CYCLE " not in text:  # xtb runs no cycle for a single atom
        return None
    level = _LEVEL_NAMES.get(level, level)
    stated = last_line(text, ":   optimization level ")
    if stated is not None and stated.strip().rstrip(": ") != level:
        return f"the optimization level is {stated.strip().rstrip(': ')}, but {level} was asked for"
    limits = _LEVELS.get(level, ())
    for label, limit in zip(("energy convergence", "grad. convergence"), limits, strict=False):
        rest = last_line(text, f":   {label} ")
        if rest is None:
            raise ParseError(f"the block {label!r} of the optimization is missing from stdout")
        number = real(rest.split()[0], label)
        if not abs(number - limit) < 1e-3 * limit:
            return f"the {label} is {number}, but level {level} ({limit}) was asked for"
    return None


def _other_dynamics(run: moving.Dynamics, options: Mapping[str, Any]) -> str | None:
    stated = {
        "time": run.time,
        "step": run.step,
        "temperature": run.temperature,
        "dump": run.dump,
        "sccacc": run.accuracy,
        "shake": run.shake,
        "hmass": run.hmass,
        "nvt": run.thermostat,
    }
    for name, value in stated.items():
        asked = options.get(name)
        # xtb prints two decimals.
        if asked is not None and not abs(float(value) - float(asked)) < 6e-3:
            return f"{name} of the MD is {value}, but {asked} was asked for"
    return None
