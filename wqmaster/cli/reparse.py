"""wqmaster reparse: today's parsers on the archives that were kept."""

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from wqmaster.cli.common import campaign_argument, loaded, typed
from wqmaster.cli.output import Output, json_option
from wqmaster.offline.reparse import Kind, Reparse, told
from wqmaster.recipe.resolving import resolve
from wqmaster.run import assembly
from wqmaster.run.spool import Spool
from wqmaster.system.locks import FolderLock

# Documents of each kind that are told by name.
_MAX_NAMED_DOCUMENTS = 10


def _lines(
    work: Reparse, shown: Sequence[str], spool: Path, campaign: Path, write: bool
) -> Iterator[str]:
    yield from shown
    counts = [f"{work.counts[kind]} {kind.value}" for kind in Kind if work.counts[kind]]
    yield ", ".join(counts) or "nothing"
    if work.unreadable:
        yield f"{work.unreadable} archives are broken and cannot be read"
    if not any(work.counts[kind] for kind in Kind) and not work.unreadable:
        yield f"no archive is kept in {spool}; 'archive: {{keep: all}}' keeps them"
    elif write:
        kept = f"; what was replaced: {work.log}" if work.log else ""
        yield f"{work.written} written{kept}"
    elif any(work.counts[kind] for kind in (Kind.CHANGED, Kind.NEW, Kind.CURED, Kind.FAILING)):
        yield f"nothing was written; to store this: wqmaster reparse {typed(campaign)} --write"


@click.command()
@campaign_argument
@click.option("--write", is_flag=True, help="Store what differs; without it, only report.")
@json_option
def command(campaign: Path, write: bool, output: Output) -> None:
    """Read the kept archives again with the parsers of today.

    What differs from the stored results is reported.

    Archives of failed attempts are kept by default, of all jobs with 'archive: {keep: all}'. With
    --write, changed and new values are stored, failed attempts that are results now become so, and
    results that are refused now are taken out and recorded as failures. What was replaced is kept
    in reparse-DATE.jsonl in the campaign's folder.
    """
    recipe = resolve(loaded(campaign), runs=False)
    file = recipe.loaded
    told_of: Counter[Kind] = Counter()
    shown: list[str] = []
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(assembly.opened(file, existing=True))
        if write and file.folder.is_dir():
            stack.callback(FolderLock(file.folder).close)
        work = Reparse(recipe, store, Spool(file.folder / "spool"), file.folder)
        # What a user's parser prints is not part of the report.
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        for finding in work.findings():
            told_of[finding.kind] += 1
            named = finding.kind not in (Kind.SAME, Kind.EARLIER)
            if named and told_of[finding.kind] <= _MAX_NAMED_DOCUMENTS:
                shown += told(finding)
            if write:
                work.write(finding)
    value = {
        "counts": {kind.value: work.counts[kind] for kind in Kind},
        "examples": shown,
        "written": work.written,
        "unreadable": work.unreadable,
        "before": str(work.log) if work.log else None,
    }
    output.show(value, _lines(work, shown, file.folder / "spool", campaign, write))
