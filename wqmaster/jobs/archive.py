"""Read the outcomes of jobs from a returned outputs.tar, which can hold anything.

Nothing is unpacked to disk, and each checksum is verified. A job's files are held in memory up to a
limit; larger ones are only located, and copied in parts if they are to be kept.
"""

import hashlib
import os
import re
import stat
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, cast

from wqmaster.errors import ArchiveError, ArchiveTooLarge
from wqmaster.jobs.job import Outcome, StepOutcome
from wqmaster.jobs.manifest import Manifest, RanStep, path_parts, read_manifest
from wqmaster.jobs.tar_index import Member, read_index

# How much of a job's files is held in memory, if the campaign does not state it.
MAX_JOB_BYTES = 64 << 20
# How large an archive may be in total, after decompression.
_MAX_ARCHIVE_BYTES = 8 << 30
# Beyond this size, an archive may be this many times larger than its compressed form. gzip reaches
# 1,030 with zeros; texts of quantum chemistry shrink by 3 to 20, a grid with many zeros by 100.
_TRUSTED_BYTES = 64 << 20
_MAX_RATIO = 200
# A bundle of 1,000 jobs with 3 steps and 12 files each has a manifest of 7 MB.
_MAX_MANIFEST_BYTES = 12 << 20
# How much of a decompressed archive is held in memory; the rest is in a file without a name.
_MAX_UNPACKED_IN_MEMORY_BYTES = 16 << 20
_PART_BYTES = 1 << 20
_STREAMS = ("stdout", "stderr")

_BROKEN = (OSError, zlib.error, ValueError)

# The exit codes of a shell that cannot start a program.
_NOT_STARTED_CODES = (126, 127)
# What dash, bash and busybox say then, which users cannot relate to their programs.
_SAID_BY_SHELL = re.compile(
    rb"^(?:[^\n]*/)?runner\.sh: (?:exec: )?(?:line )?[0-9]+: (?:exec: )?(.*?)(?=: )", re.MULTILINE
)
_NOT_STARTED = rb"the program '\1' cannot be started"
_MAX_MESSAGE_OF_SHELL_BYTES = 10_000


def _opened(path: Path) -> tuple[IO[bytes], int]:
    """Open the archive at `path`, decompressed if necessary; return it with its size in bytes."""
    # A worker can send a link, a named pipe or a folder instead of a file.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    try:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is not a file")
        if found.st_size > _MAX_ARCHIVE_BYTES:
            raise ArchiveTooLarge(f"the archive is too large ({found.st_size:,} bytes)")
        if file.read(2) != b"\x1f\x8b":
            return file, found.st_size
        file.seek(0)
        with file:
            return _decompressed(file, path.parent)
    except BaseException:
        file.close()
        raise


def _decompressed(file: IO[bytes], folder: Path) -> tuple[IO[bytes], int]:
    """The content of a gzip file with a single member, whose checksum is verified."""
    where = str(folder) if os.access(folder, os.W_OK) else None
    unpacked = tempfile.SpooledTemporaryFile(_MAX_UNPACKED_IN_MEMORY_BYTES, dir=where)  # noqa: SIM115  # closed by the caller
    try:
        machine = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        read = size = 0
        while not machine.eof:
            waiting = machine.unconsumed_tail
            if not waiting:
                waiting = file.read(_PART_BYTES)
                read += len(waiting)
                if not waiting:
                    raise ValueError("it ends in the middle")
            part = machine.decompress(waiting, _PART_BYTES)
            size += len(part)
            if size > min(_MAX_ARCHIVE_BYTES, max(_TRUSTED_BYTES, _MAX_RATIO * read)):
                # A runner's archive is hardly ever like that, so this one is taken to be damaged,
                # and its jobs run again.
                raise ArchiveError(
                    f"the archive is too large when it is decompressed (more than {size:,} bytes)"
                )
            unpacked.write(part)
        if machine.unused_data.strip(b"\0") or file.read(1).strip(b"\0"):
            raise ValueError("something follows its end")
    except BaseException:
        unpacked.close()
        raise
    return cast("IO[bytes]", unpacked), size


@dataclass(frozen=True)
class ArchivedFile:
    """A file in an open archive, which is read in parts."""

    name: str
    archive: IO[bytes]
    place: Member
    sum: str  # SHA-256 according to the manifest

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return self.place.size

    def tail(self, most: int) -> bytes:
        """At most this many bytes from its end. Their checksum is not verified."""
        most = min(most, self.size)
        self.archive.seek(self.place.offset + self.size - most)
        return self.archive.read(most)

    def content(self) -> bytes:
        """The whole file.

        Raises:
            ArchiveError: it is truncated, or its checksum is wrong.
        """
        self.archive.seek(self.place.offset)
        content = self.archive.read(self.size)
        if len(content) != self.size:
            raise ArchiveError(f"'{self.name}' is truncated")
        if hashlib.sha256(content).hexdigest() != self.sum:
            raise ArchiveError(f"the checksum of '{self.name}' is wrong")
        return content

    def copy_to(self, target: IO[bytes]) -> None:
        """Write it to `target`, a part at a time.

        Raises:
            ArchiveError: it is truncated, or its checksum is wrong; `target` holds what was read.
        """
        left, seen = self.size, hashlib.sha256()
        self.archive.seek(self.place.offset)
        while left:
            part = self.archive.read(min(left, _PART_BYTES))
            if not part:
                raise ArchiveError(f"'{self.name}' is truncated")
            left -= len(part)
            seen.update(part)
            target.write(part)
        if seen.hexdigest() != self.sum:
            raise ArchiveError(f"the checksum of '{self.name}' is wrong")


