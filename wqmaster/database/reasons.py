"""Errors of the driver in plain words.

pymongo appends the server's whole reply, its own settings and the topology to the reason.
"""

import re

from pymongo.errors import BulkWriteError, ExecutionTimeout, OperationFailure, PyMongoError

UNAUTHORIZED_CODE, AUTHENTICATION_FAILED_CODE = 13, 18  # MongoDB's error codes
# Codes of errors about the user: UserNotFound, Unauthorized, AuthenticationFailed, and Atlas' own.
_ACCESS_CODES = (11, UNAUTHORIZED_CODE, AUTHENTICATION_FAILED_CODE, 8000)
# Codes of a bad query: BadValue, FailedToParse, TypeMismatch, an invalid regex.
_QUERY_CODES = (2, 9, 14, 51091)
_MAX_CHARACTERS = 300
_SURPLUS = re.compile(
    r",? full error: .*| \(configured timeouts: [^)]*\)|, Timeout: .*|,? Topology Description.*"
    r"|\. If you have a field name .*|\.$",
    re.DOTALL,
)
# An update below a field that is not a mapping.
_OBSTACLE = re.compile(r"Cannot create field '([^']*)' in element \{(.+?): (.*)\}$", re.DOTALL)
# Parts of messages of the operating system and of OpenSSL, and what they mean.
_CONNECTION = (
    ("Connection refused", "the connection was refused"),
    ("No such file or directory", "there is no such socket"),
    ("Name or service not known", "the host name is unknown"),
    ("Temporary failure in name resolution", "the host name cannot be resolved"),
    ("No address associated with hostname", "the host name has no address"),
    ("CERTIFICATE_VERIFY_FAILED", "the server's TLS certificate is not trusted"),
    ("SSL handshake failed", "the TLS handshake failed"),
    ("timed out", "it does not answer in time"),
    ("connection closed", "the connection was closed"),
)


def reason(error: Exception) -> str:
    """Why an operation of the driver failed, on one line."""
    if isinstance(error, OperationFailure):
        if error.code == AUTHENTICATION_FAILED_CODE:
            return "the server rejects the user name or the password"
        if isinstance(error, ExecutionTimeout):
            return "the operation took too long"
        if isinstance(error, BulkWriteError) and error.details:
            failed = [*error.details.get("writeErrors", ())]
            failed += error.details.get("writeConcernErrors", ())
            if failed:
                return plain(str(failed[0].get("errmsg", "a write failed")))
        return plain(str((error.details or {}).get("errmsg") or error))
    text = plain(str(error))
    if isinstance(error, PyMongoError):
        return next((words for said, words in _CONNECTION if said in text), text)
    return text


def is_about_access(error: Exception) -> bool:
    """Whether the server refuses the user, and not what was asked."""
    return isinstance(error, OperationFailure) and error.code in _ACCESS_CODES


def is_about_query(error: Exception) -> bool:
    """Whether the server does not understand a query, and would give the same answer again."""
    if isinstance(error, BulkWriteError):
        return False
    return isinstance(error, OperationFailure) and error.code in _QUERY_CODES


def plain(text: str) -> str:
    """A message from the server on one line, without what is appended to it, and cut if it is long.

    The message about a field that cannot be created is reworded.
    """
    obstacle = _OBSTACLE.match(text)
    if obstacle is not None:
        inner, outer, value = obstacle.groups()
        text = f"'{inner}' cannot be stored in the field '{outer}', which holds {value}"
    return " ".join(_SURPLUS.sub("", text).split())[:_MAX_CHARACTERS]
