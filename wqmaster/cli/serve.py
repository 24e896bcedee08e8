"""wqmaster serve: run the campaigns of a folder until stopped."""

import contextlib
import shlex
import signal
import time
from pathlib import Path
from types import FrameType

import click

from wqmaster.cli.common import Duration, outlive
from wqmaster.cli.view import say, stop_words
from wqmaster.run.service.service import Service
from wqmaster.run.service.shared import shared_by
from wqmaster.run.service.unit import unit_of
from wqmaster.system.this_command import suggest_absolutely


@click.command()
@click.argument("paths", metavar="[FOLDER|FILE]...", type=click.Path(path_type=Path), nargs=-1)
@click.option(
    "--grace",
    type=Duration(),
    default="60s",
    show_default=True,
    metavar="TIME",
    help="Time for running tasks to finish after SIGTERM or Ctrl-C (5min).",
)
@click.option("--no-audit", is_flag=True, help="Also serve campaigns that ask for an audit first.")
@click.option(
    "--print-unit", is_flag=True, help="Print a systemd unit for this service, and do nothing else."
)
@click.option("-q", "--quiet", is_flag=True, help="Print only errors.")
def command(
    paths: tuple[Path, ...], grace: float, no_audit: bool, print_unit: bool, quiet: bool
) -> None:
    """Run all campaigns of a folder, and those added later.

    FOLDER (default: the current one) contains a service.yaml. While the service is running, it
    starts the campaigns whose files are added, applies changes to campaign files, and ends the
    campaigns whose files are removed. 'wqmaster status FOLDER' shows the campaigns.

    SIGTERM or Ctrl-C: running tasks may finish within the grace period; twice: stop immediately.
    SIGHUP: look for changed files and for new documents now.
    """
    paths = paths or (Path(),)
    shared = shared_by(paths)
    if print_unit:
        click.echo(unit_of(shared, paths, grace=grace, audits=not no_audit), nl=False)
        return
    suggest_absolutely()
    outlive(say)
    signals: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        signals.append(number)

    def told(text: str) -> None:
        if not quiet:
            say(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}")

    with contextlib.ExitStack() as stack:
        service = stack.enter_context(Service(shared, audits=not no_audit, say=told))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)
        told(f"service '{shared.name}' is running: {service.first_line}")
        if shared.open_folder is not None:
            folder = shared.open_folder.absolute()
            say(
                f"every user of this computer can write to the folder {folder}, and so run "
                f"programs as you; to prevent that: chmod o-w {shlex.quote(str(folder))}",
                err=True,
            )
        stops = 0
        while not service.ended:
            while signals:
                came = signals.pop(0)
                if came == signal.SIGHUP:
                    service.rescan()
                    continue
                stops += 1
                told(stop_words(stops, grace, by_key=came == signal.SIGINT))
                service.drain(grace)
            service.turn()
        left = service.finish()
    if left:
        say(left, err=True)
    told(f"service '{shared.name}' has ended")
