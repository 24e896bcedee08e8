"""What users are told of a run, how often, and which numbers Prometheus reads."""

import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from wqmaster.campaign.loading import load
from wqmaster.campaign.watching import EventKind, Metrics, Notify
from wqmaster.engines.base import EngineStats
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError, ServiceError
from wqmaster.run.holds import Hold, HoldKind
from wqmaster.run.metrics import METRICS, rows, snapshot
from wqmaster.run.notify import MAX_EVENTS, REPEAT_SECONDS, TROUBLE_SECONDS, Notifier
from wqmaster.run.outward import Numbers, Outward
from wqmaster.run.progress import Progress, RunState

PAUSE = Hold(HoldKind.PAUSE, "paused by me", "wqmaster resume")


def notifier(**settings: Any) -> Notifier:
    return Notifier(Notify(command="true", **settings), 0.0)


def progress(**settings: Any) -> Progress:
    return Progress("test", "local", total=10, **settings)


def told(found: Notifier, of: Progress, *times: float) -> list[str]:
    return [str(event.kind) for now in times for event in found.look(of, now)]


def test_a_hold_is_told_once_and_again_when_it_comes_back() -> None:
    found = notifier(on=["paused", "trouble"])
    run = progress()
    assert told(found, run, 1, 2) == []
    run.hold = PAUSE
    run.trouble = str(PAUSE)
    assert told(found, run, 3, 4, 100) == ["paused"]
    run.hold = run.trouble = None
    assert told(found, run, 101) == []
    run.hold = PAUSE
    # The same within an hour says nothing new.
    assert told(found, run, 102) == []
    run.hold = None
    assert told(found, run, REPEAT_SECONDS) == []
    run.hold = PAUSE
    assert told(found, run, REPEAT_SECONDS + 4) == ["paused"]


def test_a_hold_that_is_routine_is_not_told() -> None:
    found = notifier()
    hold = Hold(HoldKind.SPOOL, "6,000 returned jobs wait to be committed", is_routine=True)
    assert told(found, progress(hold=hold), 1, 100) == []


def test_trouble_is_told_when_it_lasts_and_numbers_do_not_make_it_new() -> None:
    found = notifier()
    run = progress(trouble="3 workers were refused")
    assert told(found, run, 0, TROUBLE_SECONDS - 1) == []
    run.trouble = "4 workers were refused"
    assert told(found, run, TROUBLE_SECONDS, TROUBLE_SECONDS + 50) == ["trouble"]
    run.trouble = "the database cannot be reached"
    assert told(found, run, 100) == []
    assert told(found, run, 100 + TROUBLE_SECONDS) == ["trouble"]


def test_trouble_beside_a_pause_is_told_too() -> None:
    found = notifier()
    run = progress(hold=PAUSE, trouble=f"{PAUSE}; the database cannot be reached")
    assert told(found, run, 0, TROUBLE_SECONDS) == ["paused", "trouble"]


def test_quiet_is_told_once_until_a_job_ends() -> None:
    found = notifier(quiet=60)
    run = progress(sent=2)
    assert told(found, run, 0, 59) == []
    assert told(found, run, 61, 200) == ["quiet"]
    run.done = 1
    assert told(found, run, REPEAT_SECONDS, REPEAT_SECONDS + 59) == []
    assert told(found, run, REPEAT_SECONDS + 62) == ["quiet"]


@pytest.mark.parametrize(
    ("sent", "part"),
    [(2, "although 2 are waiting or running, with 0 workers"), (0, "although some are left, ")],
)
def test_quiet_states_what_is_left(sent: int, part: str) -> None:
    """Once, jobs that waited were counted as if workers had them."""
    found, run = notifier(quiet=60, on=["quiet"]), progress(sent=sent)
    assert found.look(run, 0.0) == []
    [event] = found.look(run, 61.0)
    assert part in event.message


@pytest.mark.parametrize("how", ["paused", "nothing left"])
def test_a_run_that_has_nothing_to_do_is_not_quiet(how: str) -> None:
    found = notifier(quiet=60, on=["quiet"])
    run = progress(hold=PAUSE, sent=1) if how == "paused" else progress(done=10)
    assert told(found, run, 0, 100, 1000) == []


def test_the_end_is_told_and_an_error_is_trouble() -> None:
    run = progress(done=10)
    run.state = RunState.FINISHED
    [event] = notifier().ended(run, None, 1.0)
    assert event.kind is EventKind.FINISHED
    [event] = notifier().ended(progress(), "the disk is gone", 1.0)
    assert event.kind is EventKind.TROUBLE
    assert "the disk is gone" in event.message
    run.state = RunState.STOPPED
    assert notifier().ended(run, None, 1.0) == []


