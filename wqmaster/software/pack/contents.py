"""The contents of a new archive: the file, link or text at each path."""

import os
import posixpath
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import WqmasterError
from wqmaster.software.pack.libraries import Loaded, is_elf, library_folders, loaded
from wqmaster.tasks import programs as registry
from wqmaster.tasks.program import Program
from wqmaster.tasks.programs import program_called, restricting

MANIFEST = "MANIFEST.json"
PATHS = "wqmaster.paths"


class PackError(WqmasterError):
    """The software cannot be packed."""

    exit_code = 2
    code = ErrorCode.SOFTWARE_NOT_PACKED


@dataclass(frozen=True)
class Entry:
    """One file or link in an archive."""

    source: Path | None = None  # the file to pack
    text: bytes = b""  # the content, if there is no source
    link: str | None = None  # the target of a link
    executable: bool = False


@dataclass
class Contents:
    """The contents of a new archive, and notes for the user."""

    command: str  # the program's path in the archive
    entries: dict[str, Entry] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, place: str, entry: Entry) -> None:
        """Add an entry at `place`.

        Raises:
            PackError: there is already a different entry at this place.
        """
        if self.entries.get(place, entry) != entry:
            raise PackError(f"two files would have the path '{place}' in the archive")
        self.entries[place] = entry

    def file(self, place: str) -> Entry | None:
        """The file at `place`, after following at most one link; None if there is no file."""
        entry = self.entries.get(place)
        if entry is not None and entry.link is not None:
            end = posixpath.normpath(posixpath.join(posixpath.dirname(place), entry.link))
            entry = self.entries.get(end)
        return entry if entry is not None and entry.source is not None else None

    @property
    def private(self) -> bool:
        """Whether a license, such as ORCA's, forbids giving the archive away."""
        return any(
            self._is_program(place, program)
            for place in self.entries
            if (program := restricting(PurePosixPath(place).name)) is not None
        )

    def _is_program(self, place: str, program: Program) -> bool:
        entry = self.file(place)
        if entry is None or not entry.executable or entry.source is None:
            return False
        return program.impostor is None or program.impostor(entry.source) is None

    def leave_out(self, *files: Path) -> None:
        """Remove the entries whose sources are `files`.

        Raises:
            PackError: one of them is the program itself.
        """
        ends = {file.resolve() for file in files}
        for place, entry in list(self.entries.items()):
            if entry.source in ends:
                if place == self.command:
                    raise PackError(
                        f"{entry.source} is the program itself; choose another output with -o"
                    )
                del self.entries[place]

    def elf_files(self) -> list[Path]:
        """The sources that are ELF programs or libraries."""
        sources = [entry.source for entry in self.entries.values() if entry.source]
        return [source for source in sources if is_elf(source)]


def _file(path: Path) -> Entry:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise PackError(f"cannot pack {path}: it is not a file, folder or link")
    if not os.access(path, os.R_OK):
        raise PackError(f"cannot read {path}: permission denied")
    return Entry(path.resolve(), executable=bool(found.st_mode & stat.S_IXUSR))


def _walk(folder: Path, at: str, contents: Contents) -> None:
    """Add everything below `folder` to the contents, below the path `at` in the archive."""

    def unread(error: OSError) -> None:
        raise PackError(f"cannot read {error.filename}: {error.strerror}")

    top = folder.resolve()
    for parent, folders, files in os.walk(top, onerror=unread):
        for name in sorted([*files, *folders]):
            path = Path(parent) / name
            place = "/".join(filter(None, (at, path.relative_to(top).as_posix())))
            if place == MANIFEST:
                continue  # this manifest comes from an archive that was unpacked here
            if path.is_symlink():
                _link(path, top, place, contents)
            elif path.is_file():
                contents.add(place, _file(path))
            elif not path.is_dir():
                raise PackError(f"cannot pack {path}: it is not a file, folder or link")


def _link(path: Path, top: Path, place: str, contents: Contents) -> None:
    """Add a link, or the file that it leads to if that file is not below `top`."""
    try:
        end = path.resolve(strict=True)
    except (OSError, RuntimeError):
        contents.notes.append(f"{path} is a broken link and was left out")
        return
    if end.is_relative_to(top):
        target = os.path.relpath(end, path.parent.resolve())
        # The target is relative to the real folder, since the archive's paths contain no links.
        contents.add(place, Entry(link=target))
    elif end.is_file():
        contents.add(place, _file(end))
    elif not end.is_dir():
        raise PackError(
            f"the link {path} leads to {end}, which is a device, socket or pipe; remove the link, "
            "or pack a smaller folder"
        )
    else:
        raise PackError(f"the link {path} leads to the folder {end} outside {top}; copy it there")


def _main(folder: Path, name: str, asked: Sequence[Path]) -> Path:
    """The program's path, relative to the folder that contains it.

    Raises:
        PackError: the folder does not contain the program.
    """
    for path in asked:
        inside = path if not path.is_absolute() else Path(os.path.relpath(path, folder))
        if ".." in inside.parts or not (folder / inside).is_file():
            raise PackError(f"there is no file {path} in {folder}; --program must be in --from")
        return inside
    for inside in (Path("bin") / name, Path(name)):
        if (folder / inside).is_file():
            return inside
    raise PackError(
        f"there is neither bin/{name} nor {name} in {folder}; name the program with --program"
    )


