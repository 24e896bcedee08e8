"""The commands that steer a run as a whole: pause, resume, drain, reload, block, unblock.

They work on any machine that reaches the campaign's database.
"""

from pathlib import Path
from typing import Any

import click

from wqmaster.cli.commanding import command_master, wait_option
from wqmaster.cli.common import Duration, campaign_argument, first_campaign_argument
from wqmaster.cli.output import Output, json_option
from wqmaster.database.orders import Verb

_HOST = click.argument("host")


@click.command()
@campaign_argument
@click.option("--reason", metavar="TEXT", help="Why; 'wqmaster status' shows it.")
@wait_option
@json_option
def pause(campaign: Path, reason: str | None, wait: float, output: Output) -> None:
    """Start no more jobs of CAMPAIGN until it is resumed.

    Running jobs may finish, and what they return is stored. A pause survives a restart of the
    master; if no master is running, the next run starts paused.
    """
    command_master(campaign, Verb.PAUSE, {"reason": reason} if reason else {}, wait, output)


@click.command()
@campaign_argument
@wait_option
@json_option
def resume(campaign: Path, wait: float, output: Output) -> None:
    """Go on with a CAMPAIGN that is paused or held.

    This ends a pause, and every other hold of the run that needs a user's decision.
    """
    command_master(campaign, Verb.RESUME, {}, wait, output)


@click.command()
@campaign_argument
@wait_option
@json_option
def drain(campaign: Path, wait: float, output: Output) -> None:
    """Let running jobs of CAMPAIGN finish, then end the run.

    The run stops as after Ctrl-C, but waits for its jobs however long they take. The same 'wqmaster
    run' continues it. In a service, the campaign stays paused until 'wqmaster resume'.
    """
    command_master(campaign, Verb.DRAIN, {}, wait, output)


@click.command()
@campaign_argument
@wait_option
@json_option
def reload(campaign: Path, wait: float, output: Output) -> None:
    """Make a running master read its CAMPAIGN file again.

    Query, queue, priority, weight, numbers of workers, remedies, checks, job_timeout, resources,
    bundle, archive and notify may change. Any other change is refused with the reason, and then
    nothing changes. The master reads the file on its own machine. A service reads changed files
    by itself.
    """
    command_master(campaign, Verb.RELOAD, {}, wait, output)


@click.command()
@first_campaign_argument
@_HOST
@click.option(
    "--for",
    "seconds",
    type=Duration(may_be_zero=False),
    metavar="TIME",
    help="Block HOST for this long (default: until you unblock it).",
)
@wait_option
@json_option
def block(campaign: Path, host: str, seconds: float | None, wait: float, output: Output) -> None:
    """Send no more tasks of CAMPAIGN to HOST.

    Failures and results state the names of hosts. Tasks that are running there may finish.
    """
    arguments: dict[str, Any] = {"host": host}
    if seconds is not None:
        arguments["seconds"] = seconds
    command_master(campaign, Verb.BLOCK, arguments, wait, output)


@click.command()
@first_campaign_argument
@_HOST
@wait_option
@json_option
def unblock(campaign: Path, host: str, wait: float, output: Output) -> None:
    """Send tasks of CAMPAIGN to HOST again.

    This also ends a block that the run itself has set.
    """
    command_master(campaign, Verb.UNBLOCK, {"host": host}, wait, output)
