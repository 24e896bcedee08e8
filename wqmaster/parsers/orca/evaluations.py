"""The evaluations in an ORCA output, and the blocks that belong to each of them.

An evaluation is everything that ORCA computed for one geometry and one electronic state. ORCA
prints evaluations one after another: optimization cycles, the evaluation "AT THE STATIONARY POINT"
after them, scan points, dynamics steps, jobs. A new evaluation begins where ORCA announces it (a
cycle, a scan step, a job), where the coordinates change, or with an SCF after the final energy
(another state). Output for the displaced geometries of a numerical derivative belongs to no
evaluation. The final evaluation is the last one that has a final energy.
"""

from dataclasses import dataclass, field
from functools import lru_cache

from wqmaster.errors import ParseError
from wqmaster.parsers.orca.events import events, geometry_block, same_block
from wqmaster.parsers.orca.final_lines import final_energy, label
from wqmaster.parsers.orca.text import line_of, line_start

# The largest difference between the energies of two converged SCFs for one geometry and state.
_SAME_ENERGY_EH = 1e-8


@dataclass
class Evaluation:
    """One evaluation: the positions of its parts in the text.

    `kind`: single_point, optimisation_cycle, stationary_point, scan_point or dynamics_step.
    """

    kind: str
    job: int  # counted from 1
    start: int
    end: int = -1
    step: int | None = None  # the step of a scan or of dynamics
    cycle: int | None = None  # the cycle of an optimization
    geometry: int | None = None
    scfs: list[int] = field(default_factory=list)
    energies: list[int] = field(default_factory=list)
    gradients: list[int] = field(default_factory=list)
    displaced: list[tuple[int, int]] = field(default_factory=list)
    layers: bool = False  # whether energies of parts of the system precede that of the whole
    # An earlier evaluation with the same geometry and state.
    twin: "Evaluation | None" = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing but headings has been found in this evaluation so far."""
        return not (self.geometry is not None or self.scfs or self.energies or self.gradients)

    def text(self, text: str) -> str:
        """The part of the output `text` that belongs to this evaluation."""
        found, start = [], self.start
        for begin, end in [*self.displaced, (self.end, self.end)]:
            found.append(text[start:begin])
            start = end
        return "".join(found)

    def state_text(self, text: str) -> str:
        """This evaluation's geometry and its output after its last SCF.

        Anything else before that SCF belongs to a guess or to another state (high spin before
        broken symmetry).
        """
        start = max(self.scfs, default=self.start)
        if start == self.start:
            return self.text(text)
        rest = Evaluation(self.kind, self.job, start, self.end)
        rest.displaced = [span for span in self.displaced if span[0] >= start]
        head = geometry_block(text, self.geometry) + "\n\n" if self.geometry is not None else ""
        return head + rest.text(text)

    def __str__(self) -> str:
        names = {
            "stationary_point": "the evaluation at the stationary point",
            "optimisation_cycle": "an optimization cycle",
            "scan_point": "a scan point",
            "dynamics_step": "a dynamics snapshot",
        }
        name = names.get(self.kind, "a single point")
        if self.kind == "optimisation_cycle" and self.cycle is not None:
            name = f"optimization cycle {self.cycle}"
        return name if self.step is None else f"{name} of step {self.step}"


class _Division:
    """Divides an output into evaluations, event by event."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.found = [Evaluation("single_point", 1, 0)]
        self._displaced: int | None = None  # start of the displaced geometries
        self._hides = False  # whether the displaced geometries have results
        self._number = 1  # number of the job
        self._step: int | None = None
        self._labels: set[str] = set()  # labels of the energies in this evaluation
        self._again: int | None = None  # where the same geometry is repeated after its energy

    @property
    def _now(self) -> Evaluation:
        return self.found[-1]

    def _begin(self, position: int, kind: str, cycle: int | None = None) -> None:
        now = self._now
        if now.is_empty:
            # The current evaluation has only headings, which belong to the new one.
            now.kind, now.cycle, now.job, now.step = kind, cycle, self._number, self._step
            return
        now.end = position
        self._labels, self._again = set(), None
        self.found.append(Evaluation(kind, self._number, position, -1, self._step, cycle))

    def _end_displaced(self, position: int) -> None:
        if self._displaced is not None and self._hides:
            self._now.displaced.append((self._displaced, position))
        self._displaced, self._hides = None, False

    def _announce(self, position: int, name: str, count: int | None) -> None:
        self._end_displaced(position)
        if name == "job":
            self._step = None
            if not self._now.is_empty:
                self._number += 1
            self._begin(position, "single_point")
        elif name == "scan":
            self._step = count
            self._begin(position, "optimisation_cycle")
        elif name in ("scan_point", "dynamics_step"):
            self._step = count
            self._begin(position, name)
        else:
            self._begin(position, name, count if name == "optimisation_cycle" else None)

    def _see_geometry(self, position: int) -> None:
        now = self._now
        if now.geometry is not None and same_block(self.text, now.geometry, position):
            self._again = position if now.energies else None
            return
        if not now.is_empty:
            # The announced kind applies until there is an energy; in a scan or dynamics, also
            # afterwards.
            goes_on = not now.energies or now.kind in ("scan_point", "dynamics_step")
            kind, cycle = (now.kind, now.cycle) if goes_on else ("single_point", None)
            self._begin(line_start(self.text, position), kind, cycle)
        self._now.geometry = position

    def _see_scf(self, position: int) -> None:
        now = self._now
        if now.energies:
            # This SCF is for another state or method. ORCA does not always repeat the coordinates.
            again = self._again
            start = position if again is None else again
            self._begin(line_start(self.text, start), now.kind, now.cycle)
            self._now.geometry = again
            self._now.gradients = [place for place in now.gradients if place > start]
            now.gradients = [place for place in now.gradients if place < start]
        self._now.scfs.append(position)

    def _see_energy(self, position: int) -> None:
        now = self._now
        name = label(line_of(self.text, position))
        if now.energies and name not in self._labels:
            now.layers = True
        self._labels.add(name)
        now.energies.append(position)

    def take(self, position: int, name: str, count: int | None) -> None:
        """Process the next event."""
        if name == "displaced":
            if self._displaced is None:
                self._displaced = position
        elif name == "after displaced":
            self._end_displaced(line_start(self.text, position))
        elif name in ("geometry", "scf", "energy", "gradient"):
            if self._displaced is not None:
                self._hides = True
            elif name == "geometry":
                self._see_geometry(position)
            elif name == "scf":
                self._see_scf(position)
            elif name == "energy":
                self._see_energy(position)
            else:
                self._now.gradients.append(position)
        else:
            self._announce(position, name, count)

    def close(self) -> tuple[Evaluation, ...]:
        """Finish after the last event, and return the evaluations."""
        self._end_displaced(len(self.text))
        self._now.end = len(self.text)
        for before, after in zip(self.found, self.found[1:], strict=False):
            if _alike(self.text, before, after):
                # If several twins follow one another, refer to the one with a gradient.
                after.twin = before if before.gradients else before.twin or before
        return tuple(self.found)


