"""Whether this machine is an OSG access point, where masters and factories are forbidden."""

from wqmaster.factory import ospool
from wqmaster.system.hosts import names_of_this_host


def why_not_here(what: str) -> str | None:
    """Why `what` (a noun) must not run here, and the way that is allowed; None if it may."""
    name = ospool.access_point(names_of_this_host())
    return None if name is None else ospool.forbidden(name, what)
