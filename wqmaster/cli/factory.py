"""wqmaster factory: what sends out the workers."""

from pathlib import Path

import click

from wqmaster import factory
from wqmaster.cli.common import campaign_argument, loaded
from wqmaster.cli.output import Output, json_option
from wqmaster.recipe.resolving import resolve
from wqmaster.run import assembly


@click.command()
@campaign_argument
@click.option("--start", "verb", flag_value="start", help="Start it; it goes on by itself.")
@click.option("--stop", "verb", flag_value="stop", help="End it and its workers.")
@click.option("--status", "verb", flag_value="status", help="Say what it does.")
@json_option
def command(campaign: Path, verb: str | None, output: Output) -> None:
    """Print, start or stop the factory that sends out workers.

    Without an option: print its command line and its configuration.

    Workers come by themselves for 'workers: {type: local}' and 'manage: true': the master starts
    the factory. Else start it here, or on another machine that the batch system is reached from.
    """
    file = loaded(campaign)
    if verb == "status":
        found = factory.status(file.folder)
        output.show(found or {"running": False}, factory.lines(found))
    elif verb == "stop":
        left = assembly.stop_factory(file)
        output.show({"stopped": left is None, "workers_removed": left or 0}, [_ended(left)])
    elif verb == "start":
        recipe = resolve(file)
        started = assembly.start_factory(recipe.loaded, assembly.factory_plan(recipe))
        output.show(started, factory.lines(started))
    else:
        recipe = resolve(file)
        printed = factory.printed(assembly.factory_plan(recipe), recipe.loaded)
        output.show(printed.as_json(), [printed.as_text()])


def _ended(left: int | None) -> str:
    if left is None:
        return "the factory has ended, and its workers with it"
    return f"no factory runs; {left} workers were left of an earlier one, and removed"
