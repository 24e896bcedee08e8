"""The reader for XYZ files, plain and extended.

This module splits a file into frames, and ASE parses extended frames. The comment in a plain frame
is its title. The comment in an extended frame holds keys, such as charge and multiplicity (extxyz
specification, libAtoms/extxyz README).
"""

import io
import re
from collections.abc import Iterator
from pathlib import Path

from wqmaster.jobs.molecule import NUMBER_OF, SYMBOLS, Document
from wqmaster.structures.ase_atoms import fill
from wqmaster.structures.base import (
    MAX_RECORD_BYTES,
    Note,
    Options,
    Record,
    Refused,
    add_fields,
    put,
)
from wqmaster.structures.files import numbered_lines, text_of
from wqmaster.structures.state import STATE_KEYS, Implied, known, set_state

_COUNT = re.compile(rb"\s*(\d{1,9})\s*")
# The number of columns in a plain frame: symbol, x, y, z.
_COLUMNS = 4
# Fortran can print an exponent with D.
_D_EXPONENT = re.compile(r"[dD](?=[-+]?\d+$)")
_PROPERTIES = re.compile(r"\bproperties\s*=", re.IGNORECASE)
_EXTENDED = re.compile(r"(^|\s)(properties|lattice)\s*=", re.IGNORECASE)
# A name and a value that contains a digit, in plain text or JSON; the value extends to a separator,
# so that `1-` or `2e` is not taken for its first digit.
_STATED = re.compile(
    r"""(?<![A-Za-z_-])([A-Za-z_-]+)["']?\s*[=:]\s*["'\[(]?"""
    r"""([^\s,;|"'\])}\d]{0,20}\d[^\s,;|"'\])}]*)"""
)
# Words that may state a charge or a spin in another way.
_OF_CHARGE = re.compile(r"charge|\b(an|cat)ion", re.IGNORECASE)
_OF_SPIN = re.compile(r"mult|spin|unpaired|\b(uhf|doublet|triplet|radical)\b", re.IGNORECASE)
_PAIR = re.compile(r"""(?<![\w-])([A-Za-z_][\w-]*)=("[^"]*"|'[^']*'|\S*)""")
_TITLES = re.compile(r"""\b(title|name)=(?:"([^"]*)"|'([^']*)'|([^\s"']+))""")
_TWO_NUMBERS = re.compile(r"\s*[-+]?\d{1,2}[\s,]+[1-9]\d?\s*")
# A comment that consists of keys with values, which makes a frame an extended one.
_KEYS = re.compile(
    r"""\s*([A-Za-z_][\w-]*=("[^"]*"|'[^']*'|\{[^}]*\}|\[[^]]*\]|[^\s"'{\[]\S*)(\s+|$))+"""
)


def read(path: Path, options: Options) -> Iterator[Record]:
    """The frames in an XYZ file."""
    for record in _divided(path):
        if record.why is None:
            try:
                _fill(record, options)
            except Refused as error:
                record.refuse(error)
            except KeyError as error:  # ASE looks up elements by their symbols
                record.refuse(f"ASE cannot read it: it does not know {error}")
            except Exception as error:  # ASE can raise any exception
                record.refuse(f"ASE cannot read it: {str(error).rstrip('.')}")
            record.title = record.title or _title_in(record)
        yield record


def _divided(path: Path) -> Iterator[Record]:
    """Each frame with its text; a damaged frame is refused, and reading resumes after it."""
    frames = _Frames()
    for line, raw in numbered_lines(path):
        yield from frames.take(line, raw)
    yield from frames.end()


class _Frames:
    """Splits lines into frames.

    A line with a count begins a frame. If there are fewer atoms than this count, the next line with
    a count ends the frame. Extra lines and lines without a count belong to a damaged frame.
    """

    def __init__(self) -> None:
        self._number = 0
        self._first = 1
        self._lines: list[bytes] = []
        self._size = 0
        self._count: int | None = None  # number of atoms that the frame states

    def take(self, line: int, raw: bytes) -> Iterator[Record]:
        """Add a line, and yield the frame that ends before it, if any."""
        if not self._lines:
            if not raw.strip():
                return
            self._begin(line, raw)
            return
        if self._is_whole() and not raw.strip():
            return  # blank lines between frames
        begins = _COUNT.fullmatch(raw) is not None
        if begins and (len(self._lines) > 1 or self._count is None):
            yield self._made()
            self._begin(line, raw)
            return
        self._size += len(raw) + 1
        if self._size <= MAX_RECORD_BYTES:
            self._lines.append(raw)
        else:
            self._lines.append(b"")
            self._lines.pop(1)

    def end(self) -> Iterator[Record]:
        """Yield the last frame, if any."""
        if self._lines:
            yield self._made()

    def _begin(self, line: int, raw: bytes) -> None:
        count = _COUNT.fullmatch(raw)
        self._number += 1
        self._first, self._lines, self._size = line, [raw], len(raw) + 1
        self._count = int(count[1]) if count else None

    def _is_whole(self) -> bool:
        return self._count is not None and len(self._lines) >= self._count + 2

    def _made(self) -> Record:
        lines, count = self._lines, self._count
        title = text_of(lines[1]).strip() if len(lines) > 1 else ""
        raw = b"\n".join(lines) + b"\n"
        record = Record(self._number, self._first, "", raw)
        if self._size > MAX_RECORD_BYTES:
            record.raw = b""
            return record.refuse(f"the frame is larger than {MAX_RECORD_BYTES >> 20} MB")
        if count is None:
            return record.refuse(
                f"{text_of(lines[0]).strip()[:40]!r} is not the number of atoms that starts a frame"
            )
        if not _is_extended(title):
            record.title = title
        atoms = len(lines) - 2
        if atoms < count:
            return record.refuse(f"it is truncated: {max(atoms, 0)} of {count} atoms")
        if atoms > count:
            return record.refuse(f"it has {atoms} lines of atoms, but its first line says {count}")
        return record


