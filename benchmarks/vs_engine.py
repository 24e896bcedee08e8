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
from pairs.campaign import WORKERS


def main() -> None:
    """Run what the command line says."""
    asked = sides.parser(__doc__, engines=tuple(WORKERS)).parse_args()
    workload = sides.workload_of(asked)
    with tempfile.TemporaryDirectory(prefix="wqmaster-bench-") as made:
        folder = Path(made)
        sides.compare_engines(asked, "bare {}", Bare(workload, folder), workload, folder)


if __name__ == "__main__":
    sys.exit(main())
