"""Compare our ORCA parsers with cclib on the same files, in one run.

    ./shell pip install --pre '.[benchmark]'
    ./shell python benchmarks/orca_parsers.py FOLDER

Both read energy, gradient, dipole and Mulliken charges from each output below FOLDER. The benchmark
prints how many files each can read, which values differ, and the ratio of the speeds (MB/s). Both
read each file from disk, alternating, so that a noisy machine affects both. The energy that cclib
returns can be ORCA's final energy or its SCF energy, so it is compared with both.

Our parser refuses a gradient that does not belong to the final energy, for example after an
optimization, while cclib returns it.
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
# cclib's value -> our values that can correspond to it.
ASKED = {
    "energy": ("energy", "scf energy"),
    "gradient": ("gradient",),
    "dipole": ("dipole",),
    "charges": ("charges",),
}
# cclib's conversion factors (cclib.parser.utils).
EV_PER_EH = 27.21138505
DEBYE_PER_AU = 2.5417462300548436


def ours(path: Path) -> Values:
    """The values that our parsers read, without those that a parser refuses or cannot find."""
    output = Output({"stdout": path.read_bytes()})
    values: Values = {}
    for name, parser in OURS.items():
        try:
            values[name] = parser(output)
        except ParseError:
            continue
    return values


def judged(path: Path) -> Values:
    """The same values, after our diagnosis of the output, which cclib does not have."""
    diagnose(Output({"stdout": path.read_bytes()}), None, {})
    return ours(path)


def theirs(path: Path) -> Values:
    """The values that cclib reads, in atomic units; {} if it fails."""
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
    """The numbers in a nested list, as a flat list."""
    if isinstance(value, (list, tuple)):
        return [number for item in value for number in flat(item)]
    return [float(value)]


def agree(one: Any, other: Any) -> bool:
    """Whether two values agree within the precision of printing and conversion."""
    left, right = flat(one), flat(other)
    return len(left) == len(right) and all(
        math.isclose(a, b, rel_tol=1e-7, abs_tol=2e-6) for a, b in zip(left, right, strict=True)
    )


def seconds(read: Callable[[Path], Values], path: Path) -> tuple[float, Values]:
    """The seconds that `read` takes for the file `path`, and the values that it returns."""
    begun = time.perf_counter()
    values = read(path)
    return time.perf_counter() - begun, values


def main() -> None:
    """Compare the parsers, and print the results."""
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
        print(f"{name:<9} read from {own_count} files, by cclib from {their_count}")
    print(f"values read by both: {both}; different in:\n{differ.getvalue() or '  none'}".rstrip())
    print(
        f"speed: {statistics.median(mine):.0f} MB/s, cclib {statistics.median(other):.1f} MB/s, "
        f"ratio {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}), "
        f"with our diagnosis {statistics.median(with_diagnosis):.1f}"
    )


if __name__ == "__main__":
    main()
