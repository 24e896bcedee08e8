"""Check whether workers have the glibc that the programs sent to them need."""

import re

from wqmaster.campaign.workers import CondorWorkers
from wqmaster.doctor.batch import pool_is_here
from wqmaster.doctor.finding import Case, Finding, State
from wqmaster.error_codes import ErrorCode
from wqmaster.system.glibc import ENTERPRISE_LINUX, in_words, includes_most_hosts, too_old

# The systems that image names mention -> their glibc (packages.ubuntu.com, packages.debian.org).
_OF = {
    **{f"ubuntu{number}": glibc for number, glibc in (("18.04", (2, 27)), ("20.04", (2, 31)))},
    **{f"ubuntu{number}": glibc for number, glibc in (("22.04", (2, 35)), ("24.04", (2, 39)))},
    **{f"debian{number}": glibc for number, glibc in ((11, (2, 31)), (12, (2, 36)), (13, (2, 41)))},
    **{f"el{number}": glibc for number, glibc in ENTERPRISE_LINUX.items()},
}
_IMAGE = re.compile(
    r"(?<![a-z])(?:(ubuntu|debian)|(?:el|rhel|centos|rocky|rockylinux|alma|almalinux))"
    r"[-_:]{0,2}([0-9]+)(\.[0-9]+)?"
)


def of_image(image: str) -> tuple[int, ...] | None:
    """The glibc in a container image, judging by its name; None if the name does not reveal it."""
    for found in _IMAGE.finditer(image.lower()):
        name, number, rest = found.groups()
        known = _OF.get(f"{name or 'el'}{number}{(rest or '') if name == 'ubuntu' else ''}")
        if known is not None:
            return known
    return None


def judged(case: Case, subject: str, what: str, needs: tuple[int, ...], fix: str) -> Finding:
    """Compare the glibc that `what` needs with the glibc on the machines that receive it."""
    if not needs:
        return Finding(subject, "ok", f"{what} needs no glibc")
    seen = f"{what} needs glibc {_words(needs)}"
    goes_to_condor = isinstance(case.workers, CondorWorkers)
    image = case.workers.image if isinstance(case.workers, CondorWorkers) else None
    if image is not None:
        has = of_image(image)
        if has is None:
            look = f"apptainer exec {image} ldd --version"
            return Finding(
                subject,
                "warning",
                f"{seen}, which {image} must have",
                look,
                code=ErrorCode.GLIBC_TOO_NEW,
            )
        if has >= needs:
            return Finding(
                subject, "ok", f"{seen}, and {image} has {_words(has)} (judging by its name)"
            )
        seen += f", but {image} has {_words(has)} (judging by its name), so it cannot start there"
        return Finding(subject, "wrong", seen, fix, code=ErrorCode.GLIBC_TOO_NEW)
    lacking = too_old(needs)
    if not lacking:
        return Finding(subject, "ok", f"{seen}, which Enterprise Linux 8 and 9 have")
    seen += f": it cannot start on {in_words(lacking)}"
    on_most = includes_most_hosts(lacking)
    if goes_to_condor and on_most:
        seen += ", which most OSPool hosts run"
    # In a pool that is this machine, or consists of similar ones, the program can still start.
    hard = goes_to_condor and not pool_is_here(case)
    state: State = "wrong" if hard and on_most else "warning"
    return Finding(subject, state, seen, fix, code=ErrorCode.GLIBC_TOO_NEW)


def _words(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
