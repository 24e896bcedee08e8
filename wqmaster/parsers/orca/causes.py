"""Causes of failure that ORCA (3 to 6.1), MPI and the shell report before a crash.

The messages come from real outputs (ReactionMechanismGenerator/ARC, faccts/opi, ASH) and from
ORCA's troubleshooting page.
"""

import re
from collections.abc import Iterator
from itertools import islice

from wqmaster.jobs.failures import Failure, FailureClass
from wqmaster.parsers.orca.text import line_of, line_start, lines

_MEMORY_ASKED = "Please increase MaxCore"
_ERROR_TERMINATION = "ORCA finished by error termination in"
# A message, further text that its line must contain, and the failure class. The first match counts.
_BEFORE_CONVERGENCE = (
    ("error while loading shared libraries", "", FailureClass.LIBRARY_MISSING),
    ("mpirun: not found", "", FailureClass.PROGRAM_MISSING),
    ("mpirun: command not found", "", FailureClass.PROGRAM_MISSING),
    ("No space left on device", "", FailureClass.DISK_FULL),
    ("isk quota exceeded", "", FailureClass.DISK_FULL),
    ("ot enough disk space", "", FailureClass.DISK_FULL),
    ("nsufficient disk space", "", FailureClass.DISK_FULL),
    ("disk is full", "", FailureClass.DISK_FULL),
    ("Disk full", "", FailureClass.DISK_FULL),
    ("Failed to add", "ontainer", FailureClass.DISK_FULL),
    ("UNRECOGNIZED OR DUPLICATED KEYWORD", "", FailureClass.INPUT_KEYWORD),
    ("Unknown identifier", "", FailureClass.INPUT_KEYWORD),
    ("Unknown keyword", "", FailureClass.INPUT_KEYWORD),
    ("Invalid assignment", "", FailureClass.INPUT_KEYWORD),
    ("Unrecognized symbol", "", FailureClass.INPUT_KEYWORD),
    ("basis functions on atom number", "There are no", FailureClass.INPUT_BASIS),
    ("There is no basis function on atom", "", FailureClass.INPUT_BASIS),
    ("not available for this element", "", FailureClass.INPUT_BASIS),
    ("Basis not recognized", "", FailureClass.INPUT_BASIS),
    ("nrecognized basis", "", FailureClass.INPUT_BASIS),
    ("nknown basis", "", FailureClass.INPUT_BASIS),
    ("ECP not available", "", FailureClass.INPUT_BASIS),
    ("-> impossible", "multiplicity", FailureClass.CHARGE_MULTIPLICITY),
    ("Error : multiplicity", "", FailureClass.CHARGE_MULTIPLICITY),
    ("Zero distance", "", FailureClass.COINCIDENT_ATOMS),
    ("exceeds number of pairs", "", FailureClass.TOO_MANY_PROCESSES),
    ("not enough slots available", "", FailureClass.TOO_MANY_PROCESSES),
    (_MEMORY_ASKED, "", FailureClass.MEMORY),
    ("ot enough memory", "rror", FailureClass.MEMORY),
    ("OUT OF MEMORY", "", FailureClass.MEMORY),
    ("ut of memory", "", FailureClass.MEMORY),
    ("bad_alloc", "", FailureClass.MEMORY),
    ("annot allocate memory", "", FailureClass.MEMORY),
    ("oom-kill", "", FailureClass.MEMORY),
    ("oom_kill", "", FailureClass.MEMORY),
    ("Element name/number, dummy atom or point charge expected", "", FailureClass.INPUT_ERROR),
    ("Skipping actual calculation", "", FailureClass.INPUT_ERROR),
    ("ERROR: expect a", "", FailureClass.INPUT_ERROR),
    ("ERROR: found a coordinate", "", FailureClass.INPUT_ERROR),
    ("was expected at the end of the", "", FailureClass.INPUT_ERROR),
    ("Cannot open input file", "", FailureClass.INPUT_ERROR),
    ("XYZ File reading requested", "", FailureClass.INPUT_ERROR),
    ("ORCA has to be called with full pathname", "", FailureClass.INPUT_ERROR),
    ("corrupt or from a different ORCA version", "", FailureClass.INPUT_ERROR),
    ("INPUT ERROR", "", FailureClass.INPUT_ERROR),
)
_AFTER_CONVERGENCE = (
    ("processes killed", "", FailureClass.KILLED),
    ("on signal 9", "", FailureClass.KILLED),
    ("on signal 15", "", FailureClass.KILLED),
    ("SIGKILL", "", FailureClass.KILLED),
    ("(Killed)", "", FailureClass.KILLED),
    ("Killed   ", "", FailureClass.KILLED),
    ("Job terminated from outer space", "", FailureClass.KILLED),
    ("NANs in input matrix", "", FailureClass.SCF_NOT_CONVERGED),
    ("SERIOUS PROBLEM IN SOSCF", "", FailureClass.SCF_NOT_CONVERGED),
    ("FATAL ERROR ENCOUNTERED", "", FailureClass.PROGRAM_ERROR),
)
_FILE = re.compile(r"^\s*\[file [^\]]{0,200}\]\s*:?\s*")
_PROCESS = re.compile(r"^\s*Process\s+\d+\s*:\s*")
_MEGABYTES = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s{0,3}MB")
_BLANKS = re.compile(r"\s+")
_FRAME = "*!-=| \t\r"
_MAX_MESSAGE_CHARACTERS = 240
_MAX_MESSAGE_LINES = 6


