"""The manifest of a returned archive, as runner.sh writes it."""

import hashlib
import io
import re
from dataclasses import dataclass, field
from typing import Any

from wqmaster.errors import ArchiveError
from wqmaster.jobs.job import MemoryUse

# JOB.STEP/FILE, or JOB.STEP:STREAM (in archives of earlier versions, JOB/STEP/FILE, and a stream
# could be a file of its step). A job's number has no leading zeros, so that each job has one name.
_JOB = r"0|[1-9][0-9]{0,5}"
_WORD = r"(?!\.\.?(?:/|$))[A-Za-z0-9_.][A-Za-z0-9._-]{0,254}"
FILE_PATH = re.compile(
    rf"(?P<job>{_JOB})[./](?P<step>{_WORD})(?:/(?P<file>{_WORD})|:(?P<stream>stdout|stderr))"
)
_SUM = re.compile(r"[0-9a-f]{64}")
_SIZE = re.compile(r"[0-9]{1,15}")
_STEP = re.compile(
    rf"(?P<job>{_JOB}) (?P<name>{_WORD}) (?P<code>[0-9]{{1,3}}) (?P<wall>-?[0-9]{{1,12}}) "
    rf"(?P<late>[01])(?: (?P<software>{_WORD}))?"
)
_MEMORY = re.compile(
    rf"(?P<job>{_JOB}) (?P<name>{_WORD}) (?P<used>[0-9]{{1,12}}) (?P<until>-?[0-9]{{1,12}})"
)
# A worker chooses its own name, which is shown in messages.
_NOT_IN_HOST_NAMES = re.compile(r"[^A-Za-z0-9._:-]")
_MAX_HOST_CHARACTERS = 255
_MAX_STEPS_PER_JOB = 1_000
_FIRST_LINE = b"wqmaster 1\n"
# What the runner unpacked; in archives of earlier versions, its checksum is in a line `inputs SUM`.
_INPUTS = "inputs.tar"


@dataclass(frozen=True)
class RanStep:
    """How a step ended, as the runner reports it."""

    name: str
    exit_code: int
    wall_time: float  # seconds
    timed_out: bool
    software: str | None


@dataclass
class Manifest:
    """What the runner says about an archive."""

    host: str = ""
    inputs: str = ""  # checksum of the inputs that the runner unpacked; "" in older archives
    # By the job's number and the step's name, in the order in which they ran.
    steps: dict[int, dict[str, RanStep]] = field(default_factory=dict)
    sums: dict[str, str] = field(default_factory=dict)  # SHA-256, by path
    sizes: dict[str, int] = field(default_factory=dict)  # bytes, by path; in older archives
    # For each job and step, the original sizes of the files that lack their middle parts.
    cut: dict[tuple[int, str], dict[str, int]] = field(default_factory=dict)
    # The memory of each job's steps.
    memory: dict[tuple[int, str], MemoryUse] = field(default_factory=dict)


def read_manifest(content: bytes) -> Manifest:
    """Read a manifest, whose last line is the checksum of the others.

    Raises:
        ArchiveError: it is incomplete, or holds something that no runner writes.
    """
    body, mark, end = content.rpartition(b"end ")
    if not mark or hashlib.sha256(body).hexdigest().encode() != end.strip():
        raise ArchiveError("the manifest of the archive is incomplete")
    if not body.startswith(_FIRST_LINE):
        raise ArchiveError(f"the archive has an unknown format: {body[:40]!r}")
    manifest = Manifest()
    lines = io.BytesIO(body)
    lines.seek(len(_FIRST_LINE))
    for line in lines:
        try:
            _take(manifest, line.decode("ascii").rstrip("\n"))
        except ValueError:
            raise ArchiveError(f"the manifest has a wrong line: {line[:80]!r}") from None
    return manifest


def _take(manifest: Manifest, line: str) -> None:
    """Add a line to `manifest`; ValueError if no runner writes such a line here."""
    word, _, rest = line.partition(" ")
    if word == "step":
        found = _matched_parts(_STEP, rest)
        if int(found["code"]) > 255:
            raise ValueError
        steps = manifest.steps.setdefault(int(found["job"]), {})
        if found["name"] in steps or len(steps) == _MAX_STEPS_PER_JOB:
            raise ValueError
        wall, late = int(found["wall"]) / 100, found["late"] == "1"
        code = int(found["code"])
        steps[found["name"]] = RanStep(found["name"], code, wall, late, found["software"])
    elif word == "size":
        size, _, path = rest.partition(" ")
        _add(manifest.sizes, path, int(_matched(_SIZE, size)))
    elif word == "cut":
        size, _, path = rest.partition(" ")
        job, step, name = path_parts(path.removeprefix("./"))
        manifest.cut.setdefault((job, step), {})[name] = int(_matched(_SIZE, size))
    elif word == "memory":
        seen = _matched_parts(_MEMORY, rest)
        job, step = int(seen["job"]), seen["name"]
        if (job, step) in manifest.memory:
            raise ValueError
        manifest.memory[job, step] = MemoryUse(int(seen["used"]) / 1024, int(seen["until"]) / 100)
    elif word == "inputs":
        if manifest.inputs:
            raise ValueError
        manifest.inputs = _matched(_SUM, rest)
    elif word == "host":
        if manifest.host or not rest:
            raise ValueError
        manifest.host = _NOT_IN_HOST_NAMES.sub("?", rest[:_MAX_HOST_CHARACTERS])
    else:
        # sha256sum separates by a blank and the mode, a blank or "*".
        path = rest.lstrip(" *")
        if path != _INPUTS:
            _add(manifest.sums, path, _matched(_SUM, word))
        elif manifest.inputs:
            raise ValueError
        else:
            manifest.inputs = _matched(_SUM, word)


def path_parts(path: str) -> tuple[int, str, str]:
    """The number of a job, its step and its file.

    Raises:
        ValueError: `path` is neither JOB.STEP/FILE nor JOB.STEP:STREAM.
    """
    found = FILE_PATH.fullmatch(path)
    if found is None:
        raise ValueError(f"'{path[:80]}' is not JOB.STEP/FILE")
    return int(found["job"]), found["step"], found["file"] or found["stream"]


def _matched(pattern: re.Pattern[str], text: str) -> str:
    if pattern.fullmatch(text) is None:
        raise ValueError
    return text


def _matched_parts(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    if found is None:
        raise ValueError
    return found


def _add(found: dict[str, Any], path: str, value: Any) -> None:
    path = path.removeprefix("./")
    if path in found or FILE_PATH.fullmatch(path) is None:
        raise ValueError
    found[path] = value
