"""Tell a database that cannot store anything now from data that it will never store. No I/O."""

from bson.errors import BSONError
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DocumentTooLarge,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)

from wqmaster.database.reasons import is_about_access

# Errors while results are stored that the collector survives.
STORING_ERRORS = (PyMongoError, BSONError, OverflowError, UnicodeError, OSError)
# What the driver itself refuses to send.
_OF_THE_DRIVER = (DocumentTooLarge, BSONError, OverflowError, UnicodeError)
# MongoDB's error codes for what was to be stored: BadValue, FailedToParse, TypeMismatch, Overflow,
# InvalidBSON, PathNotViable, ConflictingUpdateOperators, DollarPrefixedFieldName, InvalidIdField,
# EmptyFieldName, DottedFieldName, DocumentValidationFailure, BSONObjectTooLarge, KeyTooLong, and
# the limits on the size and depth of a document (error_codes.yml of the server).
_OF_DATA = frozenset((2, 9, 14, 15, 22, 28, 40, 52, 53, 56, 57, 121, 10334, 17280, 17419, 17420))
# Codes of a server that is busy, changes its role, shuts down or has no space: UnknownError,
# HostUnreachable, HostNotFound, LockTimeout, ExceededTimeLimit and the like.
_OF_SERVER = frozenset(
    (
        *(1, 6, 7, 8, 24, 39, 43, 50, 64, 79, 89, 91, 100, 112, 133, 134, 189, 202, 262, 267),
        *(279, 290, 317, 365, 9001, 10058, 10107, 11600, 11601, 11602, 13435, 13436, 13388),
        *(14031, 63, 150, 234, 391),
    )
)


def is_about_data(error: Exception) -> bool:
    """Whether the error surely comes from what was to be stored, and would recur."""
    if isinstance(error, _OF_THE_DRIVER):
        return True
    if isinstance(error, BulkWriteError):
        failed = (error.details or {}).get("writeErrors") or ()
        return any(one.get("code") in _OF_DATA for one in failed)
    return isinstance(error, OperationFailure) and error.code in _OF_DATA


def can_be_about_data(error: Exception) -> bool:
    """Whether the error can come from what was to be stored, so that it is worth a closer look."""
    if is_about_data(error):
        return True
    if not isinstance(error, OperationFailure) or isinstance(error, WriteConcernError):
        return False  # a lost connection, or a full disk here
    if is_about_access(error) or error.timeout or isinstance(error, ConnectionFailure):
        return False
    if isinstance(error, BulkWriteError):
        failed = (error.details or {}).get("writeErrors") or ()
        codes = {one.get("code") for one in failed}
        return bool(codes) and not codes & _OF_SERVER
    return error.code not in _OF_SERVER
