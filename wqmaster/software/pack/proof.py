"""That a packed program runs: unpacked anew, with nothing around it that a worker may lack."""

import contextlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import WqmasterError
from wqmaster.software.pack.libraries import is_elf, library_folders, loaded, of_glibc
from wqmaster.system.programs import ask
from wqmaster.tasks.base import SCRIPT
from wqmaster.tasks.program import Trial

_TRIAL_TIMEOUT_SECONDS = 300
_MAX_MESSAGE_CHARACTERS = 600
# What the loader says of a library or symbol that is not there.
_NOT_LOADED = re.compile(
    r"error while loading shared libraries|symbol lookup error|version `[^']+' not found"
)
_PLACE = re.compile(r"(?:=> )?(/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)

Where = Literal["alone", "environment"]
TOLD = {
    "alone": "in a root with nothing but the archive, glibc and sh",
    "environment": "with an empty environment and HOME, on this machine's file system",
}


class ProofFailed(WqmasterError):
    """The packed program does not run."""

    code = ErrorCode.SOFTWARE_PROOF_FAILED


@dataclass(frozen=True)
class Proof:
    """What was run, and what came of it."""

    where: Where
    command: tuple[str, ...]
    exit_code: int
    said: str  # the last lines
    note: str | None = None  # what it does not prove


def _glibc_files(programs: Sequence[str]) -> set[Path]:
    """The glibc of this machine, its loader, and what else `programs` load."""
    found: set[Path] = set()
    for program in programs:
        words = ["ldd", program]
        said = ask(words, os.environ, seconds=_TRIAL_TIMEOUT_SECONDS, errors="dropped")
        found |= {Path(place) for place in _PLACE.findall(said.text)}
    for library in [path for path in found if path.name == "libc.so.6"]:
        found |= {path for path in library.parent.iterdir() if of_glibc(path.name)}
    return {path for path in found if path.is_file()}


def _make_root(root: Path) -> None:
    """A root for `chroot`: /bin/sh, glibc, folders to write to."""
    shell = shutil.which("dash") or shutil.which("sh") or "/bin/sh"
    for path in [*_glibc_files([shell]), Path(shell)]:
        target = root / ("bin/sh" if path == Path(shell) else path.relative_to("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    for name in ("home", "work", "tmp", "software"):
        (root / name).mkdir()
    shutil.copyfile(SCRIPT, root / SCRIPT.name)
    _make_null(root / "dev" / "null")


def _make_null(path: Path) -> None:
    """What every worker has, and scripts write to."""
    path.parent.mkdir()
    with contextlib.suppress(OSError):
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        path.write_bytes(b"")  # where devices are not allowed, it is there and does not open
        return
    path.unlink(missing_ok=True)
    path.touch(mode=0o666)


def _entering(root: Path) -> list[str] | None:
    """The words before a command that have it see `root` as /; None if this user may not."""
    # The second is for root, also where there are no user namespaces (within another root).
    for flags in (["--user", "--map-root-user"], []):
        words = ["unshare", *flags, "--root", str(root), "--wd", "/work"]
        try:
            test = [*words, "/bin/sh", "-c", "exit 7"]
            code = ask(test, os.environ, seconds=_TRIAL_TIMEOUT_SECONDS).code
        except OSError:
            return None
        if code is None:
            return None
        if code == 7:
            return words
    return None


def _run(words: Sequence[str], environ: Mapping[str, str], folder: Path) -> tuple[int, str]:
    """Exit code and output of a program."""
    said = ask(words, environ, seconds=_TRIAL_TIMEOUT_SECONDS, max_bytes=None, folder=folder)
    if said.code is None:
        raise ProofFailed(
            f"the packed program did not end within {_TRIAL_TIMEOUT_SECONDS} s; "
            "say what else is to be run with --run 'ARGUMENTS'"
        )
    return said.code, said.text


def prove(archive: Path, command: str, trial: Trial, wanted: Where | None = None) -> Proof:
    """Unpack `archive` and run `command` of it, as far from this machine as this user may.

    `wanted` says how far: alone (a root of its own) or environment (only empty variables).

    Raises:
        ProofFailed: it does not run; says why and what to do.
    """
    with tempfile.TemporaryDirectory(prefix="wqmaster-pack-") as name:
        root = Path(name)
        _make_root(root)
        unpacked = root / "software" / "packed"
        unpacked.mkdir()
        tar = ["tar", "-xo", "-f", str(archive.absolute()), "-C", str(unpacked)]
        code, text = _run(tar, {}, root)
        if code:
            raise ProofFailed(f"tar cannot unpack it: {_last(text)}")
        for file, content in trial.files.items():
            (root / "work" / file).write_bytes(content)
        entering = _entering(root) if wanted != "environment" else None
        if entering is None and wanted == "alone":
            raise ProofFailed(
                "this user may not make a root of its own here (unshare); prove it with "
                "--prove environment, or as root"
            )
        where: Where = "alone" if entering is not None else "environment"
        top = "/" if entering is not None else f"{root}/"
        environ = {"HOME": f"{top}home", "TMPDIR": f"{top}tmp", "LC_ALL": "C"}
        environ["PATH"] = "/usr/bin:/bin"
        script = [f"{top}{SCRIPT.name}", f"{top}software", "packed", "archive", "", "", command]
        words = [*(entering or []), "/bin/sh", *script, *trial.arguments]
        code, text = _run(words, environ, root / "work")
        strays = _strays(unpacked, command) if where == "environment" else None
        needs = _interpreter(unpacked / command, root if where == "alone" else Path("/"))
    why = _why_not(code, text, trial)
    called = (command, *trial.arguments)
    if why is not None:
        hint = ""
        if where == "alone":
            hint = (
                "; put what it lacks into the archive (--data, --from), or, if workers have it, "
                "prove it with --prove environment"
            )
        lacks = f" (it is a script of {needs}, which is not there)" if needs else ""
        raise ProofFailed(f"{' '.join(called)} does not run {TOLD[where]}: {why}{lacks}{hint}")
    note = None
    if trial.says is None:
        how = f" and exit code {code}" if code else ""
        note = (
            f"no more than '{' '.join(called)}' was run{how}; --run 'ARGUMENTS' proves what you "
            "need of it"
        )
    note = "; ".join(filter(None, (note, strays))) or None
    meant = next((line for line in text.splitlines() if _meant(line, trial)), "").strip()
    return Proof(where, called, code, meant or _last(text), note)


def _interpreter(program: Path, root: Path) -> str | None:
    """What a script asks for that is not below `root`; None if it is there, or no script."""
    with program.open("rb") as file:
        found = re.match(rb"#![ \t]*(/[^ \t\n]+)", file.read(256))
    if found is None:
        return None
    name = os.fsdecode(found[1])
    return None if os.path.lexists(root / name.lstrip("/")) else name


def _strays(unpacked: Path, command: str) -> str | None:
    """Which libraries come from this machine; None if the archive has all of them."""
    program = unpacked / command
    if not program.is_file() or not is_elf(program):
        return None
    found = loaded([program], library_folders(unpacked, command)).found
    own = unpacked.resolve()
    strays = [str(path) for path in found.values() if not path.resolve().is_relative_to(own)]
    return f"workers must have what it loads here: {', '.join(strays)}" if strays else None


def _meant(line: str, trial: Trial) -> bool:
    return bool(trial.says and re.search(trial.says, line))


def _why_not(code: int, text: str, trial: Trial) -> str | None:
    """Why that is no run of the program; None if it is one."""
    loading = next((line for line in text.splitlines() if _NOT_LOADED.search(line)), None)
    if loading is not None and code:
        return loading.strip()
    if code in (126, 127) or code < 0 or code >= 128:
        return f"exit code {code}: {_last(text)}"
    if trial.says is not None and (code or not re.search(trial.says, text)):
        missing = "" if re.search(trial.says, text) else f" without '{trial.says}' in its output"
        return f"it ended with exit code {code}{missing}: {_last(text)}"
    return None


def _last(text: str) -> str:
    """The last lines, as one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-4:])[-_MAX_MESSAGE_CHARACTERS:]
