"""The worker factory as a part of a run that is mended."""

from wqmaster.error_codes import ErrorCode
from wqmaster.factory import Handle, TroubleKind
from wqmaster.run.upkeep import RunTrouble


def factory_trouble(factory: Handle | None) -> RunTrouble | None:
    """Why the master's factory does not run; None if it does, or if there is none.

    Trouble of workers is no such reason: they come and go, and wait in queues.
    """
    trouble = factory.trouble() if factory is not None else None
    if trouble is None:
        return None
    lasts = trouble.kind is TroubleKind.FACTORY_FAILING
    if lasts or trouble.kind is TroubleKind.FACTORY_RESTARTS:
        return RunTrouble(str(trouble), ErrorCode.FACTORY_FAILED, lasts=lasts)
    return None
