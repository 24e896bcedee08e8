"""Optimizations and molecular dynamics: geometries, cycles, averages."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from wqmaster.errors import NotApplicable, ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.xtb.evaluation import is_mixed
from wqmaster.parsers.xtb.molecular import FINAL
from wqmaster.parsers.xtb.text import (
    Frame,
    after,
    frames,
    last_line,
    real,
    stated_energy,
    stdout,
    whole,
)

# Boltzmann's constant in Eh/K.
BOLTZMANN_EH_PER_K = 3.166808578545117e-06
# xtb's files have 14 and 12 decimals; --ohess changes the orientation (Angstrom).
SAME_PLACE_ANGSTROM = 1e-6
# The last frame of xtbopt.log and that of xtbopt.xyz are two evaluations of one geometry (Eh).
SAME_ENERGY_EH = 1e-7
_CONVERGED = "*** GEOMETRY OPTIMIZATION CONVERGED AFTER "
_HEADING = "|               Molecular Dynamics                |"
_AVERAGES = "average properties"
# xtb averages the energy at full accuracy over every eleventh step.
_ACCURATE_STEP_INTERVAL = 11


def final(output: Output) -> Frame:
    """The only structure in xtbopt.xyz."""
    found = list(frames(output.file("xtbopt.xyz"), "xtbopt.xyz"))
    if len(found) != 1:
        raise ParseError(f"xtbopt.xyz has {len(found)} structures")
    return found[0]


@reads("xtbopt.xyz", per_atom=True)
def geometry(output: Output) -> list[list[float]]:
    """Optimized coordinates in Angstrom, shape (n, 3), at which `energy` is computed.

    For `--bhess` they are those of the biased optimization, for a relaxed scan those of its last
    point; `energy` refuses both.
    """
    return [list(row) for row in final(output).coordinates]


@reads("xtbopt.xyz", per_atom=True)
def optimized_geometry(output: Output) -> list[list[float]]:
    """Optimized coordinates in Angstrom, shape (n, 3): another name for `geometry`."""
    return [list(row) for row in final(output).coordinates]


@reads("xtbopt.xyz", per_atom=True)
def symbols(output: Output) -> list[str]:
    """The elements of the atoms of `geometry`, shape (n,)."""
    return list(final(output).symbols)


@reads("stdout")
def opt_cycles(output: Output) -> int:
    """Number of cycles that the last optimization took to converge; 0 for an atom."""
    text = stdout(output)
    rest = last_line(text, _CONVERGED)
    if rest is None:
        moved, failed = ".. CYCLE " in text, "FAILED TO CONV" in text
        if FINAL in text and not moved and not failed:
            return 0
        if moved or failed:
            raise ParseError("the optimization did not converge")
        raise NotApplicable("no optimization was run")
    words = rest.split()
    return whole(words[0] if words else "", "the number of cycles")


@reads("xtbopt.log", "xtbopt.xyz")
def opt_trajectory_energies(output: Output) -> list[float]:
    """Energy (Eh) of each structure of the optimization, the initial one first.

    They are those of `frames`, but include the bias for `--bhess`, and for a relaxed scan belong to
    the optimization before it.
    """
    return [stated_energy(frame, "xtbopt.log") for frame in log(output)]


@reads("xtbopt.log", "xtbopt.xyz")
def geometry_trajectory(output: Output) -> list[list[list[float]]]:
    """Coordinates (Angstrom) of each structure of the optimization, shape (steps, n, 3).

    They belong to the `opt_trajectory_energies`.
    """
    return [[list(row) for row in frame.coordinates] for frame in log(output)]


def log(output: Output) -> list[Frame]:
    """The structures in xtbopt.log; for an atom, which xtb does not log, its only structure."""
    found = list(frames(output.file("xtbopt.log"), "xtbopt.log"))
    if not found and output.has("xtbopt.xyz"):
        only = final(output)
        found = [only] if len(only.symbols) == 1 else []
    if not found:
        raise ParseError("xtbopt.log is empty")
    if len({frame.symbols for frame in found}) > 1:
        raise ParseError("the structures in xtbopt.log belong to different molecules")
    # In a run with a bias or a scan, the log belongs to another optimization than xtbopt.xyz.
    if output.has("xtbopt.xyz") and not is_mixed(output):
        _check_end(output, found, final(output))
    return found


def _check_end(output: Output, found: list[Frame], last: Frame) -> None:
    if found[0].symbols != last.symbols:
        raise ParseError("xtbopt.log and xtbopt.xyz belong to different molecules")
    if has_converged(output, last) and not is_same(found[-1], last):
        raise ParseError("xtbopt.log is truncated: its last structure is not that of xtbopt.xyz")


def has_converged(output: Output, last: Frame) -> bool:
    """Whether the optimization that ended with `last` converged, according to the printout."""
    # xtb runs no cycle for an atom, and does not print that it converged.
    if len(last.symbols) == 1:
        return True
    return output.has("stdout") and last_line(stdout(output), _CONVERGED) is not None


def _shape(points: Sequence[Sequence[float]]) -> Iterator[float]:
    """Distances that do not change when a molecule is rotated."""
    middle = [sum(column) / len(points) for column in zip(*points, strict=True)]
    for point in points:
        yield math.dist(point, middle)
        yield math.dist(point, points[0])
        yield math.dist(point, points[-1])


def is_same(frame: Frame, other: Frame) -> bool:
    """Whether `frame` of xtbopt.log has the geometry and energy of `other` of xtbopt.xyz.

    The orientation may differ.
    """
    return (
        frame.symbols == other.symbols
        and abs(stated_energy(frame, "xtbopt.log") - stated_energy(other, "xtbopt.xyz"))
        <= SAME_ENERGY_EH
        and all(
            abs(one - two) <= SAME_PLACE_ANGSTROM
            for one, two in zip(_shape(frame.coordinates), _shape(other.coordinates), strict=True)
        )
    )


@dataclass(frozen=True)
class Dynamics:
    """What the printout states about a molecular dynamics run."""

    time: float  # ps
    step: float  # fs
    temperature: float  # K; of the thermostat and at the start
    accuracy: float  # of the charges
    dump: float  # fs
    dump_steps: int  # steps between two frames
    steps: int
    freedom: int  # degrees of freedom
    hmass: int  # amu; 0: not changed
    shake: int  # 0: off, 1: bonds of H, 2: all bonds
    thermostat: bool
    rows: tuple[tuple[int, float], ...]  # (step, total energy in Eh) every 200 steps
    averages: dict[str, float]  # as printed
    unstable: bool
    ended: bool

    @property
    def frames(self) -> int:
        """The number of structures in its xtb.trj."""
        return math.ceil(self.steps / max(self.dump_steps, 1))

    def mean(self, name: str) -> float:
        """The mean of a quantity over the steps.

        xtb 6.7.1 divides the sum over n steps by n + 1 (src/dynamic.f90: the counter of a loop that
        has ended); measured: the mean of the energies in xtb.trj is the corrected one.
        """
        return self.averages[name] * (self.steps + 1) / self.steps


def has_dynamics(text: str) -> bool:
    """Whether xtb began a molecular dynamics run."""
    return _HEADING in text


def dynamics(text: str) -> Dynamics:
    """What the printout states about a molecular dynamics run.

    Raises:
        ParseError: there is no such run, or a part of it is missing.
    """
    place = text.rfind(_HEADING)
    if place < 0:
        raise ParseError("the block 'Molecular Dynamics' is missing from stdout")
    text = text[place:]

    def stated(label: str) -> list[str]:
        rest = last_line(text, label)
        words = rest.replace(":", " ").split() if rest is not None else []
        if not words:
            raise ParseError(f"the block {label!r} is missing from stdout")
        return words

    dump = stated("dumpstep(trj) /fs")
    mass = last_line(text, "H atoms mass (amu) :")
    shake = 0
    if "SHAKE on." in text:
        shake = 2 if "all: T" in (last_line(text, "SHAKE on.") or "") else 1
    averages: dict[str, float] = {}
    ended = last_line(text, "normal exit of md()") is not None
    if ended:
        for line in after(text, _AVERAGES):
            label, colon, value = line.partition(":")
            if not colon:
                break
            averages[label.strip()] = real(value.strip(), label.strip())
        missing = {"Epot", "Ekin", "Etot", "T"} - set(averages)
        if missing:
            raise ParseError("the averages of the MD are truncated")
    found = Dynamics(
        time=real(stated("MD time /ps")[0], "the time of the MD"),
        step=real(stated("dt /fs")[0], "the time step"),
        temperature=real(stated("temperature /K")[0], "the temperature"),
        accuracy=real(stated("SCC accuracy")[0], "the accuracy"),
        dump=real(dump[0], "the dump step"),
        dump_steps=whole(dump[1] if len(dump) > 1 else "", "the dump step"),
        steps=whole(stated("max steps")[0], "the number of steps"),
        freedom=whole(stated("# deg. of freedom")[0], "the degrees of freedom"),
        hmass=whole(mass.strip(), "the mass of H") if mass is not None else 0,
        shake=shake,
        thermostat="Berendsen THERMOSTAT on" in text,
        rows=_rows(text),
        averages=averages,
        unstable="MD is unstable" in text,
        ended=ended,
    )
    if found.steps < 1:
        raise ParseError(f"the number of MD steps is {found.steps}")
    return found


def _rows(text: str) -> tuple[tuple[int, float], ...]:
    """(step, total energy) from the lines `i7,f8.2,F13.5,F9.4,2F6.0,F12.5` of xtb's dynamic.f90."""
    found = []
    if "time (ps)" not in text:
        return ()
    for line in after(text, "time (ps)"):
        if line.startswith((" average", " normal")):
            break
        count = line[:7].strip()
        if line[:1] == " " and count.isdecimal() and count.isascii() and len(line) >= 61:
            found.append((int(count), real(line[49:61], "the total energy of the MD")))
    return tuple(found)


