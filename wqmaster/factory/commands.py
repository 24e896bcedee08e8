"""Run the commands of batch systems."""

import os

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import EngineError
from wqmaster.system.programs import ask

# How long a busy queue can take to respond.
_COMMAND_TIMEOUT_SECONDS = 60.0


def answer(*command: str) -> str:
    """The standard output of a command.

    Raises:
        EngineError: the command is missing, failed, or took too long.
    """
    try:
        said = ask(
            command,
            os.environ,
            seconds=_COMMAND_TIMEOUT_SECONDS,
            max_bytes=None,  # a queue prints a line for each job
            errors="apart",
        )
    except OSError as error:
        raise EngineError(
            f"'{command[0]}' cannot be run: {error.strerror}", code=ErrorCode.BATCH_SYSTEM_FAILED
        ) from error
    if said.code is None:
        raise EngineError(
            f"'{command[0]}' did not respond within {_COMMAND_TIMEOUT_SECONDS:.0f} s",
            code=ErrorCode.BATCH_SYSTEM_FAILED,
        )
    # condor_rm fails with this message if no job matches.
    if said.code and "matching specified constraint" not in said.text + said.errors:
        why = no_schedd(said.text + said.errors) or said.last.removesuffix(".")
        raise EngineError(f"'{command[0]}' failed: {why}", code=ErrorCode.BATCH_SYSTEM_FAILED)
    return said.text


def no_schedd(text: str) -> str | None:
    """What condor_q says in many lines if its schedd is missing; None for any other message."""
    if "condor_schedd is not running" in " ".join(text.split()):
        return "no condor_schedd can be found from this machine"
    return None
