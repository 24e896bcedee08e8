"""A collector that reads what hostile workers return, each in a process with limits.

WQMASTER_HOSTILE=1000 tries as many seeds as it says (default: five of each kind).
"""

import json
import os
import resource
import shutil
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import hostile
from tests.conftest import WATER
from wqmaster.campaign.loading import load
from wqmaster.database.attempts import key_of
from wqmaster.engines.base import Returned, TaskResult
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.molecule import from_document
from wqmaster.recipe.recipe import Recipe
from wqmaster.recipe.resolving import resolve
from wqmaster.run.collector.collector import Collector
from wqmaster.run.collector.messages import Collect, Ended
from wqmaster.run.spool import Spool
from wqmaster.testing.store import MemoryStore

# What one archive may take, in seconds of processor time and bytes of memory, beyond what the
# process has before (Python and its modules, 100 MB).
MOST_SECONDS = 2.0
MOST_BYTES = 200 << 20
# At this limit the process ends, so that an endless loop does not stop the tests.
_END_SECONDS = 30
SEEDS = range(int(os.environ.get("WQMASTER_HOSTILE", 5 * len(hostile.kinds()))))
INPUTS = b"inputs"
_VALUES = ("energy", "gradient", "dipole")
TASK = "t-1"
# Kinds that can be harmless, depending on what is broken: a bit outside of the files, a line of a
# file that no parser reads, entries for folders. Their results must be those of the honest archive.
_CAN_BE_RIGHT = {
    *("flipped", "gzip_with_more", "hostile_host", "many_members", "steps", "many_steps"),
    *("endless_line", "only_newlines", "hostile_json", "hostile_gradient", "deep_json", "mixed"),
}


@dataclass(frozen=True)
class Found:
    """What became of an archive, and what it took."""

    kind: str
    failure: str | None  # the failure's class; None: a result was stored
    message: str
    values: dict[str, Any] | None  # of the stored result
    seconds: float
    bytes: int


def recipe(folder: Path) -> Recipe:
    step = {
        "name": hostile.STEP,
        "parsers": list(_VALUES),
        "keep_files": {"stdout": "{id}.out", "wbo": "{id}.wbo"},
    }
    config = {"func_name": "wqmaster.tasks.xtb.singlepoint", "args": [step]}
    path = folder / "campaign.yaml"
    # xtb's gradient of this water is known to be wrong (F31).
    checks = {"net_torque": "off"}
    campaign = {"campaign": "test", "campaign_config": config, "checks": checks}
    path.write_text(yaml.safe_dump(campaign))
    return resolve(load(path, {}), runs=False)


def spooled(recipe: Recipe, place: Path) -> Spool:
    """A spool whose task is about to return."""
    spool = Spool(place / "spool")
    spool.prepare()
    molecule = from_document({"_id": 1, **WATER}, recipe.loaded.campaign.molecule)
    spool.submit(TASK, [recipe.asked_of(molecule, 1)], INPUTS)
    return spool


def judged(recipe: Recipe, spool: Spool, place: Path) -> tuple[str | None, str, Any]:
    """Let a collector judge the task; the failure's class and message, and the stored values."""
    store = MemoryStore(recipe.loaded.campaign, [{"_id": 1, **WATER}])
    (place / "kept").mkdir()
    collector = Collector(recipe, store, spool, place / "kept")
    messages = list(collector.process([Collect(task=TASK)]))
    ended = messages[-1]
    assert isinstance(ended, Ended)
    [job] = ended.jobs
    steps: dict[str, Any] = store.documents[key_of(1)].get("test", {})
    values = {name: steps[hostile.STEP][name] for name in _VALUES} if steps else None
    assert (job.failure is None) == (values is not None)
    assert [record["class"] for record in store.ledger.records] == (
        [job.failure.failure_class] if job.failure else []
    )
    if job.failure is None:
        return None, "", values
    return job.failure.failure_class, job.failure.message, values