@reads("stdout")
def md_summary(output: Output) -> dict[str, Any]:
    """Settings of a molecular dynamics run, and means over all its steps.

    Keys: steps, step (fs), time (ps), frames (in xtb.trj), degrees_of_freedom, thermostat (its
    temperature in K, None without one), and the means temperature (K), potential_energy,
    kinetic_energy, total_energy (Eh), accurate_potential_energy (Eh; over every eleventh step, at
    full accuracy; None for runs shorter than that). The means are corrected for xtb's divisor.
    """
    found = dynamics(stdout(output))
    if found.unstable or not found.ended:
        raise ParseError("the MD did not finish")
    accurate = found.averages.get("Epot (accurate SCC)")
    return {
        "steps": found.steps,
        "step": found.step,
        "time": found.steps * found.step / 1000,
        "frames": found.frames,
        "degrees_of_freedom": found.freedom,
        "thermostat": found.temperature if found.thermostat else None,
        "temperature": found.mean("T"),
        "potential_energy": found.mean("Epot"),
        "kinetic_energy": found.mean("Ekin"),
        "total_energy": found.mean("Etot"),
        "accurate_potential_energy": accurate if found.steps >= _ACCURATE_STEP_INTERVAL else None,
    }


def trajectory(output: Output) -> list[Frame]:
    """The structures in xtb.trj, with or without velocities."""
    text = output.file("xtb.trj")
    first = text.split("\n", 1)[0]
    natoms = whole(first, "the number of atoms in xtb.trj")
    lines = text.splitlines()
    beyond = lines[2 + natoms].split() if natoms > 0 and len(lines) > 2 + natoms else []
    return list(frames(text, "xtb.trj", 1 if len(beyond) == 3 else 0))


@reads("xtb.trj")
def md_energies(output: Output) -> list[float]:
    """Potential energy (Eh) of each structure of the trajectory, as in `frames`."""
    return [stated_energy(frame, "xtb.trj") for frame in trajectory(output)]


@reads("xtb.trj")
def md_frames(output: Output) -> int:
    """Number of structures in the trajectory."""
    return len(trajectory(output))
