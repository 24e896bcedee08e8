"""The worker factory of a campaign, as the command line starts, stops and explains it."""

import contextlib
import os
import shlex
import shutil
from pathlib import Path
from typing import Any

from wqmaster import factory
from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.service import run_command, show_command
from wqmaster.campaign.workers import CondorWorkers, NoWorkers
from wqmaster.engines import choosing
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import (
    CampaignError,
    EngineError,
    FolderError,
    NothingMatches,
    ServiceError,
    WqmasterError,
)
from wqmaster.factory import Address, Plan, Project
from wqmaster.recipe.recipe import Recipe
from wqmaster.run import campaign_folder
from wqmaster.run.hiring import local_count, worker_environment
from wqmaster.run.opening import mongod, opened
from wqmaster.run.programs import asked_for_version
from wqmaster.run.service.running import runs_campaign
from wqmaster.software import osdf
from wqmaster.software.pack.making import glibc_of
from wqmaster.system import credentials, elf
from wqmaster.system.files import check_writable, replacing
from wqmaster.system.this_command import seen_by_user, this_command

_LOCAL_ENGINE = "the engine 'local' runs jobs on this machine without workers"


def factory_plan(recipe: Recipe) -> Plan:
    """The factory for a campaign, whether or not that is running.

    Raises:
        CampaignError: the campaign cannot use a factory, or its port is unknown.
    """
    loaded = recipe.loaded
    name, manager = _manager(loaded)
    return factory.planned(
        loaded,
        name,
        manager,
        recipe.programs(),
        local_count(loaded.campaign),
        asked_for_version(recipe),
    )


def submit_file(recipe: Recipe, file: Path) -> factory.SubmitFile:
    """Write the submit description for workers of a campaign that no factory starts.

    Raises:
        CampaignError: the workers are not HTCondor's, the OSPool's rules do not admit them, or the
            port is unknown.
        EngineError: this machine has no worker program to copy.
        WqmasterError: `file` exists and is not such a description.
    """
    loaded, campaign = recipe.loaded, recipe.loaded.campaign
    workers = campaign.workers
    if not isinstance(workers, CondorWorkers):
        raise loaded.source.error(
            "a submit file is for HTCondor; write 'workers: {type: condor}'", "workers"
        )
    name, manager = _manager(loaded)
    reused = osdf.reused(recipe.software.supplies, loaded.folder)
    if reused:
        raise loaded.source.error(reused[0].words, "software", code=ErrorCode.OSDF_NAME_REUSED)
    asked = factory.requested(
        loaded, name, manager, recipe.programs(), 1, asked_for_version(recipe)
    )
    try:
        made = factory.submit_file(
            campaign, workers, asked, _needs(recipe, name, asked.worker), file
        )
    except ValueError as error:
        raise loaded.source.error(str(error), "workers", code=ErrorCode.OSPOOL_RULE) from None
    _write(made)
    factory.note_submit_file(loaded.workforce_folder, file)
    osdf.note(recipe.software.supplies, loaded.folder)
    return made


def _write(made: factory.SubmitFile) -> None:
    path = made.file
    try:
        if path.exists() and not path.read_text(errors="replace").startswith(factory.MARK):
            raise WqmasterError(
                f"{path} exists and is not a submit file of wqmaster's; name another file",
                code=ErrorCode.FILE_EXISTS,
            )
        with replacing(path) as part:
            part.write_text(made.text, encoding="utf-8")
    except OSError as error:
        raise FolderError(f"cannot write {path}: {error.strerror}") from error


def _needs(recipe: Recipe, engine: str, named: Path | None) -> factory.Needs:
    """What the worker, and the archives that it receives, need from a machine."""
    loaded = recipe.loaded
    name = factory.ENGINE_PROGRAMS[engine].worker
    found = shutil.which(name)
    if named is None and found is None:
        raise EngineError(
            f"there is no {name} to copy on the PATH; {choosing.INSTALL_ADVICE}, or name one with "
            "'workers: {worker: PATH}'",
            code=ErrorCode.PROGRAM_MISSING,
        )
    worker = named or Path(str(found))
    try:
        read = elf.needs(worker)
    except (OSError, ValueError) as error:
        raise EngineError(
            f"{worker} cannot be read as a program: {error}", code=ErrorCode.WORKER_UNUSABLE
        ) from error
    archives = (
        loaded.source.path.parent / program.archive
        for program in loaded.campaign.software.values()
        if program.archive is not None
    )
    glibcs = [glibc_of(path) or () for path in archives]
    return factory.Needs(
        worker=seen_by_user(worker),
        password=credentials.password(loaded.workforce_folder),
        machine=read.machine if read else os.uname().machine,
        glibc=max([read.glibc if read else (), *glibcs]),
        paths=tuple(recipe.programs()),
    )


