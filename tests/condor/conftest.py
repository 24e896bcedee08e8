"""A pool for all tests of HTCondor, and campaigns whose workers come through it."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.condor.disturbed import ENGINES, Disturbed, Story
from tests.condor.pool import Pool, left_of, why_not
from tests.condor.site import Site
from tests.conftest import wait_until
from wqmaster.mongod import Mongod


@pytest.fixture(scope="package")
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
def catalog(tmp_path: Path) -> Iterator[str]:
    """A real catalog on loopback: HOST:PORT."""
    port, history = tmp_path / "catalog.port", tmp_path / "history"
    history.mkdir()
    words = ["catalog_server", "--interface=127.0.0.1", f"--port-file={port}", "--name=localhost"]
    words += ["--update-host=127.0.0.1", f"--history={history}"]
    server = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"127.0.0.1:{wait_until(lambda: port.exists() and port.read_text().strip(), 20)}"
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def site(tmp_path: Path, pool: Pool, mongod: Mongod) -> Iterator[Site]:
    """A campaign of this test, in tmp_path, on the pool."""
    found = Site(tmp_path, pool, mongod)
    yield found
    found.close()


@pytest.fixture(scope="package")
def disturbed(
    pool: Pool, mongod: Mongod, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Disturbed]]:
    """A campaign of each engine, whose workers were taken away, and are yet to come again."""
    sites = {
        engine: Site(tmp_path_factory.mktemp(f"condor-{engine}"), pool, mongod)
        for engine in ENGINES
    }
    try:
        running = {engine: Disturbed(site, engine) for engine, site in sites.items()}
        for campaign in running.values():
            campaign.disturb()
        yield running
    finally:
        for site in sites.values():
            site.close()


@pytest.fixture(scope="package")
def stories(disturbed: dict[str, Disturbed]) -> dict[str, Story]:
    """What became of them."""
    return {engine: campaign.end() for engine, campaign in disturbed.items()}


@pytest.fixture(scope="package", autouse=True)
def early(request: pytest.FixtureRequest) -> None:
    """Take the workers away before the other tests, and look afterwards what became of it."""
    if any("stories" in getattr(item, "fixturenames", ()) for item in request.session.items):
        with contextlib.suppress(Exception):  # which the tests of that will meet again
            request.getfixturevalue("disturbed")
