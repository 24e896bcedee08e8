"""wqmaster reparse: apply the current parsers to the archives that were kept."""

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from wqmaster.cli.common import campaign_argument, counted, loaded, printable, typed
from wqmaster.cli.output import Output, json_option
from wqmaster.jobs.molecule import shown_id
from wqmaster.offline.reparse import Kind, Reparse, told
from wqmaster.recipe.resolving import resolve
from wqmaster.run import campaign_folder
from wqmaster.run.opening import opened
from wqmaster.run.spool import Spool
from wqmaster.system.locks import FolderLock
from wqmaster.system.this_command import this_command

# How many documents of each kind are reported by id.
_MAX_NAMED_DOCUMENTS = 10


def _lines(
    work: Reparse, shown: Sequence[str], spool: Path, campaign: Path, write: bool
) -> Iterator[str]:
    yield from shown
    counts = [f"{work.counts[kind]:,} {kind.value}" for kind in Kind if work.counts[kind]]
    yield f"archived jobs: {', '.join(counts)}" if counts else "nothing to compare"
    for verb, found in (("warn about", work.warned), ("refuse", work.refused)):
        if found:
            names = ", ".join(f"{name} {count:,}" for name, count in found.most_common())
            yield f"checks that {verb} archived jobs: {names}"
    if work.unreadable:
        yield f"{counted(work.unreadable, 'damaged archive')} cannot be read"
    if not any(work.counts[kind] for kind in Kind) and not work.unreadable:
        yield f"no archive is kept in {spool}; set 'archive: {{keep: all}}' to keep archives"
    elif write:
        kept = f"; the replaced values are in {work.log}" if work.log else ""
        yield f"{work.written} written{kept}"
        for document, why in work.not_stored[:_MAX_NAMED_DOCUMENTS]:
            yield f"document {shown_id(document)}: not stored: {printable(why)}"
        if work.not_stored:
            yield f"not stored: {counted(len(work.not_stored), 'result')}"
    elif any(work.counts[kind] for kind in (Kind.CHANGED, Kind.NEW, Kind.CURED, Kind.FAILING)):
        command = f"{this_command()} reparse {typed(campaign)} --write"
        yield f"nothing was written; to store changes: {command}"


@click.command()
@campaign_argument
@click.option("--write", is_flag=True, help="Store the changes (default: only report them).")
@json_option
def command(campaign: Path, write: bool, output: Output) -> None:
    """Apply the current parsers to the kept archives.

    Differences from the stored results are reported.

    By default only archives of failed attempts are kept; 'archive: {keep: all}' keeps those of all
    jobs. --write stores changed and new values, stores the results of failed attempts that now
    succeed, and turns results that are now refused into recorded failures. The
    campaign's folder keeps what it replaces (reparse-DATE.jsonl).
    """
    recipe = resolve(loaded(campaign), runs=False)
    file = recipe.loaded
    reported: Counter[Kind] = Counter()
    shown: list[str] = []
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(opened(file, existing=True))
        if write and file.folder.is_dir():
            campaign_folder.enter(file)
            stack.callback(FolderLock(file.folder).close)
        work = Reparse(
            recipe,
            store,
            Spool(file.folder / "spool", file.campaign.archive.most_bytes),
            file.folder,
        )
        # Text that a user's parser prints is not part of the report.
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        for finding in work.findings():
            reported[finding.kind] += 1
            named = finding.kind not in (Kind.SAME, Kind.EARLIER)
            if named and reported[finding.kind] <= _MAX_NAMED_DOCUMENTS:
                shown += told(finding)
            if write:
                work.write(finding)
    value = {
        "counts": {kind.value: work.counts[kind] for kind in Kind},
        "examples": shown,
        "written": work.written,
        "unreadable": work.unreadable,
        "checks": {"warned": dict(work.warned), "refused": dict(work.refused)},
        "not_stored": len(work.not_stored),
        "before": str(work.log) if work.log else None,
    }
    output.show(value, _lines(work, shown, file.folder / "spool", campaign, write))
