"""Compare wqmaster with RQ on Redis, in interleaved rounds with the same jobs.

    ./shell bash benchmarks/peers.sh .environment/peers      # once
    ./shell python benchmarks/vs_rq.py [--workload nothing|text|xtb] [--jobs N] [--rounds N]

`nothing` prints a number, `text` prints 200 KB, of which one number is kept, and `xtb` computes
energies and gradients of the molecules of examples/xtb-gradients. Both sides have two slots, store
into MongoDB, and must store equal values. RQ's jobs read their values on the worker, so that only
these go through Redis; wqmaster's workers need no Python, and it parses what they return.
"""

import sys
import tempfile
from pathlib import Path

from pairs import sides
from pairs.campaign import Campaign
from pairs.measured import rounds, table
from pairs.rq_peer import Rq, require_peers


def main() -> None:
    """Run what the command line says."""
    asked = sides.parser(__doc__).parse_args()
    require_peers()
    workload = sides.workload_of(asked)
    with tempfile.TemporaryDirectory(prefix="wqmaster-bench-") as made:
        campaign, rq = Campaign(workload, Path(made)), Rq(workload, Path(made))
        measured = {
            "RQ, forking": lambda: rq.measure("forking"),
            "RQ, simple": lambda: rq.measure("simple"),
            **sides.sides_of(campaign, asked),
        }
        found = rounds(measured, asked.rounds, "RQ, forking")
    print(f"\n{workload.name}, {len(workload.documents)} jobs, {asked.rounds} rounds")
    for base in ("RQ, forking", "RQ, simple"):
        print(f"\n{table(found, base)}")


if __name__ == "__main__":
    sys.exit(main())
