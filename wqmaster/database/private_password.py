"""The password of a private MongoDB server.

It is written to a file that only the owner can read before the server knows it. The server's only
user is then created without a password, which MongoDB permits from the same machine as long as
there is no user ("localhost exception" in its manual). A kill in between leaves a password without
a user, or both; the next start completes what is missing. In the same way, a database of an earlier
version, which had no password, gets one when it is started.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from wqmaster.system.private import write_private

if TYPE_CHECKING:
    from pymongo import MongoClient

_USER = "wqmaster"
_MECHANISM = "SCRAM-SHA-256"
# The server has a single user, its owner.
_ROLES = ["root"]
# MongoDB's error codes: Unauthorized, AuthenticationFailed, and a user that exists already.
_REFUSED_CODES = (13, 18, 51003)
_TIMEOUT_MILLISECONDS = 20_000


class PrivatePassword:
    """The password in `file`, for the server that listens on `socket`."""

    def __init__(self, file: Path, socket: Path) -> None:
        self.file = file
        self._socket = socket

    def address(self, password: str | None = None) -> str:
        """The server's address, with user and `password` if it is given."""
        user = f"{_USER}:{password}@" if password else ""
        return f"mongodb://{user}{quote(str(self._socket), safe='')}/?directConnection=true"

    @property
    def uri(self) -> str:
        """The address with the password, if there is one yet."""
        return self.address(self._stored())

    def _stored(self) -> str | None:
        try:
            return self.file.read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None

    def _made(self) -> str:
        """The stored password; it is created if there is none."""
        if self._stored() is None:
            write_private(self.file, secrets.token_hex(32) + "\n")
        password = self._stored()
        assert password is not None  # noqa: S101  # it was written
        return password

    def admit(self) -> bool:
        """Make the running server accept the password; False if it has another one."""
        from pymongo.errors import OperationFailure

        password = self._made()
        try:
            with self._client(password) as client:
                client.admin.command("ping")
            return True
        except OperationFailure as error:
            if error.code not in _REFUSED_CODES:
                raise
        try:
            with self._client(None) as client:
                client.admin.command(
                    "createUser", _USER, pwd=password, roles=_ROLES, mechanisms=[_MECHANISM]
                )
        except OperationFailure as error:
            if error.code not in _REFUSED_CODES:
                raise
            return False
        return True

    def reset(self) -> None:
        """Give the user the stored password, on a server that runs without access control."""
        with self._client(None) as client:
            client.admin.command("updateUser", _USER, pwd=self._made(), mechanisms=[_MECHANISM])

    @contextmanager
    def _client(self, password: str | None) -> "Iterator[MongoClient[dict[str, Any]]]":
        from pymongo import MongoClient

        address, limit = self.address(password), _TIMEOUT_MILLISECONDS
        client: MongoClient[dict[str, Any]]
        with MongoClient(address, serverSelectionTimeoutMS=limit) as client:
            yield client
