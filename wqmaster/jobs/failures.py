"""The ways in which a job can fail, and signatures that group failures."""

import re
from dataclasses import dataclass
from enum import Enum
from functools import cache


class Family(Enum):
    """The groups of failure classes, by cause."""

    INFRASTRUCTURE = "infrastructure"
    RESOURCE = "resource"
    INPUT = "input"
    CONVERGENCE = "convergence"
    PROGRAM = "program"
    PARSE = "parse"
    JUDGEMENT = "judgement"
    USER = "user"


class FailureClass(Enum):
    """The ways in which a job can fail.

    Each has a label (its name in the database), a family, and whether running the same job again
    elsewhere can help.
    """

    WORKER_LOST = "worker_lost", Family.INFRASTRUCTURE, True
    """The task lost its worker several times. Running it elsewhere can help."""

    TRANSFER = "transfer", Family.INFRASTRUCTURE, True
    """The engine returned no archive. Running it elsewhere can help."""

    TRUNCATED = "truncated", Family.INFRASTRUCTURE, True
    """The archive or an output in it is incomplete. Running it elsewhere can help."""

    PROGRAM_MISSING = "program_missing", Family.INFRASTRUCTURE, True
    """The worker lacks the program, may not execute it, or ran another one of the same name.
    Running it elsewhere can help."""

    LIBRARY_MISSING = "library_missing", Family.INFRASTRUCTURE, True
    """The worker lacks a shared library of the program. Running it elsewhere can help."""

    DISK_FULL = "disk_full", Family.INFRASTRUCTURE, True
    """The worker's disk was full. Running it elsewhere can help."""

    KILLED = "killed", Family.INFRASTRUCTURE, True
    """The program was killed from outside. Running it elsewhere can help."""

    DOCUMENT_CHANGED = "document_changed", Family.INFRASTRUCTURE, True
    """The molecule changed while its job was running. Running it again computes the new one."""

    TIME_LIMIT = "time_limit", Family.RESOURCE, False
    """The job ran longer than `job_timeout`. Running it again unchanged does not help."""

    MEMORY = "memory", Family.RESOURCE, False
    """The program ran out of memory. Raise `resources: {memory: ...}`; some remedies do it."""

    DISK_LIMIT = "disk_limit", Family.RESOURCE, False
    """The job needs more disk than it asked for. Raise `resources: {disk: ...}`."""

    TOO_MANY_PROCESSES = "too_many_processes", Family.RESOURCE, False
    """The molecule is too small for so many processes. Running it with fewer helps."""

    OUTPUT_TOO_LARGE = "output_too_large", Family.RESOURCE, False
    """A job returned more than may be read. Let it print less, or raise `archive: {max_size: ...}`.
    The beginning and the end of a longer standard output are kept."""

    BAD_DOCUMENT = "bad_document", Family.INPUT, False
    """The document holds no molecule that can be computed. Running it again does not help."""

    TASK_FUNCTION = "task_function", Family.INPUT, False
    """The task function raised an error for this molecule. Running it again does not help."""

    INPUT_KEYWORD = "input_keyword", Family.INPUT, False
    """The program does not know a keyword or option. Running it again does not help."""

    INPUT_BASIS = "input_basis", Family.INPUT, False
    """The basis set is unknown or lacks an element. Running it again does not help."""

    CHARGE_MULTIPLICITY = "charge_multiplicity", Family.INPUT, False
    """Charge and multiplicity do not fit the molecule. Running it again does not help."""

    COINCIDENT_ATOMS = "coincident_atoms", Family.INPUT, False
    """Two atoms are in nearly the same place. Running it again does not help."""

    INPUT_ERROR = "input_error", Family.INPUT, False
    """The program rejects its input for another reason. Running it again does not help."""

    SCF_NOT_CONVERGED = "scf_not_converged", Family.CONVERGENCE, False
    """The self-consistent field did not converge. Remedies: damping, another guess, more cycles."""

    CC_NOT_CONVERGED = "cc_not_converged", Family.CONVERGENCE, False
    """The coupled-cluster equations did not converge. Remedies: more iterations, a larger DIIS."""

    OPT_NOT_CONVERGED = "opt_not_converged", Family.CONVERGENCE, False
    """The geometry did not converge within the allowed steps. Remedies: more steps, a restart."""

    RESPONSE_NOT_CONVERGED = "response_not_converged", Family.CONVERGENCE, False
    """Response, CP-SCF or excited-state equations did not converge. Remedies: more iterations."""

    PROGRAM_ERROR = "program_error", Family.PROGRAM, False
    """The program ended with an error that no other class covers."""

    MODULE_CRASH = "module_crash", Family.PROGRAM, False
    """Part of the program crashed without giving a reason. Running it again seldom helps."""

    ERRATIC = "erratic", Family.PROGRAM, False
    """A known, intermittent bug of the program. Running it again helps: the ladder of a program
    with such a bug has rungs that change nothing."""

    MISSING_OUTPUT = "missing_output", Family.PROGRAM, False
    """The program ended normally, but a requested file is missing."""

    PARSE_ERROR = "parse_error", Family.PARSE, False
    """A block that a parser needs is missing from the output, or a parser crashed."""

    COLLECTOR_CRASH = "collector_crash", Family.PARSE, False
    """The collector crashed or hung on this output twice. Running it again does not help."""

    NOT_FINITE = "not_finite", Family.JUDGEMENT, False
    """A value is not a finite number, though the program reported success."""

    DIVERGED = "diverged", Family.JUDGEMENT, False
    """A trajectory or iteration diverged, though the program reported success."""

    ATOM_COUNT = "atom_count", Family.JUDGEMENT, False
    """The output has a different number of atoms than the document."""

    IMPLAUSIBLE_ENERGY = "implausible_energy", Family.JUDGEMENT, False
    """The energy is impossible for the molecule, though the program reported success."""

    NOT_AS_ASKED = "not_as_asked", Family.JUDGEMENT, False
    """The output states a different charge, multiplicity or option than was asked for."""

    CHECK_CLOSEST_ATOMS = "check_closest_atoms", Family.JUDGEMENT, False
    """Two atoms of the document are closer than the campaign's `checks:` allow."""

    CHECK_MAX_FORCE = "check_max_force", Family.JUDGEMENT, False
    """The largest force on an atom is above the limit of `checks:`."""

    CHECK_NET_FORCE = "check_net_force", Family.JUDGEMENT, False
    """The forces do not add up to zero: their sum is above the limit of `checks:`."""

    CHECK_NET_TORQUE = "check_net_torque", Family.JUDGEMENT, False
    """The torques do not add up to zero: their sum is above the limit of `checks:`."""

    CHECK_ELECTRONS = "check_electrons", Family.JUDGEMENT, False
    """The density on the grid has more or fewer electrons than `checks:` allow."""

    CHECK_S_SQUARED = "check_s_squared", Family.JUDGEMENT, False
    """The spin is contaminated: <S**2> deviates by more than `checks:` allow."""

    CHECK_HOMO_LUMO_GAP = "check_homo_lumo_gap", Family.JUDGEMENT, False
    """An empty orbital is below an occupied one, by the limit of `checks:`."""

    CHECK_SCF_CYCLES = "check_scf_cycles", Family.JUDGEMENT, False
    """The SCF used all cycles that it may have, which `checks:` do not allow."""

    CHECK_CHARGES = "check_charges", Family.JUDGEMENT, False
    """The atomic charges do not add up to the charge, within the limit of `checks:`."""

    NOT_STORED = "not_stored", Family.JUDGEMENT, False
    """The database refused the result (too large for a document, or a field is in its way)."""

    CANCELED = "canceled", Family.USER, False
    """A user canceled the job with `wqmaster cancel`. `wqmaster retry` lets it run again."""

    def __init__(self, label: str, family: Family, again: bool) -> None:
        self.label = label
        self.family = family
        self.again = again

    @classmethod
    def of(cls, label: str) -> "FailureClass":
        """The member with this label; KeyError if there is none."""
        return _by_label()[label]


