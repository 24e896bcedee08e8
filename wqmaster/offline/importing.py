"""Import structure files into a collection: each file whole or not at all, every record counted.

All records of a file are read first, and their documents are written to a temporary file; only then
are the documents inserted. This bounds the memory, and reveals a bad record at the end of a file
before the first document of that file is in the database.
"""

import hashlib
import itertools
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from bson import decode_file_iter, encode
from bson.errors import BSONError
from pymongo.errors import PyMongoError

from wqmaster.database.attempts import key_of
from wqmaster.database.documents import Store
from wqmaster.database.reasons import reason
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import BadDocument, DatabaseError, Defect, StructureError
from wqmaster.jobs.molecule import Document, coincidence, from_document, lookup, shown_id
from wqmaster.offline.refused_records import RefusedFile, RefusedRecord
from wqmaster.structures.base import IdFault, Note, Options, Record, Refused
from wqmaster.structures.formats import records_of, stem

# The limits of a batch: records to compare or documents to insert, and bytes of records.
_BATCH_DOCUMENTS = 500
_BATCH_BYTES = 32 << 20
_MAX_DOCUMENT_BYTES = 16 << 20  # MongoDB's limit
# How many refused records a report lists.
MAX_SHOWN = 10
_HASH, _TITLE = "hash", "title"


@dataclass(frozen=True)
class Naming:
    """How documents get their `_id`."""

    prefix: str | None = None  # PREFIX in PREFIX-NUMBER; default: the file's name
    id_from: str | None = None  # "title", "hash", or the name of a field; default: PREFIX-NUMBER


@dataclass
class Account:
    """How the import of one file ended, in numbers of records and documents."""

    file: str
    # records = imported + there + held_back + refused if each record is one document. If a record
    # has several conformers, each conformer is a document.
    records: int = 0
    imported: int = 0
    there: int = 0  # documents already in the collection, or earlier in the file
    held_back: int = 0  # good records, not imported because of others
    refused: int = 0
    first_refused: list[RefusedRecord] = field(default_factory=list)
    notes: Counter[Note] = field(default_factory=Counter)  # number of records for each note
    refused_file: Path | None = None  # the refused records
    reasons_file: Path | None = None  # the reasons for refusing them

    @property
    def is_whole(self) -> bool:
        """Whether no record was refused."""
        return not self.refused

    def as_json(self) -> dict[str, Any]:
        """The account as plain data."""
        return {
            "file": self.file,
            "records": self.records,
            "imported": self.imported,
            "already_there": self.there,
            "held_back": self.held_back,
            "refused": self.refused,
            "notes": {note.value: self.notes[note] for note in Note if note in self.notes},
            "refused_records": [
                {"record": one.number, "line": one.line, "title": one.title, "why": one.why}
                for one in self.first_refused
            ],
            "refused_file": self.refused_file and str(self.refused_file),
            "reasons_file": self.reasons_file and str(self.reasons_file),
        }


