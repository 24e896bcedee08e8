"""Compare wqmaster with bare Work Queue and bare TaskVine, in interleaved rounds.

    ./shell python benchmarks/vs_engine.py [--workload nothing|text|xtb] [--jobs N] [--rounds N]

The bare manager (pairs/bare_manager.py) is what a user writes with ndcctools' Python API: for each
job a task that sends the same command and files, and returns the same output. It reads the same
number from the output, and stores nothing; it has no spool, no checksums and no database. All sides
have two workers with one core each, and their values must agree.
"""

import sys
import tempfile
from pathlib import Path

from pairs import sides
from pairs.bare import Bare
from pairs.campaign import WORKERS, Campaign
from pairs.measured import rounds, table


def main() -> None:
    """Run what the command line says."""
    asked = sides.parser(__doc__, engines=tuple(WORKERS)).parse_args()
    workload = sides.workload_of(asked)
    bases = {engine: f"bare {engine}" for engine in sides.engines_of(asked)}
    with tempfile.TemporaryDirectory(prefix="wqmaster-bench-") as made:
        campaign, bare = Campaign(workload, Path(made)), Bare(workload, Path(made))
        measured = {
            name: lambda engine=engine: bare.measure(engine) for engine, name in bases.items()
        }
        measured |= sides.sides_of(campaign, asked)
        found = rounds(measured, asked.rounds, next(iter(bases.values())))
    print(f"\n{workload.name}, {len(workload.documents)} jobs, {asked.rounds} rounds")
    for engine, base in bases.items():
        own = {name: runs for name, runs in found.items() if engine in name}
        print(f"\n{table(own, base)}")


if __name__ == "__main__":
    sys.exit(main())
