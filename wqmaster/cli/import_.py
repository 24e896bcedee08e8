"""wqmaster import: put structure files into the campaign's collection."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from wqmaster.cli.common import Whole, counted, first_campaign_argument, loaded, printable
from wqmaster.cli.output import Output, json_option, progress
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import StructureError, WqmasterError
from wqmaster.offline.importing import MAX_SHOWN, Account, Importer, Naming
from wqmaster.recipe.resolving import resolve
from wqmaster.run.opening import opened
from wqmaster.structures.base import IdFault, Note, Options
from wqmaster.structures.formats import check_of_smiles

# These options state the same for every record, so a refusal can be due to them, unless it is about
# the `_id`.
_OF_ALL_RECORDS = ("charge", "multiplicity")


def _say(output: Output, account: Account, place: str, skip_bad: bool, *, alone: bool) -> None:
    """Report the outcome for a file at once, because the next file can take a long time.

    The reason for the only refusal in the only file (`alone`) is left to the command's error.
    """
    parts = _parts(account, place)
    output.remark(f"{account.file}: {counted(account.records, 'record')}: {', '.join(parts)}")
    for note in Note:
        if note in account.notes:
            output.remark(f"  {note.words} ({counted(account.notes[note], 'record')})")
    in_error = alone and account.refused == 1 and not skip_bad
    for one in () if in_error else account.first_refused:
        output.remark(f"  refused: {printable(one.place)}: {printable(one.why)}", err=True)
    if account.refused > len(account.first_refused):
        output.remark(f"  refused: {account.refused - MAX_SHOWN:,} more", err=True)
    if account.refused and skip_bad:
        kept = f"records in {account.refused_file}, " if account.refused_file else ""
        output.remark(f"  refused: {kept}reasons in {account.reasons_file}")


def _parts(account: Account, place: str) -> list[str]:
    """What became of the records, in numbers that add up to all records of the file."""
    numbers = [
        (account.imported, f"imported into {place}"),
        (account.there, "already there"),
        (account.held_back, "valid, but held back"),
    ]
    refused = [f"{account.refused:,} refused"] if account.refused else []
    valid, total = account.records - account.refused, sum(count for count, _ in numbers)
    there_are = [(count, what) for count, what in numbers if count]
    if total == valid:
        others = [f"{count:,} {what}" for count, what in numbers[1:] if count]
        return [f"{account.imported:,} {numbers[0][1]}", *others, *refused]
    # A record can be several documents: one for each conformer.
    documents = counted(total, "document")
    if len(there_are) == 1:
        return [f"{valid:,} {there_are[0][1]} ({documents})", *refused]
    each = ", ".join(f"{count:,} {what}" for count, what in there_are)
    return [f"{valid:,} valid ({documents}: {each})", *refused]


def _and(words: list[str]) -> str:
    """The words as a list in a sentence."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _or(words: list[str]) -> str:
    """The words as alternatives in a sentence."""
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _went_in(accounts: list[Account], place: str) -> str:
    """How many documents the collection now has from each file, as a clause; "" if none."""
    parts = [
        f"{counted(one.imported + one.there, 'document')} from {one.file}"
        for one in accounts
        if one.imported or one.there
    ]
    return f"; {place} has {', '.join(parts)}" if parts else ""


def _refusal(
    accounts: list[Account], place: str, skip_bad: bool, given: Sequence[str]
) -> StructureError | None:
    """The error that the import ends with; None if no refusal counts as an error."""
    bad = [account for account in accounts if not account.is_whole]
    if bad and not skip_bad:
        first = bad[0].first_refused[0]
        total = sum(account.refused for account in bad)
        where, what = printable(first.place), "the record"
        if total == 1:
            why = f"{bad[0].file}: {where}: {printable(first.why)}"
        else:
            # The reasons for the refusals are printed above or, with --json, are in the result.
            what = "the records"
            why = f"{total:,} records were refused, the first of them {where} of {bad[0].file}"
        others = any(account.refused < account.records for account in bad)
        faults = {one.id_fault for account in bad for one in account.first_refused}
        wrong = [what, *(given if None in faults else ())]
        if IdFault.MISSING in faults:
            wrong.append("--id-from")
        options = {one.option for account in bad for one in account.first_refused if one.option}
        ways = [*(f"use {one}" for one in sorted(options)), f"correct {_or(wrong)}"]
        if faults == {IdFault.OWN}:
            ways = ["leave out --id-from"]
        elif faults == {IdFault.OWN_TAKEN}:
            ways = [] if total == 1 else ["change their ids in the file"]
        elif faults == {IdFault.TAKEN}:
            # The reason for a single refusal ends with this advice.
            ways = [] if total == 1 else ["choose other ids with --prefix or --id-from"]
        if others:
            ways.append("import the others with --skip-bad")
        advice = f"; {', or '.join(ways)}" if ways else ""
        if any(account.refused > len(account.first_refused) for account in bad):
            advice += "; --skip-bad also writes all reasons to a file"
        return StructureError(
            f"{why}; nothing was imported from {_and([account.file for account in bad])}"
            f"{_went_in(accounts, place)}{advice}",
            code=ErrorCode.RECORDS_REFUSED,
        )
    empty = [one.file for one in accounts if one.refused == one.records]
    if empty:
        return StructureError(
            f"{', '.join(empty)}: every record was refused", code=ErrorCode.RECORDS_REFUSED
        )
    return None


