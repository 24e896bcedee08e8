"""Commands of batch systems, asked and answered."""

import subprocess

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import EngineError

# A queue that has much to do may take as long to answer.
_COMMAND_TIMEOUT_SECONDS = 60


def answer(*command: str) -> str:
    """What a command prints.

    Raises:
        EngineError: it is not there, failed, or took too long.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_COMMAND_TIMEOUT_SECONDS,
        )
    except OSError as error:
        raise EngineError(
            f"'{command[0]}' cannot be run: {error.strerror}", code=ErrorCode.BATCH_SYSTEM_FAILED
        ) from error
    except subprocess.TimeoutExpired:
        raise EngineError(
            f"'{command[0]}' gave no answer in {_COMMAND_TIMEOUT_SECONDS} s",
            code=ErrorCode.BATCH_SYSTEM_FAILED,
        ) from None
    # condor_rm, of no job at all, says so and fails.
    if done.returncode and "matching specified constraint" not in done.stdout + done.stderr:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise EngineError(
            f"'{command[0]}' failed: {''.join(last)[:300]}", code=ErrorCode.BATCH_SYSTEM_FAILED
        )
    return done.stdout