class Importer:
    """Imports files into a campaign's collection."""

    def __init__(
        self,
        store: Store,
        options: Options,
        naming: Naming,
        *,
        skip_bad: bool = False,
        scratch: Path | None = None,
        here: Path = Path(),
        show: Callable[[int], None] = lambda records: None,
    ) -> None:
        self._store = store
        self._options = options
        self._naming = naming
        self._skip_bad = skip_bad
        self._scratch = scratch
        self._here = here
        self._show = show

    def take(self, account: Account) -> None:
        """Import the file that `account` names.

        All of it is imported or nothing; with `skip_bad`, its good records. The numbers in
        `account` are correct even if an error is raised.

        Raises:
            StructureError: the file as a whole cannot be read.
            DatabaseError: the database failed.
        """
        path = Path(account.file)
        with (
            tempfile.TemporaryFile(dir=self._scratch) as spool,
            tempfile.NamedTemporaryFile(dir=self._scratch, delete=False) as table,
        ):
            refused = RefusedFile(path, self._here) if self._skip_bad else None
            ids = _Ids(Path(table.name))
            try:
                for record in self._checked(path, account, ids):
                    self._note(account, record, refused)
                    for document in record.documents:
                        spool.write(encode(document))
                        account.held_back += 1
            finally:
                ids.close()
                if refused is not None:
                    account.refused_file, account.reasons_file = refused.close()
            if not account.records:
                raise StructureError(f"{path}: the file contains no records")
            if account.is_whole or self._skip_bad:
                self._insert(spool, account)

    # --- reading -----------------------------------------------------------------------------

    def _checked(self, path: Path, account: Account, ids: "_Ids") -> Iterator[Record]:
        """Yield the records of a file, each either refused or with the documents to insert."""
        found = (self._named(record, path) for record in records_of(path, self._options))
        for batch in _batches(found):
            for record in batch:
                account.records += 1
                self._distinct(record, ids, account)
            self._compare(batch, account)
            self._show(account.records)
            yield from batch

    def _named(self, record: Record, path: Path) -> Record:
        """Check a record's documents and give them their ids."""
        if record.why is not None:
            return record
        try:
            several = len(record.documents) > 1
            for count, document in enumerate(record.documents, start=1):
                molecule = from_document({"_id": 0, **document}, self._options.fields)
                why = coincidence(molecule)
                if why is not None:
                    raise Refused(why)
                record.states_id = "_id" in document
                if not record.states_id:
                    document["_id"] = self._id(record, document, path, count if several else None)
                elif self._naming.id_from is not None:
                    why = "it already has an '_id', so --id-from cannot set another"
                    raise Refused(why, IdFault.OWN)
                elif self._naming.prefix is not None:
                    record.notes.add(Note.OWN_ID)
                if self._naming.id_from == _HASH:
                    bare = replace(molecule, further="")
                    document["_id"] = bare.fingerprint
                if len(encode(document)) > _MAX_DOCUMENT_BYTES:
                    raise Refused("it exceeds the maximum size of a document (16 MB)")
        except (Refused, BadDocument) as error:
            fault = error.id_fault if isinstance(error, Refused) else None
            return record.refuse(_advised(error, record), fault)
        except (BSONError, OverflowError, ValueError, TypeError) as error:
            return record.refuse(f"the database cannot hold it: {error}")
        # `_id` comes first, because MongoDB stores it there.
        record.documents = [{"_id": one.pop("_id"), **one} for one in record.documents]
        return record

    def _id(self, record: Record, document: Document, path: Path, count: int | None) -> Any:
        wanted = self._naming.id_from
        prefix = self._naming.prefix if self._naming.prefix is not None else stem(path)
        value: Any = f"{prefix}-{record.number:07d}"
        if wanted == _TITLE:
            value = record.title or document.get(_TITLE)
        elif wanted is not None and wanted != _HASH:
            value = lookup(document, wanted)
        if value is None or value == "" or isinstance(value, (list, dict, bool, float)):
            what = "title" if wanted == _TITLE else f"field '{wanted}'"
            raise Refused(
                f"it has no {what} to take the _id from"
                if value is None or value == ""
                else f"its {what} cannot be an _id: {value!r:.40}",
                IdFault.MISSING,
            )
        return value if count is None else f"{value}-{count:02d}"

    def _distinct(self, record: Record, ids: "_Ids", account: Account) -> None:
        """Drop repeated documents; refuse a record whose _id an earlier, different one has."""
        kept = []
        for document in record.documents:
            earlier = ids.add(document, record.number)
            if earlier is None:
                kept.append(document)
                continue
            number, same = earlier
            if self._naming.id_from == _HASH:
                record.notes.add(Note.REPEATED)
                account.there += 1
            elif same:
                account.there += 1
            else:
                record.refuse(
                    f"record {number} has the same _id {shown_id(document['_id'])}; "
                    f"{_other_id(record)}",
                    IdFault.OWN_TAKEN if record.states_id else IdFault.TAKEN,
                )
                return
        record.documents = kept

    def _compare(self, batch: list[Record], account: Account) -> None:
        """Drop documents that the collection already has; refuse records that contradict it."""
        known = self._store.known([one["_id"] for record in batch for one in record.documents])
        if not known:
            return
        for record in batch:
            new = []
            for document in record.documents:
                other = known.get(key_of(document["_id"]))
                differs = other and _difference(document, other)
                if other is None:
                    new.append(document)
                elif differs and self._naming.id_from == _HASH:
                    record.notes.add(Note.REPEATED)
                elif differs:
                    record.refuse(
                        f"the collection {self._store.documents.full_name} has a different "
                        f"document {shown_id(document['_id'])} ('{differs}' differs); "
                        f"{_other_id(record)}",
                        IdFault.OWN_TAKEN if record.states_id else IdFault.TAKEN,
                    )
                    break
            else:
                account.there += len(record.documents) - len(new)
                record.documents = new

    def _note(self, account: Account, record: Record, refused: RefusedFile | None) -> None:
        account.notes.update(record.notes)
        if record.why is None:
            return
        account.refused += 1
        one = RefusedRecord.of(record, record.why)
        if len(account.first_refused) < MAX_SHOWN:
            account.first_refused.append(one)
        if refused is not None:
            refused.add(record, one)

    # --- inserting ---------------------------------------------------------------------------

    def _insert(self, spool: IO[bytes], account: Account) -> None:
        spool.seek(0)
        documents = decode_file_iter(spool)
        while batch := list(itertools.islice(documents, _BATCH_DOCUMENTS)):
            try:
                count = self._store.insert(batch, account.file)
            except PyMongoError as error:
                raise DatabaseError(
                    f"the database failed during the import of {account.file}: {reason(error)}",
                    code=ErrorCode.DATABASE_FAILED,
                ) from error
            account.imported += count
            account.held_back -= count


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    """Yield the records in batches that fit in memory, even if the records are large."""
    batch: list[Record] = []
    size = 0
    for record in records:
        batch.append(record)
        size += len(record.raw)
        if len(batch) == _BATCH_DOCUMENTS or size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _advised(error: Refused | BadDocument, record: Record) -> str:
    """The reason for refusing a record, with advice if its multiplicity is impossible."""
    if not isinstance(error, BadDocument):
        return str(error)
    if error.defect is not Defect.IMPOSSIBLE_MULTIPLICITY:
        return error.message
    if not record.multiplicity_from:
        missing = Note.NO_CHARGE in record.notes
        both = "the record states neither charge nor multiplicity; state both in the file or with "
        one = "the record states no multiplicity; state it in the file or with --multiplicity"
        return f"{error.message}; {both + '--charge and --multiplicity' if missing else one}"
    return f"{error.message}; it comes from {record.multiplicity_from}, read as 2S + 1"


