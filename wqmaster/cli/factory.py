"""wqmaster factory: start, stop or inspect the worker factory."""

from pathlib import Path

import click

from wqmaster import factory
from wqmaster.cli.common import campaign_argument, counted, loaded
from wqmaster.cli.output import Output, json_option
from wqmaster.recipe.resolving import resolve
from wqmaster.run import factories
from wqmaster.run.access_point import why_not_here
from wqmaster.system.hosts import loopback_address
from wqmaster.system.this_command import this_command


@click.command()
@campaign_argument
@click.option("--start", is_flag=True, help="Start it in the background.")
@click.option("--stop", is_flag=True, help="Stop it and its workers.")
@click.option("--status", is_flag=True, help="Show its status.")
@click.option(
    "--submit-file",
    "submit",
    is_flag=False,
    flag_value="workers.sub",
    metavar="[FILE]",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a submit file for an access point (default: workers.sub).",
)
@click.option("--rotate-password", "rotate", is_flag=True, help="Give new workers a new password.")
@json_option
def command(
    campaign: Path,
    start: bool,
    stop: bool,
    status: bool,
    submit: Path | None,
    rotate: bool,
    output: Output,
) -> None:
    """Start, stop or inspect the worker factory.

    Without an option, prints the factory's command line and configuration.

    With 'workers: {type: local}' or 'manage: true', the master starts the factory. Otherwise, start
    it here, or on another machine that can reach the batch system.

    --submit-file is for access points where no process may keep running, such as those of the
    OSPool; HTCondor itself maintains the number of workers. It prints the commands to submit,
    watch, grow, shrink, wake and end them.

    --rotate-password takes effect within seconds, even while the campaign is running. Workers that
    are connected stay until they end; all others need the new password.
    """
    if sum((start, stop, status, submit is not None, rotate)) > 1:
        raise click.UsageError(
            "use only one of --start, --stop, --status, --submit-file and --rotate-password"
        )
    if str(campaign) in ("start", "stop", "status") and not campaign.exists():
        raise click.UsageError(
            f"there is no campaign file '{campaign}'; did you mean '--{campaign}'?"
        )
    file = loaded(campaign)
    if status:
        found = factory.status(file.workforce_folder, file.typed)
        lines = [factories.why_no_factory(file)] if found is None else factory.lines(found)
        output.show(found or {"running": False}, lines)
    elif stop:
        left = factories.stop_factory(file)
        output.show({"stopped": left is None, "workers_removed": left or 0}, [_ended(left)])
    elif rotate:
        path = factories.rotate_password(file)
        output.show({"password": str(path)}, [f"new workers need the new password in {path}"])
    elif submit is not None:
        made = factories.submit_file(resolve(file), submit)
        if not made.has_project:
            output.warning("the campaign names no 'project:', which the OSPool asks for")
        address = None if made.host is None else loopback_address(made.host)
        if address is not None:
            shown = f"{made.host} ({address})" if made.host != address else address
            output.warning(
                f"workers on other machines cannot reach {shown}, a loopback address; write "
                "'workers: {host: NAME_OR_ADDRESS}' into the campaign file"
            )
        value = {
            "file": str(made.file.absolute()),
            "files": [str(path) for path in made.files],
            "workers": made.most,
            "total": made.total,
            "category": made.category,
            "constraint": made.constraint,
            "commands": made.commands(this_command()),
        }
        output.show(value, made.lines(this_command()))
    elif start:
        factories.check_own_workers(file, "--start")
        forbidden = why_not_here("the factory's master")
        if forbidden is not None:
            output.warning(forbidden)
        recipe = resolve(file)
        started = factories.start_factory(recipe.loaded, factories.factory_plan(recipe))
        output.show(started, factory.lines(started))
    else:
        factories.check_own_workers(file)
        recipe = resolve(file)
        printed = factory.printed(factories.factory_plan(recipe), recipe.loaded)
        output.show(printed.as_json(), [printed.as_text()])


def _ended(left: int | None) -> str:
    if left is None:
        return "stopped the factory and its workers"
    removed = f"; removed {counted(left, 'leftover worker')}" if left else ""
    return f"no factory is running{removed}"
