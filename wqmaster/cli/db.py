"""wqmaster db: the private MongoDB server of a campaign."""

from pathlib import Path

import click

from wqmaster.cli.common import campaign_argument, json_option, loaded, print_json, typed
from wqmaster.database.private_server import Mongod
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
            + ": the campaign names its own database; there is no private one to start or stop"
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
def stop(campaign: Path, as_json: bool) -> None:
    """Stop the server. The data stay."""
    stopped = _private(campaign).stop()
    if as_json:
        print_json({"stopped": stopped})
    else:
        click.echo("stopped" if stopped else "it was not running")


@command.command()
@campaign_argument
@json_option
def url(campaign: Path, as_json: bool) -> None:
    """Print the address of CAMPAIGN's database, for mongosh or a program of your own."""
    file = loaded(campaign)
    database = file.campaign.database
    server = assembly.mongod(file)
    uri = database.uri or server.uri
    running = None if database.uri else server.pid() is not None
    if as_json:
        print_json(
            {
                "uri": uri,
                "name": database.name,
                "collection": database.collection,
                "running": running,
            }
        )
        return
    click.echo(uri)
    if running is False:
        click.echo(f"the server is not running: wqmaster db start {typed(campaign)}", err=True)