def _take(data: Sequence[Path], contents: Contents) -> None:
    """Add data files and folders below share/."""
    for path in data:
        # The path can be '.' or end in '..', which are not usable as names.
        place = f"share/{path.name if path.name not in ('', '..') else path.resolve().name}"
        if path.is_dir():
            _walk(path, place, contents)
        elif path.is_file():
            contents.add(place, _file(path))
        else:
            raise PackError(f"there is no file or folder {path} (--data)")


def of_folder(
    name: str, folder: Path, programs: Sequence[Path], data: Sequence[Path] = ()
) -> Contents:
    """The contents of an archive with a folder and the libraries that its programs load elsewhere.

    Raises:
        PackError: there is no such folder, or the program is not in it.
    """
    if not folder.is_dir():
        raise PackError(f"there is no folder {folder}")
    asked = folder / _main(folder, name, programs)
    _check_program(asked)
    # The program's path in the archive contains no links to folders.
    inside = os.path.relpath(asked.parent.resolve() / asked.name, folder.resolve())
    command = PurePosixPath(inside).as_posix()
    contents = Contents(command)
    _walk(folder, "", contents)
    _take(data, contents)
    if contents.file(command) is None:
        raise PackError(f"{asked} cannot be packed as the program; name another with --program")
    _set_paths(contents)
    programs = [
        entry.source
        for place, entry in contents.entries.items()
        if entry.source is not None and (entry.executable or ".so" in place)
    ]
    elves = [path for path in programs if is_elf(path)]
    found = loaded(elves, library_folders(folder, command))
    _libraries(contents, found, folder.resolve(), (folder / command).resolve().name)
    return contents


def of_programs(name: str, programs: Sequence[Path], data: Sequence[Path]) -> Contents:
    """The contents of an archive with programs, the libraries that they load, and their data.

    Raises:
        PackError: a program or one of its libraries is missing.
    """
    contents = Contents(f"bin/{programs[0].name}")
    for program in programs:
        _check_program(program)
        contents.add(f"bin/{program.name}", _file(program))
        called = program_called(program.name)
        known = called.data if called is not None else None
        folder = known.folder if known is not None else program.name
        share = program.resolve().parent.parent / "share" / folder
        if known and share.is_dir() and share not in data:
            data = [*data, share]
    _take(data, contents)
    _set_paths(contents)
    elves = [program for program in programs if is_elf(program)]
    _libraries(contents, loaded(elves), None, *(program.name for program in programs))
    return contents


def _check_program(path: Path) -> None:
    if not path.is_file():
        raise PackError(f"there is no program {path}")
    if not os.access(path, os.X_OK):
        raise PackError(f"{path} is not executable; chmod +x {path}")


def _set_paths(contents: Contents) -> None:
    """Add the file `wqmaster.paths`, with variables that point known programs to their data."""
    if PATHS in contents.entries:
        return  # the user provides this file
    lines = [
        f"{program.data.variable}=share/{program.data.folder}\n"
        for name, program in sorted(registry.programs().items())
        if program.data is not None
        and f"bin/{name}" in contents.entries
        and any(place.startswith(f"share/{program.data.folder}/") for place in contents.entries)
    ]
    if lines:
        contents.entries[PATHS] = Entry(text="".join(lines).encode())


def _libraries(contents: Contents, found: Loaded, inside: Path | None, *needed_by: str) -> None:
    """Add libraries from outside the folder `inside` to lib/.

    Raises:
        PackError: a library that one of the programs `needed_by` loads is missing.
    """
    for library, path in sorted(found.found.items()):
        real = path.resolve()
        if inside is None or not real.is_relative_to(inside):
            place = f"lib/{library}"
            if place not in contents.entries:
                contents.add(place, Entry(_file(real).source))
    for library, users in sorted(found.missing.items()):
        if any(place.endswith(f"/{library}") or place == library for place in contents.entries):
            continue  # the archive has this library, and a worker's loader finds it there
        if set(users) & set(needed_by):
            raise PackError(
                f"the library {library}, which {', '.join(sorted(set(users) & set(needed_by)))} "
                "needs, was not found on this machine; set LD_LIBRARY_PATH to its folder"
            )
        shown = ", ".join(sorted(set(users))[:4])
        contents.notes.append(f"{library}, which {shown} needs, was not found on this machine")


def restricted(places: Iterable[str]) -> str:
    """The names of the programs whose licenses forbid distributing any of these files."""
    found = (restricting(PurePosixPath(place).name) for place in places)
    return " and ".join(sorted({str(program) for program in found if program is not None}))


def license_of(places: Sequence[str]) -> str:
    """The manifest's statement for an archive with programs that must not be given away."""
    count = sum(restricting(PurePosixPath(place).name) is not None for place in places)
    programs = "1 program" if count == 1 else f"{count} programs"
    return (
        f"private storage only: {programs} of {restricted(places)}, whose license forbids giving "
        "them away or putting them where others can read them"
    )
