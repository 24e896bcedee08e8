"""The supervisor process.

    python -m wqmaster.factory < ORDER

ORDER is one line of JSON (see `supervisor.Order`). The answer on standard output is one line too:
{} for success, or {"error": MESSAGE, "code": CODE}, where CODE is an `ErrorCode`.
"""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import IO

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import WqmasterError
from wqmaster.factory.leftovers import take_lock
from wqmaster.factory.supervisor import Order, Supervisor
from wqmaster.system.locks import note


def main() -> int:
    """Read the order, answer it, and carry it out; return the exit code."""
    order = Order.read(sys.stdin.readline())
    folder = Path(order.folder)
    error: str | None = None
    code = ErrorCode.FACTORY_FAILED
    lock: IO[str] | None = None
    supervisor: Supervisor | None = None
    try:
        lock = take_lock(folder, order.plan.campaign_file)
        note(lock)
        supervisor = Supervisor(order)
        supervisor.begin()
    except WqmasterError as reason:
        error, code = reason.message, reason.code
    except OSError as reason:
        error = f"the factory's folder {folder} is unusable: {reason}"
        code = ErrorCode.FOLDER_UNUSABLE
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps({"error": error, "code": code} if error else {}), flush=True)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    if supervisor is None or error is not None:
        return 1
    return supervisor.run()


if __name__ == "__main__":
    sys.exit(main())
