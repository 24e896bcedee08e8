"""wqmaster adopt: turn existing outputs into documents with results."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import click

from wqmaster.cli.common import Folder, Size, Whole, counted, loaded, printable
from wqmaster.cli.output import Output, json_option, progress
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import StructureError, WqmasterError
from wqmaster.offline.adopt import Adoption, Wish, step_of
from wqmaster.offline.adopting.account import Account
from wqmaster.offline.adopting.judging import Options
from wqmaster.recipe.resolving import resolve
from wqmaster.run import campaign_folder
from wqmaster.run.opening import opened
from wqmaster.system.this_command import this_command

_PROGRAMS = ("orca", "xtb")


def _lines(account: Account, place: str, folder: Path, dry: bool) -> Iterator[str]:
    would = "would be adopted" if dry else "adopted"
    # A collection and, after a comma, the field of the results.
    where = "{}, field {}".format(*place.split(", ", 1))
    parts = [f"{account.adopted:,} {would} into {where}"]
    if account.there:
        parts.append(f"{account.there:,} already there")
    if account.refused:
        parts.append(f"{account.refused.total():,} refused")
    yield f"{folder}: {counted(account.outputs, 'output')}: {', '.join(parts)}"
    for name, count in account.refused.most_common():
        yield f"  refused: {name}: {count:,}"
        for path, message in account.examples[name]:
            yield f"    {printable(path)}: {printable(message)}"
    for name, count in account.lacking.most_common():
        yield f"  without {name}: {counted(count, 'result')}"
    for name in account.listed:
        asked = account.asked[name]
        settings = asked.get("keywords", asked.get("arguments"))
        others = f", {account.others[name]:,} refused" if account.others[name] else ""
        yield (
            f"  recipe {name}: {account.recipes[name]:,} {would}{others}: version "
            f"{printable(str(asked.get('version')))}: {printable(str(settings))}"
        )
    if account.refused_file is not None and account.refused:
        yield f"  all refused outputs: {account.refused_file}"


@click.command()
@click.argument("folder", type=Folder())
@click.option(
    "--program",
    type=click.Choice(_PROGRAMS),
    required=True,
    help="Program that wrote the outputs.",
)
@click.option(
    "-C",
    "--campaign",
    type=click.Path(path_type=Path),
    default="campaign.yaml",
    help="Campaign file (default: ./campaign.yaml).",
)
@click.option("--step", metavar="NAME", help="Step whose results the outputs become.")
@click.option("--prefix", help="Make ids PREFIX/PATH (default: PATH below FOLDER).")
@click.option(
    "--lenient", is_flag=True, help="Leave out values that a run did not compute (default: refuse)."
)
@click.option(
    "--mix-recipes", is_flag=True, help="Adopt outputs of any settings, each as its own recipe."
)
@click.option("--recipe", metavar="HASH", help="Adopt only outputs of this recipe.")
@click.option("--limit", type=Whole(1), help="Stop after this many outputs.")
@click.option(
    "--max-size", type=Size(), default="256 MB", show_default=True, help="Refuse larger files."
)
@click.option(
    "--jobs",
    type=Whole(1, 512),
    help="Processes that read outputs (default: one per core).",
)
@click.option("--dry-run", is_flag=True, help="Read and judge outputs, but store nothing.")
@json_option
def command(
    folder: Path,
    program: str,
    campaign: Path,
    step: str | None,
    prefix: str | None,
    lenient: bool,
    mix_recipes: bool,
    recipe: str | None,
    limit: int | None,
    max_size: int,
    jobs: int | None,
    dry_run: bool,
    output: Output,
) -> None:
    """Turn the outputs below FOLDER into documents with results.

    Every output of the program is recognized by its content, diagnosed, and read with the parsers
    of the campaign's step. What a run would refuse is refused here, too: examples are printed by
    class, and adopt-refused.jsonl in the campaign's folder lists every refused output.

    Only outputs with the settings of the step are adopted; --dry-run with --mix-recipes lists the
    recipes of all outputs that it would adopt. The command can be repeated: it skips adopted
    outputs.

    Exit codes: 0 all outputs were adopted; 1 some were refused; 2 there are none.
    """
    if recipe is not None and mix_recipes:
        raise click.UsageError("use --recipe or --mix-recipes, not both")
    if recipe is not None and not re.fullmatch("[0-9a-f]{16}", recipe):
        raise click.UsageError(f"--recipe: '{recipe}' is not a hash of 16 hexadecimal digits")
    resolved = resolve(loaded(campaign), runs=False)
    chosen = step_of(resolved, program, step)
    options = Options(
        step=chosen.request.name,
        prefix=prefix,
        most_bytes=max_size << 20,
        lenient=lenient,
        any_settings=mix_recipes or recipe is not None,
        recipe=recipe,
    )
    processes = jobs or len(os.sched_getaffinity(0))
    wish = Wish(mix=mix_recipes, limit=limit, dry=dry_run, processes=processes)
    account = Account(str(folder))
    file = resolved.loaded
    if not dry_run:
        campaign_folder.enter(file)
    with opened(file) as store:
        place = f"{store.documents.full_name}, {store.campaign.output_key}.{options.step}"
        with progress(f"reading {folder}", "{} outputs") as show:
            adoption = Adoption(resolved, store, options, wish, show)
            adoption.check()
            try:
                adoption.take(account, file.folder if file.folder.is_dir() else None)
            except WqmasterError as error:
                output.show(_value(account, place), (), error=error)
                raise
    if not account.outputs and not account.files:
        more = ", ".join(f"{kind} ({count:,})" for kind, count in account.skipped.items())
        raise StructureError(
            f"{folder}: there are no files in this folder{f' (skipped: {more})' if more else ''}; "
            "name the folder with the outputs",
            code=ErrorCode.OUTPUT_NOT_RECOGNIZED,
        )
    if not account.outputs:
        raise StructureError(
            f"{folder}: none of its {counted(account.files, 'file')} is an output of {program}; "
            f"'{this_command()} parse --program {program} FILE' reports why a file is not one",
            code=ErrorCode.OUTPUT_NOT_RECOGNIZED,
        )
    output.show(_value(account, place), _lines(account, place, folder, dry_run))
    if account.refused:
        raise SystemExit(1)


def _value(account: Account, place: str) -> dict[str, object]:
    return {"results": place, **account.as_json()}
