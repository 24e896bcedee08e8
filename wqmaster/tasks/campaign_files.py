"""Files next to the campaign file that are sent with jobs, as they were when the run started.

A file that is edited during the run must not reach a worker, because the recipe's hash covers the
earlier content. So `prepare` copies each file into the campaign's cache, with its checksum in the
copy's name.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wqmaster.campaign.models import Model
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import WqmasterError
from wqmaster.jobs.job import Input, check_file_name
from wqmaster.system.files import replacing
from wqmaster.tasks.base import Software, StepRequest

_BLOCK_BYTES = 1 << 20


def read(software: Software, name: str) -> bytes:
    """The content of a file whose path is relative to the campaign file.

    Raises:
        ValueError: the file is missing or cannot be read.
    """
    try:
        return (software.beside / name).read_bytes()
    except OSError as error:
        raise ValueError(f"the file {name} cannot be read: {error.strerror}") from error


def keep(content: bytes, name: str, cache: Path) -> Path:
    """Write `content` to a file in `cache` if it is not there yet; return the file's path.

    Its name is the checksum of the content, followed by `name`.
    """
    target = cache / f"{hashlib.sha256(content).hexdigest()[:16]}-{name}"
    if not target.exists():
        with replacing(target) as part:
            part.write_bytes(content)
    return target


def _keep_copy(source: Path, cache: Path) -> Path:
    """Copy a file into `cache` as `keep` does, without reading all of it into memory."""
    part = cache / f".{source.name}.{os.getpid()}"
    total = hashlib.sha256()
    with source.open("rb") as file, part.open("wb") as copy:
        while block := file.read(_BLOCK_BYTES):
            total.update(block)
            copy.write(block)
    return part.replace(cache / f"{total.hexdigest()[:16]}-{source.name}")


class SharedInputs(Model):
    """A base class for options models that have the option `inputs`."""

    # Files that all jobs share (paths relative to the campaign file). A worker receives each file
    # once, and programs find it as ../shared/NAME.
    inputs: tuple[str, ...] = ()


def shared_inputs(options: SharedInputs, software: Software) -> tuple[Input, ...]:
    """The files in `inputs:` as inputs of a job, at their original paths."""
    return tuple(Input(software.beside / path, Path(path).name) for path in options.inputs)


def kept_inputs(options: SharedInputs, software: Software) -> tuple[Input, ...]:
    """The files in `inputs:` as inputs of a job, after they are copied into the cache.

    Raises:
        WqmasterError: a file cannot be copied.
    """
    found = []
    for path in options.inputs:
        try:
            copy = _keep_copy(software.beside / path, software.the_cache)
        except OSError as error:
            raise WqmasterError(
                f"the file {path} cannot be copied: {error}", code=ErrorCode.FILE_NOT_COPIED
            ) from error
        found.append(Input(copy, Path(path).name))
    return tuple(found)


def check_shared(steps: Sequence[StepRequest], software: Software) -> None:
    """Check that the files in `inputs:` exist and have different names.

    Raises:
        ValueError: a file is missing, is a folder, or has the same name as another file.
    """
    seen: dict[str, str] = {}
    for path in (path for step in steps for path in step.options.inputs):
        name = check_file_name(Path(path).name)
        if (software.beside / path).is_dir():
            raise ValueError(f"'{path}' in 'inputs:' is a folder; pack it into one file")
        if not (software.beside / path).is_file():
            raise ValueError(f"there is no file '{path}' (in 'inputs:') next to the campaign file")
        if seen.setdefault(name, path) != path:
            raise ValueError(f"two files in 'inputs:' would be '{name}' on the worker; rename one")


def words(value: Any) -> Any:
    """Convert the numbers in an option's value, also in lists and mappings, to strings."""
    if isinstance(value, (list, tuple)):
        return [words(item) for item in value]
    if isinstance(value, dict):
        return {key: words(item) for key, item in value.items()}
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return repr(value) if is_number else value


def threads(cores: int) -> dict[str, str]:
    """The environment variables that give a program one thread per core."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {name: str(cores) for name in names}
