"""wqmaster db: the private MongoDB server of a campaign."""

from pathlib import Path

import click

from wqmaster.cli.common import campaign_argument, loaded, typed
from wqmaster.cli.help import Verbs
from wqmaster.cli.output import Output, json_option
from wqmaster.database.private_server import Mongod
from wqmaster.doctor.folder import master
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError, DatabaseError
from wqmaster.run import campaign_folder
from wqmaster.run.opening import mongod
from wqmaster.system.this_command import this_command


@click.group(name="db", cls=Verbs)
def command() -> None:
    """Start, stop or locate a campaign's private MongoDB server.

    A campaign has one if its file names no database.
    """


def _private(campaign: Path) -> Mongod:
    file = loaded(campaign)
    if file.campaign.database.uri is not None:
        raise CampaignError(
            file.source.where("database", "uri")
            + ": the campaign names its own database, so there is no private one to start or stop",
            code=ErrorCode.DATABASE_NOT_PRIVATE,
        )
    return mongod(file)


@command.command()
@campaign_argument
def start(campaign: Path) -> None:
    """Start the server and print its address, which is a secret.

    It runs until 'wqmaster db stop'.
    """
    server = _private(campaign)
    campaign_folder.prepare(loaded(campaign))
    server.start()
    click.echo(server.uri)


@command.command()
@campaign_argument
@json_option
def stop(campaign: Path, output: Output) -> None:
    """Stop the server and keep its data."""
    server = _private(campaign)
    file = loaded(campaign)
    stopped = server.stop()
    user = master(file.folder) or master(file.workforce_folder)
    value = {"stopped": stopped, "master_running": user is not None}
    output.show(value, [_stopped(stopped, campaign, user)])


def _stopped(stopped: bool, campaign: Path, user: int | None) -> str:
    """What `stop` did; `user` is the process of a run that uses the server."""
    if not stopped:
        return "the server was not running"
    if user is None:
        return "stopped"
    return (
        f"stopped; the run (process {user}) that uses the server is waiting and will restart it "
        f"soon; to start it now: {this_command()} db start {typed(campaign)}"
    )


@command.command()
@campaign_argument
@json_option
def url(campaign: Path, output: Output) -> None:
    """Print the address of CAMPAIGN's database.

    The address of a private server contains its password, so it is a secret. For example:
    mongosh "$(wqmaster db url CAMPAIGN)". Exit code 3: the private server is not running. Its
    address is still printed, because mongosh without an address would open another database.
    """
    file = loaded(campaign)
    database = file.campaign.database
    server = mongod(file)
    uri = database.uri or server.uri
    error = None if database.uri else _not_running(server, campaign)
    value = {
        "uri": uri,
        "name": database.name,
        "collection": database.collection,
        "running": None if database.uri else error is None,
    }
    output.show(value, [uri], error=error)
    if error is not None:
        raise error


def _not_running(server: Mongod, campaign: Path) -> DatabaseError | None:
    """The error if the private server cannot be reached from this machine; None if it can."""
    if server.pid() is not None:
        return None
    return server.elsewhere() or DatabaseError(
        "the campaign's private MongoDB server is not running, so nothing answers at this address; "
        f"start it with '{this_command()} db start {typed(campaign)}'",
        code=ErrorCode.DATABASE_STOPPED,
    )