def same_geometry(text: str, one: Evaluation, other: Evaluation) -> bool:
    """Whether the printed coordinates in two evaluations are identical."""
    if one.geometry is None or other.geometry is None:
        return False
    return same_block(text, one.geometry, other.geometry)


def _energy(text: str, evaluation: Evaluation) -> float | None:
    try:
        return final_energy(line_of(text, evaluation.energies[-1]))[0]
    except (IndexError, ParseError):
        return None


def _alike(text: str, before: Evaluation, after: Evaluation) -> bool:
    """Whether two evaluations belong to one job and have the same coordinates and energy."""
    if before.job != after.job or not same_geometry(text, before, after):
        return False
    energies = _energy(text, before), _energy(text, after)
    return (
        energies[0] is not None
        and energies[1] is not None
        and abs(energies[0] - energies[1]) <= _SAME_ENERGY_EH
    )


@lru_cache(maxsize=1)
def evaluations(text: str) -> tuple[Evaluation, ...]:
    """All evaluations in an output, in order; there is at least one, which can be empty."""
    division = _Division(text)
    for event in events(text):
        division.take(*event)
    return division.close()


def final(text: str) -> Evaluation:
    """The final evaluation: the last one with a final energy, or the last one if none has any."""
    found = evaluations(text)
    return next((one for one in reversed(found) if one.energies), found[-1])


def described(text: str, one: Evaluation) -> str:
    """A description of an evaluation with its line and, if there are several jobs, its job."""
    places = [one.geometry, *one.energies, *one.scfs, *one.gradients]
    place = min((place for place in places if place is not None), default=one.start)
    job = f" of job {one.job}" if evaluations(text)[-1].job > 1 else ""
    line = text.count("\n", 0, place) + 1
    return f"{one}{job} (line {line})"
