"""The password of a private MongoDB server."""

import contextlib
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from tests.conftest import wait_until
from wqmaster.database.private_server import Mongod, find_mongod
from wqmaster.errors import DatabaseError
from wqmaster.system.processes import command_line


@contextlib.contextmanager
def client(uri: str) -> "Iterator[MongoClient[dict[str, Any]]]":
    found: MongoClient[dict[str, Any]]
    with MongoClient(uri, serverSelectionTimeoutMS=5000) as found:
        yield found


def without_password(server: Mongod) -> str:
    scheme, _, rest = server.uri.partition("wqmaster:")
    return scheme + rest.partition("@")[2]


def is_refused(uri: str) -> bool:
    with client(uri) as one:
        try:
            one["a"]["b"].find_one()
        except OperationFailure:
            return True
    return False


def secret(server: Mongod) -> str:
    return (server.folder / "secret").read_text().strip()


@contextlib.contextmanager
def of_an_earlier_version(server: Mongod) -> Iterator[str]:
    """The server as earlier versions started it: without access control."""
    server.data.mkdir(parents=True)
    words = [find_mongod(), "--dbpath", str(server.data), "--bind_ip", str(server.socket)]
    log = ["--nounixsocket", "--filePermissions", "0700", "--logpath", str(server.log)]
    process = subprocess.Popen([*words, *log], stdout=subprocess.DEVNULL)
    try:
        wait_until(server._answers)
        yield server._password.address()
    finally:
        process.terminate()
        process.wait()


def test_only_who_has_the_password_can_read(tmp_path: Path) -> None:
    server = Mongod(tmp_path / "mongod")
    with server.used() as uri:
        assert secret(server) in uri
        assert stat.S_IMODE((server.folder / "secret").stat().st_mode) == 0o600
        assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700
        with client(uri) as one:
            one["a"]["b"].insert_one({"_id": 1})
        assert is_refused(without_password(server))
        assert is_refused(uri.replace(secret(server), "wrong"))
        pid = server.pid()
        assert pid is not None
        assert secret(server) not in command_line(pid)
    assert secret(server) not in server.log.read_text()
    open_to_others = [
        path
        for path in server.folder.rglob("*")
        if not path.is_socket() and path.stat().st_mode & 0o077
    ]
    assert open_to_others == []


def test_a_database_of_an_earlier_version_gets_a_password_and_keeps_its_data(
    tmp_path: Path,
) -> None:
    server = Mongod(tmp_path / "mongod")
    with of_an_earlier_version(server) as uri, client(uri) as one:
        one["a"]["b"].insert_one({"_id": 1})
    with server.used() as uri:
        with client(uri) as one:
            assert one["a"]["b"].find_one() == {"_id": 1}
        assert is_refused(without_password(server))


def test_an_earlier_version_that_still_runs_is_used_and_closed_at_its_next_start(
    tmp_path: Path,
) -> None:
    server = Mongod(tmp_path / "mongod")
    with of_an_earlier_version(server), Mongod(server.folder).used() as uri, client(uri) as one:
        one["a"]["b"].insert_one({"_id": 1})
    with server.used() as uri, client(uri) as one:
        assert one["a"]["b"].find_one() == {"_id": 1}
        assert is_refused(without_password(server))


def test_a_kill_between_password_and_user_is_mended(tmp_path: Path) -> None:
    server = Mongod(tmp_path / "mongod")
    with of_an_earlier_version(server):
        pass
    before = server._password._made()  # then the process was killed
    with server.used() as uri, client(uri) as one:
        one["a"]["b"].insert_one({"_id": 1})
        assert before in uri


def test_a_lost_password_is_replaced_without_loss(tmp_path: Path) -> None:
    server = Mongod(tmp_path / "mongod")
    with server.used() as uri, client(uri) as one:
        one["a"]["b"].insert_one({"_id": 1})
        old = secret(server)
        (server.folder / "secret").unlink()
        again = Mongod(server.folder, "mine.yaml")
        with pytest.raises(DatabaseError) as caught, again.used():
            pass
        assert "'wqmaster db stop mine.yaml'" in caught.value.message
        assert "password file" in caught.value.message
        assert old not in caught.value.message
    with server.used() as uri, client(uri) as one:
        assert one["a"]["b"].find_one() == {"_id": 1}
        assert secret(server) != old
        assert is_refused(without_password(server))


def test_a_copied_folder_works_with_its_password(tmp_path: Path) -> None:
    server = Mongod(tmp_path / "mongod")
    with server.used() as uri, client(uri) as one:
        one["a"]["b"].insert_one({"_id": 1})
    shutil.copytree(server.folder, tmp_path / "copy")
    with Mongod(tmp_path / "copy").used() as uri, client(uri) as one:
        assert one["a"]["b"].find_one() == {"_id": 1}
