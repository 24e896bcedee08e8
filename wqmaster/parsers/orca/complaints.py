"""Errors that ORCA reports during a run or in its last lines.

The following forms occur in public outputs and in public programs that read them: `[file a.cpp,
line 1]: words` (ORCA's source file and line, since version 4), `Error (ORCA_MODULE): words`,
`Error: Cannot open GBW file: x.gbw`, and a box "FATAL ERROR ENCOUNTERED". After some of these
errors, ORCA continues and can even end normally. "Error (ORCA/TMatrix)" about a matrix of size 0 is
harmless and occurs in valid outputs of 4.0.
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
# The errors in _BY_MODULE can appear anywhere in a line, those in _BARE only at its start.
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
# How many of the last lines are searched for an error, and how much of the text below and above an
# error belongs to its message.
_MAX_LAST_LINES = 30
_MAX_LINES_BELOW = 8
_MAX_CHARACTERS_ABOVE = 300
_DISPLACED = "Displacing"
# Headings of results, which an error above them can affect.
_RESULTS = (
    *("FINAL SINGLE POINT ENERGY", "VIBRATIONAL FREQUENCIES", "THERMOCHEMISTRY AT"),
    *("ORBITAL ENERGIES", "CARTESIAN GRADIENT", "Total Dipole Moment", "EXCITED STATES"),
)
_ENERGY = "FINAL SINGLE POINT ENERGY"
_SCF_CONVERGED = "SCF CONVERGED AFTER"


def _is_complaint(line: str) -> bool:
    """Whether a line reports an error and describes it, rather than only the abort."""
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
    """The failure if `where`, a part of the output `text`, reports that ORCA cannot read a file.

    If the echoed input names the file, the input is to blame. Otherwise ORCA is, since it should
    have written the file.
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
    """The lines in the echoed input that contain `name`."""
    position = text.find(name)
    while position >= 0:
        line = line_of(text, position)
        if line.startswith("|"):
            yield line
        position = text.find(name, position + len(name))


def last_words(text: str) -> Failure | None:
    """The failure that an unfinished run reports in its last lines, or None."""
    ending = [line for line in text[-20_000:].split("\n") if line.strip()][-_MAX_LAST_LINES:]
    complaint = next((line for line in ending if _is_complaint(line)), None)
    if complaint is None:
        return None
    words = said(complaint)
    if _of_electrons(words):
        return Failure(FailureClass.CHARGE_MULTIPLICITY, f"ORCA: {words}")
    sources = [found[1].rpartition("/")[2] for line in ending if (found := _SOURCE.match(line))]
    # ORCA reads and checks the input in the source files maininp4.cpp and main_input_check.cpp.
    of_input = any("inp" in source for source in sources)
    kind = FailureClass.INPUT_ERROR if of_input else FailureClass.PROGRAM_ERROR
    return Failure(kind, f"ORCA: {words}")


def _complaints(text: str) -> Iterator[int]:
    """The positions of all errors that a run reports, unordered."""
    for words in (_BOX, *_BY_MODULE, *_ABORTING):
        yield from occurrences(text, words)
    for words in _BARE:
        for position in occurrences(text, words):
            if said(line_of(text, position)[:1000]).startswith(_BARE):
                yield position


def _overcome(job: str, position: int, is_last: bool) -> bool:
    """Whether none of the job's results depends on the error at `position`."""
    converged = job.find(_SCF_CONVERGED, position)
    if converged >= 0 and last_beginning(job, _ENERGY, converged) >= 0:
        return True
    displaced = job.rfind(_DISPLACED, 0, position)
    if displaced >= 0:
        # If this line appears again, ORCA repeated the displacement for the numerical Hessian.
        line = line_of(job, displaced).strip()
        if job.find(line, position) >= 0:
            return True
    # The error is harmless if this job printed no further results and ORCA continued with the next
    # job.
    return not is_last and all(job.find(words, position) < 0 for words in _RESULTS)


def went_wrong(text: str, parts: list[tuple[int, int]]) -> Failure | None:
    """The first error that affects the results of a run that ended normally, or None.

    `parts`: the start and end of each job in the text.
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
