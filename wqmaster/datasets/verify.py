"""The proof of an exported file: it is read back and compared with the database.

Limits: energies 1e-6 eV, forces 1e-5 eV/Angstrom. What a format stores in single precision may
differ by its rounding, 6e-8 of the value (twice that, since the units are converted).
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wqmaster.datasets.base import Target
from wqmaster.datasets.expected import Expected
from wqmaster.datasets.frame import Frame
from wqmaster.datasets.trainers.running import python_of, read_by_trainer
from wqmaster.datasets.units import ANGSTROM_PER_BOHR, EV_PER_ANGSTROM, EV_PER_EH
from wqmaster.errors import ProofError

# For each quantity: the largest deviation allowed, the factor that converts from the unit of a
# frame to the unit of this limit, and that unit.
_LIMITS = {
    "coordinates": (1e-8, 1.0, "Angstrom"),
    "energy": (1e-6, EV_PER_EH, "eV"),
    "gradient": (1e-5, EV_PER_ANGSTROM, "eV/Angstrom"),
    "charges": (1e-6, 1.0, "e"),
    "spins": (1e-6, 1.0, "e"),
    "dipole": (1e-6, ANGSTROM_PER_BOHR, "e Angstrom"),
    "quadrupole": (1e-6, ANGSTROM_PER_BOHR**2, "e Angstrom^2"),
}
# The rounding of single precision, relative to the largest value.
_SINGLE_ROUNDING = 1.3e-7
# Trainers read whole files into memory, so larger files are read with our own reader.
_LARGEST_BYTES_FOR_TRAINERS = 1 << 30


@dataclass
class Proof:
    """What was compared, and how well it agrees."""

    reader: str  # what read the file: a trainer's function with its version, or "wqmaster"
    rows: int = 0  # number of rows in the file
    compared: int = 0  # number of rows that were compared
    # The largest deviation of each quantity, in eV, Angstrom and e.
    largest: dict[str, float] = field(default_factory=dict)


def verify(
    path: Path,
    target: Target,
    frames: Iterable[Frame],
    sample: int | None = None,
    *,
    labels: Collection[str] | None = None,
    python: str | None = None,
) -> Proof:
    """Read a file back, and compare it with all frames that were written to it.

    If `sample` is a number, only that many frames, chosen at random, are compared, but all are
    counted. `labels` are those that the writer has written (`Writer.labels`; default: all that the
    target carries, or only the gradient if it is `uniform`). The reader is the trainer's own if
    `python`, or this Python, has the trainer; ours otherwise.

    Raises:
        ProofError: the file cannot be read, or differs from the frames. The message names the row,
            the quantity and both values.
    """
    expected = Expected(sample)
    try:
        for frame in frames:
            expected.add(frame)
        return prove(path, target, expected, labels=labels, python=python)
    finally:
        expected.close()


def prove(
    path: Path,
    target: Target,
    expected: Expected,
    *,
    labels: Collection[str] | None = None,
    python: str | None = None,
) -> Proof:
    """Read a file back, and compare it with `expected`; see `verify`.

    Raises:
        ProofError: as `verify`.
    """
    expected.index()
    with _reading(path, target, python) as (reader, rows):
        return _compared(Proof(reader), path, target, expected, rows, expected.sample, labels)


@contextmanager
def _reading(
    path: Path, target: Target, python: str | None
) -> Iterator[tuple[str, Iterator[Frame]]]:
    if python is None and path.stat().st_size <= _LARGEST_BYTES_FOR_TRAINERS:
        python = python_of(target)
    if python is not None and target.script:
        with read_by_trainer(path, target, python) as read:
            yield read
    else:
        yield "wqmaster", iter(target.read(path))


def _compared(
    proof: Proof,
    path: Path,
    target: Target,
    expected: Expected,
    rows: Iterator[Frame],
    sample: int | None,
    labels: Collection[str] | None,
) -> Proof:
    if labels is None:  # a uniform file lacks what its first frame lacked, which is not known here
        labels = {"gradient"} if target.uniform else target.carries
    wanted = target.carries & frozenset(labels)
    for found in rows:
        proof.rows += 1
        place = f"{path}: row {proof.rows}" + (f" ('{found.id}')" if found.id else "")
        candidates = expected.like(found)
        if not candidates:
            if sample is None or proof.rows > expected.count:
                raise ProofError(
                    f"{place}: no frame in the database has these elements and coordinates, or "
                    f"this id ({_described(found)})"
                )
            continue
        slot, frame = min(
            candidates, key=lambda one: (one[1].charge, one[1].multiplicity) != _state(found)
        )
        _compare(proof, place, target, frame, found, wanted)
        if expected.see(slot):
            raise ProofError(f"{place}: '{frame.id}' is in the file twice")
        proof.compared += 1
    if proof.rows != expected.count:
        missing, one = expected.unseen()
        what = f"; '{one}' is missing" if missing and sample is None else ""
        raise ProofError(f"{path}: {proof.rows} frames instead of {expected.count}{what}")
    missing, one = expected.unseen()
    if missing:
        raise ProofError(f"{path}: '{one}' is missing ({missing} frames in all)")
    return proof


def _described(frame: Frame) -> str:
    symbols = "".join(frame.symbols[:20])
    return f"{symbols}, charge {frame.charge}, multiplicity {frame.multiplicity}"


def _state(frame: Frame) -> tuple[int, int]:
    return frame.charge, frame.multiplicity


def _compare(
    proof: Proof, place: str, target: Target, frame: Frame, found: Frame, labels: Collection[str]
) -> None:
    """Compare a row with the frame that it should be.

    Raises:
        ProofError: they differ.
    """
    if not np.array_equal(frame.numbers, found.numbers):
        raise _differs(place, "the elements", found.symbols, frame.symbols, "")
    for name in ("charge", "multiplicity"):
        if getattr(frame, name) != getattr(found, name):
            raise _differs(place, name, getattr(found, name), getattr(frame, name), "")
    by_trainer = proof.reader != "wqmaster"
    for name, (limit, factor, unit) in _LIMITS.items():
        ours, theirs = getattr(frame, name), getattr(found, name)
        if ours is None and theirs is not None:
            raise ProofError(f"{place}: it has a {name}, but the database has none")
        if ours is None or theirs is None:
            # No trainer reads all labels.
            must = name in labels and (name == "gradient" or not by_trainer)
            if ours is not None and must:
                raise ProofError(f"{place}: no {name}, but the database has one")
            continue
        ours, theirs = np.asarray(ours) * factor, np.asarray(theirs) * factor
        if name == "quadrupole" and target.traceless:
            ours = ours - np.eye(3) * np.trace(ours) / 3
        allowed = limit
        if name in target.single:
            allowed += _SINGLE_ROUNDING * float(np.abs(ours).max(initial=0.0))
        deviations = np.abs(ours - theirs)
        largest = float(deviations.max(initial=0.0))
        if not largest <= allowed:  # NaN is not within the limit either
            worst = np.unravel_index(int(np.argmax(deviations)), deviations.shape)
            atom = f" of atom {worst[0]}" if len(worst) and name != "quadrupole" else ""
            what = {"gradient": "the forces", "coordinates": "the coordinates"}.get(name, name)
            sign = -1.0 if name == "gradient" else 1.0
            raise _differs(place, what + atom, sign * theirs[worst], sign * ours[worst], f" {unit}")
        proof.largest[name] = max(proof.largest.get(name, 0.0), largest)


def _differs(place: str, what: str, said: Any, meant: Any, unit: str) -> ProofError:
    def shown(value: Any) -> str:
        return f"{value:.9g}" if isinstance(value, float) else str(value)

    return ProofError(
        f"{place}: {what}: the file says {shown(said)}{unit}, the database {shown(meant)}{unit}"
    )
