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
    with tempfile.TemporaryDirectory(prefix="wqmaster-bench-") as made:
        folder = Path(made)
        sides.compare_engines(asked, "Parsl, {}", Parsl(workload, folder), workload, folder)


if __name__ == "__main__":
    sys.exit(main())
