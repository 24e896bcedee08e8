"""Measure how fast and with how much memory each target is written, read back and proved.

    ./shell python benchmarks/export.py [--frames 10000,100000] [--for mace,aimnet] [--folder DIR]

Each measurement runs in its own process. The frames are of 2,000 made-up molecules of 5 to 35
atoms, and are made while they are written; the first line is for making them alone.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from wqmaster.datasets.base import Level
from wqmaster.datasets.frame import Frame
from wqmaster.datasets.targets import TARGETS
from wqmaster.datasets.verify import verify

MOLECULES = 2000
SAMPLE = 1000


def frames(count: int) -> Iterator[Frame]:
    """Yield neutral singlets, which every format can express.

    Molecule i has the frames i, i + 2000, ...
    """
    random = np.random.default_rng(1)
    elements = [
        random.choice([1, 1, 6, 6, 7, 8, 16], size=size)
        for size in random.integers(5, 36, size=MOLECULES)
    ]
    places = [random.normal(scale=2.0, size=(len(one), 3)) for one in elements]
    for number in range(count):
        numbers = elements[number % MOLECULES]
        n = len(numbers)
        yield Frame(
            id=f"molecule-{number % MOLECULES:04d}-{number // MOLECULES}",
            numbers=numbers,
            coordinates=places[number % MOLECULES] + random.normal(scale=0.05, size=(n, 3)),
            charge=0,
            multiplicity=1,
            energy=-38.0 * n + random.normal(),
            gradient=random.normal(scale=0.02, size=(n, 3)),
            charges=random.normal(scale=0.2, size=n),
            dipole=random.normal(size=3),
            graph=f"{number % MOLECULES:016x}",
        )


def _make(count: int, name: str, path: Path) -> None:
    for _ in frames(count):
        pass


def _write(count: int, name: str, path: Path) -> None:
    writer = TARGETS[name].create(path, Level("wB97X-D3BJ/def2-SVP", "PySCF"))
    for frame in frames(count):
        writer.add(frame)
    writer.close()


def _read(count: int, name: str, path: Path) -> None:
    assert sum(1 for _ in TARGETS[name].read(path)) == count  # noqa: S101


def _prove(count: int, name: str, path: Path) -> None:
    verify(path, TARGETS[name], frames(count), labels={"gradient"})


def _prove_sample(count: int, name: str, path: Path) -> None:
    verify(path, TARGETS[name], frames(count), SAMPLE, labels={"gradient"})


WORK = {"write": _write, "read": _read, "prove": _prove, "prove_sample": _prove_sample}


def _measured(work: Callable[[int, str, Path], None], count: int, name: str, path: Path) -> dict:
    def run(sender) -> None:
        started = time.perf_counter()
        work(count, name, path)
        seconds = time.perf_counter() - started
        used = resource.getrusage(resource.RUSAGE_SELF)
        result = {
            "seconds": round(seconds, 2),
            "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
            "peak_mb": round(used.ru_maxrss / 1024),
        }
        sender.send(result)

    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=run, args=(sender,))
    process.start()
    sender.close()
    said = receiver.recv()
    process.join()
    return said


def main() -> None:
    """Print one JSON line for each target and number of frames."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", default="10000,100000")
    parser.add_argument("--for", dest="targets", default=",".join(TARGETS))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", default="write,read,prove,prove_sample")
    options = parser.parse_args()
    counts = [int(count) for count in options.frames.split(",")]
    print(json.dumps({"making": _measured(_make, counts[0], "", Path()), "frames": counts[0]}))
    for name in options.targets.split(","):
        for count in counts:
            with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                path = Path(folder) / f"set{TARGETS[name].suffix}"
                said = {
                    what: _measured(work, count, name, path)
                    for what, work in WORK.items()
                    if what in options.only.split(",")
                }
                said["mb"] = round(path.stat().st_size / 1e6, 1)
            print(json.dumps({"target": name, "frames": count, **said}), flush=True)


if __name__ == "__main__":
    main()