def said(line: str) -> str:
    """ORCA's message in a line, without source file, line number, process number and frame."""
    words = _PROCESS.sub("", _FILE.sub("", line[:1000])).strip(_FRAME)
    words = _BLANKS.sub(" ", words)[:_MAX_MESSAGE_CHARACTERS].strip()
    return words if words.isprintable() else "".join(c if c.isprintable() else "?" for c in words)


def occurrences(text: str, words: str) -> Iterator[int]:
    """The positions of `words` outside the echoed input, at most one per line."""
    position = text.find(words)
    while position >= 0:
        start = line_start(text, position)
        if text[start : start + 1] != "|":
            yield position
        end = text.find("\n", position)
        position = text.find(words, end) if end >= 0 else -1


def _find(text: str, words: str, further: str) -> int:
    for position in occurrences(text, words):
        if not further or further in line_of(text, position)[:2000]:
            return position
    return -1


def _memory(text: str) -> str:
    """ORCA's message about the memory that it needs, from the process that needs most, or ""."""
    asked = 0.0
    line = ""
    for position in occurrences(text, _MEMORY_ASKED):
        found = line_of(text, position)[:1000]
        size = _MEGABYTES.search(found)
        if size and float(size[1]) > asked:
            asked, line = float(size[1]), said(found).lstrip("> ")
    return line


def _message(text: str, position: int, kind: FailureClass) -> str:
    line = said(line_of(text, position))
    following = (said(row) for row in islice(lines(text, position), _MAX_MESSAGE_LINES))
    if "KEYWORD" in line:
        # The message alone does not name the keywords, but the next line does.
        line = f"{line}: {next(following, '')}"
    elif line == "INPUT ERROR" or line.endswith(":"):
        line = f"{line} {next((row for row in following if row), '')}"
    elif "Skipping actual calculation" in line:
        # The line before it gives the reason.
        before = text[: line_start(text, position)].rstrip("\n")[-1000:]
        line = said(before.rpartition("\n")[2]) or line
    elif kind is FailureClass.MEMORY:
        asked = _memory(text)
        line = f"not enough memory: {asked}" if asked else line
    return line.strip()


def _named(
    text: str, errors: str, causes: tuple[tuple[str, str, FailureClass], ...]
) -> Failure | None:
    for words, further, kind in causes:
        for where in (text, errors):
            position = _find(where, words, further)
            if position >= 0:
                return Failure(kind, f"ORCA: {_message(where, position, kind)}")
    return None


def named_cause(text: str, errors: str) -> Failure | None:
    """The cause (input or machine) that the output or standard error names, or None."""
    return _named(text, errors, _BEFORE_CONVERGENCE)


def aborted(text: str) -> Failure | None:
    """The failure of a run that only reports that it is aborting, or None for other runs."""
    for words in ("borting the run", "ABORTING THE RUN"):
        position = next(occurrences(text, words), -1)
        if position >= 0:
            return Failure(FailureClass.PROGRAM_ERROR, f"ORCA: {said(line_of(text, position))}")
    return None


def crash(text: str, errors: str) -> Failure | None:
    """The failure of a run that was killed or crashed without naming a cause, or None."""
    killed = _named(text, errors, _AFTER_CONVERGENCE)
    if killed:
        return killed
    position = next(occurrences(text, _ERROR_TERMINATION), -1)
    if position >= 0:
        line = said(line_of(text, position)).removeprefix("ORCA ")
        return Failure(FailureClass.MODULE_CRASH, f"ORCA: {line}")
    if "egmentation fault" in text or "egmentation fault" in errors:
        return Failure(FailureClass.MODULE_CRASH, "ORCA: segmentation fault")
    return None
