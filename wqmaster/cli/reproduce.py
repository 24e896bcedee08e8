"""wqmaster reproduce: compute one stored result again, and compare."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from wqmaster.cli.common import first_campaign_argument, loaded, possible_ids, printable
from wqmaster.cli.output import Output, json_option
from wqmaster.database.documents import Store
from wqmaster.datasets.ids import ids_of_row
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import NothingMatches
from wqmaster.jobs.molecule import Document, shown_id
from wqmaster.offline.differences import Agreement, ValueDifference
from wqmaster.offline.reproduce import Reproduction, reproduced
from wqmaster.recipe.resolving import resolve
from wqmaster.run.opening import opened
from wqmaster.run.programs import check_programs

# The number of a frame, which a data set adds to the id of a document.
_FRAME = re.compile(r"#[0-9]+$")


def _document(store: Store, text: str) -> Document:
    """The document with this id, as it is typed elsewhere or as a data set states it.

    A data set adds the number of a frame, and if it holds several campaigns, their names.

    Raises:
        NothingMatches: there is none.
    """
    mixed = store.reader.has_other_ids_than_texts()
    without_campaign = text.removeprefix(f"{store.campaign.campaign}/")
    for stated in dict.fromkeys((text, without_campaign)):
        for typed in dict.fromkeys((stated, _FRAME.sub("", stated))):
            for candidate in (*ids_of_row(typed, mixed=mixed), *possible_ids(typed)):
                found = store.one(candidate)
                if found is not None:
                    return found
    raise NothingMatches(
        f"there is no document {text!r} in {store.documents.full_name}",
        code=ErrorCode.DOCUMENT_NOT_FOUND,
    )


def _value(found: Reproduction) -> dict[str, Any]:
    failure = found.failure
    return {
        "document": found.document,
        "agreement": found.agreement,
        "failure": failure
        and {"class": failure.kind.label, "message": failure.message, "step": failure.step},
        "values": [
            {
                "step": one.step,
                "name": one.name,
                "agreement": one.agreement,
                "largest": one.largest,
                "tolerance": one.tolerance,
                "unit": one.unit,
                "why": one.why or None,
            }
            for one in found.values
        ],
        "versions": {
            step: {"stored": before, "here": now} for step, (before, now) in found.versions.items()
        },
        "remarks": found.remarks,
    }


def _lines(found: Reproduction) -> Iterator[str]:
    yield f"document {shown_id(found.document)}"
    for step, (before, now) in found.versions.items():
        if before != now:
            yield f"  step {step}: the program's version was {before}, and is {now} here"
        elif now is not None:
            yield f"  step {step}: the program's version is {now}, as before"
    for remark in found.remarks:
        yield f"  {remark}"
    for one in found.values:
        yield f"  {one.step + '.' + one.name:<28} {_told(one)}"
    if found.failure is not None:
        message = printable(found.failure.message)
        yield f"failed: {found.failure.kind.label}: {message}"
    yield str(found.agreement)


def _told(one: ValueDifference) -> str:
    if one.why:
        return f"{one.agreement}: {printable(one.why)}"
    if one.agreement is Agreement.IDENTICAL:
        return str(one.agreement)
    if one.tolerance is None:
        return f"{one.agreement}: largest difference {one.largest:.2g} (tolerance: relative)"
    unit = f" {one.unit}" if one.unit else ""
    return (
        f"{one.agreement}: largest difference {one.largest:.2g}{unit} "
        f"(tolerance {one.tolerance:g}{unit})"
    )


@click.command()
@first_campaign_argument
@click.argument("document", metavar="ID")
@json_option
def command(campaign: Path, document: str, output: Output) -> None:
    """Compute a stored result of CAMPAIGN again, and compare.

    The document with this ID is computed on this machine with the molecule, recipe and remedies
    that its result states. Each value is compared with the stored one. Nothing is stored.
    """
    recipe = resolve(loaded(campaign))
    check_programs(recipe)
    with opened(recipe.loaded, existing=True) as store:
        found = reproduced(recipe, store, _document(store, document))
    output.show(_value(found), _lines(found))
    if found.agreement is Agreement.DIFFERS:
        raise SystemExit(1)
