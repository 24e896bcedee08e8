"""Start a supervisor as a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import IO, cast

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import EngineError
from wqmaster.factory.leftovers import Locked
from wqmaster.factory.supervisor import Order


def spawn(order: Order, errors: Path) -> "subprocess.Popen[bytes]":
    """Start a supervisor in a separate session, and wait until it has answered.

    Raises:
        Locked: another supervisor runs in this folder.
        EngineError: the supervisor did not start; the message gives the reason.
    """
    with errors.open("ab") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "wqmaster.factory"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
    stdin, stdout = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
    try:
        stdin.write(order.line().encode())
        stdin.flush()
        answer = stdout.readline()
    except BrokenPipeError:
        answer = b""
    except BaseException:
        stdin.close()
        process.wait()
        raise
    finally:
        stdout.close()
    code = ErrorCode.FACTORY_FAILED
    try:
        reply = json.loads(answer)
        error = reply.get("error")
        code = ErrorCode(reply.get("code", code))
    except ValueError:
        error = f"the factory's supervisor exited immediately; see {errors}"
    if error is None:
        return process
    stdin.close()
    process.wait()
    raise (Locked if code is ErrorCode.FACTORY_RUNNING else EngineError)(error, code=code)
