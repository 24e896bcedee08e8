"""Call a program's `diagnose`. Users can write this function, so it can return anything."""

from collections.abc import Callable
from typing import Any

from wqmaster.jobs.failures import Failure, FailureClass
from wqmaster.system.tracebacks import defined


def misfit(found: Any) -> str | None:
    """Why `found`, which `diagnose` returned, is not a diagnosis; None if it is one.

    The text continues a message that begins with the function's name: "returns ...".
    """
    if found is None:
        return None
    if not isinstance(found, Failure):
        return f"returns {found!r:.60} ({type(found).__name__}), not a Failure or None"
    kind: Any = found.kind
    if not isinstance(kind, FailureClass):
        return f"returns a Failure of {kind!r:.60}, which is not a member of FailureClass"
    message: Any = found.message
    if not isinstance(message, str):
        return f"returns a Failure whose message is {message!r:.60}, which must be a string"
    return None


def diagnosed(diagnose: Callable[..., Any], *arguments: Any) -> Failure | None:
    """Call `diagnose` (or `diagnose_file`) and return its diagnosis; None means no failure.

    If the function returns something else, the result is a failure of the class PARSE_ERROR.

    Raises:
        ParseError: `diagnose` raised it.
    """
    found = diagnose(*arguments)
    why = misfit(found)
    if why is None:
        return found  # type: ignore[no-any-return]
    place = defined(diagnose)
    name = getattr(diagnose, "__name__", "diagnose")
    where = f" ({place})" if place is not None else ""
    return Failure(FailureClass.PARSE_ERROR, f"the output cannot be judged: {name} {why}{where}")
