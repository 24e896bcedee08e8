"""A pool for all tests of HTCondor, and campaigns whose workers come through it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.condor.pool import Pool, left_of, why_not
from tests.condor.site import Site
from tests.conftest import wait_until
from wqmaster.mongod import Mongod


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    """A real pool of HTCondor on loopback, which leaves nothing behind."""
    reason = why_not()
    if reason is not None:
        pytest.skip(f"no pool of HTCondor can be started: {reason}")
    found = Pool()
    try:
        found.start()
        yield found
    finally:
        found.stop()
    wait_until(lambda: not left_of(found.folder), 10)
    assert not found.folder.exists()


@pytest.fixture
def site(tmp_path: Path, pool: Pool, mongod: Mongod) -> Iterator[Site]:
    """A campaign of this test, in tmp_path, on the pool."""
    found = Site(tmp_path, pool, mongod)
    yield found
    found.close()
