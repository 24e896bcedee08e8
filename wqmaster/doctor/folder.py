"""Checks of the campaign's folder: its disk, its locks, its clock and the secrets in it."""

import fcntl
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from wqmaster.doctor.finding import Case, Check, Finding, State
from wqmaster.error_codes import ErrorCode
from wqmaster.run.progress import duration
from wqmaster.system.locks import LOCK_FILE, holder_of
from wqmaster.system.processes import file_system
from wqmaster.system.programs import ask

# Free disk space in MB: below the first number, a run soon stops; below the second, a large run can
# stop.
_FULL, _SCARCE = 500, 5_000
# Free inodes, with the same meanings; each submitted task has about five files.
_FEW, _SOME = 1_000, 50_000
# Differences between clocks in seconds: beyond the first number, times look odd; beyond the second,
# tokens and certificates are refused.
ODD, REFUSED = 10.0, 300.0
# The types of network file systems.
_NETWORK = {
    *("nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "afs", "9p", "glusterfs"),
    *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph-fuse", "panfs", "orangefs", "wekafs"),
}


def place(case: Case) -> Path:
    """The campaign's folder, or the current folder if there is no campaign.

    If that folder does not exist, this is its nearest existing parent.
    """
    folder = case.loaded.folder if case.loaded else Path.cwd()
    # Without permission for the folder, this returns False, while Path.exists would raise.
    while not os.path.exists(folder) and folder != folder.parent:  # noqa: PTH110
        folder = folder.parent
    return folder


def writable(case: Case) -> Iterator[Finding]:
    """Check whether files can be written, and whether locks keep a second master out."""
    folder = place(case)
    if not folder.is_dir():
        fix = f"move {shlex.quote(str(folder))} away, or name another folder with 'folder:'"
        yield Finding(
            "folder", "wrong", f"{folder} is not a folder", fix, code=ErrorCode.FOLDER_UNUSABLE
        )
        return
    kind = file_system(folder)
    try:
        with tempfile.NamedTemporaryFile(prefix=".wqmaster-doctor-", dir=folder) as probe:
            probe.write(b"x" * 4096)
            probe.flush()
            offset = time.time() - Path(probe.name).stat().st_mtime
            locked = _locks(Path(probe.name))
    except OSError as error:
        fix = f"chmod u+rwx {shlex.quote(str(folder))}, or name another folder with 'folder:'"
        yield Finding(
            "folder",
            "wrong",
            f"{folder} is not writable: {error.strerror}",
            fix,
            code=ErrorCode.FOLDER_UNUSABLE,
        )
        return
    elsewhere = "write 'folder: /a/local/disk' into the campaign file"
    if locked is not None:
        seen = f"{folder} ({kind}): {locked}, so two masters could run at the same time"
        yield Finding("folder", "wrong", seen, elsewhere, code=ErrorCode.FILESYSTEM_UNSUITABLE)
    elif kind in _NETWORK:
        seen = f"{folder} is on a network file system ({kind}): slow with many small files"
        yield Finding("folder", "warning", seen, elsewhere, code=ErrorCode.FILESYSTEM_UNSUITABLE)
    else:
        yield Finding("folder", "ok", f"{folder} ({kind}) supports writing and locking")
    yield clocks("clock of the folder's disk", offset)


def _locks(path: Path) -> str | None:
    """Why locks on the file `path` do not work; None if they do."""
    with path.open("rb") as one, path.open("rb") as other:
        try:
            fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return f"locks are refused ({error.strerror})"
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
    return "locks have no effect"


def clocks(subject: str, offset: float) -> Finding:
    """Compare this machine's clock with another clock, which is `offset` seconds behind."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    if abs(offset) <= ODD:
        return Finding(subject, "ok", f"agrees with this machine's ({now})")
    state: State = "wrong" if abs(offset) > REFUSED else "warning"
    way = "behind" if offset > 0 else "ahead of"
    seen = f"is {duration(abs(offset))} {way} this machine's ({now})"
    return Finding(
        subject,
        state,
        seen,
        "run timedatectl set-ntp true on the machine whose clock is wrong",
        code=ErrorCode.CLOCK_DIFFERS,
    )


def space(case: Case) -> Iterator[Finding]:
    """Check whether there is enough disk space, and enough inodes, for the spool."""
    folder = place(case)
    left = os.statvfs(folder)
    free = left.f_bavail * left.f_frsize // 1_000_000
    state: State = "wrong" if free < _FULL else "warning" if free < _SCARCE else "ok"
    fix = f"df -h {shlex.quote(str(folder))}; free some space, or name another disk with 'folder:'"
    yield _space("disk", state, f"{free:,} MB free in {folder}", fix)
    if left.f_files:  # 0 on file systems without a fixed number of inodes
        few: State = (
            "wrong" if left.f_favail < _FEW else "warning" if left.f_favail < _SOME else "ok"
        )
        fix = f"df -i {shlex.quote(str(folder))}; remove files, or name another disk with 'folder:'"
        seen = f"{left.f_favail:,} inodes free in {folder}"
        yield _space("inodes", few, seen, fix)


def _space(subject: str, state: State, seen: str, fix: str) -> Finding:
    if state == "ok":
        return Finding(subject, "ok", seen)
    return Finding(subject, state, seen, fix, ErrorCode.SPACE_LOW)


def secrets(case: Case) -> Iterator[Finding]:
    """Check the workers' password, and the TLS key and certificate."""
    if case.loaded is None:
        return
    folder = case.loaded.workforce_folder
    password = folder / "password"
    if not os.path.lexists(password):
        yield Finding("password", "ok", f"the first run creates {password}")
    else:
        yield _secret("password", password)
    ssl = case.loaded.campaign.engine.ssl
    key, made = folder / "ssl.key", folder / "ssl.cert"
    if os.path.lexists(key):
        yield _secret("key", key)
        yield _certificate(case, key, made)
    elif ssl and shutil.which("openssl", path=case.environ.get("PATH")) is None:
        seen = "'engine: {ssl: true}' needs openssl, which is not installed"
        yield Finding(
            "key",
            "wrong",
            seen,
            "apt install openssl, or conda install openssl",
            code=ErrorCode.PROGRAM_MISSING,
        )
    elif ssl:
        yield Finding("key", "ok", f"the first run creates {key} and {made}")


def _certificate(case: Case, key: Path, made: Path) -> Finding:
    fix = f"rm {shlex.quote(str(key))} {shlex.quote(str(made))}; the next run creates new ones"
    if not made.exists():
        return Finding(
            "certificate",
            "warning",
            f"{made} does not exist, although its key does",
            fix,
            code=ErrorCode.CERTIFICATE_UNUSABLE,
        )
    # -checkend fails if the certificate expires within this many seconds.
    words = ["openssl", "x509", "-noout", "-checkend", "86400", "-in", str(made)]
    try:
        said = ask(words, case.environ)
    except FileNotFoundError:
        return Finding(
            "certificate", "ok", f"{made} was not checked, since openssl is not installed"
        )
    if said.code == 0:
        return Finding("certificate", "ok", f"{made} is valid")
    if "will expire" in said.text:
        return Finding(
            "certificate",
            "wrong",
            f"{made} has expired or expires within a day",
            fix,
            code=ErrorCode.CERTIFICATE_UNUSABLE,
        )
    return Finding(
        "certificate",
        "wrong",
        f"{made} is not a certificate: {said.last}",
        fix,
        code=ErrorCode.CERTIFICATE_UNUSABLE,
    )


def _secret(subject: str, path: Path) -> Finding:
    quoted = shlex.quote(str(path))
    if path.is_symlink() and not path.exists():
        return Finding(
            subject,
            "wrong",
            f"{path} is a link to a file that does not exist",
            f"rm {quoted}",
            code=ErrorCode.SECRET_EXPOSED,
        )
    stat = path.stat()
    if not path.is_file() or not stat.st_size:
        what = "empty" if path.is_file() else "not a file"
        return Finding(
            subject,
            "wrong",
            f"{path} is {what}",
            f"rm -r {quoted}; the next run creates it again",
            code=ErrorCode.SECRET_EXPOSED,
        )
    if stat.st_uid != os.getuid():
        seen = f"{path} belongs to user {stat.st_uid}, not to you"
        return Finding(
            subject, "wrong", seen, f"sudo chown $(id -un) {quoted}", code=ErrorCode.SECRET_EXPOSED
        )
    mode = stat.st_mode & 0o777
    if mode & 0o077:
        seen = f"{path} has mode {mode:04o}: others can read it"
        if not mode & 0o044:
            seen = f"{path} has mode {mode:04o}: others can change it"
        return Finding(subject, "wrong", seen, f"chmod 600 {quoted}", code=ErrorCode.SECRET_EXPOSED)
    if not mode & 0o400:
        return Finding(
            subject,
            "wrong",
            f"{path} has mode {mode:04o}: you cannot read it",
            f"chmod 600 {quoted}",
            code=ErrorCode.SECRET_EXPOSED,
        )
    return Finding(subject, "ok", f"{path} is accessible only to you (mode {mode:04o})")


def master(folder: Path) -> int | None:
    """The process id of the master that runs in `folder` on this machine; None if none does."""
    holder = holder_of(folder / LOCK_FILE)
    return holder.pid if holder and holder.lives() else None


CHECKS = (
    Check("folder", writable),
    Check("disk", space),
    Check("password", secrets),
)
