"""Compare wqmaster with HyperQueue, in interleaved rounds with the same jobs.

    ./shell bash benchmarks/peers.sh .environment/peers      # once
    ./shell python benchmarks/vs_hyperqueue.py [--workload nothing|text|xtb] [--jobs N] [--rounds N]

HyperQueue is the LocalCluster of the wheel `hyperqueue`, with two workers of one core each, in one
process with the server. Its tasks run in folders that are ready before, on the same disk: nothing
is transferred, parsed or stored. The numbers in its outputs are compared with the stored ones.
HyperQueue's rate and makespan are those of all jobs from the submission to the end. wqmaster's rate
is that from the first stored result to the last, and its makespan also includes the start of the
workers. CPU times are those of HyperQueue's server and workers, and of master and collectors.
"""

import sys
import tempfile
from pathlib import Path

from pairs import sides
from pairs.campaign import Campaign
from pairs.hyperqueue_peer import HyperQueue
from pairs.measured import makespans, rounds, table
from pairs.rq_peer import require_peers


def main() -> None:
    """Run what the command line says."""
    asked = sides.parser(__doc__, bundles=("auto",)).parse_args()
    require_peers()
    workload = sides.workload_of(asked)
    with tempfile.TemporaryDirectory(prefix="wqmaster-bench-") as made:
        peer, campaign = HyperQueue(workload, Path(made)), Campaign(workload, Path(made))
        measured = {"HyperQueue": peer.measure, **sides.sides_of(campaign, asked)}
        found = rounds(measured, asked.rounds, "HyperQueue")
    print(f"\n{workload.name}, {len(workload.documents)} jobs, {asked.rounds} rounds\n")
    print(table(found, "HyperQueue"))
    print(f"\n{makespans(found, 'HyperQueue')}")


if __name__ == "__main__":
    sys.exit(main())
