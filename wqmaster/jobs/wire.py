"""Pack jobs into a task's inputs.tar, and read their outcomes from its outputs.tar."""

import gzip
import hashlib
import io
import re
import shlex
import tarfile
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, cast

from wqmaster.errors import ArchiveError
from wqmaster.jobs.job import (
    SOFTWARE,
    SOFTWARE_SCRIPT,
    Execution,
    Job,
    Outcome,
    StepOutcome,
    Supply,
)

# A returned file that is larger than this is not read.
MAX_FILE_BYTES = 1 << 30
_MAX_MANIFEST_BYTES = 16 << 20
# How much of a decompressed archive is held in memory, and how large it may be in total.
_MAX_UNPACKED_IN_MEMORY_BYTES = 64 << 20
_MAX_ARCHIVE_BYTES = 8 << 30

_BROKEN = (tarfile.TarError, EOFError, OSError, zlib.error, ValueError, KeyError, IndexError)


def _use(program: str, supplies: Mapping[str, Supply]) -> str:
    """The shell command that makes `program` ready: a call of `use` in software.sh."""
    key, _, command = program.removeprefix(SOFTWARE).partition("/")
    if key not in supplies or not command:
        raise ValueError(f"'{program}' belongs to none of the job's supplies")
    supply = supplies[key]
    source = supply.key if supply.kind == "archive" else supply.source
    return shlex.join(["use", key, supply.kind, source, supply.sha256, command])


def _line(step: Execution, removed: Sequence[str], supplies: Mapping[str, Supply]) -> str:
    outputs = [*step.outputs, *(f"+{name}" for name in step.rescue if name not in step.outputs)]
    first = [
        *(f"{old}:{new}" for old, new in step.copy),
        *(f"{old}={new}" for old, new in step.rename),
        *removed,
    ]
    words = ["step", step.name, " ".join(outputs), " ".join(first)]
    if step.environment:
        words.append("env")
        words += [f"{name}={value}" for name, value in sorted(step.environment.items())]
    program, *arguments = step.argv
    if not program.startswith(SOFTWARE):
        return shlex.join([*words, *step.argv])
    called = f'{shlex.join(words)} "$program" {shlex.join(arguments)}'.rstrip()
    return f"{_use(program, supplies)} && {called}"


def job_script(job: Job) -> str:
    """The text of job.sh: calls of the runner's `step`, which end at the first failure."""
    supplies = {supply.key: supply for supply in job.supplies}
    calls = [
        _line(step, job.removed_before(position), supplies)
        for position, step in enumerate(job.steps)
    ]
    lines = " &&\n".join(calls) + "\n"
    if not supplies:
        return lines
    return f'[ -n "${{software-}}" ] || . "$top/shared/{SOFTWARE_SCRIPT}"\n{lines}'


def pack(jobs: Sequence[Job]) -> bytes:
    """The content of inputs.tar: for each job, a folder with the job's files and its job.sh.

    The folders are numbered from 0 in the order of `jobs`.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number, job in enumerate(jobs):
            for name, content in {**job.files, "job.sh": job_script(job).encode()}.items():
                member = tarfile.TarInfo(f"{number}/{name}")
                member.size = len(content)
                member.mode = 0o600
                tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _plain(path: Path) -> IO[bytes]:
    """Open the archive at `path`; decompress it if necessary, which verifies gzip's checksum."""
    file = path.open("rb")
    if file.read(2) != b"\x1f\x8b":
        file.seek(0)
        return file
    file.seek(0)
    unpacked = tempfile.SpooledTemporaryFile(_MAX_UNPACKED_IN_MEMORY_BYTES)  # noqa: SIM115  # closed by close()
    try:
        with file, gzip.open(file) as stream:
            while block := stream.read(1 << 20):
                unpacked.write(block)
                if unpacked.tell() > _MAX_ARCHIVE_BYTES:
                    raise ValueError("it is too large when decompressed")
    except BaseException:
        unpacked.close()
        raise
    unpacked.seek(0)
    return cast("IO[bytes]", unpacked)


# The runner starts programs with timeout(1), whose exit code is one of these if that fails.
_NOT_STARTED_CODES = (126, 127)
# The message of timeout(1) if it cannot start a program. It is replaced, since users do not know
# about timeout(1).
_SAID_BY_TIMEOUT = re.compile(
    rb"^timeout: (?:failed to run command|can't execute) "
    rb"(?:'|\xe2\x80\x98)(.*?)(?:'|\xe2\x80\x99)(?=: )",
    re.MULTILINE,
)
_NOT_STARTED = rb"the program '\1' cannot be started"


