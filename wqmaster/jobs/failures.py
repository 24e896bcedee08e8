"""The ways in which a job fails, and signatures to group failures by."""

import re
from dataclasses import dataclass
from enum import Enum
from functools import cache


class Family(Enum):
    """What is to blame."""

    INFRASTRUCTURE = "infrastructure"
    RESOURCE = "resource"
    INPUT = "input"
    CONVERGENCE = "convergence"
    PROGRAM = "program"
    PARSE = "parse"
    JUDGEMENT = "judgement"


class FailureClass(Enum):
    """The ways to fail.

    A member has its name in the database, its family, and whether running the same again,
    elsewhere, can help.
    """

    WORKER_LOST = "worker_lost", Family.INFRASTRUCTURE, True
    """Workers went away with the task, again and again. Running it elsewhere can help."""

    TRANSFER = "transfer", Family.INFRASTRUCTURE, True
    """The engine brought no archive back. Running it elsewhere can help."""

    TRUNCATED = "truncated", Family.INFRASTRUCTURE, True
    """The archive or an output in it ends before its end. Running it elsewhere can help."""

    PROGRAM_MISSING = "program_missing", Family.INFRASTRUCTURE, True
    """The worker has no such program, may not execute it, or another one of its name ran.
    Running it elsewhere can help."""

    LIBRARY_MISSING = "library_missing", Family.INFRASTRUCTURE, True
    """The program lacks a shared library on that worker. Running it elsewhere can help."""

    DISK_FULL = "disk_full", Family.INFRASTRUCTURE, True
    """No space was left on the worker. Running it elsewhere can help."""

    KILLED = "killed", Family.INFRASTRUCTURE, True
    """The program was killed from outside. Running it elsewhere can help."""

    DOCUMENT_CHANGED = "document_changed", Family.INFRASTRUCTURE, True
    """The molecule was changed while its job was away. Running it again computes the new one."""

    TIME_LIMIT = "time_limit", Family.RESOURCE, False
    """The job ran longer than `job_timeout`. Running the same again does not help."""

    MEMORY = "memory", Family.RESOURCE, False
    """The program had less memory than it needs. The same again does not help; more may."""

    DISK_LIMIT = "disk_limit", Family.RESOURCE, False
    """The job needs more disk than it asked for. The same again does not help; more may."""

    TOO_MANY_PROCESSES = "too_many_processes", Family.RESOURCE, False
    """The molecule is too small for so many processes. The same again does not help; fewer do."""

    BAD_DOCUMENT = "bad_document", Family.INPUT, False
    """The document holds no molecule that can be computed. Running it again does not help."""

    TASK_FUNCTION = "task_function", Family.INPUT, False
    """The task function raised an error for this molecule. Running it again does not help."""

    INPUT_KEYWORD = "input_keyword", Family.INPUT, False
    """The program does not know a keyword or option of its input. Never helped by the same."""

    INPUT_BASIS = "input_basis", Family.INPUT, False
    """There is no such basis set, or none for an element. Running it again does not help."""

    CHARGE_MULTIPLICITY = "charge_multiplicity", Family.INPUT, False
    """Charge and multiplicity are impossible for the molecule. Never helped by the same."""

    COINCIDENT_ATOMS = "coincident_atoms", Family.INPUT, False
    """Two atoms are in the same place, or nearly. Running it again does not help."""

    INPUT_ERROR = "input_error", Family.INPUT, False
    """The program refuses its input for a reason of no class of its own. Never helped."""

    SCF_NOT_CONVERGED = "scf_not_converged", Family.CONVERGENCE, False
    """The self-consistent field did not converge. The same again does not help; a remedy may."""

    CC_NOT_CONVERGED = "cc_not_converged", Family.CONVERGENCE, False
    """The coupled-cluster equations did not converge. The same does not help; a remedy may."""

    OPT_NOT_CONVERGED = "opt_not_converged", Family.CONVERGENCE, False
    """The geometry did not converge in the steps allowed. The same does not help; a remedy may."""

    RESPONSE_NOT_CONVERGED = "response_not_converged", Family.CONVERGENCE, False
    """Response, CP-SCF or excited-state equations did not converge. A remedy may help."""

    PROGRAM_ERROR = "program_error", Family.PROGRAM, False
    """The program ended with an error that has no class of its own."""

    MODULE_CRASH = "module_crash", Family.PROGRAM, False
    """A part of the program crashed and gave no reason. Running the same again seldom helps."""

    ERRATIC = "erratic", Family.PROGRAM, False
    """A known fault of the program that strikes now and then. Running the same again helps: where
    a program has such a fault, its ladder has rungs that change nothing."""

    MISSING_OUTPUT = "missing_output", Family.PROGRAM, False
    """The program ended well, yet a file that was asked for is not there."""

    PARSE_ERROR = "parse_error", Family.PARSE, False
    """A block that a parser needs is missing from the output, or a parser broke."""

    COLLECTOR_CRASH = "collector_crash", Family.PARSE, False
    """The collector crashed or hung on this output, twice. Running it again does not help."""

    NOT_FINITE = "not_finite", Family.JUDGEMENT, False
    """A value is not a finite number, though the program reported success."""

    DIVERGED = "diverged", Family.JUDGEMENT, False
    """A trajectory or iteration ran away, though the program reported success."""

    ATOM_COUNT = "atom_count", Family.JUDGEMENT, False
    """The output is of another number of atoms than the document."""

    IMPLAUSIBLE_ENERGY = "implausible_energy", Family.JUDGEMENT, False
    """The energy cannot be that of the molecule, though the program reported success."""

    NOT_AS_ASKED = "not_as_asked", Family.JUDGEMENT, False
    """The output states another charge, multiplicity or option than was asked for."""

    NOT_STORED = "not_stored", Family.JUDGEMENT, False
    """The database refused the result (too large for a document, or a field in its way)."""

    def __init__(self, label: str, family: Family, again: bool) -> None:
        self.label = label
        self.family = family
        self.again = again

    @classmethod
    def of(cls, label: str) -> "FailureClass":
        """The member that the database calls `label`; KeyError if there is none."""
        return _by_label()[label]


