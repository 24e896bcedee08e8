"""Compare wqmaster with RQ on Redis, in interleaved rounds with the same jobs.

    bash benchmarks/peers.sh .environment/peers      # once
    ./shell python benchmarks/vs_rq.py [--workload nothing|text|xtb] [--jobs N] [--rounds N]

`nothing` prints a number, `text` prints 200 KB, of which one number is kept, and `xtb` computes
energies and gradients of the molecules of examples/xtb-gradients. Both sides have two slots, store
into MongoDB, and must store equal values. RQ's jobs read their values on the worker, so that only
these go through Redis; wqmaster's workers need no Python, and it parses what they return.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from pairs.campaign import Campaign
from pairs.measured import rounds, table
from pairs.rq_peer import Rq, require_peers
from pairs.workloads import WORKLOADS

DEFAULT_JOBS = {"nothing": 4000, "text": 4000, "xtb": 1025}


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--workload", choices=WORKLOADS, default="text", help="default: text")
    parser.add_argument("--jobs", type=int, help="how many jobs; default: 4000, or 1025 of xtb")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--engine", action="append", choices=("taskvine", "work_queue"))
    parser.add_argument("--bundle", action="append", help="several are possible; default: 1, auto")
    asked = parser.parse_args()
    require_peers()
    workload = WORKLOADS[asked.workload](asked.jobs or DEFAULT_JOBS[asked.workload])
    with tempfile.TemporaryDirectory(prefix="wqmaster-bench-") as made:
        campaign, rq = Campaign(workload, Path(made)), Rq(workload, Path(made))
        sides = {
            "RQ, forking": lambda: rq.measure("forking"),
            "RQ, simple": lambda: rq.measure("simple"),
        }
        for engine in asked.engine or ("taskvine",):
            for bundle in asked.bundle or ("1", "auto"):
                size = bundle if bundle == "auto" else int(bundle)
                sides[f"wqmaster, {engine}, bundle {bundle}"] = lambda engine=engine, size=size: (
                    campaign.measure(engine, size)
                )
        found = rounds(sides, asked.rounds, "RQ, forking")
    print(f"\n{workload.name}, {len(workload.documents)} jobs, {asked.rounds} rounds")
    for base in ("RQ, forking", "RQ, simple"):
        print(f"\n{table(found, base)}")


if __name__ == "__main__":
    sys.exit(main())
