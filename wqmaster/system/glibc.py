"""The glibc of Enterprise Linux, which most machines of OSG run."""

# Major version -> glibc, as the package `glibc` of AlmaLinux, Rocky Linux and CentOS 7 has it.
ENTERPRISE_LINUX = {7: (2, 17), 8: (2, 28), 9: (2, 34), 10: (2, 39)}
# Those that machines still run; of 7, which ended in June 2024, there are containers alone.
_IN_USE = (8, 9, 10)
MOST_OF_OSG = frozenset({8, 9})


def too_old(needs: tuple[int, ...]) -> list[int]:
    """The versions of Enterprise Linux whose glibc is older than `needs`, (2, 38), oldest first."""
    return [number for number in _IN_USE if ENTERPRISE_LINUX[number] < needs]
