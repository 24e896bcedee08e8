"""The rules and words of the OSPool, as far as workers and masters are concerned. No I/O.

Source: OSG's user documentation (osg-htc/user-documentation, August 2026), pages "Policies for
Using OSG Services and the OSPool", "Indicate the Duration Category of Your Jobs" and "Control Where
Your Jobs Run".
"""

import re
from collections.abc import Iterable

from wqmaster.system.glibc import ENTERPRISE_LINUX, too_old

POLICY_PAGE = "https://portal.osg-htc.org/documentation/overview/references/policy/"
# Jobs in a category should end within these hours, and are held after twice as long.
CATEGORY_HOURS = {"Medium": 10, "Long": 20}
# How many jobs a user may have in the queue without asking.
MAX_QUEUED_JOBS = 10_000
# A job that starts more often than this without completing may be held.
MAX_STARTS = 30
# Public names of access points: apNN.uw.osg-htc.org, apNN.uc.osg-htc.org (until December 2025),
# ap7.ospool.osg-htc.org, notebook.ospool.osg-htc.org, ap1.facility.path-cc.io, and OSG Connect's
# login nodes. Pods and private interfaces append to the first label.
_ACCESS_POINT = re.compile(
    r"(?:ap\d+[a-z0-9-]*|notebook[a-z0-9-]*)(?:\.[a-z0-9-]+)?\.osg-htc\.org"
    r"|ap\d+[a-z0-9-]*\.(?:facility|facility-[a-z0-9-]+)\.path-cc\.io"
    r"|(?:login\d*|ap\d+)[a-z0-9-]*\.(?:osgconnect\.net|osg\.ci-connect\.net)"
)
_OBSOLETE_WORDS = {
    "HAS_AVX2": 'Microarch >= "x86_64-v3"',
    "HAS_AVX": 'Microarch >= "x86_64-v3"',
}
_CVMFS = re.compile(r"/cvmfs/([A-Za-z0-9.-]+)(?:/|$)")
# A processor as `uname -m` names it -> as HTCondor's attribute Arch does.
_ARCH = {"x86_64": "X86_64"}


def access_point(names: Iterable[str]) -> str | None:
    """The first of a machine's `names` that is an OSG access point; None if none is."""
    for name in names:
        if _ACCESS_POINT.fullmatch(name.lower().rstrip(".")):
            return name
    return None


def category(walltime: int | None) -> str | None:
    """The duration category of workers with this wall time in seconds; None if none fits.

    A worker leaves before its wall time ends, so one of ten hours takes less than ten hours.
    """
    if walltime is None:
        return None
    fitting = (name for name, hours in CATEGORY_HOURS.items() if walltime <= hours * 3600)
    return next(fitting, None)


def why_no_category(walltime: int | None) -> str:
    """Why `category` is None, and what to write instead."""
    longest = max(CATEGORY_HOURS.values())
    limits = ", ".join(f"{name}: up to {hours} h" for name, hours in CATEGORY_HOURS.items())
    if walltime is None:
        why = "without 'walltime:' a worker runs until it is idle, and the OSPool holds long jobs"
    else:
        why = f"a wall time of {walltime / 3600:.3g} h fits no duration category of the OSPool"
    return (
        f"{why} ({limits}; held after twice as long); write 'walltime: 9h', or at most {longest}h"
    )


def obsolete(requirements: str | None) -> list[tuple[str, str]]:
    """The words in `requirements` that the OSPool no longer recommends, each with its successor."""
    return [
        (word, new)
        for word, new in _OBSOLETE_WORDS.items()
        if re.search(rf"\b{word}\b", requirements or "")
    ]


def requirements(
    stated: str | None,
    *,
    image: str | None,
    glibc: tuple[int, ...],
    machine: str,
    paths: Iterable[str],
) -> list[str]:
    """The expressions that a machine must satisfy, to be joined by `&&`.

    `stated` are the campaign's own. `glibc` is what worker and archives need from the system, ()
    for nothing; `machine` is the worker's processor; `paths` are those of programs, of which some
    can be on CVMFS. A pool that does not advertise its system's name is not excluded.

    Raises:
        ValueError: no system in use has the glibc, and there is no image.
    """
    found = [f"({stated})"] if stated else []
    if "Arch" not in re.findall(r"\w+", stated or ""):
        found.append(f'(TARGET.Arch == "{_ARCH.get(machine, machine)}")')
    lacking = too_old(glibc)
    if image is None and lacking and "OSGVO_OS_STRING" not in (stated or ""):
        having = [number for number in ENTERPRISE_LINUX if number > max(lacking)]
        if not having:
            raise ValueError(
                f"worker or software need glibc {'.'.join(map(str, glibc))}, which no Enterprise "
                "Linux has; name a container with 'image:', or an older or static worker with "
                "'worker:'"
            )
        names = " || ".join(f'OSGVO_OS_STRING == "RHEL {number}"' for number in having)
        found.append(f"(isUndefined(OSGVO_OS_STRING) || {names})")
    for repository in sorted({match[1] for path in paths if (match := _CVMFS.match(path))}):
        found.append(f"(HAS_CVMFS_{re.sub('[^A-Za-z0-9]', '_', repository)} == True)")
    return found


def forbidden(name: str, what: str) -> str:
    """Why `what` must not run on the access point `name`, and the way that is allowed."""
    return (
        f"this is {name}, an OSG access point, where the policy ({POLICY_PAGE}) forbids "
        f"persistent processes and open ports; run {what} on your own computer, write a submit "
        "file there with 'wqmaster factory CAMPAIGN --submit-file', and submit it here"
    )
