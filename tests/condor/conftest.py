"""A pool for all HTCondor tests, and campaigns whose workers run in it."""

import contextlib
import secrets
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.condor.disturbed import ENGINES, Disturbed, Story
from tests.condor.pool import Pool, left_of, why_not
from tests.condor.site import Site
from tests.conftest import wait_until
from wqmaster.database.private_server import Mongod


@pytest.fixture(scope="package")
def pool() -> Iterator[Pool]:
    """A real HTCondor pool on loopback, which leaves nothing behind."""
    reason = why_not()
    if reason is not None:
        pytest.skip(f"cannot start an HTCondor pool: {reason}")
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
    """The address, HOST:PORT, of a real catalog server on loopback."""
    words = ["catalog_server", "--interface=127.0.0.1", "--name=localhost"]
    words += ["--update-host=127.0.0.1", f"--history={tmp_path}"]
    server: subprocess.Popen[bytes] | None = None

    def listens() -> int | None:
        # The catalog server also uses the next port, and exits if either is in use.
        nonlocal server, port
        if server is None or server.poll() is not None:
            port = 20000 + secrets.randbelow(10000)
            server = subprocess.Popen([*words, f"--port={port}"], stderr=subprocess.DEVNULL)
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return port if server.poll() is None else None
        return None

    port = 0
    try:
        yield f"127.0.0.1:{wait_until(listens, 20)}"
    finally:
        if server is not None:
            server.kill()
            server.wait()


@pytest.fixture
def site(tmp_path: Path, pool: Pool, mongod: Mongod) -> Iterator[Site]:
    """A campaign in tmp_path whose workers run in the pool."""
    found = Site(tmp_path, pool, mongod)
    yield found
    found.close()


@pytest.fixture(scope="package")
def disturbed(
    pool: Pool, mongod: Mongod, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Disturbed]]:
    """For each engine, a campaign that has lost workers and has not replaced them yet."""
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
    """Wait for the disturbed campaigns to end; return the story of each, by engine."""
    return {engine: campaign.end() for engine, campaign in disturbed.items()}


@pytest.fixture(scope="package", autouse=True)
def early(request: pytest.FixtureRequest) -> None:
    """Remove workers before the other tests run, so that the campaigns recover in the meantime."""
    if any("stories" in getattr(item, "fixturenames", ()) for item in request.session.items):
        with contextlib.suppress(Exception):  # the tests that use the fixture raise it again
            request.getfixturevalue("disturbed")