class Archive:
    """A returned outputs.tar. Its files are not unpacked to disk, and each checksum is verified.

    Raises:
        ArchiveError: the archive is truncated, altered, or was not made by the runner.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = _plain(path)
        except _BROKEN as error:
            raise ArchiveError(f"the archive cannot be opened: {error}") from error
        try:
            self._tar = tarfile.open(fileobj=self._file, mode="r:")  # noqa: SIM115  # as above
            entries = [entry for entry in self._tar.getmembers() if not entry.isdir()]
            self._members = {entry.name.removeprefix("./"): entry for entry in entries}
            if not all(entry.isreg() for entry in entries):
                raise ArchiveError("the archive holds something other than regular files")
            if len(self._members) != len(entries):
                raise ArchiveError("the archive holds two files of the same name")
            self._read_manifest()
        except (*_BROKEN, ArchiveError) as error:
            self._file.close()
            if isinstance(error, ArchiveError):
                raise
            raise ArchiveError(f"the archive is broken: {error}") from error

    def _read_manifest(self) -> None:
        content = self._content("manifest", _MAX_MANIFEST_BYTES)
        body, mark, end = content.rpartition(b"end ")
        if not mark or hashlib.sha256(body).hexdigest().encode() != end.strip():
            raise ArchiveError("the manifest of the archive is incomplete")
        first, *lines = body.decode().splitlines()
        if first != "wqmaster 1":
            raise ArchiveError(f"the archive has an unknown format: {first[:40]!r}")
        self.host = ""
        self._sums: dict[str, str] = {}
        self._sizes: dict[str, int] = {}
        self._steps: dict[int, list[tuple[str, int, float, bool, str | None]]] = {}
        for line in lines:
            words = line.split()
            if words[0] == "host":
                self.host = words[1]
            elif words[0] == "step":
                job, name, code, wall, timed_out, *software = words[1:]
                self._steps.setdefault(int(job), []).append(
                    (
                        name,
                        int(code),
                        int(wall) / 100,
                        timed_out == "1",
                        software[0] if software else None,
                    )
                )
            elif words[0] == "size":
                self._sizes[words[2].removeprefix("./")] = int(words[1])
            else:
                self._sums[words[1].removeprefix("./")] = words[0]
        if set(self._sums) != set(self._members) - {"manifest"}:
            raise ArchiveError("the files in the archive differ from those in its manifest")

    def _content(self, name: str, most: int = MAX_FILE_BYTES) -> bytes:
        member = self._members.get(name)
        if member is None:
            raise ArchiveError(f"'{name}' is missing from the archive")
        if member.size > most:
            raise ArchiveError(f"'{name}' is too large to be read ({member.size} bytes)")
        handle = self._tar.extractfile(member)
        content = handle.read() if handle else b""
        if len(content) != member.size:
            raise ArchiveError(f"'{name}' is truncated")
        return content

    def outcome(self, job: int) -> Outcome:
        """The outcome of the job with this number, counted from 0.

        Raises:
            ArchiveError: a file is truncated, altered or too large.
        """
        steps = []
        for name, code, wall, timed_out, software in self._steps.get(job, ()):
            prefix = f"{job}/{name}/"
            files = {}
            for path in self._members:
                if path.startswith(prefix):
                    try:
                        content = self._content(path)
                    except _BROKEN as error:
                        raise ArchiveError(f"the archive is broken: {error}") from error
                    if hashlib.sha256(content).hexdigest() != self._sums[path]:
                        raise ArchiveError(f"the checksum of '{path}' is wrong")
                    if len(content) != self._sizes.get(path):
                        raise ArchiveError(f"the size of '{path}' is wrong")
                    files[path.removeprefix(prefix)] = content
            if code in _NOT_STARTED_CODES and "stderr" in files:
                files["stderr"] = _SAID_BY_TIMEOUT.sub(_NOT_STARTED, files["stderr"])
            steps.append(StepOutcome(name, code, wall, timed_out, files, software))
        return Outcome(self.host, tuple(steps))

    def close(self) -> None:
        """Close the archive's file."""
        self._file.close()

    def __enter__(self) -> "Archive":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
