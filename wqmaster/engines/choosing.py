"""The choice of a campaign's engine, and its creation."""

import os
from collections.abc import Mapping

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.models import Campaign
from wqmaster.campaign.workers import BatchWorkers
from wqmaster.engines.base import Engine
from wqmaster.engines.ndcctools import Setting, bindings
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import EngineError
from wqmaster.system import credentials
from wqmaster.system.this_command import this_command

INSTALL_ADVICE = (
    "run 'conda install -c conda-forge ndcctools' or, on Debian 13, 'apt install "
    "python3-workqueue coop-computing-tools python3-cloudpickle'"
)
# The names under which messages mention the ndcctools engines.
_TITLES = {"work_queue": "Work Queue", "taskvine": "TaskVine"}


def why_not(name: str) -> str | None:
    """Why the engine `name` cannot be used here; None if it can."""
    if name == "local":
        return None
    title = _TITLES[name]
    try:
        bindings(name)
    except ModuleNotFoundError as error:
        if error.name in ("ndcctools", f"ndcctools.{name}"):
            return f"{title} (ndcctools) is not installed"
        return f"{title} (ndcctools) cannot be imported: {error}"
    except Exception as error:  # a shared library is missing or has another version
        return f"{title} (ndcctools) cannot be imported: {error}"
    return None


def choose(campaign: Campaign) -> tuple[str, str]:
    """The engine for `campaign`, and the reason for the choice.

    Raises:
        EngineError: the workers run on other machines, which needs Work Queue or TaskVine, and
            neither can be used here.
    """
    asked = campaign.engine.type
    if asked != "auto":
        return asked, "as requested"
    workers = campaign.workers
    sent = workers.worker.name if isinstance(workers, BatchWorkers) and workers.worker else ""
    for name, worker in (("taskvine", "vine_worker"), ("work_queue", "work_queue_worker")):
        if sent.startswith(worker) and why_not(name) is None:
            return name, f"its worker is the one that the campaign sends ({sent})"
    why = why_not("taskvine")
    if campaign.resources.running_time_min is not None:
        # vine_worker 7.14.5 reports the end of its wall time before it has computed that time (F8).
        why = "TaskVine does not know a worker's remaining time, which 'running_time_min' needs"
    if why is None:
        return "taskvine", "its manager takes less time per task than Work Queue's"
    if why_not("work_queue") is None:
        return "work_queue", why
    if not campaign.workers.on_this_machine:
        raise EngineError(
            f"workers of type {campaign.workers.type} need Work Queue or TaskVine, but {why}; "
            f"{INSTALL_ADVICE}",
            code=ErrorCode.ENGINE_NOT_INSTALLED,
        )
    return "local", f"{why}, so this computer runs the jobs itself"


def create(name: str, loaded: LoadedCampaign, slots: int, environ: Mapping[str, str]) -> Engine:
    """Create the engine `name`, with the password and the logs in the campaign's folder.

    The local engine runs `slots` jobs of the campaign's size at a time, with the environment
    variables `environ`.

    Raises:
        EngineError: the engine is not installed or cannot be started, or the campaign gives a
            project name without a catalog.
    """
    if name == "local":
        from wqmaster.engines.local import LocalEngine

        return LocalEngine(slots, environ, loaded.campaign.resources.cores)
    why = why_not(name)
    if why is not None:
        raise EngineError(
            f"{why}; {INSTALL_ADVICE}, or use --engine local",
            code=ErrorCode.ENGINE_NOT_INSTALLED,
        )
    campaign, folder = loaded.campaign, loaded.workforce_folder
    asked = campaign.engine
    catalog = asked.catalog or os.environ.get("CATALOG_HOST")
    if asked.name and not catalog:
        raise EngineError(
            f"{loaded.source.where('engine', 'name')}: the project name '{asked.name}' needs a "
            "catalog; add 'catalog: HOST:PORT' to 'engine:', or export CATALOG_HOST",
            code=ErrorCode.CATALOG_MISSING,
        )
    show = f"{this_command()} status {loaded.typed} --hosts"
    setting = Setting(
        logs=folder / "logs" / name,
        port=asked.port,
        password=credentials.password(folder),
        name=asked.name,
        catalog=catalog if asked.name else None,
        ssl=credentials.certificate(folder) if asked.ssl else None,
        allocation=asked.allocation,
        fast_abort=asked.fast_abort,
        debug=asked.debug,
        host=campaign.workers.host,
        campaign_file=loaded.typed,
        show_hosts=show if loaded.service is None else None,
    )
    if name == "taskvine":
        from wqmaster.engines.taskvine import TaskVineEngine

        return TaskVineEngine(setting)
    from wqmaster.engines.work_queue import WorkQueueEngine

    return WorkQueueEngine(setting)