@cache
def _by_label() -> dict[str, FailureClass]:
    return {member.label: member for member in FailureClass}


# The message of strerror(3) for ENOSPC in the C locale, which runner.sh sets. If tar, cp, mkdir or
# a shell fails on a worker because the disk is full, only this message shows it, since their exit
# codes are the same for other errors. (If runner.sh itself finds the disk full, it ends with a
# special exit code.)
NO_SPACE_MESSAGE = "No space left on device"

# How many times a job may fail in classes for which running it again unchanged can help.
MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class Failure:
    """Why one attempt of a job failed."""

    kind: FailureClass
    message: str  # one line that names the cause
    step: str | None = None  # the step in which it happened
    tail: str = ""  # the last lines of the output
    parser: str | None = None  # the parser whose value is missing or impossible
    value: float | None = None  # the number that a check refused, in the check's unit


# How many characters at the start of a message are used for its signature.
_SIGNATURE_SOURCE_CHARACTERS = 1000
_MAX_SIGNATURE_CHARACTERS = 200
# Patterns for the parts that differ between jobs, with their replacements, in the order in which
# they are applied.
_VARYING = (
    (re.compile(r"0x[0-9a-fA-F]+"), "#"),
    # A relative path has a dot in it, other than units (eV/Angstrom) and names (def2/JK).
    (
        re.compile(
            r"(?:(?<![\w./~\ue000-\ue0ff-])(?:~|\.{1,2})?/|(?=[\w~/-]*/[\w~/-]*\.\w)[\w~-]+/)[\w.~/-]*\w"
        ),
        "PATH",
    ),
    # A host has a digit or a hyphen in its name, other than a function (numpy.linalg.norm).
    (re.compile(r"\b(?=[\w.]*[\d-])[\w-]+(?:\.[\w-]+)+\.[a-z]{2,}\b"), "HOST"),
    (re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eEdD][-+]?\d+)?"), "N"),
    (re.compile(r"[-+]?\b(?:nan|inf)\b", re.IGNORECASE), "N"),
    (re.compile(r"\s+"), " "),
)


