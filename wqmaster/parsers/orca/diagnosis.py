"""The diagnosis of ORCA's outputs (3 to 6.1): whether one is valid and matches the request.

ORCA prints "ORCA TERMINATED NORMALLY" even if an SCF or an optimization did not converge, and even
for energies that no molecule can have.
"""

from collections.abc import Mapping
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import Failure, FailureClass
from wqmaster.jobs.job import Asked
from wqmaster.parsers.base import Output
from wqmaster.parsers.orca.causes import aborted, crash, named_cause, said
from wqmaster.parsers.orca.complaints import last_words, unopened, went_wrong
from wqmaster.parsers.orca.convergence import BANNER, jobs, not_converged
from wqmaster.parsers.orca.energy import FINAL
from wqmaster.parsers.orca.energy_check import atoms, sizes, wrong_energy
from wqmaster.parsers.orca.geometry import HEADING, is_atom, labels_and_coordinates
from wqmaster.parsers.orca.run import echoed_state, stated_charges, stated_multiplicities
from wqmaster.parsers.orca.text import every, last, last_beginning

_END = "****ORCA TERMINATED NORMALLY****"
_NOT_NORMALLY = "****ORCA TERMINATED NOT NORMALLY****"
_ERROR_TERMINATION = "ORCA finished by error termination"
# The cause is near the end of the output. Errors far above the end did not stop the run.
_TAIL_CHARACTERS = 100_000
_NEAR_CHARACTERS = 20_000
_SCREEN_READER = ("screen reader", "Screen reader", "GNOME", "AT-SPI", "at-spi", "DBus", "dbus")


def _no_banner(text: str, errors: str, of_a_job: bool) -> Failure:
    """The failure for an output without ORCA's banner."""
    printed = text + errors
    if not printed.strip() or (text.strip() and set("".join(text.split())) <= set("*ORCA")):
        return Failure(FailureClass.TRUNCATED, "ORCA: the output is empty")
    if last(text, _END) >= 0:
        return Failure(FailureClass.TRUNCATED, "ORCA: the beginning of the output is missing")
    lines = [line for line in printed.splitlines() if said(line)]
    first = lines[0] if lines else printed.strip()
    quoted = "binary data" if "\ufffd" in first or "\0" in first else repr(said(first))
    reader = any(words in printed for words in _SCREEN_READER)
    if not of_a_job and not reader:
        words = f"ORCA: this is not an output of ORCA: it has no banner and begins with {quoted}"
        return Failure(FailureClass.PARSE_ERROR, words)
    which = "the GNOME screen reader" if reader else "another program"
    return Failure(
        FailureClass.PROGRAM_MISSING,
        f"ORCA: {which} ran instead of the quantum chemistry program (Debian's package 'orca' is "
        f"the GNOME screen reader); it printed {quoted}",
    )


def _not_normally(text: str) -> Failure | None:
    """The failure of a complete output in which ORCA reports an error that it does not name."""
    if last(text, _NOT_NORMALLY) < 0:
        return None
    return Failure(FailureClass.PROGRAM_ERROR, f"ORCA: {_NOT_NORMALLY.strip('*')}")


def _ended(text: str) -> bool:
    """Whether ORCA reported a normal end and printed no results after that."""
    end = last(text, _END)
    if end < 0 or last_beginning(text, _ERROR_TERMINATION) >= 0:
        return False
    return text.find(FINAL, end) < 0 and last(text, BANNER, end) < 0


def _atom_counts(text: str) -> set[int]:
    """The numbers of atoms that the whole system can have according to the output.

    They are the stated sizes of multilayer systems, and the number of centers and of atoms in each
    geometry.
    """
    found = sizes(text)
    for position in every(text, HEADING):
        try:
            labels, _ = labels_and_coordinates(text, position)
        except ParseError:
            continue
        found |= {len(labels), sum(map(is_atom, labels))}
    return found


def _not_as_asked(text: str, start: int, asked: Asked) -> Failure | None:
    labels = atoms(text, start, len(text))
    # If a job has several parts, the last geometry can be that of a fragment.
    if (
        labels
        and asked.natoms not in (len(labels), sum(map(is_atom, labels)))
        and asked.natoms not in _atom_counts(text)
    ):
        return Failure(
            FailureClass.ATOM_COUNT,
            f"ORCA: {len(labels)} atoms in the output, {asked.natoms} asked for",
        )
    charges, multiplicities = stated_charges(text, start), stated_multiplicities(text, start)
    echoed = echoed_state(text)
    if echoed is not None:  # a run without an SCF states the charge and multiplicity nowhere else
        charges, multiplicities = charges or [echoed[0]], multiplicities or [echoed[1]]
    for what, stated, wanted in (
        ("total charge", charges, asked.charge),
        ("multiplicity", multiplicities, asked.multiplicity),
    ):
        # A job can state several values, as for high spin before broken symmetry. One must match.
        if stated and wanted not in stated:
            return Failure(
                FailureClass.NOT_AS_ASKED, f"ORCA: {what} {stated[-1]}, {wanted} asked for"
            )
    return None


def diagnose(output: Output, asked: Asked | None, options: Mapping[str, Any]) -> Failure | None:
    """Why this ORCA output is not a valid result, or None if it is.

    A cause that is printed before a crash takes precedence over the crash. If ORCA ended normally,
    the calculations behind each job's final values must have converged (see `convergence`), the
    output must not report an error that affects them, and the energy must be finite and plausible
    for the atoms. Unless `asked` is None, the charge, multiplicity and atoms in the output must
    also match it.
    """
    if not output.has("stdout"):
        return Failure(FailureClass.MISSING_OUTPUT, "ORCA: there is no standard output")
    text = output.file("stdout")
    errors = output.file("stderr") if output.has("stderr") else ""
    if not _ended(text):
        tail = text[-_TAIL_CHARACTERS:]
        failure = (
            named_cause(tail[-_NEAR_CHARACTERS:], errors)
            or named_cause(tail[:-_NEAR_CHARACTERS], "")
            or unopened(tail, text)
        )
        if failure is None and BANNER not in text:
            return _no_banner(text, errors, asked is not None)
        return (
            failure
            or not_converged(text, ended=False)
            or crash(tail, errors)
            or last_words(text)
            or aborted(tail)
            or _not_normally(text)
            or Failure(FailureClass.TRUNCATED, f"ORCA: the output ends without '{_END.strip('*')}'")
        )
    if BANNER not in text:
        return _no_banner(text, errors, asked is not None)
    parts = jobs(text)
    try:
        return (
            not_converged(text, ended=True)
            or went_wrong(text, parts)
            or next(filter(None, (wrong_energy(text, start, end) for start, end in parts)), None)
            or (_not_as_asked(text, parts[-1][0], asked) if asked else None)
        )
    except ParseError as error:
        return Failure(FailureClass.PARSE_ERROR, f"ORCA: {error.message}")
