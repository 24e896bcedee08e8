"""The glibc versions in Enterprise Linux, which most OSPool hosts run."""

from collections.abc import Sequence

# Major version -> version of the package `glibc` in AlmaLinux, Rocky Linux and CentOS 7.
ENTERPRISE_LINUX = {7: (2, 17), 8: (2, 28), 9: (2, 34), 10: (2, 39)}
# The versions that machines still run. Support for version 7 ended in June 2024, so only containers
# use it.
_IN_USE = (8, 9, 10)
# The version that most OSPool hosts run (docs/workers.md).
_MOST_HOSTS = 9


def too_old(needs: tuple[int, ...]) -> list[int]:
    """The Enterprise Linux versions whose glibc is older than `needs`, ascending."""
    return [number for number in _IN_USE if ENTERPRISE_LINUX[number] < needs]


def includes_most_hosts(lacking: Sequence[int]) -> bool:
    """Whether most OSPool hosts run one of the Enterprise Linux versions `lacking`."""
    return _MOST_HOSTS in lacking


def in_words(versions: Sequence[int]) -> str:
    """Enterprise Linux versions for a message, such as "Enterprise Linux 8 and 9"."""
    *others, last = map(str, versions)
    before = f"{', '.join(others)} and " if others else ""
    return f"Enterprise Linux {before}{last}"
