"""Run several campaigns on one workforce until all have ended."""

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.service import FILES_FOLDER
from wqmaster.errors import UsageError
from wqmaster.recipe.recipe import Recipe
from wqmaster.run import campaign_folder, hiring
from wqmaster.run.opening import logged
from wqmaster.run.programs import asked_for_version, check_programs
from wqmaster.run.service.broker import Broker
from wqmaster.run.service.files import differs
from wqmaster.run.service.running import lock_workforce
from wqmaster.run.service.seat import Order
from wqmaster.run.service.table import Row, rows
from wqmaster.run.service.workforce import Staffing, Workforce, largest

# Seconds between two updates of the displayed campaigns.
SHOW_INTERVAL_SECONDS = 0.5


@dataclass(frozen=True)
class Asked:
    """Options from the command line."""

    limit: int | None = None  # the largest number of documents of each campaign
    watch: bool = False  # keep waiting for new documents
    canary: bool = True  # wait for the first documents of each campaign
    exit_on_trouble: bool = False  # end a campaign that waits for somebody
    engine: str | None = None  # replaces the engine of the first file
    port: int | None = None  # replaces the port of the first file
    grace: float = 60.0  # seconds that running tasks may take to finish after Ctrl-C
    # The grace period of each request to stop so far; None: no time limit.
    stops: Callable[[], Sequence[float | None]] = tuple


def lock_folder(loaded: LoadedCampaign) -> Path:
    """The folder whose lock admits one broker at a time, and that has its logs."""
    return loaded.folder / FILES_FOLDER if loaded.service is None else loaded.service.folder


def check_together(files: Sequence[LoadedCampaign]) -> None:
    """Check that these campaigns can share engine and workers, those of the first file.

    Raises:
        CampaignError: another file asks for a different engine or different workers.
        UsageError: two files are the same campaign.
    """
    first = files[0]
    seen: dict[str, LoadedCampaign] = {}
    for one in files:
        name = one.campaign.campaign
        other = seen.setdefault(name, one)
        if other is not one:
            raise UsageError(
                f"{other.source.path} and {one.source.path} are both named '{name}'; campaigns "
                "that run together need different names"
            )
        for key in ("engine", "workers"):
            is_other = getattr(one.campaign, key) != getattr(first.campaign, key)
            if is_other and one.source.has(key):
                raise differs(one, key, first.source.path)


def order_of(loaded: LoadedCampaign, text: str) -> Order:
    """The campaign as the broker takes it; `text` is that of its file."""
    submit, service = loaded.campaign.submit, loaded.service
    return Order(
        name=loaded.campaign.campaign,
        path=str(loaded.source.path),
        text=text,
        service=None if service is None else (str(service.source.path), service.text),
        priority=submit.level,
        weight=submit.weight,
    )


def run_together(
    recipes: Sequence[Recipe],
    texts: Sequence[str],
    asked: Asked,
    *,
    begins: Callable[[Broker], None],
    show: Callable[[list[Row]], None],
) -> tuple[list[Row], str | None]:
    """Run campaigns until all have ended; return them, and a message if workers remain.

    `texts` are the contents of their files. `begins` receives the broker, and `show` the campaigns
    several times a second.

    Raises:
        WqmasterError: engine or workers cannot be started.
    """
    files = [recipe.loaded for recipe in recipes]
    check_together(files)
    first = files[0].replaced(engine=asked.engine, port=asked.port)
    first = first.copy(resources=largest([one.campaign for one in files]))
    place = lock_folder(first)
    campaign_folder.enter_service(place, first)
    with contextlib.ExitStack() as stack:
        lock = lock_workforce(place, first)
        stack.callback(lock.close)
        stack.enter_context(logged(place))
        hidden = frozenset[str]().union(*(one.variables for one in files))
        environ = {name: value for name, value in os.environ.items() if name not in hidden}
        needed = [set(recipe.programs()) for recipe in recipes]
        programs = sorted(set.intersection(*needed))
        harmless = sorted({name for recipe in recipes for name in asked_for_version(recipe)})
        workforce = Workforce(Staffing(first, environ, programs, harmless))
        if workforce.name == "local" or first.campaign.workers.on_this_machine:
            for recipe in recipes:
                check_programs(recipe)
        broker = Broker(
            workforce,
            place / "logs",
            collectors=max(1, hiring.cores() - 1),
            gives_up=True,
        )
        left: list[str] = []

        def close() -> None:
            message = broker.close()
            if message:
                left.append(message)

        stack.callback(close)
        settings = {
            "engine": first.campaign.engine.model_dump(mode="json"),
            "workers": first.campaign.workers.model_dump(mode="json"),
        }
        for one, text in zip(files, texts, strict=True):
            order = order_of(one, text)
            order = replace(order, limit=asked.limit, watch=asked.watch, canary=asked.canary)
            order = replace(order, settings=settings, exit_on_trouble=asked.exit_on_trouble)
            order = replace(order, files=tuple(str(each.source.path) for each in files))
            broker.add(order)
        begins(broker)
        stops, shown = 0, 0.0
        while not broker.ended:
            for grace in list(asked.stops())[stops:]:
                stops += 1
                broker.stop(list(broker.seats), grace)
            broker.turn()
            if time.monotonic() >= shown + SHOW_INTERVAL_SECONDS:
                shown = time.monotonic()
                show(rows(broker))
        found = rows(broker)
        show(found)
        stack.pop_all().close()
    return found, left[0] if left else None
