"""Check that the calculations behind ORCA's final values converged, versions 3 to 6.1.

If an SCF in an optimization step nearly converges, ORCA prints "NOT CONVERGED" and continues, and
the final values come from later steps. Such a line is therefore a failure only if it affects the
job's final values, that is, if it comes after the job's second-to-last energy or in the step with
its last gradient. An unconverged SCF does not matter if a converged one follows before the next
energy (high spin before broken symmetry, a restart).
"""

from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import Failure, FailureClass
from wqmaster.parsers.orca.causes import occurrences, said
from wqmaster.parsers.orca.energy import FINAL, final_energy, is_converged, of_the_whole
from wqmaster.parsers.orca.gradient import HEADINGS as GRADIENTS
from wqmaster.parsers.orca.text import every, every_beginning, last_of, line_of

BANNER = "* O   R   C   A *"
_JOB = "JOB NUMBER"
# The largest number of jobs in one output; no real ORCA output has more.
_MAX_JOBS = 1000
_SCF_CONVERGED = "SCF CONVERGED AFTER"
_CYCLE = "GEOMETRY OPTIMIZATION CYCLE"
# ORCA prints the second message at the end of the transition-state optimization in NEB-TS.
_OPTIMIZED = ("THE OPTIMIZATION HAS CONVERGED", "THE TS OPTIMIZATION HAS CONVERGED")
# A nudged elastic band calculation prints a table of iterations but no final energy.
_BAND = "Optim.  Iteration  HEI"
BAND_CONVERGED = "THE NEB OPTIMIZATION HAS CONVERGED"
_NOT_OPTIMIZED = "The optimization did not converge"

_SCF = FailureClass.SCF_NOT_CONVERGED
_CC = FailureClass.CC_NOT_CONVERGED
_RESPONSE = FailureClass.RESPONSE_NOT_CONVERGED
_EXCITED = ("EOM", "CIS", "RPA", "TD-DFT", "TDA")
# A message, further text of which its line must contain at least one (if any are listed), and the
# failure class. If a line matches several entries, the first one counts.
_MARKS: tuple[tuple[str, tuple[str, ...], FailureClass], ...] = (
    ("SCF NOT CONVERGED AFTER", (), _SCF),
    ("SCF-wavefunction IS NOT", (), _SCF),
    ("the SCF has not converged", (), _SCF),
    ("Convergence Failure", ("CASSCF",), _SCF),
    ("CP-SCF CALCULATION IS UNCONVERGED", (), _RESPONSE),
    ("have NOT converged", _EXCITED, _RESPONSE),
    ("have NOT converged", ("iterations",), _CC),
    ("have not converged", ("lambda", "Lambda", "LAMBDA"), _CC),
    ("have not converged", ("CP-SCF", "CPSCF", "Z-vector", "response"), _RESPONSE),
    ("did not converge", ("CP-SCF", "CPSCF", *_EXCITED), _RESPONSE),
    ("avefunction IS NOT FULLY CONVERGED", (), _CC),
    ("avefunction IS NOT CONVERGED", (), _SCF),
)
# Each mark contains one of these texts. A good output contains none of them and need not be
# searched for every mark.
_IN_ALL_MARKS = (
    *("IS NOT", "SCF NOT CONVERGED", "have NOT converged", " not converge", "UNCONVERGED"),
    "Convergence Failure",
)
# In STEOM and DLPNO-STEOM, the EOM equations for single roots only prepare the active space.
_PREPARED_BY_EOM = "STEOM"


def jobs(text: str) -> list[tuple[int, int]]:
    """The start and end of each job in the text."""
    starts = {*every(text, BANNER), *occurrences(text, _JOB)}
    bounds = sorted(starts) if 0 < len(starts) <= _MAX_JOBS else [0]
    bounds[0] = 0
    return list(zip(bounds, [*bounds[1:], len(text)], strict=True))


