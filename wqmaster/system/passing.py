"""Errors of the operating system that can pass: what failed is worth another attempt."""

import errno

# A full disk or quota, a disk or file server that fails, a disk that has become read-only, and too
# few descriptors.
_PASSING = frozenset(
    (
        *(errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EROFS),
        *(errno.EMFILE, errno.ENFILE),
    )
)


def can_pass(error: BaseException) -> bool:
    """Whether `error` comes from the state of this machine, and can pass."""
    return isinstance(error, OSError) and error.errno in _PASSING
