"""Ten short runs of the fault harness, with all faults that this machine can do.

`make chaos` has more and longer ones; `python -m tests.chaos --help` shows how to repeat one.
"""

import tempfile
from pathlib import Path

import pytest

from tests.chaos import report
from tests.chaos.faults import FAULTS
from tests.chaos.judge import touches
from tests.chaos.plan import plan
from tests.chaos.running import Run
from wqmaster.engines.choosing import why_not

JOBS = 60
AWAY_SECONDS = 8.0
# Seed -> faults. Engine and command alternate with the seed.
RUNS = {
    0: ("kill-campaign", "kill-factory-and-supervisor", "archives-flipped"),
    1: ("kill-mongod", "kill-master", "stop-collector"),
    2: ("kill-examiner", "stop-worker", "database-cut-in-reply"),
    3: ("database-away-refused", "kill-all-workers", "stop-examiner"),
    4: ("stop-mongod", "kill-supervisor", "archives-truncated", "worker-connection-cut"),
    5: ("kill-all-collectors", "stop-factory", "stop-master", "kill-job", "stop-job"),
    6: ("kill-private-mongod", "stop-private-mongod", "kill-collector", "archives-bomb"),
    7: ("disk-full", "disk-read-only", "stop-supervisor", "kill-worker"),
    8: ("database-away-frozen", "database-cut-in-command", "kill-all-campaigns", "clock-step"),
    9: (
        *("archives-swapped", "kill-factory", "stop-campaign", "database-connections-end"),
        *("all-worker-connections-cut", "worker-cut-in-transfer", "stop-service"),
    ),
}


@pytest.mark.parametrize("seed", RUNS)
def test_nothing_is_lost_doubled_or_wrong_whatever_happens(seed: int) -> None:
    possible = [name for name in RUNS[seed] if FAULTS[name].unavailable() is None]
    chosen = plan(seed, JOBS, FAULTS, possible, AWAY_SECONDS)
    if (reason := why_not(chosen.engine)) is not None:
        pytest.skip(reason)
    # The path of a private server's socket must be short; a failed run's folder stays.
    home = Path(tempfile.mkdtemp(prefix="wqmaster-chaos-"))
    outcome = Run(chosen, home / str(seed)).carry_out()
    print(report.line(outcome))
    assert outcome.is_good, report.line(outcome)
    home.rmdir()


def test_the_runs_have_all_faults() -> None:
    assert sorted(name for names in RUNS.values() for name in names) == sorted(FAULTS)


def test_a_seed_always_gives_the_same_plan() -> None:
    assert plan(7, 200, FAULTS) == plan(7, 200, FAULTS)
    assert len({plan(seed, 200, FAULTS).faults for seed in range(50)}) == 50


def test_the_oplog_tells_results_from_other_changes() -> None:
    assert touches({"$v": 2, "diff": {"i": {"a": {"sum": {"number": 1}}}}}, "a")
    assert touches({"$v": 2, "diff": {"sa": {"u": {"sum": None}}}}, "a")
    assert not touches({"$v": 2, "diff": {"u": {"other": 1}}}, "a")
    assert touches({"_id": 1, "a": 2}, "a")
