"""Compare wqmaster with a shell loop, in interleaved rounds with the same jobs.

    ./shell python benchmarks/vs_loop.py [--workload nothing|text|xtb] [--jobs N] [--rounds N]

By default, the jobs are xtb gradients of the 1,025 molecules of examples/xtb-gradients. The loop,
`xargs -P2`, runs them in folders that are ready before, and neither reads nor stores anything; the
energies in its outputs are compared with the stored ones afterwards. Makespans leave out set-up:
making the folders; or starting the database, the command and its manager. wqmaster's begins when
its manager listens and two workers are started, and ends when the last result is in the database,
so it includes the workers' start, and learning how long a job takes.
"""

import sys
import tempfile
from pathlib import Path

from pairs import sides
from pairs.campaign import Campaign
from pairs.loop import Loop
from pairs.measured import makespans, rounds

LOOP = "`xargs -P2`"


def main() -> None:
    """Run what the command line says."""
    asked = sides.parser(__doc__, workload="xtb", bundles=("auto",)).parse_args()
    workload = sides.workload_of(asked)
    with tempfile.TemporaryDirectory(prefix="wqmaster-bench-") as made:
        loop, campaign = Loop(workload, Path(made)), Campaign(workload, Path(made))
        found = rounds({LOOP: loop.measure, **sides.sides_of(campaign, asked)}, asked.rounds, LOOP)
    print(f"\n{workload.name}, {len(workload.documents)} jobs, {asked.rounds} rounds\n")
    print(makespans(found, LOOP))


if __name__ == "__main__":
    sys.exit(main())
