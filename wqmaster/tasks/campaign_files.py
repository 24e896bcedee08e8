"""Files beside the campaign that jobs take along, as they were when the campaign began.

A file that is edited while its campaign runs must not reach a worker: the recipe's hash is that of
the old one. So `prepare` copies each into the campaign's cache, under a name with its check sum.
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
    """The content of a file beside the campaign.

    Raises:
        ValueError: it is not there, or cannot be read.
    """
    try:
        return (software.beside / name).read_bytes()
    except OSError as error:
        raise ValueError(f"the file {name} cannot be read: {error.strerror}") from error


def keep(content: bytes, name: str, cache: Path) -> Path:
    """The path of a file in `cache` with this content, made if it is not there."""
    target = cache / f"{hashlib.sha256(content).hexdigest()[:16]}-{name}"
    if not target.exists():
        with replacing(target) as part:
            part.write_bytes(content)
    return target


def _keep_copy(source: Path, cache: Path) -> Path:
    """As `keep`, of a file that may be larger than the memory."""
    part = cache / f".{source.name}.{os.getpid()}"
    total = hashlib.sha256()
    with source.open("rb") as file, part.open("wb") as copy:
        while block := file.read(_BLOCK_BYTES):
            total.update(block)
            copy.write(block)
    return part.replace(cache / f"{total.hexdigest()[:16]}-{source.name}")


class SharedInputs(Model):
    """The option `inputs`, for the options of a task function to inherit."""

    # Files beside the campaign that all jobs share. A worker gets each once; a program finds it as
    # ../shared/NAME.
    inputs: tuple[str, ...] = ()


def shared_inputs(options: SharedInputs, software: Software) -> tuple[Input, ...]:
    """The files of `inputs:` as inputs of a job, where they lie."""
    return tuple(Input(software.beside / path, Path(path).name) for path in options.inputs)


def kept_inputs(options: SharedInputs, software: Software) -> tuple[Input, ...]:
    """The files of `inputs:` as inputs of a job, copied into the cache.

    Raises:
        WqmasterError: one of them cannot be copied.
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
    """See that the files of `inputs:` are there, and differ in their names.

    Raises:
        ValueError: says what is wrong.
    """
    seen: dict[str, str] = {}
    for path in (path for step in steps for path in step.options.inputs):
        name = check_file_name(Path(path).name)
        if (software.beside / path).is_dir():
            raise ValueError(f"'{path}' of 'inputs:' is a folder; pack it into one file")
        if not (software.beside / path).is_file():
            raise ValueError(f"there is no file '{path}' for 'inputs:' beside the campaign file")
        if seen.setdefault(name, path) != path:
            raise ValueError(f"two files of 'inputs:' are named '{name}' on the worker; rename one")


def words(value: Any) -> Any:
    """Numbers as words, in a list or mapping of an option; the rest as it is."""
    if isinstance(value, (list, tuple)):
        return [words(item) for item in value]
    if isinstance(value, dict):
        return {key: words(item) for key, item in value.items()}
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return repr(value) if is_number else value


def threads(cores: int) -> dict[str, str]:
    """The environment that gives a program one thread a core."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {name: str(cores) for name in names}