class Archive:
    """A returned outputs.tar.

    `inputs` is the checksum of the inputs.tar that the worker received, which the archive must
    name; None: unknown. `most_bytes` limits how much of a job's files is held in memory.

    Raises:
        ArchiveTooLarge: the archive is too large to be read.
        ArchiveError: the archive is truncated, altered, belongs to another task, or was not made by
            the runner.
    """

    def __init__(
        self, path: Path, *, inputs: str | None = None, most_bytes: int = MAX_JOB_BYTES
    ) -> None:
        self._most_bytes = most_bytes
        try:
            self._file, total = _opened(path)
        except _BROKEN as error:
            raise ArchiveError(f"the archive cannot be opened: {error}") from error
        try:
            self._members = read_index(self._file, total)
            self._manifest = self._read_manifest()
            if inputs is not None and self._manifest.inputs != inputs:
                raise ArchiveError("the archive belongs to another task")
        except (*_BROKEN, ArchiveError) as error:
            self._file.close()
            if isinstance(error, ArchiveError):
                raise
            raise ArchiveError(f"the archive is broken: {error}") from error
        # The files of each job: (step, name) -> path.
        self._paths: dict[int, dict[tuple[str, str], str]] = {}
        for found in self._manifest.sums:
            job, step, name = path_parts(found)
            if self._paths.setdefault(job, {}).setdefault((step, name), found) != found:
                self._file.close()
                raise ArchiveError(f"the archive holds '{name}' of '{step}' twice")

    def _read_manifest(self) -> Manifest:
        place = self._members.pop("manifest", None)
        if place is None:
            raise ArchiveError("'manifest' is missing from the archive")
        if place.size > _MAX_MANIFEST_BYTES:
            raise ArchiveTooLarge(f"the manifest is too large ({place.size:,} bytes)")
        self._file.seek(place.offset)
        manifest = read_manifest(self._file.read(place.size))
        if manifest.sums.keys() != self._members.keys():
            raise ArchiveError("the files in the archive differ from those in its manifest")
        return manifest

    def outcome(self, job: int, needed: Mapping[str, frozenset[str]] | None = None) -> Outcome:
        """The outcome of the job with this number, counted from 0.

        If not all of its files fit into memory, the standard output and the `needed` files (by
        step) come first, then the smallest.

        Raises:
            ArchiveError: a file is truncated or altered.
        """
        paths = self._paths.get(job, {})

        def last(key: tuple[str, str]) -> tuple[bool, int]:
            step, name = key
            first = name in _STREAMS or name in (needed or {}).get(step, ())
            return not first, self._members[paths[key]].size

        files: dict[str, dict[str, bytes]] = {}
        large: dict[str, dict[str, ArchivedFile]] = {}
        left = self._most_bytes
        for step, name in sorted(paths, key=last):
            found = self._found(paths[step, name])
            if found.size <= left:
                left -= found.size
                try:
                    files.setdefault(step, {})[name] = found.content()
                except OSError as error:
                    raise ArchiveError(f"the archive is broken: {error}") from error
            else:
                large.setdefault(step, {})[name] = found
        return Outcome(
            self._manifest.host,
            tuple(
                self._step(job, ran, files.get(ran.name, {}), large.get(ran.name, {}))
                for ran in self._manifest.steps.get(job, {}).values()
            ),
        )

    def _found(self, path: str) -> ArchivedFile:
        place = self._members[path]
        if self._manifest.sizes.get(path, place.size) != place.size:
            raise ArchiveError(f"the size of '{path}' is wrong")
        return ArchivedFile(path, self._file, place, self._manifest.sums[path])

    def _step(
        self, job: int, ran: RanStep, files: dict[str, bytes], large: dict[str, ArchivedFile]
    ) -> StepOutcome:
        said = files.get("stderr")
        if ran.exit_code in _NOT_STARTED_CODES and said is not None:
            # The message is at the beginning, and a long text takes long to search.
            end = min(len(said), _MAX_MESSAGE_OF_SHELL_BYTES)
            files["stderr"] = _SAID_BY_SHELL.sub(_NOT_STARTED, said[:end]) + said[end:]
        return StepOutcome(
            name=ran.name,
            exit_code=ran.exit_code,
            wall_time=ran.wall_time,
            timed_out=ran.timed_out,
            files=files,
            software=ran.software,
            large=large,
            cut=self._manifest.cut.get((job, ran.name), {}),
            memory=self._manifest.memory.get((job, ran.name)),
        )

    def close(self) -> None:
        """Close the archive's file; large files cannot be read any more."""
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