# A line in a user's function ("mine.py, line 12"), after a folder that differs between workers.
# Each line is a different cause, so its number is kept: it is written in characters that no pattern
# in _VARYING matches until all patterns have been applied.
_CODE_LINE = re.compile(r"(?:[\w.~-]*/)*([\w-]+\.py\"?, line \d+)")
# The name of a method or basis set, such as DEF2-TZVP, GFN2 and MMFF94, of which the number is a
# part. It is kept in the same way.
_METHOD = re.compile(r"[A-Z]{2,}\d{1,2}(?!\d)|\bdef2\b")
_HIDING = {ord(character): 0xE000 + ord(character) for character in "0123456789.-"}
_SHOWING = {hidden: shown for shown, hidden in _HIDING.items()}


def signature(message: str) -> str:
    """`message` without the parts that differ between jobs (numbers, paths, hosts).

    Line numbers in Python files, and numbers in the names of methods, are kept. A signature has at
    most 200 characters.
    """
    lines = _CODE_LINE.findall(message)
    message = message[:_SIGNATURE_SOURCE_CHARACTERS]
    message = _CODE_LINE.sub(lambda match: match[1].translate(_HIDING), message)
    message = _METHOD.sub(lambda match: match[0].translate(_HIDING), message)
    for pattern, word in _VARYING:
        message = pattern.sub(word, message)
    message = message.translate(_SHOWING).strip()
    if lines and lines[-1] not in message[:_MAX_SIGNATURE_CHARACTERS]:
        # A long message is cut, so its last line number is appended.
        last = f" ({lines[-1][-_MAX_SIGNATURE_CHARACTERS // 2 :]})"
        return message[: _MAX_SIGNATURE_CHARACTERS - len(last)] + last
    return message[:_MAX_SIGNATURE_CHARACTERS]