def _difference(document: Document, other: Document) -> str | None:
    """The first field in which an imported document differs from the stored one, or None."""
    for name, value in document.items():
        if encode({"v": other.get(name)}) != encode({"v": value}):
            return name
    return None


class _Ids:
    """The ids of a file's documents, kept on disk so that memory does not grow with the file."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path)
        self._connection.execute("PRAGMA synchronous=OFF")
        self._connection.execute("PRAGMA journal_mode=OFF")
        self._connection.execute(
            "CREATE TABLE ids (key TEXT PRIMARY KEY, record INTEGER, digest BLOB) WITHOUT ROWID"
        )
        path.unlink()  # the file stays open; if the process is killed, nothing remains

    def add(self, document: Document, number: int) -> tuple[int, bool] | None:
        """Add a document of the record `number`, unless an earlier one has the same `_id`.

        If so, returns the number of the earlier document's record, and whether the two documents
        are identical; otherwise None.
        """
        key = key_of(document["_id"])
        digest = hashlib.sha256(encode(document)).digest()
        found = self._connection.execute(
            "SELECT record, digest FROM ids WHERE key = ?", (key,)
        ).fetchone()
        if found is not None:
            return found[0], found[1] == digest
        self._connection.execute("INSERT INTO ids VALUES (?, ?, ?)", (key, number, digest))
        return None

    def close(self) -> None:
        """Close the file with the ids, which deletes it."""
        self._connection.close()


def _other_id(record: Record) -> str:
    """What to do about an `_id` that another document has, for the end of a message."""
    if record.states_id:
        return "change the _id in the file, or import it into another collection"
    return "choose other ids with --prefix or --id-from"
