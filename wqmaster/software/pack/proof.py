"""Prove that a packed program runs.

The archive is unpacked, and the program runs without anything that a worker could lack.
"""

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
# Messages from the loader about a missing library or symbol.
_NOT_LOADED = re.compile(
    r"error while loading shared libraries|symbol lookup error|version `[^']+' not found"
)
# The lines of a backtrace of GNU Fortran (GCC, libgfortran/runtime/backtrace.c).
_BACKTRACE = re.compile(
    r"#\d+\s+0x|at \S+:\d+$|(Error termination\. )?Backtrace\b|Could not print backtrace"
)
_PLACE = re.compile(r"(?:=> )?(/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)

Where = Literal["alone", "environment"]
TOLD = {
    "alone": "in a chroot with nothing but the archive, glibc and sh",
    "environment": "with a minimal environment and an empty HOME, on this machine's file system",
}


class ProofFailed(WqmasterError):
    """The packed program does not run."""

    code = ErrorCode.SOFTWARE_PROOF_FAILED


@dataclass(frozen=True)
class Proof:
    """A run of the packed program, and the result."""

    where: Where
    command: tuple[str, ...]
    exit_code: int
    said: str  # the line that the trial expects, otherwise the last lines
    note: str | None = None  # what the proof does not cover


def _glibc_files(programs: Sequence[str]) -> set[Path]:
    """The files of this machine's glibc and loader, and other libraries that `programs` load."""
    found: set[Path] = set()
    for program in programs:
        words = ["ldd", program]
        said = ask(words, os.environ, seconds=_TRIAL_TIMEOUT_SECONDS, errors="dropped")
        found |= {Path(place) for place in _PLACE.findall(said.text)}
    for library in [path for path in found if path.name == "libc.so.6"]:
        found |= {path for path in library.parent.iterdir() if of_glibc(path.name)}
    return {path for path in found if path.is_file()}


def _make_root(root: Path) -> None:
    """Fill a root folder with /bin/sh, glibc, software.sh and writable folders."""
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
    """Make /dev/null, which scripts write to, as a device or, if that fails, as an empty file."""
    path.parent.mkdir()
    with contextlib.suppress(OSError):
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        path.write_bytes(b"")  # on a mount without devices, mknod succeeds but opening fails
        return
    path.unlink(missing_ok=True)
    path.touch(mode=0o666)


def _entering(root: Path) -> list[str] | None:
    """The prefix for a command that runs with `root` as its /; None if that is not permitted."""
    # The second try is for the superuser on a system without user namespaces, as in a chroot.
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
    """Run a program, and return its exit code and output.

    Raises:
        ProofFailed: it does not end in time.
    """
    said = ask(words, environ, seconds=_TRIAL_TIMEOUT_SECONDS, max_bytes=None, folder=folder)
    if said.code is None:
        raise ProofFailed(
            f"the packed program did not end within {_TRIAL_TIMEOUT_SECONDS} s; "
            "give it a shorter run with --run 'ARGUMENTS'"
        )
    return said.code, said.text


def prove(archive: Path, command: str, trial: Trial, wanted: Where | None = None) -> Proof:
    """Unpack `archive`, and run its `command` as isolated as this user's permissions allow.

    `wanted`: "alone" (in a separate root), "environment" (with only a minimal environment), or None
    ("alone" if possible).

    Raises:
        ProofFailed: the program does not run; the message gives the reason and the next step.
    """
    with tempfile.TemporaryDirectory(prefix="wqmaster-pack-") as name:
        root = Path(name)
        _make_root(root)
        unpacked = root / "software" / "packed"
        unpacked.mkdir()
        tar = ["tar", "-xo", "-f", str(archive.absolute()), "-C", str(unpacked)]
        code, text = _run(tar, {}, root)
        if code:
            raise ProofFailed(f"tar cannot unpack the archive: {last_lines(text)}")
        for file, content in trial.files.items():
            (root / "work" / file).write_bytes(content)
        entering = _entering(root) if wanted != "environment" else None
        if entering is None and wanted == "alone":
            raise ProofFailed(
                "this user may not use chroot here (unshare failed); use --prove environment, or "
                "run the command as root"
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
                "; add what it lacks to the archive (--data, --from), or, if workers have it, "
                "use --prove environment"
            )
        lacks = f" (its interpreter {needs} is missing there)" if needs else ""
        if trial.arguments:
            hint += "; if the arguments of the test run are wrong, correct --run"
        raise ProofFailed(f"{' '.join(called)} does not run {TOLD[where]}: {why}{lacks}{hint}")
    note = None
    if trial.says is None:
        how = f", and it exited with code {code}" if code else ""
        note = f"only '{' '.join(called)}' was run{how}; test what you need with --run 'ARGUMENTS'"
    note = "; ".join(filter(None, (note, strays))) or None
    meant = next((line for line in text.splitlines() if _matches(line, trial)), "").strip()
    return Proof(where, called, code, meant or last_lines(text), note)


def _interpreter(program: Path, root: Path) -> str | None:
    """A script's interpreter if `root` lacks it; None if it exists or this is not a script."""
    with program.open("rb") as file:
        found = re.match(rb"#![ \t]*(/[^ \t\n]+)", file.read(256))
    if found is None:
        return None
    name = os.fsdecode(found[1])
    return None if os.path.lexists(root / name.lstrip("/")) else name


def _strays(unpacked: Path, command: str) -> str | None:
    """A note on libraries that come from this machine, or None if the archive has all of them."""
    program = unpacked / command
    if not program.is_file() or not is_elf(program):
        return None
    found = loaded([program], library_folders(unpacked, command)).found
    own = unpacked.resolve()
    strays = [str(path) for path in found.values() if not path.resolve().is_relative_to(own)]
    return f"workers must have these libraries: {', '.join(strays)}" if strays else None


def _matches(line: str, trial: Trial) -> bool:
    return bool(trial.says and re.search(trial.says, line))


def _why_not(code: int, text: str, trial: Trial) -> str | None:
    """Why the run does not prove that the program works, or None if it does."""
    loading = next((line for line in text.splitlines() if _NOT_LOADED.search(line)), None)
    if loading is not None and code:
        return loading.strip()
    if code in (126, 127) or code < 0 or code >= 128:
        return f"exit code {code}: {last_lines(text)}"
    if trial.says is not None and (code or not re.search(trial.says, text)):
        missing = "" if re.search(trial.says, text) else f" without '{trial.says}' in its output"
        return f"it exited with code {code}{missing}: {last_lines(text)}"
    return None


def last_lines(text: str) -> str:
    """The last four lines of a text without backtraces, joined and shortened for a message."""
    stripped = [line.strip() for line in text.splitlines() if line.strip()]
    # A backtrace would hide the error message, which precedes it.
    lines = [line for line in stripped if not _BACKTRACE.match(line)] or stripped
    return " | ".join(lines[-4:])[-_MAX_MESSAGE_CHARACTERS:]
