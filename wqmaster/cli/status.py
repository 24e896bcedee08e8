"""wqmaster status: show the progress of a campaign."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from wqmaster.campaign.service import SERVICE_FILE
from wqmaster.cli.common import counted, loaded, printable, typed
from wqmaster.cli.output import Output, as_json, json_option, table
from wqmaster.database import recipe_guard
from wqmaster.database.documents import Store
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError, RecipeMismatch, ResultsAdopted, UsageError
from wqmaster.recipe.recipe import Recipe
from wqmaster.recipe.resolving import resolve
from wqmaster.run.holds import HoldKind, state_of
from wqmaster.run.opening import opened
from wqmaster.run.other_names import where_else
from wqmaster.run.progress import duration, expectation, overview, speed
from wqmaster.run.service.running import served
from wqmaster.run.service.seat_state import SeatState
from wqmaster.run.service.status import published, typed_here
from wqmaster.run.spool import Spool
from wqmaster.system.this_command import this_command

# Time limit for comparing the recipes of results.
_RECIPES_SECONDS = 5.0
# What the published states of hosts mean.
_HOST_STATES = {"used": "in use", "tried": "tried with one task"}
# Each document is in one of these states.
STATES = ("done", "failed", "pending", "running", "spooled")
# The holds that `wqmaster resume` ends.
_ENDED_BY_RESUME = (HoldKind.PAUSE, HoldKind.CANARY, HoldKind.BREAKER, HoldKind.STALE)


def _stale(found: dict[str, Any], campaign: Path) -> str:
    if found["complete"]:
        return f"{found['stale']:,}"
    return (
        f"{found['stale']:,} of the first {found['checked']:,} "
        f"('{this_command()} check {typed(campaign)}' compares all)"
    )


def _mismatch(store: Store, recipe: Recipe) -> RecipeMismatch | None:
    """The error if stored results do not match the campaign's recipe; None if they do."""
    try:
        recipe_guard.check_recipes(store, recipe, _RECIPES_SECONDS)
    except RecipeMismatch as error:
        return error
    return None


def _left(seconds: float | None) -> str:
    if seconds == 0:
        return "nothing left"
    return "time left unknown" if seconds is None else f"{duration(seconds)} left"


def _held(hold: dict[str, Any], campaign: Path) -> str:
    """Why a run is held, with the command that lets it go on, as it is typed here."""
    command = hold.get("command")
    if not hold.get("is_routine") and hold.get("kind") in _ENDED_BY_RESUME:
        command = f"{this_command()} resume {typed(campaign)}"
    return f"{hold['reason']}; to go on: {command}" if command else str(hold["reason"])


def _much_slower(count: int) -> str:
    if not count:
        return "no task is much slower than expected"
    return f"{counted(count, 'task')} {'is' if count == 1 else 'are'} much slower than expected"


def _memory_lines(live: dict[str, Any]) -> Iterator[str]:
    """What is known of the memory of jobs: kills, and how much was asked for in vain."""
    memory = live.get("memory") or {}
    killed, ratio = memory.get("killed"), memory.get("asked_by_used")
    had = "it had" if killed == 1 else "they had"
    parts = [f"{counted(killed, 'job')} needed more than {had}"] if killed else []
    if ratio is not None:
        parts.append(f"tasks ask for {ratio:.2f} times what they use (median)")
    if parts:
        yield f"memory    {', '.join(parts)}"


def _slow_lines(live: dict[str, Any]) -> Iterator[str]:
    slow = live.get("slow") or {"count": 0, "listed": []}
    yield _much_slower(slow["count"])
    for one in slow["listed"]:
        more = f" and {counted(one['jobs'] - 1, 'other')} of this task" if one["jobs"] > 1 else ""
        yield (
            f"document {printable(one['document'])}{more} on {printable(one['host'])}: running for "
            f"{duration(one['running_for'])} since {one['started']:%Y-%m-%d %H:%M:%S} UTC "
            f"(expected: {expectation(one['expected'])})"
        )
    if len(slow["listed"]) < slow["count"]:
        yield f"and {slow['count'] - len(slow['listed']):,} others"


def _host_lines(live: dict[str, Any]) -> Iterator[str]:
    hosts = live.get("hosts") or {"known": 0, "blocked": 0, "listed": []}
    yield f"{counted(hosts['known'], 'host')}, {hosts['blocked']:,} blocked"
    for one in hosts["listed"]:
        failures = ", ".join(f"{count:,} {kind}" for kind, count in one["failures"].items())
        state = _HOST_STATES.get(one["state"], one["state"])
        if one["blocked_for"] is not None:
            state += f" for another {duration(one['blocked_for'])}"
        elif one["state"] == "blocked":
            state += " until you unblock it"
        failed = f"failed: {failures}" if failures else "none failed"
        done = counted(one["done"], "job")
        yield f"{printable(one['host'])}: {state}; {done} done, {failed}"
        if one["reason"] and one["state"] != "used":
            yield f"    {printable(one['reason'])}"
    if len(hosts["listed"]) < hosts["known"]:
        yield f"and {hosts['known'] - len(hosts['listed']):,} others"


