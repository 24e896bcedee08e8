"""Make a software archive for workers, and prove that its program runs."""

import gzip
import hashlib
import io
import json
import os
import platform
import re
import shlex
import tarfile
import tempfile
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import wqmaster
from wqmaster.software.archive import BadArchive, look
from wqmaster.software.license import looks_public
from wqmaster.software.pack import contents as packed
from wqmaster.software.pack.contents import MANIFEST, Contents, Entry, PackError
from wqmaster.software.pack.libraries import brings_glibc, glibc_needed
from wqmaster.software.pack.proof import Proof, Where, prove
from wqmaster.system.glibc import in_words, includes_most_hosts, too_old
from wqmaster.system.programs import ask
from wqmaster.tasks.program import Trial
from wqmaster.tasks.programs import program_called

# The default maximum size of an archive. Larger files do not work well with the caches at OSG's
# sites.
MAX_ARCHIVE_MB = 500
_VERSION_TIMEOUT_SECONDS = 60
_MAX_VERSION_CHARACTERS = 2000
# How many members are searched for the manifest, and how large it can be.
_FIRST_MEMBERS = 1000
_MAX_MANIFEST_BYTES = 64 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Wish:
    """A request to pack software, from the command line."""

    name: str
    programs: tuple[Path, ...] = ()
    folder: Path | None = None
    data: tuple[Path, ...] = ()
    output: Path | None = None
    most: int = MAX_ARCHIVE_MB  # maximum size in MB
    run: str | None = None  # arguments for the proof, quoted as in a shell
    where: Where | None = None


@dataclass(frozen=True)
class Packed:
    """A finished archive and its proof."""

    archive: Path
    manifest: Path
    command: str
    size: int  # bytes
    unpacked: int  # bytes after unpacking
    files: int
    sha256: str
    glibc: tuple[int, ...]
    license: str | None
    proof: Proof
    notes: tuple[str, ...]


class _Limited(io.RawIOBase):
    """A file that raises a PackError if it becomes larger than `most` MB."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file, self._most, self._written = file, most, 0

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._written += len(content)
        if self._written > self._most * 1_000_000:
            raise PackError(
                f"the archive is larger than {self._most} MB, and each worker would fetch it; "
                "leave out what the calculation does not need, or raise --max-size"
            )
        return self._file.write(content)


def _tar_member(place: str, entry: Entry) -> tarfile.TarInfo:
    """The header of an archive member, without owner or time, so that archives are reproducible."""
    member = tarfile.TarInfo(place)
    member.mode = 0o755 if entry.executable else 0o644
    if entry.link is not None:
        member.type, member.linkname = tarfile.SYMTYPE, entry.link
    return member


def write(contents: Contents, path: Path, most: int) -> None:
    """Write the archive to `path`, compressed unless it is a .tar.

    Raises:
        PackError: it would be larger than `most` MB.
    """
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("wb"))
        file: Any = _Limited(raw, most)
        if ".tar.gz" in path.name or ".tgz" in path.name:
            file = gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0)
            stack.callback(file.close)
        tar = stack.enter_context(tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT))
        for place, entry in sorted(contents.entries.items()):
            member = _tar_member(place, entry)
            if entry.link is not None:
                tar.addfile(member)
            elif entry.source is None:
                member.size = len(entry.text)
                tar.addfile(member, io.BytesIO(entry.text))
            else:
                with entry.source.open("rb") as source:
                    member.size = os.fstat(source.fileno()).st_size
                    tar.addfile(member, source)


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _described(place: str, entry: Entry) -> dict[str, Any]:
    if entry.link is not None:
        return {"path": place, "link": entry.link}
    if entry.source is None:
        content = entry.text
        digest = hashlib.sha256(content).hexdigest()
        return {"path": place, "size": len(content), "sha256": digest}
    return {
        "path": place,
        "size": entry.source.stat().st_size,
        "sha256": _sum(entry.source),
        "from": str(entry.source),
    }


def version_of(contents: Contents) -> str | None:
    """The version that the original program prints, or None if it prints none."""
    entry = contents.file(contents.command)
    known = program_called(Path(contents.command).name)
    # A program without a version option can take one for an input file, as ORCA does.
    if entry is None or (known is not None and known.version_argument is None):
        return None
    argument = known.version_argument if known is not None else "--version"
    with tempfile.TemporaryDirectory(prefix="wqmaster-pack-") as folder:
        try:
            said = ask(
                [str(entry.source), str(argument)],
                os.environ,
                seconds=_VERSION_TIMEOUT_SECONDS,
                folder=Path(folder),
            )
        except OSError:
            return None
    lines = [line.strip() for line in said.text.splitlines() if re.search(r"\d", line)]
    return "\n".join(lines)[:_MAX_VERSION_CHARACTERS] if said.code == 0 and lines else None


def manifest_of(wish: Wish, contents: Contents) -> dict[str, Any]:
    """The archive's manifest, which lists its contents and their origin."""
    glibc: tuple[int, ...] = ()
    if brings_glibc(contents.entries):
        contents.notes.append("it brings its own glibc, so the worker's version does not matter")
    else:
        glibc, damaged = glibc_needed(contents.elf_files())
        contents.notes += damaged
    return {
        "name": wish.name,
        "command": contents.command,
        "version": version_of(contents),
        "machine": platform.machine(),
        "glibc": ".".join(map(str, glibc)) or None,
        # codespell:ignore-next-line
        "licence": packed.license_of(list(contents.entries)) if contents.private else None,
        "packed_from": [str(path) for path in (wish.folder, *wish.programs) if path],
        "made_by": f"wqmaster {wqmaster.__version__}",
        "notes": contents.notes,
        "files": [_described(place, entry) for place, entry in sorted(contents.entries.items())],
    }


