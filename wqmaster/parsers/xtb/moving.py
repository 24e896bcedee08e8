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
    after,
    last_line,
    real,
    stated_energy,
    stdout,
    whole,
)
from wqmaster.parsers.xyz import Frame, frames

# Boltzmann's constant in Eh/K.
BOLTZMANN_EH_PER_K = 3.166808578545117e-06
# The largest difference between equal distances in two files. Their coordinates have 14 and 12
# decimals, and --ohess rotates the molecule.
SAME_PLACE_ANGSTROM = 1e-6
# The largest difference between the energies in the last frame of xtbopt.log and in xtbopt.xyz,
# which come from two evaluations of the same geometry.
SAME_ENERGY_EH = 1e-7
# The beginning of the line that xtb prints only if an optimization converged.
CONVERGED = "*** GEOMETRY OPTIMIZATION CONVERGED AFTER "
_HEADING = "|               Molecular Dynamics                |"
_AVERAGES = "average properties"
# xtb computes every eleventh step at full accuracy and averages the energy of these steps
# separately.
_ACCURATE_STEP_INTERVAL = 11


def final(output: Output) -> Frame:
    """The structure in xtbopt.xyz; ParseError if there is not exactly one."""
    found = list(frames(output.file("xtbopt.xyz"), "xtbopt.xyz"))
    if len(found) != 1:
        raise ParseError(f"xtbopt.xyz has {len(found)} structures")
    return found[0]


@reads("xtbopt.xyz", per_atom=True)
def geometry(output: Output) -> list[list[float]]:
    """Optimized coordinates in Angstrom, shape (n, 3), at which `energy` is computed.

    For `--bhess` they come from the biased optimization, for a relaxed scan from its last point.
    `energy` raises an error in both cases.
    """
    return [list(row) for row in final(output).coordinates]


@reads("xtbopt.xyz", per_atom=True)
def optimized_geometry(output: Output) -> list[list[float]]:
    """Optimized coordinates in Angstrom, shape (n, 3): another name for `geometry`."""
    return [list(row) for row in final(output).coordinates]


@reads("xtbopt.xyz", per_atom=True)
def symbols(output: Output) -> list[str]:
    """The elements of the atoms in `geometry`, shape (n,)."""
    return list(final(output).symbols)


@reads("stdout")
def opt_cycles(output: Output) -> int:
    """Number of cycles that the last optimization took to converge; 0 for a single atom.

    Raises:
        ParseError: no optimization was run, or it did not converge.
    """
    text = stdout(output)
    rest = last_line(text, CONVERGED)
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
    """Energy (Eh) of each structure in the optimization, the initial one first.

    The energies are those in `frames`, with two exceptions: for `--bhess` they include the bias,
    and for a relaxed scan they belong to the optimization before it.
    """
    return [stated_energy(frame, "xtbopt.log") for frame in log(output)]


@reads("xtbopt.log", "xtbopt.xyz")
def geometry_trajectory(output: Output) -> list[list[list[float]]]:
    """Coordinates (Angstrom) of each structure in the optimization, shape (steps, n, 3).

    Their energies are `opt_trajectory_energies`.
    """
    return [[list(row) for row in frame.coordinates] for frame in log(output)]


def log(output: Output) -> list[Frame]:
    """The structures in xtbopt.log, or the only structure for a single atom, which xtb never logs.

    Raises:
        ParseError: the file is missing, empty or truncated, or its molecule differs from the one in
            xtbopt.xyz.
    """
    found = list(frames(output.file("xtbopt.log"), "xtbopt.log"))
    if not found and output.has("xtbopt.xyz"):
        only = final(output)
        found = [only] if len(only.symbols) == 1 else []
    if not found:
        raise ParseError("xtbopt.log is empty")
    if len({frame.symbols for frame in found}) > 1:
        raise ParseError("the structures in xtbopt.log belong to different molecules")
    # In a run with a bias or a scan, xtbopt.log and xtbopt.xyz belong to different optimizations.
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
    # For a single atom xtb runs no cycle and does not print that the optimization converged.
    if len(last.symbols) == 1:
        return True
    return output.has("stdout") and last_line(stdout(output), CONVERGED) is not None


def _shape(points: Sequence[Sequence[float]]) -> Iterator[float]:
    """Distances that do not change when a molecule is rotated."""
    middle = [sum(column) / len(points) for column in zip(*points, strict=True)]
    for point in points:
        yield math.dist(point, middle)
        yield math.dist(point, points[0])
        yield math.dist(point, points[-1])


def is_same(frame: Frame, other: Frame) -> bool:
    """Whether `frame` from xtbopt.log has the geometry and energy of `other` from xtbopt.xyz.

    Their orientations can differ.
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
    """The settings and results of a molecular dynamics run, as printed."""

    time: float  # ps
    step: float  # fs
    temperature: float  # K, at the start and of the thermostat
    accuracy: float  # SCC accuracy
    dump: float  # time between two frames in fs
    dump_steps: int  # steps between two frames
    steps: int
    freedom: int  # degrees of freedom
    hmass: int  # mass of H in amu; 0 if not changed
    shake: int  # constrained bonds: 0 for none, 1 for those of H, 2 for all
    thermostat: bool
    rows: tuple[tuple[int, float], ...]  # (step, total energy in Eh) every 200 steps
    averages: dict[str, float]  # as printed
    unstable: bool
    ended: bool

    @property
    def frames(self) -> int:
        """The number of structures that xtb.trj should contain."""
        return math.ceil(self.steps / max(self.dump_steps, 1))

    def mean(self, name: str) -> float:
        """The mean of a quantity over all steps, corrected for xtb's wrong divisor.

        xtb 6.7.1 divides the sum over n steps by n + 1, because it uses the counter of a loop after
        its end (src/dynamic.f90). Measured: the corrected mean is that of the energies in xtb.trj.
        """
        return self.averages[name] * (self.steps + 1) / self.steps


def has_dynamics(text: str) -> bool:
    """Whether xtb started a molecular dynamics run."""
    return _HEADING in text


def dynamics(text: str) -> Dynamics:
    """Read the settings and results of the last molecular dynamics run in a printout.

    Raises:
        ParseError: there is no such run, or part of its output is missing.
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
    """Step and total energy (Eh) from each line that xtb prints during a run.

    Their format is `i7,f8.2,F13.5,F9.4,2F6.0,F12.5` (xtb, src/dynamic.f90).
    """
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
    """Settings of a molecular dynamics run, and mean values over all its steps.

    Settings: steps, step (fs), time (ps), frames (the number in xtb.trj), degrees_of_freedom,
    thermostat (its temperature in K, or None if there is no thermostat). Mean values: temperature
    (K), potential_energy, kinetic_energy, total_energy (Eh), all corrected for xtb's divisor
    (`Dynamics.mean`), and accurate_potential_energy (Eh), the mean at full accuracy over every
    eleventh step, or None for runs with fewer than 11 steps.

    Raises:
        ParseError: no molecular dynamics was run, or it did not finish.
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
    """Potential energy (Eh) of each structure in the trajectory, as in `frames`."""
    return [stated_energy(frame, "xtb.trj") for frame in trajectory(output)]


@reads("xtb.trj")
def md_frames(output: Output) -> int:
    """Number of structures in the trajectory."""
    return len(trajectory(output))