def in_a_process(kind: str, recipe: Recipe, spool: Spool, place: Path) -> Found:
    """Judge the task in a child with limits, and measure what it takes."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (_END_SECONDS, _END_SECONDS))
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(4 * _END_SECONDS)  # a read that blocks uses no processor time
            resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
            before = _resident_bytes()
            os.write(writing, json.dumps([before, *judged(recipe, spool, place)]).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status, used = os.wait4(child, 0)
    assert status == 0, f"{kind}: the collector ended with {status}: {used}"
    before, failure, message, values = json.loads(said)
    return Found(
        kind,
        failure,
        message[:200],
        values,
        used.ru_utime + used.ru_stime,
        (used.ru_maxrss << 10) - before,
    )


def _resident_bytes() -> int:
    """The memory of this process (proc(5), statm)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def snapshot(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def honest(chosen: Recipe, place: Path) -> Found:
    """What becomes of the archive of an honest worker."""
    place.mkdir()
    spool = spooled(chosen, place)
    hostile.good(spool.running / TASK, INPUTS)
    spool.give_back(Returned(TASK, TaskResult.OK, 0, "node1", 1.0, 2.0))
    return in_a_process("good", chosen, spool, place)


def test_an_honest_archive_is_stored(tmp_path: Path) -> None:
    """The control: what the others break is right here."""
    found = honest(recipe(tmp_path), tmp_path / "run")
    assert found.failure is None
    assert found.values is not None
    assert found.values["energy"] == pytest.approx(-5.070383095219)
    kept = tmp_path / "run" / "kept"
    assert sorted(path.name for path in kept.iterdir()) == ["1.out", "1.wbo"]


def test_no_archive_of_a_hostile_worker_escapes_or_takes_long(tmp_path: Path) -> None:
    chosen = recipe(tmp_path)
    labels = {member.label for member in FailureClass}
    control = honest(chosen, tmp_path / "honest")
    outside, gone = tmp_path / "outside", tmp_path / "gone"
    outside.mkdir()
    (outside / "mine").write_text("mine")
    found: dict[int, Found] = {}
    began = time.monotonic()
    for seed in SEEDS:
        before = snapshot(outside)
        place = outside / "run"
        place.mkdir()
        spool = spooled(chosen, place)
        kind = hostile.made(seed, spool.running / TASK, INPUTS)
        spool.give_back(Returned(TASK, TaskResult.OK, 0, "node1", 1.0, 2.0))
        one = found[seed] = in_a_process(kind, chosen, spool, place)
        where = f"seed {seed}: {one}"
        assert one.failure is None or one.failure in labels, where
        assert one.failure is not None or kind in _CAN_BE_RIGHT, where
        assert one.failure is not None or one.values == control.values, where
        kept = {path.name for path in (place / "kept").iterdir()}
        assert kept == (set() if one.failure else {"1.out", "1.wbo"}), where
        assert not any(spool.waiting()), where
        place.rename(gone)
        assert snapshot(outside) == before, where
        shutil.rmtree(gone)
    _report(found, time.monotonic() - began)
    slow = {seed: one for seed, one in found.items() if one.seconds > MOST_SECONDS}
    large = {seed: one for seed, one in found.items() if one.bytes > MOST_BYTES}
    assert (slow, large) == ({}, {})


def _brief(one: Found) -> str:
    return f"{one.kind}, {one.failure}: {one.seconds:.2f} s, {one.bytes / 1e6:.0f} MB"


def _report(found: dict[int, Found], seconds: float) -> None:
    classes = Counter(one.failure or "stored, and right" for one in found.values())
    slowest = max(found.values(), key=lambda one: one.seconds)
    largest = max(found.values(), key=lambda one: one.bytes)
    print(f"\n{len(found)} archives in {seconds:.0f} s: {dict(classes)}")
    by_kind = Counter((one.kind, one.failure, one.message[:90]) for one in found.values())
    if "WQMASTER_HOSTILE" in os.environ:
        for key, count in sorted(by_kind.items(), key=str):
            print(count, *key)
    print(f"slowest: {_brief(slowest)}\nlargest: {_brief(largest)}")