def marks(text: str) -> Iterator[tuple[int, FailureClass]]:
    """The position and class of each convergence failure that the text reports, unordered."""
    there = [words for words in _IN_ALL_MARKS if words in text]
    if not there:
        return
    seen: set[int] = set()
    prepared = _PREPARED_BY_EOM in text
    for words, further, kind in _MARKS:
        if not any(common in words for common in there):
            continue
        for position in occurrences(text, words):
            line = line_of(text, position)[:1000]
            if position in seen or (further and not any(word in line for word in further)):
                continue
            seen.add(position)
            if not (prepared and "EOM" in line):
                yield position, kind


class _Job:
    """One job's text, with the positions of its energies, converged SCFs and last gradient."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.parts = list(every_beginning(text, FINAL))
        self.energies = of_the_whole(text, self.parts)

    @cached_property
    def _converged(self) -> list[int]:
        return list(occurrences(self.text, _SCF_CONVERGED))

    @cached_property
    def _gradient(self) -> int:
        return last_of(self.text, *GRADIENTS)

    def _overcome(self, position: int, end: int) -> bool:
        """Whether an SCF has converged between `position` and `end`."""
        place = bisect_right(self._converged, position)
        return place < len(self._converged) and self._converged[place] < end

    def _matters(self, position: int, kind: FailureClass) -> bool:
        """Whether a convergence failure at `position` affects the job's final values."""
        following = bisect_right(self.energies, position)
        bounds = [*self.energies[following : following + 2], len(self.text)]
        if kind is _SCF and self._overcome(position, bounds[0]):
            return False
        # The failure matters if it comes after the last energy (properties), in the step that ends
        # with the last energy, or in the step with the last gradient.
        return following >= len(self.energies) - 1 or bounds[0] < self._gradient < bounds[1]

    def by_mark(self) -> Failure | None:
        """The first reported convergence failure that affects the final values."""
        for position, kind in marks(self.text):
            if self._matters(position, kind):
                return Failure(kind, f"ORCA: {said(line_of(self.text, position))}")
        return None


def _by_suffix(job: _Job) -> Failure | None:
    """The failure in ORCA's remark on the last energy or on the energy of one of its layers."""
    since = job.energies[-2] if len(job.energies) > 1 else -1
    for position in reversed(job.parts):
        if position <= since:
            break
        try:
            _, suffix = final_energy(line_of(job.text, position))
        except ParseError:
            continue
        if not is_converged(suffix):
            kind = _SCF if "SCF" in suffix else _CC
            return Failure(kind, f"ORCA: final energy: {suffix.strip('()')[:200]}")
    return None


def _by_optimization(job: str) -> Failure | None:
    for position in occurrences(job, _NOT_OPTIMIZED):
        words = said(job[position : position + 200])
        return Failure(FailureClass.OPT_NOT_CONVERGED, f"ORCA: {words.partition('.')[0]}")
    cycle = job.rfind(_CYCLE)
    if cycle >= 0 and all(job.find(words, cycle) < 0 for words in _OPTIMIZED):
        return Failure(FailureClass.OPT_NOT_CONVERGED, f"ORCA: no '{_OPTIMIZED[0]}' in the output")
    if _BAND in job and BAND_CONVERGED not in job:
        return Failure(FailureClass.OPT_NOT_CONVERGED, f"ORCA: no '{BAND_CONVERGED}' in the output")
    return None


def not_converged(text: str, ended: bool) -> Failure | None:
    """Why a job's final values are not converged, or None if those of all jobs are.

    `ended`: whether the output is complete, in which case an unfinished optimization is a failure.
    """
    for start, end in jobs(text):
        job = text[start:end] if (start, end) != (0, len(text)) else text
        of_job = _Job(job)
        failure = of_job.by_mark() or _by_suffix(of_job)
        if failure is None and (ended or _NOT_OPTIMIZED in job):
            failure = _by_optimization(job)
        if failure:
            return failure
    return None
