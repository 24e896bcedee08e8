"""wqmaster doctor: diagnose this machine and a campaign, one line per finding, with fixes."""

import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from wqmaster.cli.output import Output, json_option
from wqmaster.doctor import examination
from wqmaster.doctor.finding import Finding

_MARKS = {"ok": "ok     ", "warning": "warning", "wrong": "WRONG  "}


def _lines(findings: list[Finding]) -> Iterator[str]:
    width = max(len(finding.subject) for finding in findings)
    subjects: dict[str, list[str]] = {}
    for finding in findings:
        if finding.fix is not None:
            subjects.setdefault(finding.fix, []).append(finding.subject)
    for finding in findings:
        yield f"{_MARKS[finding.state]}  {finding.subject:<{width}}  {finding.seen}"
        if finding.fix is not None and len(subjects[finding.fix]) == 1:
            yield f"{'':<{width + 11}}-> {finding.fix}"
    for fix, those in subjects.items():
        if len(those) > 1:
            *others, last = dict.fromkeys(those)
            yield f"for {', '.join(others)} and {last}:" if others else f"for {last}:"
            yield f"  -> {fix}"


@click.command()
@click.argument("campaign", type=click.Path(path_type=Path), required=False)
@json_option
@click.pass_context
def command(ctx: click.Context, campaign: Path | None, output: Output) -> None:
    """Find what is missing or wrong here, and how to fix it.

    Checks this machine and what CAMPAIGN needs. Runs no jobs and changes nothing. Without CAMPAIGN,
    checks ./campaign.yaml if it exists, otherwise the machine only. Exit codes: 0 no problems
    (warnings allowed), 2 the campaign file is wrong, 3 something else is wrong.
    """
    findings, code = examination.examine(campaign or examination.default_campaign(), os.environ)
    value = {"findings": [asdict(finding) for finding in findings], "exit_code": code}
    output.show(value, _lines(findings))
    ctx.exit(code)
