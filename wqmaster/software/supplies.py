"""Turn a campaign's `software:` into supplies, and check it when the campaign is read."""

import hashlib
import os
import posixpath
import re
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.models import Program, nearest
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import WqmasterError
from wqmaster.jobs.job import Supply
from wqmaster.software.archive import BadArchive, Contents, look, noted_look
from wqmaster.software.license import looks_public
from wqmaster.system.this_command import this_command
from wqmaster.tasks.programs import restricting

# The URL schemes that software.sh can fetch.
SCHEMES = ("https", "http", "ftp", "file", "osdf", "stash", "pelican")
_MAX_KEY_CHARACTERS = 40


def _key(name: str, of: str) -> str:
    """A file name for workers that is readable and unique to the content with the hash `of`."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", posixpath.basename(name.rstrip("/")))[
        -_MAX_KEY_CHARACTERS:
    ]
    return f"{of[:16]}-{plain or 'software'}"


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _refused_url(url: str, command: str) -> str | None:
    """Why workers cannot or must not fetch `command` from `url`, or None if they may."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        return f"workers cannot fetch '{parts.scheme}' URLs; {nearest(parts.scheme, SCHEMES)}"
    if parts.username or parts.password:
        return "its user name or password would be visible to all workers, and in their logs"
    if not parts.path.strip("/"):
        return "it has no file name; it must end with the name of the archive"
    if parts.scheme in ("https", "http", "ftp") and not parts.hostname:
        return "it has no host name"
    word = looks_public(f"{parts.hostname or ''}{parts.path}")
    program = restricting(posixpath.basename(command))
    if word is not None and program is not None:
        return (
            f"it looks public ('{word}'), and the license of {program} forbids putting it "
            "where others can read it; send it with 'archive:', or keep it in private storage"
        )
    return None


def _refused_command(command: str) -> str | None:
    """Why `command` cannot be a path in an archive, or None if it can."""
    if command.startswith("/"):
        return f"'{command}' must be the program's path in the archive, without a leading '/'"
    if ".." in command.split("/"):
        return f"'{command}' leads out of the archive"
    return None


def supplies(loaded: LoadedCampaign) -> dict[str, Supply]:
    """The supply of each program that comes from an archive, a URL or an environment module.

    Raises:
        CampaignError: an archive is missing, broken or unsafe, or lacks the program; or a URL,
            command or module is not allowed. The message names the file and line.
    """
    software = loaded.campaign.software
    beside = loaded.source.path.parent.absolute()
    called = {name: shlex.split(program.command)[0] for name, program in software.items()}
    found: dict[str, Supply] = {}
    for name, program in software.items():
        command = called[name]
        if program.archive is not None or program.url is not None:
            why = _refused_command(command)
            if why is not None:
                raise loaded.source.error(why, "software", name, "command")
        if program.archive is not None:
            path = beside / program.archive
            together = [
                called[other]
                for other, its in software.items()
                if its.archive is not None and beside / its.archive == path
            ]
            contents = _inspected(loaded, name, path, together)
            why = contents.programs[command]
            if why is not None:
                raise loaded.source.error(f"{program.archive}: {why}", "software", name, "command")
            key = _key(path.name, contents.sha256)
            found[name] = Supply(key, "archive", str(path), contents.sha256)
        elif program.url is not None:
            why = _refused_url(program.url, command)
            if why is not None:
                raise loaded.source.error(f"the 'url' of '{name}': {why}", "software", name, "url")
            content = program.sha256 or _sum(program.url)
            key = _key(urlsplit(program.url).path, content)
            found[name] = Supply(key, "url", program.url, program.sha256 or "")
        elif program.module is not None:
            if "/" in command:
                raise loaded.source.error(
                    f"'{command}' must be the name of a program that the module provides",
                    *("software", name, "command"),
                )
            key = _key(f"module-{command}", _module_sum(program, command))
            found[name] = Supply(key, "module", program.module)
    return found


def _module_sum(program: Program, command: str) -> str:
    return _sum(f"{program.module} {command}")


def _inspected(loaded: LoadedCampaign, name: str, path: Path, commands: Iterable[str]) -> Contents:
    if not path.exists():
        raise loaded.source.error(
            f"there is no archive {path}; make it: {this_command()} software pack "
            f"{shlex.quote(name)} --program PATH -o {shlex.quote(str(path))}",
            *("software", name, "archive"),
        )
    try:
        if not loaded.folder.is_dir():  # checking a campaign must not create its folder
            return look(path, commands)
        return noted_look(path, commands, loaded.folder / "cache" / "looked")
    except BadArchive as error:
        message = f"cannot use the archive {path}: {error}"
        raise loaded.source.error(message, "software", name, "archive") from error


def keep(found: Iterable[Supply], folder: Path) -> None:
    """Copy the archives to `folder`, so that workers do not see later changes to the originals.

    Raises:
        WqmasterError: an archive cannot be copied, or has changed since the campaign was read.
    """
    for supply in found:
        target = folder / supply.key
        if supply.kind != "archive" or target.exists():
            continue
        part = folder / f".{supply.key}.{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # A license can forbid other users of this machine to read the copy, as ORCA's does.
            with Path(supply.source).open("rb") as file, _private(part).open("wb") as copy:
                shutil.copyfileobj(file, copy, 1 << 20)
            with part.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            if content != supply.sha256:
                raise WqmasterError(
                    f"the archive {supply.source} changed while it was being read; run the command "
                    "again",
                    code=ErrorCode.FILE_CHANGED,
                )
            part.replace(target)
        except OSError as error:
            raise WqmasterError(
                f"cannot copy the archive {supply.source} to {folder}: {error.strerror}",
                code=ErrorCode.FILE_NOT_COPIED,
            ) from error
        finally:
            part.unlink(missing_ok=True)


def _private(path: Path) -> Path:
    path.touch(mode=0o600)
    return path
