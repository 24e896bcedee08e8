"""The way in which the user called this program, for the commands that messages suggest."""

import os
import shlex
import shutil
import sys
from pathlib import Path

# In a checkout, wqmaster is on the PATH only inside ./shell, which states its own name here.
_SHELL_VARIABLE = "WQMASTER_CALLED_BY"


def this_command() -> str:
    """What the user types before a command's name: "wqmaster", or "./shell wqmaster"."""
    shell = os.environ.get(_SHELL_VARIABLE)
    return f"{shlex.quote(shell)} wqmaster" if shell else "wqmaster"


def suggest_absolutely() -> None:
    """Let this process and its children suggest commands that work in any folder."""
    shell = os.environ.get(_SHELL_VARIABLE)
    if shell:
        os.environ[_SHELL_VARIABLE] = str(Path(shell).absolute())


def absolute_command() -> list[str]:
    """The words that start this program from any folder, without a command's name."""
    shell = os.environ.get(_SHELL_VARIABLE)
    if shell:
        return [str(Path(shell).absolute()), "wqmaster"]
    called = shutil.which(sys.argv[0])
    if called is not None and Path(called).name == "wqmaster":
        return [str(Path(called).absolute())]
    return [sys.executable, "-m", "wqmaster"]
