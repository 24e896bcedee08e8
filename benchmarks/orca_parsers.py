"""Our parsers of ORCA against cclib's, on the same files, in one run.

    ./shell pip install --pre '.[benchmark]'
    ./shell python benchmarks/orca_parsers.py FOLDER

Energy, gradient, dipole and Mulliken charges are asked of both, of each output below FOLDER. Prints
how many files each reads, where the two differ, and the ratio of the speeds (MB/s). Both read each
file from the disk anew, and take turns, so that a noisy machine is noisy for both. What cclib calls
the SCF energy is ORCA's final energy or its SCF energy, so it is held against both.

Ours refuses a gradient that is not of the final energy, as after an optimization; cclib returns it.
"""

import argparse
import io
import logging
import math
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cclib

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output
from wqmaster.parsers.orca import (
    diagnose,
    dipole,
    gradient,
    mulliken_charges,
    scf_energy,
    total_energy,
)

Values = dict[str, Any]
OURS = {
    "energy": total_energy,
    "scf energy": scf_energy,
    "gradient": gradient,
    "dipole": dipole,
    "charges": mulliken_charges,
}
# By cclib's value: those of ours that may be it.
ASKED = {
    "energy": ("energy", "scf energy"),
    "gradient": ("gradient",),
    "dipole": ("dipole",),
    "charges": ("charges",),
}
# cclib converts through these (cclib.parser.utils): eV in an Eh, Debye in e a0.
EV_PER_EH = 27.21138505
DEBYE_PER_AU = 2.5417462300548436


def ours(path: Path) -> Values:
    """What our parsers read; a block that is not there is left out."""
    output = Output({"stdout": path.read_bytes()})
    values: Values = {}
    for name, parser in OURS.items():
        try:
            values[name] = parser(output)
        except ParseError:
            continue
    return values


def judged(path: Path) -> Values:
    """The same with the diagnosis, which cclib has not."""
    diagnose(Output({"stdout": path.read_bytes()}), None, {})
    return ours(path)


def theirs(path: Path) -> Values:
    """What cclib reads, in atomic units; {} where it fails."""
    try:
        data = cclib.io.ccopen(str(path), loglevel=logging.CRITICAL + 1).parse()
    except Exception:
        return {}
    values: Values = {}
    if hasattr(data, "scfenergies"):
        values["energy"] = float(data.scfenergies[-1]) / EV_PER_EH
    if hasattr(data, "grads"):
        values["gradient"] = data.grads[-1].tolist()
    if hasattr(data, "moments") and len(data.moments) > 1:
        values["dipole"] = [float(value) / DEBYE_PER_AU for value in data.moments[1]]
    if "mulliken" in getattr(data, "atomcharges", {}):
        values["charges"] = list(map(float, data.atomcharges["mulliken"]))
    return values


def flat(value: Any) -> list[float]:
    """The numbers of a nested list."""
    if isinstance(value, (list, tuple)):
        return [number for item in value for number in flat(item)]
    return [float(value)]


def agree(one: Any, other: Any) -> bool:
    """Whether two values are the same within what is printed and converted."""
    left, right = flat(one), flat(other)
    return len(left) == len(right) and all(
        math.isclose(a, b, rel_tol=1e-7, abs_tol=2e-6) for a, b in zip(left, right, strict=True)
    )


def seconds(read: Callable[[Path], Values], path: Path) -> tuple[float, Values]:
    """How long one reading takes, and what it gives."""
    begun = time.perf_counter()
    values = read(path)
    return time.perf_counter() - begun, values


def main() -> None:
    """Compare, and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder", type=Path)
    options.add_argument("--rounds", type=int, default=5)
    asked = options.parse_args()
    warnings.simplefilter("ignore")
    files = sorted(path for path in asked.folder.rglob("*") if path.suffix in (".out", ".log"))
    if not files:
        sys.exit(f"there are no outputs (*.out, *.log) below {asked.folder}")
    size = sum(path.stat().st_size for path in files) / 1e6
    ratios, with_diagnosis, mine, other = [], [], [], []
    found: dict[Path, tuple[Values, Values]] = {}
    for _ in range(asked.rounds):
        own = their = diagnosed = 0.0
        for path in files:
            taken, values = seconds(ours, path)
            own += taken
            diagnosed += seconds(judged, path)[0]
            taken, theirs_read = seconds(theirs, path)
            their += taken
            found[path] = values, theirs_read
        mine.append(size / own)
        other.append(size / their)
        ratios.append(their / own)
        with_diagnosis.append(their / diagnosed)
    differ = io.StringIO()
    both = 0
    for path, (values, theirs_read) in found.items():
        for name in sorted(theirs_read):
            mine_read = [values[own] for own in ASKED[name] if own in values]
            both += bool(mine_read)
            if mine_read and not any(agree(value, theirs_read[name]) for value in mine_read):
                print(f"  {path.relative_to(asked.folder)}: {name}", file=differ)
    print(f"{len(files)} outputs, {size:.2f} MB, {asked.rounds} rounds; cclib {cclib.__version__}")
    for name, names in ASKED.items():
        own_count = sum(any(own in values for own in names) for values, _ in found.values())
        their_count = sum(name in values for _, values in found.values())
        print(f"{name:<9} read in {own_count} files, by cclib in {their_count}")
    print(f"values of both: {both}; they differ in:\n{differ.getvalue() or '  none'}".rstrip())
    print(
        f"speed: {statistics.median(mine):.0f} MB/s, cclib {statistics.median(other):.1f} MB/s, "
        f"ratio {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}), "
        f"with our diagnosis {statistics.median(with_diagnosis):.1f}"
    )


if __name__ == "__main__":
    main()
