"""Commands of batch systems, asked and answered."""

import os

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import EngineError
from wqmaster.system.programs import ask

# A queue that has much to do may take as long to answer.
_COMMAND_TIMEOUT_SECONDS = 60.0


def answer(*command: str) -> str:
    """What a command prints.

    Raises:
        EngineError: it is not there, failed, or took too long.
    """
    try:
        said = ask(
            command,
            os.environ,
            seconds=_COMMAND_TIMEOUT_SECONDS,
            max_bytes=None,  # a queue has as many lines as jobs
            errors="apart",
        )
    except OSError as error:
        raise EngineError(
            f"'{command[0]}' cannot be run: {error.strerror}", code=ErrorCode.BATCH_SYSTEM_FAILED
        ) from error
    if said.code is None:
        raise EngineError(
            f"'{command[0]}' gave no answer in {_COMMAND_TIMEOUT_SECONDS:.0f} s",
            code=ErrorCode.BATCH_SYSTEM_FAILED,
        )
    # condor_rm, of no job at all, says so and fails.
    if said.code and "matching specified constraint" not in said.text + said.errors:
        raise EngineError(f"'{command[0]}' failed: {said.last}", code=ErrorCode.BATCH_SYSTEM_FAILED)
    return said.text
