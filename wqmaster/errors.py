"""The errors a user can meet. A class's docstring is its message when it is raised without one."""

import inspect
from enum import StrEnum

from wqmaster.error_codes import ErrorCode


class WqmasterError(Exception):
    """wqmaster stopped because of an error."""

    # The exit code of the command: 2 file or command line, 3 a service is missing.
    exit_code = 1
    # Which error it is; the place that raises it may be more specific than the class.
    code = ErrorCode.COMMAND_FAILED

    def __init__(self, message: str | None = None, *, code: ErrorCode | None = None) -> None:
        self.message = message or inspect.getdoc(type(self)) or ""
        self.code = code or type(self).code
        super().__init__(self.message)


class CampaignError(WqmasterError):
    """The campaign file is wrong."""

    exit_code = 2
    code = ErrorCode.CAMPAIGN_INVALID


class NothingMatches(CampaignError):
    """The query of the campaign matches no document."""

    code = ErrorCode.NOTHING_MATCHES


class RecipeMismatch(WqmasterError):
    """Results under the same key were made with another recipe."""

    exit_code = 2
    code = ErrorCode.RECIPE_CHANGED


class StaleResults(WqmasterError):
    """Documents were changed after their results were computed."""

    exit_code = 2
    code = ErrorCode.RESULTS_STALE


class StructureError(WqmasterError):
    """A structure file cannot be imported."""

    exit_code = 2
    code = ErrorCode.UNREADABLE_STRUCTURE


class ServiceError(WqmasterError):
    """A service that the campaign needs is missing."""

    exit_code = 3
    code = ErrorCode.SERVICE_MISSING


class DatabaseError(ServiceError):
    """The database cannot be reached."""

    code = ErrorCode.DATABASE_UNREACHABLE


class EngineError(ServiceError):
    """The engine cannot be started."""

    code = ErrorCode.ENGINE_NOT_STARTED


class ProgramMissing(ServiceError):
    """A program that the campaign needs is not installed."""

    code = ErrorCode.PROGRAM_MISSING


class FolderError(ServiceError):
    """The campaign's folder cannot be written."""

    code = ErrorCode.FOLDER_UNUSABLE


class CampaignLocked(ServiceError):
    """Another master is running this campaign."""

    code = ErrorCode.CAMPAIGN_RUNNING


class Defect(StrEnum):
    """What kind of defect makes a document's molecule unusable."""

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
    IMPOSSIBLE_MULTIPLICITY = "impossible_multiplicity"
    OTHER = "other"


class BadDocument(WqmasterError):
    """The document holds no molecule that can be computed. The job fails, the campaign goes on."""

    code = ErrorCode.DOCUMENT_UNUSABLE

    def __init__(self, message: str | None = None, defect: Defect = Defect.OTHER) -> None:
        super().__init__(message)
        self.defect = defect


class ParseError(WqmasterError):
    """A block that a parser needs is missing from an output. The job fails with `parse_error`."""

    code = ErrorCode.OUTPUT_NOT_PARSED


class NotApplicable(ParseError):
    """The output is whole, and of a run that has no such value. The job fails as with ParseError.

    `wqmaster parse`, which tries all parsers of a program, lists those that raise it by name alone.
    """


class ArchiveError(WqmasterError):
    """A returned archive is cut short or was altered. The job is run again elsewhere."""

    code = ErrorCode.ARCHIVE_BROKEN
