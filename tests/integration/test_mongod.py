"""Private MongoDB servers."""

import threading
from pathlib import Path

from pymongo import MongoClient

from wqmaster.database.private_server import Mongod
from wqmaster.errors import DatabaseError


def test_servers_that_start_at_the_same_time_do_not_collide(tmp_path: Path) -> None:
    """Once, each also created /tmp/mongodb-27017.sock, and the later server exited."""
    servers = [Mongod(tmp_path / str(number)) for number in range(4)]
    errors: list[DatabaseError] = []

    def start(server: Mongod) -> None:
        try:
            server.start()
        except DatabaseError as error:
            errors.append(error)

    for server in servers:
        server.folder.mkdir()
    threads = [threading.Thread(target=start, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert errors == []
        for server in servers:
            client: MongoClient[dict[str, object]]
            with MongoClient(server.uri) as client:
                assert client.admin.command("ping")["ok"] == 1.0
    finally:
        for server in servers:
            server.stop()