@cache
def _by_label() -> dict[str, FailureClass]:
    return {member.label: member for member in FailureClass}


# strerror(3) of ENOSPC in the locale C, which runner.sh sets. These words are all there is where
# tar, cp, mkdir or a shell meet a full disk on a worker: their exit codes do not tell it from other
# troubles. (Where runner.sh itself finds the disk full, its exit code says so.)
NO_SPACE_MESSAGE = "No space left on device"

# How often a job may fail in ways that running the same again can help.
MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class Failure:
    """Why one attempt of a job failed."""

    kind: FailureClass
    message: str  # names the cause, one line
    step: str | None = None  # the step it happened in
    tail: str = ""  # the last lines of the output
    parser: str | None = None  # the one whose value is missing, or cannot be


# What of a message its signature is made from (characters).
_SIGNATURE_SOURCE_CHARACTERS = 1000
_MAX_SIGNATURE_CHARACTERS = 200
# In the order in which they are applied: a later pattern sees what an earlier one left.
_VARYING = (
    (re.compile(r"0x[0-9a-fA-F]+"), "#"),
    (re.compile(r"(?:[\w.~-]*/)+[\w.-]+"), "PATH"),
    (re.compile(r"\b[\w-]+(?:\.[\w-]+)+\.[a-z]{2,}\b"), "HOST"),
    (re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eEdD][-+]?\d+)?"), "N"),
    (re.compile(r"[-+]?\b(?:nan|inf)\b", re.IGNORECASE), "N"),
    (re.compile(r"\s+"), " "),
)


# A line of a user's own function ("mine.py, line 12"; a folder before it differs by worker). Each
# is a cause of its own, so its number is kept, as characters that no pattern of _VARYING matches.
_CODE_LINE = re.compile(r"(?:[\w.~-]*/)*([\w-]+\.py\"?, line \d+)")
_HIDING = {ord(character): 0xE000 + ord(character) for character in "0123456789.-"}
_SHOWING = {hidden: shown for shown, hidden in _HIDING.items()}


def signature(message: str) -> str:
    """`message` without what differs from job to job (numbers, paths, hosts).

    The numbers of lines of Python files stay.
    """
    lines = _CODE_LINE.findall(message)
    message = message[:_SIGNATURE_SOURCE_CHARACTERS]
    message = _CODE_LINE.sub(lambda match: match[1].translate(_HIDING), message)
    for pattern, word in _VARYING:
        message = pattern.sub(word, message)
    message = message.translate(_SHOWING).strip()
    if lines and lines[-1] not in message[:_MAX_SIGNATURE_CHARACTERS]:
        # After a long message.
        last = f" ({lines[-1][-_MAX_SIGNATURE_CHARACTERS // 2 :]})"
        return message[: _MAX_SIGNATURE_CHARACTERS - len(last)] + last
    return message[:_MAX_SIGNATURE_CHARACTERS]