@click.command(name="import")
@first_campaign_argument
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--prefix", help="Make ids PREFIX-NUMBER (default: the file's name).")
@click.option(
    "--id-from",
    metavar="title|FIELD|hash",
    help="Take ids from the title, from a field, or from a hash of the molecule.",
)
@click.option(
    "--charge",
    type=Whole(),
    help="Charge of every record, in e; records that state another are refused.",
)
@click.option(
    "--multiplicity",
    type=Whole(1),
    help="Multiplicity (2S+1) of every record; records that state another are refused.",
)
@click.option("--skip-bad", is_flag=True, help="Skip bad records and import the others.")
@click.option(
    "--hydrogens",
    type=click.Choice(["refuse", "keep", "add"]),
    default="refuse",
    show_default=True,
    help="What to do with a molfile that lacks hydrogens.",
)
@click.option(
    "--flat",
    type=click.Choice(["refuse", "keep", "embed"]),
    default="refuse",
    show_default=True,
    help="What to do with a molfile that has a 2D structure (no z coordinates).",
)
@click.option("--smiles-column", metavar="NAME", help="Table column that holds the SMILES.")
@click.option(
    "--conformers",
    type=Whole(1, 1000),
    default=1,
    show_default=True,
    help="Geometries to build from each SMILES.",
)
@click.option(
    "--optimize",
    type=click.Choice(["mmff", "gfnff", "none"]),
    default="mmff",
    show_default=True,
    help="Force field to optimize the geometries that are built.",
)
@json_option
def command(
    campaign: Path,
    files: tuple[Path, ...],
    prefix: str | None,
    id_from: str | None,
    skip_bad: bool,
    output: Output,
    **more: object,
) -> None:
    """Import structure files into CAMPAIGN's collection.

    FILES are SDF or molfiles (.sdf, .mol), SMILES (.smi, or .csv and .tsv with a SMILES column),
    XYZ (.xyz, .extxyz), ASE databases and trajectories (.db, .json, .traj, .aselmdb), data sets
    (.h5, .hdf5, .parquet) and JSON Lines (.jsonl); text files may be compressed (.gz, .bz2, .xz).

    Every record is accounted for. If a file has a bad record, none of it is imported, unless
    --skip-bad is given. Existing documents are skipped, so an interrupted import can be rerun.

    Exit code 2: a file cannot be read, a record was refused without --skip-bad, or all records of a
    file were refused.
    """
    if prefix is not None and id_from is not None:
        raise click.UsageError("use --prefix or --id-from, not both")
    file = resolve(loaded(campaign), runs=False).loaded
    options = Options(
        fields=file.campaign.molecule,
        output_key=file.campaign.output_key,
        **more,  # type: ignore[arg-type]
    )
    check_of_smiles(files, options)
    accounts = []
    with opened(file) as store:
        place = store.documents.full_name
        scratch = file.folder if file.folder.is_dir() else None
        for path in files:
            with progress(f"reading {path}", "{} records") as show:
                importer = Importer(
                    store,
                    options,
                    Naming(prefix, id_from),
                    skip_bad=skip_bad,
                    scratch=scratch,
                    show=show,
                )
                account = Account(str(path))
                accounts.append(account)
                try:
                    importer.take(account)
                except WqmasterError as failure:
                    if any(one.imported or one.there for one in accounts):
                        _ended_early(output, accounts, place, failure)
                    raise
            _say(output, account, place, skip_bad, alone=len(files) == 1)
    given = [f"--{name}" for name in _OF_ALL_RECORDS if more[name] is not None]
    error = _refusal(accounts, place, skip_bad, given)
    output.show(_value(accounts, place), (), error=error)
    if error is not None:
        raise error


def _value(accounts: list[Account], place: str) -> dict[str, Any]:
    return {"collection": place, "files": [account.as_json() for account in accounts]}


def _ended_early(output: Output, accounts: list[Account], place: str, error: WqmasterError) -> None:
    """Add the contents of the collection to an error's message, and show the result so far."""
    error.message += (
        f"{_went_in(accounts, place)}; once this is fixed, import the same files again: existing "
        "documents are skipped"
    )
    output.show(_value(accounts, place), (), error=error)
