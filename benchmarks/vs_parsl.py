"""Compare wqmaster with Parsl on the same engines, in interleaved rounds with the same jobs.

    ./shell bash benchmarks/peers.sh .environment/peers      # once
    ./shell python benchmarks/vs_parsl.py [--workload nothing|text|xtb] [--jobs N] [--rounds N]

Parsl's TaskVineExecutor and WorkQueueExecutor run a Python function for each job, which runs the
program and reads its values on the worker; these return, and are not stored. Both sides have two
workers with one core each. Parsl starts a Python for each task; that of these functions imports
nothing but the standard library.
"""

import sys
import tempfile
from pathlib import Path

from pairs import sides
from pairs.campaign import Campaign
from pairs.measured import rounds, table
from pairs.parsl_peer import Parsl
from pairs.rq_peer import require_peers

DEFAULT_JOBS = 500


def main() -> None:
    """Run what the command line says."""
    parser = sides.parser(__doc__)
    parser.set_defaults(jobs=DEFAULT_JOBS)
    asked = parser.parse_args()
    require_peers()
    workload = sides.workload_of(asked)
    bases = {engine: f"Parsl, {engine}" for engine in sides.engines_of(asked)}
    with tempfile.TemporaryDirectory(prefix="wqmaster-bench-") as made:
        peer, campaign = Parsl(workload, Path(made)), Campaign(workload, Path(made))
        measured = {
            name: lambda engine=engine: peer.measure(engine) for engine, name in bases.items()
        }
        measured |= sides.sides_of(campaign, asked)
        found = rounds(measured, asked.rounds, next(iter(bases.values())))
    print(f"\n{workload.name}, {len(workload.documents)} jobs, {asked.rounds} rounds")
    for engine, base in bases.items():
        own = {name: runs for name, runs in found.items() if engine in name}
        print(f"\n{table(own, base)}")


if __name__ == "__main__":
    sys.exit(main())