def test_only_what_the_user_wants_is_told() -> None:
    found = notifier(on=["finished"])
    run = progress(hold=PAUSE, trouble="bad")
    assert told(found, run, 0, 100) == []


def test_many_events_are_limited_and_the_others_counted() -> None:
    found = notifier()
    run = progress()
    events = []
    for number in range(MAX_EVENTS + 5):
        name = "".join(chr(ord("a") + int(digit)) for digit in str(number))
        run.hold = Hold(HoldKind.PAUSE, f"reason {name}")
        events += found.look(run, float(number))
    assert len(events) == MAX_EVENTS
    run.hold = Hold(HoldKind.PAUSE, "another one")
    [last] = found.look(run, REPEAT_SECONDS + 100)
    assert last.suppressed == 5


def test_the_event_has_the_counts_of_the_run() -> None:
    run = progress(done=3, failures=Counter(killed=2), hold=PAUSE)
    [event] = notifier().look(run, 1.0)
    found = event.published(run)
    assert (found["event"], found["campaign"], found["done"], found["failed"]) == (
        *("paused", "test"),
        *(3, 2),
    )
    assert found["failures"] == {"killed": 2}
    assert found["hold"]["kind"] == "pause"


def test_metrics_follow_the_conventions_and_their_labels_are_bounded() -> None:
    run = progress(
        done=3,
        sent=2,
        failures=Counter(killed=2),
        hold=PAUSE,
        stats=EngineStats(workers=2, cores=4, running=1, waiting=1, bytes_sent=7),
    )
    values = snapshot(run, 100.0)
    assert set(values) == {metric.name for metric in METRICS}
    for metric in METRICS:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.help.endswith(".")
    found = {metric.name: samples for metric, samples in rows("test", values)}
    assert (["test", "done"], 3) in found["documents"]
    assert (["test", "killed"], 2) in found["failed_documents"]
    assert found["sent_bytes_total"] == [(["test"], 7)]
    assert found["held"] == [(["test", "pause"], 1.0)]
    # Documents are in one state each.
    assert sum(number for _, number in found["documents"]) == run.total


def test_without_its_package_metrics_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ServiceError) as error:
        Numbers("test", Metrics(port=9000), tmp_path)
    assert error.value.code is ErrorCode.PACKAGE_MISSING
    assert "wqmaster[metrics]" in error.value.message


def write(folder: Path, **keys: Any) -> Path:
    step = {"name": "one", "command": "true"}
    config = {"func_name": "wqmaster.tasks.command.run", "args": [step]}
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump({"campaign": "test", "campaign_config": config, **keys}))
    return path


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"command": ""},
        {"command": "'unclosed"},
        {"url": "http://example.org/secret"},
        {"url": "https://exa mple.org/secret"},
        {"url": "ftp://example.org/secret"},
        {"url": "https://[::1/secret"},
        {"url": "https://user:secret"},
        {"url": "https://:443/secret"},
        {"url": "https://example.org:99999/secret"},
        {"url": ["secret"]},
        {"url": "https://example.org", "secret": None},
        {"command": "true", "on": ["nonsense"]},
        {"command": "true", "on": []},
        {"command": "true", "quiet": 0},
        {"command": "true", "timeout": "1h"},
    ],
)
def test_wrong_settings_are_refused_and_an_address_is_not_shown(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(CampaignError) as error:
        load(write(tmp_path, notify=settings), {})
    assert "campaign.yaml:" in error.value.message
    assert "secret" not in error.value.message


def test_settings_are_read_with_units_and_the_address_is_not_printed(tmp_path: Path) -> None:
    url = "https://example.org/secret"
    path = write(tmp_path, notify={"url": url, "quiet": "2h"}, metrics={"port": 9000})
    campaign = load(path, {}).campaign
    assert campaign.notify is not None
    assert (campaign.notify.url, campaign.notify.quiet) == (url, 7200)
    assert "secret" not in repr(campaign)


def test_a_program_of_a_changed_file_that_does_not_exist_is_refused_at_its_line(
    tmp_path: Path,
) -> None:
    outward = Outward(load(write(tmp_path), {}), progress())
    path = write(tmp_path, notify={"command": "./nothing"})
    with pytest.raises(CampaignError) as error:
        outward.notify(load(path, {}))
    assert error.value.code is ErrorCode.PROGRAM_MISSING
    line = int(error.value.message.split(":")[1])
    assert path.read_text().splitlines()[line - 1].strip() == "command: ./nothing"
