"""wqmaster factory: what sends out the workers."""

from pathlib import Path

import click

from wqmaster import factory
from wqmaster.cli.common import campaign_argument, json_option, loaded, print_json
from wqmaster.run import assembly


@click.command()
@campaign_argument
@click.option("--start", "verb", flag_value="start", help="Start it; it goes on by itself.")
@click.option("--stop", "verb", flag_value="stop", help="End it and its workers.")
@click.option("--status", "verb", flag_value="status", help="Say what it does.")
@json_option
def command(campaign: Path, verb: str | None, as_json: bool) -> None:
    """Print the command line of the factory for the workers of CAMPAIGN, and its configuration.

    Workers come by themselves for 'workers: {type: local}' and 'manage: true': the master starts
    the factory. Else start it here, or on another machine that the batch system is reached from.
    """
    file = loaded(campaign)
    if verb == "status":
        found = factory.status(file.folder)
        if as_json:
            print_json(found or {"running": False})
        else:
            click.echo("\n".join(factory.lines(found)))
        return
    if verb == "stop":
        left = assembly.stop_factory(file)
        if as_json:
            print_json({"stopped": left is None, "workers_removed": left or 0})
        elif left is None:
            click.echo("the factory has ended, and its workers with it")
        else:
            click.echo(f"no factory runs; {left} workers were left of an earlier one, and removed")
        return
    plan = assembly.factory_plan(file)
    if verb == "start":
        found = assembly.start_factory(file, plan)
        if as_json:
            print_json(found)
        else:
            click.echo("\n".join(factory.lines(found)))
        return
    printed = factory.printed(plan, file)
    if as_json:
        print_json(printed.as_json())
    else:
        click.echo(printed.as_text())
