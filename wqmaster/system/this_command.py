"""The way in which the user called this program, for the commands that messages suggest."""

import contextlib
import os
import shlex
import shutil
import sys
from pathlib import Path

# In a checkout, wqmaster is on the PATH only inside ./shell, which states its own name here if it
# was called for wqmaster; in an interactive shell inside, the user types "wqmaster".
_SHELL_VARIABLE = "WQMASTER_CALLED_BY"
# The checkout whose ./shell runs this program, perhaps in a private root in this folder of it.
_CHECKOUT_VARIABLE = "WQMASTER_INSIDE"
_ROOT = ".environment/root"


def this_command() -> str:
    """What the user types before a command's name: "wqmaster", or "./shell wqmaster"."""
    shell = os.environ.get(_SHELL_VARIABLE)
    return f"{shlex.quote(shell)} wqmaster" if shell else "wqmaster"


def suggest_absolutely() -> None:
    """Let this process and its children suggest commands that work in any folder."""
    shell = os.environ.get(_SHELL_VARIABLE)
    if shell:
        os.environ[_SHELL_VARIABLE] = str(Path(shell).absolute())


def seen_by_user(path: Path) -> Path:
    """The path of a file in the user's own shell, for commands that run there (scp).

    The private root of ./shell has system folders of its own.
    """
    checkout = os.environ.get(_CHECKOUT_VARIABLE)
    if checkout and path.is_absolute():
        outside = Path(checkout, _ROOT, *path.parts[1:])
        with contextlib.suppress(OSError):
            if outside.samefile(path):
                return outside
    return path


def absolute_command() -> list[str]:
    """The words that start this program from any folder, without a command's name."""
    checkout = os.environ.get(_CHECKOUT_VARIABLE)
    if checkout:
        return [str(Path(checkout, "shell")), "wqmaster"]
    called = shutil.which(sys.argv[0])
    if called is not None and Path(called).name == "wqmaster":
        return [str(Path(called).absolute())]
    return [sys.executable, "-m", "wqmaster"]