def _manager(loaded: LoadedCampaign) -> tuple[str, Address | Project]:
    """The engine of a campaign, and how its workers find the master.

    Raises:
        CampaignError: the campaign cannot use a factory, or its port is unknown.
        ServiceError: its folder cannot be used, or its database cannot be reached.
    """
    campaign = loaded.campaign
    if isinstance(campaign.workers, NoWorkers):
        raise loaded.source.error(
            "the campaign has 'workers: none', so you start its workers yourself, without a "
            "factory; to use a factory, write 'workers: {type: condor}' (or slurm, local)",
            "workers",
        )
    campaign_folder.enter(loaded)
    check_writable(loaded.workforce_folder)
    host, port = None, campaign.engine.port
    name, _ = choosing.choose(campaign)
    if (
        name != "local"
        and not port
        and (campaign.workers.on_this_machine or not campaign.engine.name)
    ):
        live = None
        with contextlib.suppress(NothingMatches), opened(loaded, existing=True) as store:
            live = store.presence.published()
        if live is None or not live.get("port"):
            if runs_campaign(loaded):
                command = f"{this_command()} resume {loaded.typed}"
                raise CampaignError(
                    f"the campaign is not running, although its service is; '{command}' continues "
                    "it after a drain",
                    code=ErrorCode.MASTER_NOT_RUNNING,
                )
            if campaign.workers.managed:
                command = run_command(loaded.source.path)
                message = f"the campaign is not running; '{command}' starts it and its factory"
                raise CampaignError(message, code=ErrorCode.MASTER_NOT_RUNNING)
            raise loaded.source.error(
                f"the campaign is not running, so its port is unknown; start it with "
                f"'{run_command(loaded.source.path)}', or set "
                "'engine: {port: N}' (or a project name, 'engine: {name: NAME, catalog: HOST}')",
                "engine",
                code=ErrorCode.MASTER_NOT_RUNNING,
            )
        host, port, name = live["listens_on"], int(live["port"]), str(live["engine"])
    if name == "local":
        raise loaded.source.error(
            f"{_LOCAL_ENGINE}; to use workers, write 'engine: taskvine' or 'engine: work_queue'",
            "engine",
        )
    return name, factory.manager_of(campaign, host, port)


def _lender(loaded: LoadedCampaign) -> str | None:
    """The campaign file whose workers a campaign uses that is running with others; else None.

    Also None if the database cannot be asked.
    """
    if loaded.campaign.database.uri is None and mongod(loaded).pid() is None:
        return None  # a running master keeps its private server running
    live = None
    with contextlib.suppress(NothingMatches, ServiceError), opened(loaded, existing=True) as store:
        live = store.presence.published()
    return (live or {}).get("workers_of")


def check_own_workers(loaded: LoadedCampaign, option: str = "") -> None:
    """Check that a running campaign does not use the workers of another one.

    `option` is that of `wqmaster factory`, for the message. If the database cannot be asked, the
    workers are taken to be the campaign's own.

    Raises:
        CampaignError: the campaign is running with others, on the workers of the first file.
    """
    first = None if loaded.service is not None else _lender(loaded)
    if first is None or Path(first) == loaded.source.path.absolute():
        return
    command = f"{this_command()} factory {shlex.quote(first)} {option}".rstrip()
    raise CampaignError(
        f"the campaign '{loaded.campaign.campaign}' is running on the workers of {first}; to apply "
        f"the command to them: {command}",
        code=ErrorCode.WORKERS_SHARED,
    )


def start_factory(loaded: LoadedCampaign, plan: Plan) -> dict[str, Any]:
    """Start the factory of a campaign in the background; return its status.

    Raises:
        EngineError: the factory is already running or cannot start, or a program is missing.
    """
    campaign_folder.enter(loaded)
    check_writable(loaded.workforce_folder)
    try:
        return factory.start(plan, loaded.workforce_folder, worker_environment(loaded))
    except EngineError as error:
        if error.code is ErrorCode.BATCH_SYSTEM_FAILED:
            error.message += f"; see '{this_command()} doctor {loaded.typed}'"
        raise


def rotate_password(loaded: LoadedCampaign) -> Path:
    """Replace the password for the workers of a campaign, or of its service; return its path.

    The campaign may be running.

    Raises:
        CampaignError: the campaign is running on the workers of another one.
        FolderError: the campaign's folder is not writable.
    """
    check_own_workers(loaded, "--rotate-password")
    if loaded.service is None:
        campaign_folder.enter(loaded)
    else:
        campaign_folder.enter_service(loaded.workforce_folder, loaded)
    return credentials.rotate_password(loaded.workforce_folder)


def stop_factory(loaded: LoadedCampaign) -> int | None:
    """Stop the factory of a campaign and its workers, and wait until they are gone.

    Returns None if a factory was running. Otherwise returns how many workers an earlier factory had
    left.

    Raises:
        EngineError: the factory belongs to a master, or its workers cannot be removed.
    """
    try:
        return factory.stop(loaded.workforce_folder, loaded.campaign, loaded.typed)
    except EngineError as error:
        if error.code is ErrorCode.FACTORY_OF_MASTER:
            error.message += f"; {_how_to_end_master(loaded)}"
        raise


def _how_to_end_master(loaded: LoadedCampaign) -> str:
    """How to end a factory together with the running master to which it belongs."""
    if loaded.service is not None:
        folder = loaded.source.path.parent
        return f"to end both, stop the service; to see its process: {show_command(folder)}"
    if _lender(loaded) is not None:
        return "it ends when all campaigns that run together have ended"
    return f"to end both: {this_command()} drain {loaded.typed}"


def why_no_factory(loaded: LoadedCampaign) -> str:
    """Why no factory was ever started for a campaign, and how to start one."""
    campaign = loaded.campaign
    if isinstance(campaign.workers, NoWorkers):
        return "no factory: the campaign has 'workers: none', so you start its workers yourself"
    with contextlib.suppress(EngineError):
        if choosing.choose(campaign)[0] == "local":
            return f"no factory: {_LOCAL_ENGINE}"
    how = f"'{this_command()} factory {loaded.typed} --start' starts one"
    if campaign.workers.managed:
        how = f"'{run_command(loaded.source.path)}' starts one"
    return f"no factory was started for this campaign; {how}"
