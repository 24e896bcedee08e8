"""Run a command as a user other than root, in a separate user namespace.

    python as_user.py COMMAND...

Only names change: the command accesses the caller's files as before. For an ordinary user, the
command runs unchanged.
"""

import ctypes
import errno
import os
import pwd
import sys
from pathlib import Path

# The id of a named user other than root; in most containers, that of nobody.
UID = next((user.pw_uid for user in pwd.getpwall() if 1000 <= user.pw_uid < 60000), 65534)
# These two are defined in linux/sched.h.
CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
_libc = ctypes.CDLL(None, use_errno=True)


def _called(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def words(*command: str) -> list[str]:
    """The command line that runs `command` as the user UID."""
    return [sys.executable, __file__, *command]


def become(uid: int) -> None:
    """Make this process look like user `uid` if it runs as root.

    Raises:
        OSError: this machine does not allow user namespaces.
    """
    if os.geteuid() != 0:
        return
    root, here = os.open("/", os.O_RDONLY), Path.cwd()
    try:
        _called(_libc.unshare(CLONE_NEWUSER), "unshare")
    except PermissionError:
        # Inside a chroot, this is not allowed (user_namespaces(7)). A process that enters its own
        # mount namespace again is outside the chroot, and can return to it afterwards (F15).
        own = os.open("/proc/self/ns/mnt", os.O_RDONLY)
        _called(_libc.setns(own, CLONE_NEWNS), "setns")
        _called(_libc.unshare(CLONE_NEWUSER), "unshare")
        os.close(own)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} 0 1")
    Path("/proc/self/gid_map").write_text(f"{uid} 0 1")
    os.fchdir(root)
    os.chroot(".")
    os.close(root)
    os.chdir(here)


def main(*command: str) -> None:
    """Become the user, then execute the command."""
    try:
        become(UID)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOSPC, errno.EINVAL):
            raise
        sys.exit(f"no user namespace here: {error}")
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(*sys.argv[1:])
