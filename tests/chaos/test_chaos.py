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

JOBS = 70
AWAY_SECONDS = 6.0
# Other tests run at the same time.
PATIENCE = 4.0
# Seed -> faults. Engine and command alternate with the seed.
RUNS = {
    0: ("kill-campaign", "database-connections-end", "kill-factory-and-supervisor"),
    1: ("kill-mongod", "kill-master", "stop-collector"),
    2: ("kill-examiner", "database-cut-in-reply", "stop-worker", "archives-flipped"),
    3: ("kill-all-workers", "stop-examiner", "database-away-refused", "crash-master"),
    4: ("worker-connection-cut", "archives-truncated", "kill-supervisor", "stop-mongod"),
    5: ("kill-job", "kill-all-collectors", "stop-job", "stop-factory", "stop-master"),
    6: ("kill-private-mongod", "kill-collector", "archives-bomb", "stop-private-mongod"),
    7: ("disk-full", "disk-read-only", "kill-worker", "stop-supervisor"),
    8: ("clock-step", "kill-all-campaigns", "database-cut-in-command", "database-away-frozen"),
    9: (
        *("all-worker-connections-cut", "archives-swapped", "worker-cut-in-transfer"),
        *("kill-factory", "stop-campaign", "stop-service"),
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
    outcome = Run(chosen, home / str(seed), patience=PATIENCE).carry_out()
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
