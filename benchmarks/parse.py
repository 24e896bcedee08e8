"""Compare our ORCA parsers with cclib and qccodec on the same files, in one run.

    ./shell bash benchmarks/peers.sh .environment/peers      # once
    ./shell python benchmarks/parse.py FOLDER [--rounds N]

All read each output below FOLDER from disk, in turn. Against cclib, the values are energy,
gradient, dipole and Mulliken charges; against qccodec, energy and gradient, which are all that it
reads from a standard output. The benchmark prints how many files each can read, which values
differ, and the ratio of CPU times for the files of which the other reads anything; also with our
diagnosis of the output, which the others do not have. The energy that cclib returns can be ORCA's
final energy or its SCF energy, so it is compared with both. Our parser refuses a gradient that does
not belong to the final energy, for example after an optimization, while the others return it.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pairs.measured import spread
from pairs.rq_peer import PEERS, require_peers

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
_SIDE = Path(__file__).parent / "pairs" / "parsers_side.py"
OURS = {
    "energy": total_energy,
    "scf energy": scf_energy,
    "gradient": gradient,
    "dipole": dipole,
    "charges": mulliken_charges,
}
# For each peer, its values -> our values that can correspond to them.
ASKED = {
    "cclib": {
        "energy": ("energy", "scf energy"),
        "gradient": ("gradient",),
        "dipole": ("dipole",),
        "charges": ("charges",),
    },
    "qccodec": {"energy": ("energy",), "gradient": ("gradient",)},
}


def ours(path: Path, names: Sequence[str], *, judged: bool = False) -> Values:
    """The values of these names, without those that a parser refuses or cannot find."""
    output = Output({"stdout": path.read_bytes()})
    if judged:
        diagnose(output, None, {})
    values: Values = {}
    for name in names:
        try:
            values[name] = OURS[name](output)
        except ParseError:
            continue
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


def seconds(read: Callable[[], Values]) -> tuple[float, Values]:
    """The seconds of CPU time that `read` takes, and the values that it returns."""
    begun = time.process_time()
    values = read()
    return time.process_time() - begun, values


def compare(
    peer: str, files: Sequence[Path], rounds: int, ask: Callable[[str, Path], tuple[float, Values]]
) -> None:
    """Compare with one peer, and print the results."""
    asked = ASKED[peer]
    names = [name for several in asked.values() for name in several]
    found: dict[Path, tuple[Values, Values]] = {}
    ratios, with_diagnosis, speeds = [], [], []
    for _ in range(rounds):
        own = their = judged = size = 0.0
        for path in files:
            taken, values = seconds(lambda path=path: ours(path, names))
            more, _ = seconds(lambda path=path: ours(path, names, judged=True))
            their_taken, their_values = ask(peer, path)
            found[path] = values, their_values
            if their_values:
                own, judged, their = own + taken, judged + more, their + their_taken
                size += path.stat().st_size / 1e6
        ratios.append(their / own)
        with_diagnosis.append(their / judged)
        speeds.append((size / own, size / their))
    print(f"\n{peer}:")
    for name, corresponding in asked.items():
        count = sum(any(one in values for one in corresponding) for values, _ in found.values())
        their_count = sum(name in theirs for _, theirs in found.values())
        print(f"  {name:<9} read from {count} files, by {peer} from {their_count}")
    for path, (values, theirs) in found.items():
        for name in sorted(theirs):
            mine = [values[one] for one in asked[name] if one in values]
            if mine and not any(agree(value, theirs[name]) for value in mine):
                print(f"  different: {path.parent.name}/{path.name}: {name}")
    mine_speed, their_speed = (statistics.median(column) for column in zip(*speeds, strict=True))
    print(
        f"  {mine_speed:.0f} MB/s, {peer} {their_speed:.1f} MB/s; {peer} takes {spread(ratios, 1)} "
        f"times our CPU time, {spread(with_diagnosis, 1)} times that with our diagnosis"
    )


def main() -> None:
    """Run what the command line says."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("folder", type=Path)
    options.add_argument("--rounds", type=int, default=5, help="default: 5")
    asked = options.parse_args()
    require_peers()
    warnings.simplefilter("ignore")
    files = sorted(path for path in asked.folder.rglob("*") if path.suffix in (".out", ".log"))
    if not files:
        sys.exit(f"there are no outputs (*.out, *.log) below {asked.folder}")
    words = [PEERS / "bin" / "python", _SIDE]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as side:
        assert side.stdin is not None and side.stdout is not None  # noqa: PT018, S101  # pipes
        versions = json.loads(side.stdout.readline())
        size = sum(path.stat().st_size for path in files) / 1e6
        print(f"{len(files)} outputs, {size:.2f} MB, {asked.rounds} rounds; {versions}")

        def ask(peer: str, path: Path) -> tuple[float, Values]:
            side.stdin.write(f"{peer} {path.resolve()}\n")
            taken, values = json.loads(side.stdout.readline())
            return taken, values

        for peer in ASKED:
            compare(peer, files, asked.rounds, ask)
        side.stdin.close()


if __name__ == "__main__":
    main()