def _lists(found: dict[str, Any], *, hosts: bool, slow: bool) -> Iterator[str]:
    live = found["master"]
    if live is None:
        yield f"campaign '{found['campaign']}' is not running"
        if hosts:  # these will be in force when it runs
            yield from _block_lines(found)
        return
    if hosts:
        yield from _host_lines(live)
    if slow:
        yield from _slow_lines(live)


def _control(found: dict[str, Any], campaign: Path) -> Iterator[str]:
    """The pause, the blocked hosts and the last commands."""
    pause = found["control"]["pause"]
    if pause:
        why = f": {printable(pause['reason'])}" if pause["reason"] else ""
        yield (
            f"paused    by {_who(pause['by'])} at {_time(pause['at'])}{why}; to go on: "
            f"{this_command()} resume {typed(campaign)}"
        )
    yield from _block_lines(found)
    for command in found["commands"]:
        answer = command["answer"]
        said = printable(answer["message"]) if answer else _unanswered(command)
        by = _who(command["by"])
        yield f"command   {_time(command['at'])} {printable(command['verb'])} by {by}: {said}"


def _blocked_by_itself(live: dict[str, Any], blocks: list[dict[str, Any]]) -> int:
    """How many hosts the run itself has blocked; those that users have blocked are listed."""
    all_blocked = int((live.get("hosts") or {}).get("blocked", 0))
    return max(0, all_blocked - len(blocks))


def _block_lines(found: dict[str, Any]) -> Iterator[str]:
    """The hosts that users have blocked."""
    for block in found["control"]["blocks"]:
        until = f" until {_time(block['until'])}" if block["until"] else ""
        yield f"blocked   {printable(block['host'])}{until}, by {_who(block['by'])}"


def _unanswered(command: dict[str, Any]) -> str:
    return "no master took it" if command["taken"] is None else "not answered yet"


def _who(by: dict[str, Any]) -> str:
    return printable(f"{by['user']} on {by['host']}")


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _lines(found: dict[str, Any], campaign: Path) -> Iterator[str]:
    yield f"campaign  {found['campaign']}"
    for name in STATES:
        yield f"{name:<9} {found[name]}"
        if name == "failed":
            for kind, count in found["failures"].items():
                yield f"          {count:>8} {kind}"
            others = found["failed_with_other_recipe"]
            if others:
                yield f"          {others:>8} with another recipe; the next run computes them again"
    if found["warned"]:
        yield (
            f"warned    {counted(found['warned'], 'result')} with a warning from a check "
            "('_run.checks.warned')"
        )
    for name, count in found["partly_done"].items():
        yield f"partly    {count} with results of other steps but not of '{name}'"
    if found["stale_survey"]:
        yield f"stale     {_stale(found['stale_survey'], campaign)}"
    elif found["done"]:
        how = f"'{this_command()} check {typed(campaign)}' compares all results"
        yield f"stale     not compared ({how} with their documents)"
    live = found["master"]
    if live is None:
        seat = found["service"]
        more = f"; state in the service: {seat['in_words']}" if seat else ""
        yield f"master    not running{more}"
    else:
        yield (
            f"master    process {live['master']['pid']} on {live['master']['host']}: "
            f"{counted(live['workers'], 'worker')}, {counted(live['cores'], 'core')}, "
            f"{counted(live['tasks_running'], 'task')} running, "
            f"{live['tasks_waiting']} waiting for a worker, "
            f"{speed(live['jobs_per_second'])}, {_left(live['seconds_left'])}"
        )
        hold = live.get("hold")
        if hold and not (hold.get("kind") == HoldKind.PAUSE and found["control"]["pause"]):
            name = str(hold["kind"]) if hold.get("is_routine") else state_of(hold.get("kind"))
            yield f"{name:<9} {_held(hold, campaign)}"
        count = (live.get("slow") or {}).get("count")
        if count:
            yield (
                f"slow      {_much_slower(count)}; to list them: "
                f"{this_command()} status {typed(campaign)} --slow"
            )
        yield from _memory_lines(live)
        blocked = _blocked_by_itself(live, found["control"]["blocks"])
        if blocked:
            yield (
                f"blocked   {counted(blocked, 'host')} with too many failures; to see why: "
                f"{this_command()} status {typed(campaign)} --hosts"
            )
    yield from _control(found, campaign)
    if found["adopted"]:
        yield (
            "recipe    results were adopted from existing outputs; to compute more documents, use "
            "another 'mongo_output_key'"
        )
    elif found["recipe_mismatch"]:
        yield (
            "recipe    results were computed with another recipe; to see the difference: "
            f"{this_command()} check {typed(campaign)}"
        )
    elif found["stale"]:
        yield f"to compute stale results again: {this_command()} rerun {typed(campaign)} --stale"
    if found["failed"]:
        yield f"to see why documents failed: {this_command()} failures {typed(campaign)}"


