"""Errors that ORCA reports, within a run or as its last words.

Public outputs, and public programs that read such outputs, have `[file a.cpp, line 1]: words`
(ORCA's source and line, since version 4), `Error (ORCA_MODULE): words`, `Error: Cannot open GBW
file: x.gbw`, and a box "FATAL ERROR ENCOUNTERED". ORCA goes on after some of these and may end
normally. "Error (ORCA/TMatrix)" about a matrix of size 0 is harmless: good outputs of 4.0 have it.
"""

import re
from collections.abc import Iterator
from itertools import islice

from wqmaster.jobs.failures import Failure, FailureClass
from wqmaster.parsers.orca.causes import named_cause, occurrences, said
from wqmaster.parsers.orca.text import last_beginning, line_of, line_start, lines

_BOX = "FATAL ERROR ENCOUNTERED"
_FRAME = "!-=* \t\r"
_ABORTING = ("borting the run", "ABORTING THE RUN")
# These may stand anywhere in a line; an "Error:" only where one begins.
_BY_MODULE = ("Error (ORCA_", "Error  (ORCA_", "ERROR (ORCA_")
_BARE = ("Error:", "Error :", "ERROR:", "ERROR :")
_SOURCE = re.compile(
    r"^\s*(?:Process\s+\d+\s*:\s*)?\[file ([^\],]{1,200}), line \d{1,9}[^\]]{0,40}\]"
)
_ABORTS = re.compile(r"[. ]*(?:\.\.\.|\. \. \.)?\s*(?:a|A)borting\b|^Error \(ORCA_\w+\): *\.\.\. ")
_UNOPENED = re.compile(
    r"CANNOT OPEN FILE|(?:annot|ould not|nable to) (?:be )?(?:open|read)\w* [^\n]{0,40}(?:GBW|gbw)"
    r"|(?:GBW|gbw)[^\n]{0,80}(?:annot|ould not) be (?:opened|read)"
)
_NAMED_FILE = re.compile(r"(?:Filename|[Ff]ile)\s{0,9}:\s{0,9}(\S{1,300})|(\S{1,300}\.gbw)\b")
_END_OF_INPUT = "****END OF INPUT****"
# How many lines of text may stand behind the last words of a run, and belong to a complaint.
_MAX_LAST_LINES = 30
_MAX_LINES_BELOW = 8
_MAX_CHARACTERS_ABOVE = 300  # characters
_DISPLACED = "Displacing"
# The results that a job prints after what may have gone wrong in it.
_RESULTS = (
    *("FINAL SINGLE POINT ENERGY", "VIBRATIONAL FREQUENCIES", "THERMOCHEMISTRY AT"),
    *("ORBITAL ENERGIES", "CARTESIAN GRADIENT", "Total Dipole Moment", "EXCITED STATES"),
)
_ENERGY = "FINAL SINGLE POINT ENERGY"
_SCF_CONVERGED = "SCF CONVERGED AFTER"


def _is_complaint(line: str) -> bool:
    """Whether a line says that something went wrong, and what."""
    words = said(line)
    if not any(letter.isalpha() for letter in words) or _ABORTS.match(words):
        return False
    return (
        bool(_SOURCE.match(line[:600]))
        or words.startswith(_BARE)
        or any(module in line for module in _BY_MODULE)
    )


def _of_electrons(words: str) -> bool:
    lower = words.lower()
    impossible = ("zero", "odd", "even", "negative", "no electrons", "impossible", "(0)", "is 0")
    return ("electron" in lower or "multiplicity" in lower) and any(
        word in lower for word in impossible
    )


