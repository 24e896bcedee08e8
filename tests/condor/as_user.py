"""Runs a command as a user that is not root, in a user namespace of its own.

    python as_user.py COMMAND...

What it does to files it does as before, if those are of whoever runs this: only names change. An
ordinary user's command is run as it is.
"""

import ctypes
import errno
import os
import pwd
import sys
from pathlib import Path

# Of a user that is not root and has a name: nobody, in most containers.
UID = next((user.pw_uid for user in pwd.getpwall() if 1000 <= user.pw_uid < 60000), 65534)
# linux/sched.h
CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
_libc = ctypes.CDLL(None, use_errno=True)


def _called(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def words(*command: str) -> list[str]:
    """The command line that runs `command` so."""
    return [sys.executable, __file__, *command]


def become(uid: int) -> None:
    """Make this process look like user `uid`; nothing happens to one that is not root.

    Raises:
        OSError: this machine does not allow user namespaces.
    """
    if os.geteuid() != 0:
        return
    root, here = os.open("/", os.O_RDONLY), Path.cwd()
    try:
        _called(_libc.unshare(CLONE_NEWUSER), "unshare")
    except PermissionError:
        # user_namespaces(7): not from within a chroot. Who enters the mount namespace that it is in
        # already is out of it, and may go back afterwards.
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
    """Become the user, and then the command."""
    try:
        become(UID)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOSPC, errno.EINVAL):
            raise
        sys.exit(f"no user namespace here: {error}")
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(*sys.argv[1:])
