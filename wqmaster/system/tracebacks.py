"""The line of a user's own file that an error comes from."""

import sysconfig
import traceback
from pathlib import Path

import wqmaster

# Files below these folders are not a user's own: wqmaster, Python and installed packages.
_OF_PYTHON = map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib", "scripts"))
# Folders of packages of other Pythons, such as that which an environment was made from.
_OF_PACKAGES = {"site-packages", "dist-packages"}
_OF_OTHERS = tuple(f"{Path(path).resolve()}/" for path in (*wqmaster.__path__, *_OF_PYTHON))


def is_of_others(path: Path) -> bool:
    """Whether a file or folder belongs to wqmaster, to Python or to an installed package."""
    resolved = path.resolve()
    return f"{resolved}/".startswith(_OF_OTHERS) or not _OF_PACKAGES.isdisjoint(resolved.parts)


def blame(error: BaseException) -> str | None:
    """The innermost line of a user's file in the traceback: "mine.py, line 12, in count".

    None: the traceback contains no such file.
    """
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{Path(error.filename).name}, line {error.lineno}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        # "<frozen importlib._bootstrap>" and the like are not files.
        if frame.filename.startswith("<"):
            continue
        if not is_of_others(Path(frame.filename)):
            return f"{Path(frame.filename).name}, line {frame.lineno}, in {frame.name}"
    return None


def told(error: BaseException) -> str:
    """The error and its place in a user's file: "ValueError('no') (mine.py, line 12, in count)"."""
    what = error.msg if isinstance(error, SyntaxError) else repr(error)
    place = blame(error)
    return f"{what} ({place})" if place is not None else what
