"""wqmaster export: write results as a data set for the trainer of a neural-network potential."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from wqmaster.cli.common import Whole, counted, loaded, printable
from wqmaster.cli.output import Output, json_option, progress
from wqmaster.cli.queries import checked_query, json_query
from wqmaster.datasets.export import Account, Export, Order
from wqmaster.datasets.labels import Wishes, labels_of
from wqmaster.datasets.recipes import accept_recipes
from wqmaster.datasets.source import Selection, Source
from wqmaster.datasets.splits import Splits
from wqmaster.datasets.targets import TARGETS, check_installed, check_name
from wqmaster.errors import UsageError
from wqmaster.recipe.resolving import resolve
from wqmaster.run.opening import opened

_MAX_SHOWN_IDS = 3


def _sample(value: str) -> int | None:
    if value == "all":
        return None
    if value == "none":
        return 0
    try:
        number = int(value)
    except ValueError:
        number = 0
    if number < 1:
        raise click.UsageError("--verify must be a number of frames above 0, 'all' or 'none'")
    return number


def _lines(account: Account, order: Order) -> Iterator[str]:
    for path, rows in account.files.items():
        proof = account.proofs.get(path)
        words = "not verified"
        if proof is not None:
            reader = "" if proof.reader == "wqmaster" else f" by {proof.reader}"
            words = f"{proof.compared:,} read back{reader} and compared"
        yield f"{path}: {counted(rows, 'frame')}, {words}"
    for path in account.others:
        yield str(path)
    yield f"{counted(account.frames, 'frame')} of {counted(account.documents, 'document')}"
    if account.references:
        yield f"reference atoms: {', '.join(account.references)}"
    for reason, (count, ids) in account.left_out.items():
        more = ", ..." if count > len(ids[:_MAX_SHOWN_IDS]) else ""
        named = ", ".join(map(printable, ids[:_MAX_SHOWN_IDS]))
        which = f": {named}{more}" if ids else ""
        yield f"left out: {count:,} ({printable(reason)}){which}"
    for check, count in account.warned.items():
        yield f"warned by the check {check}: {counted(count, 'frame')}"
    if account.duplicates and not order.dedupe:
        yield f"duplicates: {account.duplicates:,}, which --dedupe leaves out"
    for conflict in account.conflicts:
        yield f"conflict: {printable(conflict)}"


def _value(account: Account) -> dict[str, Any]:
    return {
        "frames": account.frames,
        "documents": account.documents,
        "files": [
            {
                "path": str(path),
                "rows": rows,
                "reader": proof.reader if (proof := account.proofs.get(path)) else None,
                "compared": proof.compared if proof else 0,
                "largest_deviations": proof.largest if proof else {},
            }
            for path, rows in account.files.items()
        ],
        "others": [str(path) for path in account.others],
        "reference_atoms": account.references,
        "left_out": [
            {"reason": reason, "count": count, "ids": ids}
            for reason, (count, ids) in account.left_out.items()
        ],
        "warned": account.warned,
        "duplicates": account.duplicates,
        "conflicts": account.conflicts,
        "remarks": account.remarks,
    }


@click.command()
@click.argument("campaigns", metavar="[CAMPAIGN]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--for",
    "target",
    type=click.Choice(list(TARGETS)),
    required=True,
    help="The trainer, or the format.",
)
@click.option(
    "-o", "--output", "path", type=click.Path(path_type=Path), required=True, help="File to write."
)
@click.option("--step", help="Step whose values are exported (default: the last with an energy).")
@click.option(
    "--geometry",
    metavar="document|STEP",
    help="Where the geometry comes from (default: the one that is certain to belong to the "
    "values).",
)
@click.option("--frames", is_flag=True, help="All frames of optimizations (parser 'frames').")
@click.option("--energy", metavar="NAME", help="Parser of the energy (default: energy).")
@click.option("--charges", metavar="NAME", help="Parser of the atomic charges.")
@click.option("--query", metavar="JSON", help="Only documents that this MongoDB query selects.")
@click.option("--mix-recipes", is_flag=True, help="Write results of several recipes to one file.")
@click.option(
    "--splits",
    metavar="FRACTIONS",
    help="Write parts, such as 0.8,0.1,0.1; no molecule is in two of them.",
)
@click.option("--seed", type=Whole(), default=0, show_default=True, help="Seed of the parts.")
@click.option("--group", metavar="FIELD", help="Field whose values stay together in one part.")
@click.option("--dedupe", is_flag=True, help="Leave out duplicates (default: only count them).")
@click.option(
    "--verify",
    metavar="N|all|none",
    default="1000",
    show_default=True,
    help="Frames to read back and compare with the database.",
)
@click.option("--limit", type=Whole(1), help="Write at most this many frames.")
@click.option("-f", "--force", is_flag=True, help="Replace existing files.")
@json_option
def command(
    campaigns: tuple[Path, ...],
    target: str,
    path: Path,
    step: str | None,
    geometry: str | None,
    frames: bool,
    energy: str | None,
    charges: str | None,
    query: str | None,
    mix_recipes: bool,
    splits: str | None,
    seed: int,
    group: str | None,
    dedupe: bool,
    verify: str,
    limit: int | None,
    force: bool,
    output: Output,
) -> None:
    """Write the results of campaigns as a data set.

    The file is read back and compared with the database before it appears, and a data card
    (.card.md, .card.json) beside it states what it holds: level of theory, units, counts, checks,
    and what was left out and why. Stale results are left out.

    Energies are total energies, forces the negative gradient; docs/datasets.md lists the keys and
    units of each format.
    """
    wanted = None if query is None else json_query(query)
    order = Order(
        target=TARGETS[target],
        path=path,
        command=_command_line(),
        splits=Splits.parse(splits, seed) if splits is not None else None,
        dedupe=dedupe,
        verify=_sample(verify),
        limit=limit,
        force=force,
    )
    if group is not None and splits is None:
        raise click.UsageError("--group needs --splits")
    if group is not None and (group.startswith("$") or not all(group.split("."))):
        raise click.UsageError(f"--group: {group!r} is not the name of a field")
    check_installed(order.target)
    check_name(order.target, path)
    wishes = Wishes(step, geometry, frames, energy, charges)
    with contextlib.ExitStack() as stack:
        sources = []
        for campaign in campaigns or (Path("campaign.yaml"),):
            recipe = resolve(loaded(campaign), runs=False)
            labels = labels_of(recipe, wishes)
            store = stack.enter_context(opened(recipe.loaded, existing=True))
            if wanted is not None:
                checked_query(store, wanted)
            chosen = Selection(wanted or {}, group)
            sources.append(Source(recipe, store, labels, chosen))
        _check_names(sources)
        accept_recipes(sources, mixed=mix_recipes)
        show = stack.enter_context(progress(f"writing {path}", "{} frames"))
        account = Export(sources, order, show).run()
    for remark in account.remarks:
        output.warning(remark)
    output.show(_value(account), _lines(account, order))


def _check_names(sources: Sequence[Source]) -> None:
    """Check that the campaigns have different names, which distinguish the ids of their documents.

    Raises:
        UsageError: two have the same name.
    """
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"two of the campaigns have the name '{name}', so their documents would have the "
                "same ids; name each campaign once"
            )


def _command_line() -> list[str]:
    """The words of the command, for the data card."""
    return ["wqmaster", *sys.argv[1:]]
