"""The errors that users can encounter.

If an error is raised without a message, its message is the docstring of its class.
"""

import inspect
from enum import StrEnum

from wqmaster.error_codes import ErrorCode


class WqmasterError(Exception):
    """wqmaster stopped because of an error."""

    # The command's exit code. 2: the campaign file or the command line is wrong. 3: a service is
    # missing.
    exit_code = 1
    # The default code. A `raise` statement can pass a more specific one.
    code = ErrorCode.COMMAND_FAILED

    def __init__(self, message: str | None = None, *, code: ErrorCode | None = None) -> None:
        self.message = message or inspect.getdoc(type(self)) or ""
        self.code = code or type(self).code
        super().__init__(self.message)


class UsageError(WqmasterError):
    """The command line is wrong."""

    exit_code = 2
    code = ErrorCode.USAGE


class CampaignError(WqmasterError):
    """The campaign file is wrong."""

    exit_code = 2
    code = ErrorCode.CAMPAIGN_INVALID


class NothingMatches(CampaignError):
    """The campaign's query matches no document."""

    code = ErrorCode.NOTHING_MATCHES


class RecipeMismatch(WqmasterError):
    """Results under the same key were made with another recipe."""

    exit_code = 2
    code = ErrorCode.RECIPE_CHANGED


class ResultsAdopted(RecipeMismatch):
    """The results under a key were adopted from existing outputs, so a run cannot add to them."""


class StaleResults(WqmasterError):
    """Documents were changed after their results were computed."""

    exit_code = 2
    code = ErrorCode.RESULTS_STALE


class LabelNoise(WqmasterError):
    """An audit found more noise in the labels than the campaign accepts."""

    code = ErrorCode.LABEL_NOISE


class StructureError(WqmasterError):
    """A structure file cannot be imported."""

    exit_code = 2
    code = ErrorCode.UNREADABLE_STRUCTURE


class ProofError(WqmasterError):
    """An exported file does not say what the database says."""

    code = ErrorCode.DATASET_DIFFERS


class ServiceError(WqmasterError):
    """A service that the campaign needs is missing."""

    exit_code = 3
    code = ErrorCode.SERVICE_MISSING


class DatabaseError(ServiceError):
    """The database cannot be reached."""

    code = ErrorCode.DATABASE_UNREACHABLE


class AddressInvalid(DatabaseError):
    """The database's address in the campaign file is not a valid MongoDB URI."""

    exit_code = 2
    code = ErrorCode.DATABASE_ADDRESS_INVALID


class EngineError(ServiceError):
    """The engine cannot be started."""

    code = ErrorCode.ENGINE_NOT_STARTED


class ProgramMissing(ServiceError):
    """A program that the campaign needs is not installed."""

    code = ErrorCode.PROGRAM_MISSING


class NotAnswered(ServiceError):
    """No master carries out the command."""

    code = ErrorCode.COMMAND_UNANSWERED


class FolderError(ServiceError):
    """The campaign's folder cannot be written."""

    code = ErrorCode.FOLDER_UNUSABLE


class CampaignLocked(ServiceError):
    """Another master is running this campaign."""

    code = ErrorCode.CAMPAIGN_RUNNING


class RunTroubled(ServiceError):
    """A run ended because it was not to wait for trouble to pass."""

    code = ErrorCode.RUN_HELD


class Defect(StrEnum):
    """The kind of defect that makes a document's molecule unusable."""

    MISSING_FIELD = "missing_field"
    NOT_A_LIST = "not_a_list"
    NOT_A_NUMBER = "not_a_number"
    NOT_FINITE = "not_finite"
    NOT_WHOLE = "not_whole"
    UNKNOWN_ELEMENT = "unknown_element"
    WRONG_SHAPE = "wrong_shape"
    LENGTHS_DIFFER = "lengths_differ"
    TOO_FEW_ELECTRONS = "too_few_electrons"
    COINCIDENT_ATOMS = "coincident_atoms"
    CLOSE_ATOMS = "close_atoms"
    IMPOSSIBLE_MULTIPLICITY = "impossible_multiplicity"
    OTHER = "other"


class BadDocument(WqmasterError):
    """The document holds no molecule that can be computed. Its job fails; the campaign goes on."""

    code = ErrorCode.DOCUMENT_UNUSABLE

    def __init__(self, message: str | None = None, defect: Defect = Defect.OTHER) -> None:
        super().__init__(message)
        self.defect = defect
        # The keys below `campaign_config` that lead to the option at which the document fails, and
        # the line within the option's text; None if the campaign file is not involved.
        self.place: tuple[tuple[str | int, ...], int | None] | None = None


class ParseError(WqmasterError):
    """A section that a parser needs is missing from an output. The job fails with `parse_error`."""

    code = ErrorCode.OUTPUT_NOT_PARSED


class NotApplicable(ParseError):
    """The output is complete, but its run has no such value. The job fails as with ParseError.

    `wqmaster parse`, which tries all parsers of a program, lists only the names of those that raise
    it.
    """


class OutputTooLarge(ParseError):
    """A file that a parser needs is larger than `archive: {max_size: ...}`.

    The job fails with `output_too_large`.
    """

    code = ErrorCode.OUTPUT_TOO_LARGE


class ArchiveError(WqmasterError):
    """A returned archive is truncated or was altered. The job runs again elsewhere."""

    code = ErrorCode.ARCHIVE_BROKEN


class ArchiveTooLarge(ArchiveError):
    """A returned archive is too large to be read. Its jobs fail with `output_too_large`."""

    code = ErrorCode.OUTPUT_TOO_LARGE
