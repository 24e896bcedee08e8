"""Find the outputs of a program in a folder, by their content.

Hidden files and folders are skipped. Symbolic links are not followed: what they point to inside the
folder is found anyway, and what is outside does not belong to it.
"""

import gzip
import os
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

from wqmaster.offline.adopting.base import Found, Reason, Taken

# How much of a file is searched for the program's banner. Batch systems and modules can print
# before the program does.
_HEAD_BYTES = 1 << 16
# A line of the banner of each program, in ASCII.
_BANNERS = {
    "orca": b"* O   R   C   A *",
    "xtb": b"|                           x T B                           |",
}
# What tar archives have in their first block (POSIX, "ustar Interchange Format"), and how zip
# archives begin.
_TAR, _TAR_PLACE, _ZIP = b"ustar", 257, b"PK\x03\x04"
# The endings of files that are not a program's printed output, and need not be opened.
_NOT_PRINTED = (
    *(".xyz", ".engrad", ".hess", ".inp", ".gbw", ".densities", ".json", ".opt", ".cis"),
    *(".property.txt", ".tmp", ".prop", ".bibtex", ".coord", ".trj", ".xyzact", ".scfp", ".loc"),
    *(".pdb", ".sdf", ".mol", ".cube", ".molden", ".interp", ".allxyz", ".chk", ".rst", ".npz"),
)


@dataclass
class Walk:
    """The outputs of `program` below `folder`, and counts of everything else that is there."""

    folder: str
    program: str
    files: int = 0
    # "links", "hidden", "special", "archives"
    skipped: Counter[str] = field(default_factory=Counter)

    def found(self) -> Iterator[Found | Taken]:
        """Yield the outputs in the order of their paths, and a refusal for what cannot be read."""
        yield from self._below(self.folder)

    def _below(self, folder: str) -> Iterator[Found | Taken]:
        # A list of folders instead of recursion, since trees can be deep.
        waiting = [folder]
        while waiting:
            here = waiting.pop()
            try:
                with os.scandir(here) as entries:
                    listed = sorted(entries, key=lambda entry: os.fsencode(entry.name))
            except OSError as error:
                yield self._unreadable(here, error)
                continue
            folders, printed = [], []
            for entry in listed:
                kind = self._kind(entry)
                if kind == "folder":
                    folders.append(entry.path)
                elif kind == "file":
                    self.files += 1
                    found = self._recognized(entry.path)
                    if isinstance(found, Taken):
                        yield found
                    elif found:
                        printed.append(entry.path)
            for path in printed:
                yield Found(path, self._relative(path), alone=len(printed) == 1)
            waiting += reversed(folders)

    def _kind(self, entry: "os.DirEntry[str]") -> str | None:
        if entry.name.startswith("."):
            self.skipped["hidden"] += 1
        elif entry.is_symlink():
            self.skipped["links"] += 1
        elif entry.is_dir(follow_symlinks=False):
            return "folder"
        elif entry.is_file(follow_symlinks=False):
            return "file"
        else:
            self.skipped["special"] += 1
        return None

    def _recognized(self, path: str) -> bool | Taken:
        name = path.lower().removesuffix(".gz")
        if name.endswith(_NOT_PRINTED):
            return False
        opened = gzip.open if path.endswith(".gz") else open
        try:
            with opened(path, "rb") as file:
                head: bytes = file.read(_HEAD_BYTES)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            # A damaged archive is refused only if its name says that it is an output.
            if not name.endswith((".out", ".log")):
                return False
            return Taken(
                self._relative(path),
                reason=Reason.UNREADABLE,
                message="it cannot be decompressed",
            )
        except OSError as error:
            return self._unreadable(path, error)
        # PowerShell writes UTF-16, in which every other byte of ASCII text is 0.
        has_banner = _BANNERS[self.program] in head.replace(b"\0", b"")
        if not (head.startswith(_TAR, _TAR_PLACE) or head.startswith(_ZIP)):
            return has_banner
        if not has_banner:
            self.skipped["archives"] += 1
            return False
        return Taken(
            self._relative(path),
            reason=Reason.UNREADABLE,
            message="it is an archive; unpack it, and adopt the folder",
        )

    def _unreadable(self, path: str, error: OSError) -> Taken:
        return Taken(
            self._relative(path),
            reason=Reason.UNREADABLE,
            message=f"it cannot be read: {error.strerror or error}",
        )

    def _relative(self, path: str) -> str:
        return printable_path(os.path.relpath(path, self.folder))


def printable_path(path: str) -> str:
    """`path` with `%` and everything that cannot be printed or stored percent-encoded.

    Different paths stay different. A path of printable UTF-8 without `%` is unchanged.
    """
    return "".join(
        char if char.isprintable() and char != "%" else quote(os.fsencode(char), safe="")
        for char in path
    )
