"""Disturb real services at random, and judge them: `python -m tests.chaos`."""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.chaos import report
from tests.chaos.faults import FAULTS
from tests.chaos.plan import AWAY_SECONDS, plan
from tests.chaos.running import Outcome, Run

JOBS = 200


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="repeat this run, or begin with it")
    parser.add_argument("--runs", type=int, default=1, help="how many runs")
    parser.add_argument("--jobs", type=int, default=JOBS, help="how many jobs a run has")
    parser.add_argument("--faults", help="only these faults, separated by commas, in this order")
    parser.add_argument(
        "--away", type=float, default=AWAY_SECONDS, help="how many seconds a database is away"
    )
    parser.add_argument("--folder", type=Path, help="where the runs' folders are made")
    parser.add_argument("--keep", action="store_true", help="keep the folders of good runs, too")
    asked = parser.parse_args()
    only = asked.faults.split(",") if asked.faults else None
    possible = {}
    for name, fault in FAULTS.items():
        reason = fault.unavailable()
        if reason is None:
            possible[name] = fault
        else:
            print(f"not possible here: {name}: {reason}", flush=True)
    unknown = sorted(set(only or ()) - set(possible))
    if unknown:
        parser.error(f"not possible: {', '.join(unknown)}; possible: {', '.join(possible)}")
    first = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    home = asked.folder or Path(tempfile.mkdtemp(prefix="wqmaster-chaos-"))
    outcomes: list[Outcome] = []
    print(f"seeds {first} to {first + asked.runs - 1}", flush=True)
    try:
        for seed in range(first, first + asked.runs):
            chosen = plan(seed, asked.jobs, possible, only, asked.away)
            outcomes.append(Run(chosen, home / str(seed), keep=asked.keep).carry_out())
            print(report.line(outcomes[-1]), flush=True)
    finally:
        print(f"\n{report.table(outcomes)}", flush=True)
    return 0 if all(one.is_good for one in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
