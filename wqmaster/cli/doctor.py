"""wqmaster doctor: each thing that can be missing or wrong, in a line, with what mends it."""

import os
from dataclasses import asdict
from pathlib import Path

import click

from wqmaster.cli.common import json_option, print_json
from wqmaster.doctor import examination

_MARKS = {"ok": "ok     ", "warning": "warning", "wrong": "WRONG  "}


@click.command()
@click.argument("campaign", type=click.Path(path_type=Path), required=False)
@json_option
@click.pass_context
def command(ctx: click.Context, campaign: Path | None, as_json: bool) -> None:
    """Look at this machine, and at what CAMPAIGN needs; no job is run, nothing stays changed.

    Without CAMPAIGN: campaign.yaml of this folder if it is there, else the machine alone. Exit code
    2: the campaign file is wrong; 3: something else is; 0: nothing is, warnings aside.
    """
    findings, code = examination.examine(campaign or examination.default_campaign(), os.environ)
    if as_json:
        print_json({"findings": [asdict(finding) for finding in findings], "exit_code": code})
    else:
        width = max(len(finding.subject) for finding in findings)
        for finding in findings:
            click.echo(f"{_MARKS[finding.state]}  {finding.subject:<{width}}  {finding.seen}")
            if finding.fix is not None:
                click.echo(f"{'':<{width + 11}}-> {finding.fix}")
    ctx.exit(code)