def _fill(record: Record, options: Options) -> None:
    text = text_of(record.raw)
    comment = text.split("\n", 2)[1]
    if _is_extended(comment):
        _states(_PAIR.findall(comment))
        if not _PROPERTIES.search(comment):
            for place, line in enumerate(text.splitlines()[2:], start=1):
                _check_columns(line.split(), place)
        from ase.io import read as ase_read

        fill(record, ase_read(io.StringIO(text), format="extxyz", index=0), options)
        return
    document: Document = {}
    rows = [line.split() for line in text.splitlines()[2:]]
    atoms = [_atom(words, place) for place, words in enumerate(rows, start=1)]
    put(document, options.fields.atomic_numbers, [number for number, _ in atoms])
    put(document, options.fields.coordinates, [coordinates for _, coordinates in atoms])
    if record.title:
        add_fields(document, {"title": record.title}, options)
    set_state(record, document, _state_in(comment, options), Implied(), options)
    rest = _STATED.sub("", comment)
    for note, words_of in ((Note.NO_CHARGE, _OF_CHARGE), (Note.NO_MULTIPLICITY, _OF_SPIN)):
        if note in record.notes and words_of.search(rest):
            record.notes.add(Note.LOOKALIKE)
    if any(len(words) > _COLUMNS for words in rows):
        record.notes.add(Note.NO_COLUMNS)
    record.documents = [document]


def _state_in(comment: str, options: Options) -> dict[str, str]:
    """The charge and spin in a plain comment, as in `charge = -1` or `mult: 2`.

    Raises:
        Refused: the comment states one of them twice, or is two whole numbers, which may or may not
            be charge and multiplicity.
    """
    found = _states(_STATED.findall(comment))
    unsaid = options.charge is None and options.multiplicity is None
    if unsaid and _TWO_NUMBERS.fullmatch(comment):
        raise Refused(
            f"its comment '{comment.strip()}' may be charge and multiplicity; if so, write "
            "charge=C multiplicity=M; or state them with --charge and --multiplicity"
        )
    return found


def _states(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Those of the pairs (name, value) in a comment that state a charge or a spin.

    Raises:
        Refused: a name has two values; ASE would use the last one.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        plain = value.strip("\"'")
        if known(name) not in STATE_KEYS:
            continue
        if found.setdefault(name, plain) != plain:
            raise Refused(f"its comment states '{name}' twice: {found[name]} and {plain}")
    return found


def _title_in(record: Record) -> str:
    """The title or name in the comment of an extended frame, for messages, or "" if missing."""
    lines = text_of(record.raw).split("\n", 2)
    keys = {key: value for key, *value in _TITLES.findall(lines[1] if len(lines) > 1 else "")}
    return "".join(keys.get("title") or keys.get("name") or ())


def _is_extended(comment: str) -> bool:
    return bool(_EXTENDED.search(comment) or _KEYS.fullmatch(comment))


def _check_columns(words: list[str], place: int) -> None:
    if len(words) < _COLUMNS:
        raise Refused(f"atom {place} has {len(words)} columns, not {_COLUMNS}")


def _atom(words: list[str], place: int) -> tuple[int, list[float]]:
    """The atomic number and coordinates (Angstrom) in a line `symbol x y z`; Refused if invalid."""
    _check_columns(words, place)
    number = NUMBER_OF.get(words[0].capitalize(), 0)
    if words[0].isdecimal():
        number = int(words[0][:4])
    if not 0 < number < len(SYMBOLS):
        raise Refused(f"atom {place} has an unknown element: {words[0][:20]!r}")
    try:
        return number, [float(_D_EXPONENT.sub("e", word)) for word in words[1:_COLUMNS]]
    except ValueError:
        shown = " ".join(words[1:4])[:60]
        raise Refused(f"the coordinates of atom {place} are not numbers: '{shown}'") from None