def unopened(where: str, text: str) -> Failure | None:
    """A file that ORCA says in `where` it cannot open or read, of the output `text`.

    The input is to blame if it names the file, else the program, which should have written it.
    """
    found = _UNOPENED.search(where)
    if found is None:
        return None
    near = where[line_start(where, found.start()) :][:600]
    named = _NAMED_FILE.search(near)
    name = ((named[1] or named[2]) if named else "").rpartition("/")[2].strip("\"'!")
    end = text.find(_END_OF_INPUT)
    echoed = text[:end] if end >= 0 else ""
    of_input = bool(name) and any(True for _ in _echoed(echoed, name))
    kind = FailureClass.INPUT_ERROR if of_input else FailureClass.PROGRAM_ERROR
    words = said(near.partition("\n")[0])
    return Failure(kind, f"ORCA: {words}" + (f": {name}" if name and name not in words else ""))


def _echoed(text: str, name: str) -> Iterator[str]:
    """The lines of the echo of the input that name a file."""
    position = text.find(name)
    while position >= 0:
        line = line_of(text, position)
        if line.startswith("|"):
            yield line
        position = text.find(name, position + len(name))


def last_words(text: str) -> Failure | None:
    """What a run that broke off said last; None if it just ends."""
    ending = [line for line in text[-20_000:].split("\n") if line.strip()][-_MAX_LAST_LINES:]
    complaint = next((line for line in ending if _is_complaint(line)), None)
    if complaint is None:
        return None
    words = said(complaint)
    if _of_electrons(words):
        return Failure(FailureClass.CHARGE_MULTIPLICITY, f"ORCA: {words}")
    sources = [found[1].rpartition("/")[2] for line in ending if (found := _SOURCE.match(line))]
    # The parts of ORCA that read and check the input: maininp4.cpp, main_input_check.cpp.
    of_input = any("inp" in source for source in sources)
    kind = FailureClass.INPUT_ERROR if of_input else FailureClass.PROGRAM_ERROR
    return Failure(kind, f"ORCA: {words}")


def _complaints(text: str) -> Iterator[int]:
    """Where a run says that something went wrong."""
    for words in (_BOX, *_BY_MODULE, *_ABORTING):
        yield from occurrences(text, words)
    for words in _BARE:
        for position in occurrences(text, words):
            if said(line_of(text, position)[:1000]).startswith(_BARE):
                yield position


def _overcome(job: str, position: int, is_last: bool) -> bool:
    """Whether nothing that the job prints depends on what went wrong at `position` of it."""
    converged = job.find(_SCF_CONVERGED, position)
    if converged >= 0 and last_beginning(job, _ENERGY, converged) >= 0:
        return True
    displaced = job.rfind(_DISPLACED, 0, position)
    if displaced >= 0:
        # A displacement of a numerical Hessian that is named again was repeated.
        line = line_of(job, displaced).strip()
        if job.find(line, position) >= 0:
            return True
    # ORCA went on with the next job, and this one has printed nothing more.
    return not is_last and all(job.find(words, position) < 0 for words in _RESULTS)


def went_wrong(text: str, parts: list[tuple[int, int]]) -> Failure | None:
    """What went wrong in a run that ended normally and its results depend on; None if nothing.

    `parts`: where its jobs begin and end.
    """
    for start, end in parts:
        job = text[start:end] if (start, end) != (0, len(text)) else text
        for position in sorted(_complaints(job)):
            if not _overcome(job, position, end == len(text)):
                return _judged(job, position, text)
    return None


def _judged(job: str, position: int, text: str) -> Failure:
    begin = line_start(job, max(position - _MAX_CHARACTERS_ABOVE, 0))
    below = list(islice(lines(job, position), _MAX_LINES_BELOW))
    near = "\n".join([job[begin : line_start(job, position)], line_of(job, position), *below])
    named = named_cause(near, "") or unopened(near, text)
    if named is not None:
        return named
    words = said(line_of(job, position))
    if _BOX in words:
        following = next((row.strip(_FRAME) for row in below if row.strip(_FRAME)), "")
        words = f"{words.strip(_FRAME)}: {following}"
    return Failure(FailureClass.PROGRAM_ERROR, f"ORCA: {words}")