def _service_state(campaign: dict[str, Any], running: bool) -> str:
    """The state of a campaign of a service, which cannot go on if the service does not run."""
    state = SeatState(campaign["state"])
    if not running and not state.is_end:
        return "not running"
    if state in (SeatState.RUNNING, SeatState.STOPPED) and campaign["hold"]:
        return state_of(campaign.get("hold_kind"))
    return state


def _service_lines(found: dict[str, Any], folder: Path) -> Iterator[str]:
    if found["running"]:
        yield (
            f"service {found['service']}: process {found['pid']}, {found['engine']}, "
            f"{counted(found['workers'], 'worker')}, {counted(found['cores'], 'core')}"
        )
    else:  # the workers are those that the service had last
        yield f"service {found['service']}: not running"
    headings = (
        *("campaign", "priority", "weight", "share", "done", "failed", "running", "spooled"),
        *("pending", "state", "file"),
    )

    def cells(one: dict[str, Any]) -> list[str]:
        pending = "?" if one["pending"] is None else str(one["pending"])
        numbers = [str(one[name]) for name in ("done", "failed", "running", "spooled")]
        begin = [one["campaign"], str(one["priority"]), f"{one['weight']:g}"]
        state = _service_state(one, found["running"])
        file = typed_here(one["file"], folder)
        return [*begin, f"{one['share']:.0%}", *numbers, pending, state, file]

    yield from table(headings, map(cells, found["campaigns"]))
    shared = found["trouble"]
    if shared:
        yield shared
    for one in found["campaigns"]:
        # A hold is often the trouble, too.
        for text in dict.fromkeys((one["hold"], one["trouble"], one["error"])):
            if text and text != shared:
                yield f"{one['campaign']}: {text}"
    for one in found["refused"]:
        yield f"refused: {one['reason']}"
    if found["running"] and found.get("service_file"):
        yield found["service_file"]
    if not found["running"]:
        yield f"to start the service: {this_command()} serve {typed(folder)}"


@click.command()
@click.argument("campaign", type=click.Path(path_type=Path), default="campaign.yaml")
@click.option("--hosts", is_flag=True, help="List hosts, blocked ones first, with the reasons.")
@click.option("--slow", is_flag=True, help="List tasks that run much longer than expected.")
@json_option
def command(campaign: Path, hosts: bool, slow: bool, output: Output) -> None:
    """Show how many documents are done, failed and pending.

    CAMPAIGN may also be the folder of a service, or its service.yaml: then all campaigns are shown.
    With --hosts or --slow, list what the running master knows about hosts or slow tasks instead.

    A document is running if a worker has it, spooled if its job has returned and is not yet stored,
    and stale if its molecule has changed since its result was computed.
    """
    if campaign.name == SERVICE_FILE or campaign.is_dir():
        folder = campaign.parent if campaign.name == SERVICE_FILE else campaign
        if hosts or slow:
            raise UsageError(
                "--hosts and --slow need one campaign; name the file of a campaign of the service"
            )
        service = published(folder)
        output.show(service, _service_lines(service, folder))
        return
    file = loaded(campaign)
    recipe: Recipe | None = None
    problems: list[dict[str, str]] = []
    try:
        recipe = resolve(file, runs=False)
        file = recipe.loaded
    except CampaignError as error:  # the counts are still useful
        output.warning(error.message)
        problems.append(as_json(error.message, error.code))
    with opened(file, existing=True) as store:
        place = store.documents.full_name
        with ThreadPoolExecutor() as pool:
            compared = pool.submit(_mismatch, store, recipe) if recipe else None
            found = overview(store, Spool(file.folder / "spool"), recipe)
        mismatch = compared and compared.result()
    found["recipe_mismatch"] = mismatch and mismatch.message
    found["adopted"] = isinstance(mismatch, ResultsAdopted)
    seat = served(file)
    found["service"] = seat and {"state": str(seat.state), "in_words": seat.in_words}
    if mismatch:
        problems.append(as_json(mismatch.message, mismatch.code))
    if found["stale"]:
        message = f"stale results: {_stale(found['stale_survey'], campaign)}"
        problems.append(as_json(message, ErrorCode.RESULTS_STALE))
    elsewhere = where_else(file)
    if elsewhere and not any(found[name] for name in STATES):
        message = f"there are no documents in {place}{elsewhere}"
        output.warning(message)
        problems.append(as_json(message, ErrorCode.COLLECTION_EMPTY))
    problems += _of_master(found["master"] or {}, campaign)
    found["problems"] = problems
    if hosts or slow:
        output.show(found, _lists(found, hosts=hosts, slow=slow))
    else:
        output.show(found, _lines(found, campaign))


def _of_master(live: dict[str, Any], campaign: Path) -> list[dict[str, str]]:
    """What a running master reports: that it is held, and that tasks are slow."""
    found = []
    hold = live.get("hold")
    if hold and not hold.get("is_routine"):
        found.append(as_json(_held(hold, campaign), ErrorCode.CAMPAIGN_HELD))
    count = (live.get("slow") or {}).get("count")
    if count:
        found.append(as_json(_much_slower(count), ErrorCode.TASKS_SLOW))
    return found
