"""The reader for JSON Lines files, with one document per line in MongoDB's Extended JSON."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bson import Regex, json_util

from wqmaster.campaign.base import as_written
from wqmaster.campaign.wording import plain_json
from wqmaster.jobs.molecule import lookup
from wqmaster.structures.base import Note, Options, Record, Refused, put
from wqmaster.structures.files import numbered_lines, text_of
from wqmaster.structures.state import Implied, charge_of, looks_like_state, multiplicity_of

# Finds the id in a line that is not valid JSON.
_ID = re.compile(rb'"_id"\s*:\s*"([^"\\]+)"')


def read(path: Path, options: Options) -> Iterator[Record]:
    """The documents in a file, to which charge and multiplicity are added if other keys state them.

    Everything else remains unchanged, including `_id`.
    """
    number = 0
    for line, raw in numbered_lines(path):
        if not raw.strip():
            continue
        number += 1
        record = Record(number, line, "", raw + b"\n")
        try:
            _fill(record, options)
        except Refused as error:
            record.refuse(error)
        except (ValueError, TypeError, RecursionError) as error:
            why = str(error)
            if isinstance(error, json.JSONDecodeError):  # its line number is always 1
                why = f"{plain_json(error)} (column {error.colno})"
            record.refuse(f"invalid JSON: {why}")
            found = _ID.search(raw)
            record.title = text_of(found[1]) if found else ""
        yield record


def _is_id(value: Any) -> bool:
    """Whether a document may have this `_id`: what MongoDB accepts, except for null."""
    if isinstance(value, dict):
        return not any(name.startswith("$") for name in value)
    return value is not None and not isinstance(value, (list, Regex))


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The dict of an object; Refused if a key has two values, of which Python takes the last."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found and found[name] != value:
            raise Refused(f"it has two values of '{name[:60]}'")
        found[name] = value
    return found


def _fill(record: Record, options: Options) -> None:
    text = record.raw.decode().rstrip("\n")
    json.loads(text, object_pairs_hook=_without_repeats)
    document = json_util.loads(text)
    if not isinstance(document, dict):
        raise Refused(f"not a document: {document!r:.60}")
    record.title = "" if document.get("_id") is None else str(document["_id"])
    if "_id" in document and not _is_id(document["_id"]):
        raise Refused(f"its '_id' cannot be used: {as_written(document['_id'])}")
    fields = options.fields
    names = (fields.atomic_numbers, fields.coordinates)
    if any(lookup(document, name) is not None for name in names):
        info = dict(document)
        for name in (fields.charge, fields.multiplicity):
            info.pop(name, None)
            if lookup(document, name) is not None:
                info[name] = lookup(document, name)
        charge = charge_of(info, Implied(), options)
        multiplicity = multiplicity_of(info, Implied(), options)
        record.multiplicity_from = "" if multiplicity is None else "the document"
        if (charge is None or multiplicity is None) and looks_like_state(info):
            record.notes.add(Note.LOOKALIKE)
        for name, value, note in (
            (fields.charge, charge, Note.NO_CHARGE),
            (fields.multiplicity, multiplicity, Note.NO_MULTIPLICITY),
        ):
            if value is None:
                record.notes.add(note)
            elif lookup(document, name) is None:
                put(document, name, value)
    if lookup(document, options.output_key) is not None:
        record.notes.add(Note.HAS_RESULTS)
    record.documents = [document]