def glibc_of(archive: Path) -> tuple[int, ...] | None:
    """The glibc version that a packed archive needs, such as (2, 38), or () if it needs none.

    None if there is no readable manifest.
    """
    try:
        with tarfile.open(archive) as tar:
            # Members are sorted by name, so only a few can precede the manifest.
            for member in islice(tar, _FIRST_MEMBERS):
                if member.name == MANIFEST and member.isreg() and member.size < _MAX_MANIFEST_BYTES:
                    file = tar.extractfile(member)
                    stated = json.loads(file.read() if file else b"{}").get("glibc")
                    return tuple(map(int, stated.split("."))) if stated else ()
    except (OSError, EOFError, ValueError, AttributeError, tarfile.TarError, zlib.error):
        return None
    return None


def too_new(glibc: Sequence[int]) -> str | None:
    """A warning that Enterprise Linux is too old for this glibc version, or None if it is not."""
    lacking = too_old(tuple(glibc))
    if not lacking:
        return None
    which = ", which most OSPool hosts run," if includes_most_hosts(lacking) else ""
    has = "has" if len(lacking) == 1 else "have"
    return (
        f"{in_words(lacking)}{which} {has} an older glibc; there the program starts only in a "
        "container ('workers: {image: ...}'), or if it was built for an older Linux"
    )


def pack(wish: Wish) -> Packed:
    """Make an archive, prove that its program runs, and only then move it to its place.

    Raises:
        PackError: a file is missing, the archive is too large, or its license forbids this place.
        ProofFailed: the packed program does not run.
    """
    if not _NAME.fullmatch(wish.name):
        raise PackError(
            f"'{wish.name}' is not a valid name; use the program's name in 'software:' of the "
            "campaign file"
        )
    output = wish.output or Path(f"{wish.name}.tar.gz")
    if not output.name.endswith((".tar.gz", ".tgz", ".tar")):
        raise PackError(f"{output} must end in .tar.gz, .tgz or .tar")
    if not output.absolute().parent.is_dir():
        raise PackError(f"there is no folder {output.absolute().parent} for {output.name}")
    if output.is_dir():
        raise PackError(f"{output} is a folder; name a file with -o")
    try:
        trial = Trial(tuple(shlex.split(wish.run)), {}, "") if wish.run is not None else None
    except ValueError as error:
        raise PackError(f"--run: {wish.run!r} is not a valid command line: {error}") from error
    if wish.folder is not None:
        contents = packed.of_folder(wish.name, wish.folder, wish.programs, wish.data)
    elif wish.programs:
        contents = packed.of_programs(wish.name, wish.programs, wish.data)
    else:
        raise PackError("there is nothing to pack; give --from FOLDER or --program PATH")
    if contents.private:
        word = looks_public(str(output.absolute()))
        if word is not None:
            raise PackError(
                f"{output.absolute()} looks public ('{word}'), and the license of "
                f"{packed.restricted(contents.entries)} forbids putting it where others can "
                "read it; choose a private folder with -o"
            )
    beside = output.with_name(f"{output.name}.manifest.json")
    # An earlier call may have left these files in the folder that is packed.
    contents.leave_out(output, beside)
    try:
        manifest = manifest_of(wish, contents)
    except OSError as error:
        raise PackError(f"cannot read {error.filename}: {error.strerror}") from error
    glibc = tuple(map(int, manifest["glibc"].split("."))) if manifest["glibc"] else ()
    text = json.dumps(manifest, indent=1).encode() + b"\n"
    contents.entries[MANIFEST] = Entry(text=text)
    part = output.with_name(f".{os.getpid()}.{output.name}")
    mode = 0o600 if contents.private else 0o644
    try:
        part.touch(mode=mode)
        write(contents, part, wish.most)
        found = look(part, [contents.command])
        proof = prove(part, contents.command, trial or _trial(wish, contents), wish.where)
        size = part.stat().st_size
        # Other users must never be able to read a private manifest, not even briefly.
        beside.unlink(missing_ok=True)
        beside.touch(mode=mode)
        stated = {"archive": output.name, "size": size, "sha256": found.sha256}
        record = {**stated, "proof": asdict(proof), **manifest}
        beside.write_text(json.dumps(record, indent=1) + "\n")
        part.replace(output)
    except BadArchive as error:
        raise PackError(f"workers could not unpack {output}: {error}") from error
    except OSError as error:
        raise PackError(f"cannot write {output}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return Packed(
        archive=output,
        manifest=beside,
        command=contents.command,
        size=size,
        unpacked=found.size,
        files=found.files,
        sha256=found.sha256,
        glibc=glibc,
        license=manifest["licence"],  # codespell:ignore licence
        proof=proof,
        notes=tuple(contents.notes),
    )


def _trial(wish: Wish, contents: Contents) -> Trial:
    known = program_called(Path(contents.command).name) or program_called(wish.name)
    return known.trial if known is not None else Trial()
