"""wqmaster status: where a campaign stands."""

from pathlib import Path

import click

from wqmaster import session
from wqmaster.cli.common import campaign_argument, json_option, loaded, print_json, typed
from wqmaster.spool import Spool
from wqmaster.status import duration, overview


@click.command()
@campaign_argument
@json_option
def command(campaign: Path, as_json: bool) -> None:
    """Show how many documents of CAMPAIGN are done, failed, pending, running and spooled."""
    file = loaded(campaign)
    with session.opened(file, existing=True) as store:
        found = overview(store, Spool(file.folder / "spool"))
    if as_json:
        print_json(found)
        return
    click.echo(f"campaign  {found['campaign']}")
    for name in ("done", "failed", "pending", "running", "spooled"):
        click.echo(f"{name:<9} {found[name]}")
    for name, count in found["failures"].items():
        click.echo(f"          {count:>8} {name}")
    live = found["master"]
    if live is None:
        click.echo("master    none is running")
    else:
        click.echo(
            f"master    process {live['master']['pid']} on {live['master']['host']}: "
            f"{live['workers']} workers, {live['cores']} cores, "
            f"{live['jobs_per_second']:.1f} jobs/s, {duration(live['seconds_left'])} left"
        )
    if found["failed"]:
        click.echo(f"why they failed: wqmaster failures {typed(campaign)}")
