"""The glibc versions of Enterprise Linux, which most OSG machines run."""

# Major version -> version of the package `glibc` in AlmaLinux, Rocky Linux and CentOS 7.
ENTERPRISE_LINUX = {7: (2, 17), 8: (2, 28), 9: (2, 34), 10: (2, 39)}
# Versions that machines still run. Support of 7 ended in June 2024; it survives in containers.
_IN_USE = (8, 9, 10)
MOST_OF_OSG = frozenset({8, 9})


def too_old(needs: tuple[int, ...]) -> list[int]:
    """The versions of Enterprise Linux whose glibc is older than `needs`, e.g. (2, 38); sorted."""
    return [number for number in _IN_USE if ENTERPRISE_LINUX[number] < needs]
