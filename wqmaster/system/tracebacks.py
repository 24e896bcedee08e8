"""Where in a user's own file an error comes from."""

import sysconfig
import traceback
from pathlib import Path

import wqmaster

# Files below these are not a user's own: ours, Python's, those of installed packages.
_OF_PYTHON = map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib", "scripts"))
# Folders of packages of other Pythons, such as that which an environment was made from.
_OF_PACKAGES = {"site-packages", "dist-packages"}
_OF_OTHERS = tuple(f"{Path(path).resolve()}/" for path in (*wqmaster.__path__, *_OF_PYTHON))


def is_of_others(path: Path) -> bool:
    """Whether a file or folder belongs to wqmaster, to Python or to an installed package."""
    resolved = path.resolve()
    return f"{resolved}/".startswith(_OF_OTHERS) or not _OF_PACKAGES.isdisjoint(resolved.parts)


def blame(error: BaseException) -> str | None:
    """The innermost place in a user's file that led to `error`: "mine.py, line 12, in count".

    None: there is none in its traceback.
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
    """What a user's function raised, and where: "ValueError('no') (mine.py, line 12, in count)"."""
    what = error.msg if isinstance(error, SyntaxError) else repr(error)
    place = blame(error)
    return f"{what} ({place})" if place is not None else what
