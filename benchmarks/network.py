"""Measure how many bytes a job of ORCA output takes on the wire, by `archive: {compression: ...}`.

    ./shell python benchmarks/network.py FILE [--jobs 200] [--rounds 3] [--megabits 100]

FILE is an ORCA output, which each job prints. A relay between the workers and the manager counts
the bytes of the connections in both directions, without the headers of TCP and IP; with --megabits,
it passes no more than that per second toward the manager, as a wide network would. The file itself
is a shared input, which each worker receives once; this and the runner are not counted (a campaign
of two jobs is subtracted). All sides must store equal values.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import get_args

from pairs.campaign import WORKERS, Campaign
from pairs.measured import Measured, rounds, spread
from pairs.workloads import Workload, nothing

from wqmaster.campaign.models import Archive

# What the campaign file can say; the first side is the base of the ratios.
COMPRESSIONS = sorted(
    get_args(Archive.model_fields["compression"].annotation), key=lambda name: name != "none"
)
BUNDLES = (1, "auto")
# More than loopback passes.
UNLIMITED_MEGABITS = 1e6


def workload(file: Path, jobs: int) -> Workload:
    """Jobs that print an ORCA output after a number, which is kept."""
    made = nothing(jobs)
    command = "cat value.txt ../shared/orca.out"
    return replace(
        made,
        name=file.name,
        argv=tuple(command.split()),
        shared={"orca.out": file.read_text(errors="replace")},
        step={**made.step, "command": command, "inputs": ["orca.out"]},
    )


def row(name: str, measured: list[Measured], base: list[Measured]) -> str:
    """A row of the table."""
    cells = [
        name,
        spread([one.bytes_to_manager / 1000 for one in measured], 1),
        spread([one.bytes_from_manager / 1000 for one in measured], 1),
        spread(
            [
                one.bytes_to_manager / other.bytes_to_manager
                for one, other in zip(measured, base, strict=True)
            ],
            3,
        ),
        spread([one.rate for one in measured], 1),
        spread([one.cpu for one in measured]),
        spread([one.cpu_of_workers for one in measured]),
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Run what the command line says."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("file", type=Path)
    options.add_argument("--jobs", type=int, default=200, help="default: 200")
    options.add_argument("--rounds", type=int, default=3, help="default: 3")
    options.add_argument("--engine", choices=WORKERS, default="taskvine")
    options.add_argument("--megabits", type=float, default=UNLIMITED_MEGABITS)
    asked = options.parse_args()
    work = workload(asked.file, asked.jobs)
    with tempfile.TemporaryDirectory(prefix="wqmaster-bench-") as made:
        sides = {}
        for compression in COMPRESSIONS:
            folder = Path(made) / compression
            folder.mkdir()
            settings = {"archive": {"compression": compression}}
            campaign = Campaign(work, folder, settings=settings, megabits=asked.megabits)
            for bundle in BUNDLES:
                sides[f"`{compression}`, `bundle: {bundle}`"] = (
                    lambda campaign=campaign, bundle=bundle: campaign.measure(asked.engine, bundle)
                )
        found = rounds(sides, asked.rounds, next(iter(sides)))
    size = asked.file.stat().st_size / 1000
    print(f"\n{asked.file.name} ({size:.1f} kB), {asked.jobs} jobs, {asked.rounds} rounds\n")
    print(
        "| | to the manager, kB per job | from the manager | to the manager / uncompressed | "
        "jobs/s | CPU of the master's side, ms per job | CPU of workers, ms per job |\n"
        "| --- | --- | --- | --- | --- | --- | --- |"
    )
    for number, (name, measured) in enumerate(found.items()):
        base = list(found)[number % len(BUNDLES)]
        print(row(name, measured, found[base]))


if __name__ == "__main__":
    sys.exit(main())
