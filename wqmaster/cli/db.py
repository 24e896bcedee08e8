"""wqmaster db: the private MongoDB server of a campaign."""

from pathlib import Path

import click

from wqmaster.cli.common import campaign_argument, loaded, typed
from wqmaster.cli.output import Output, json_option
from wqmaster.database.private_server import Mongod
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError
from wqmaster.run import assembly


@click.group(name="db")
def command() -> None:
    """Start and stop the private MongoDB server of a campaign that names no database."""


def _private(campaign: Path) -> Mongod:
    file = loaded(campaign)
    if file.campaign.database.uri is not None:
        raise CampaignError(
            file.source.where("database", "uri")
            + ": the campaign names its own database; there is no private one to start or stop",
            code=ErrorCode.DATABASE_NOT_PRIVATE,
        )
    return assembly.mongod(file)


@command.command()
@campaign_argument
def start(campaign: Path) -> None:
    """Start the server, to stay until `db stop`; print its address."""
    server = _private(campaign)
    server.start()
    click.echo(server.uri)


@command.command()
@campaign_argument
@json_option
def stop(campaign: Path, output: Output) -> None:
    """Stop the server. The data stay."""
    stopped = _private(campaign).stop()
    output.show({"stopped": stopped}, ["stopped" if stopped else "it was not running"])


@command.command()
@campaign_argument
@json_option
def url(campaign: Path, output: Output) -> None:
    """Print the address of CAMPAIGN's database, for mongosh or a program of your own."""
    file = loaded(campaign)
    database = file.campaign.database
    server = assembly.mongod(file)
    uri = database.uri or server.uri
    running = None if database.uri else server.pid() is not None
    value = {
        "uri": uri,
        "name": database.name,
        "collection": database.collection,
        "running": running,
    }
    output.show(value, [uri])
    if running is False:
        output.remark(f"the server is not running: wqmaster db start {typed(campaign)}", err=True)
