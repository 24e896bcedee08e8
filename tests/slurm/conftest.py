"""A SLURM cluster for all SLURM tests."""

import shutil
from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import held_xtb
from tests.condor.pool import left_of
from tests.conftest import wait_until
from tests.slurm.cluster import PROGRAMS, Cluster

__all__ = ["held_xtb"]


@pytest.fixture(scope="package")
def cluster() -> Iterator[Cluster]:
    """A real cluster with one node on loopback, which leaves nothing behind."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        pytest.skip(f"cannot start SLURM; not installed here: {', '.join(absent)}")
    found = Cluster()
    try:
        found.start()
        yield found
    finally:
        found.stop()
    wait_until(lambda: not left_of(found.folder), 10)
    assert not found.folder.exists()
