"""The words for errors of the database's driver."""

import pytest
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from wqmaster.database.reasons import reason

REFUSED = (
    "localhost:1: [Errno 111] Connection refused (configured timeouts: socketTimeoutMS: 20000.0ms, "
    "connectTimeoutMS: 20000.0ms), Timeout: 5.0s, Topology Description: <TopologyDescription id: 1>"
)
REPLY = {"ok": 0.0, "errmsg": "unknown operator: $foo", "code": 2, "codeName": "BadValue"}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ServerSelectionTimeoutError(REFUSED), "the connection was refused"),
        (
            AutoReconnect("h:1: timed out (configured timeouts: x: 1ms)"),
            "it does not answer in time",
        ),
        (AutoReconnect("h:1: odd (configured timeouts: x: 1ms)"), "h:1: odd"),
        (
            OperationFailure(f"unknown operator: $foo, full error: {REPLY}", 2, REPLY),
            "unknown operator: $foo",
        ),
        (
            OperationFailure("Cannot create field 'gfn2' in element {xtb: 3}", 28),
            "'gfn2' cannot be stored in the field 'xtb', which holds 3",
        ),
        (OperationFailure(f"bad auth, full error: {REPLY}"), "bad auth"),
        (
            OperationFailure("Authentication failed.", 18, {"errmsg": "Authentication failed."}),
            "the server rejects the user name or the password",
        ),
        (ExecutionTimeout("operation exceeded time limit", 50), "the operation took too long"),
        (BulkWriteError({"writeErrors": [{"errmsg": "no space", "code": 1}]}), "no space"),
    ],
)
def test_an_error_of_the_driver_is_one_plain_line(error: PyMongoError, words: str) -> None:
    assert reason(error) == words
