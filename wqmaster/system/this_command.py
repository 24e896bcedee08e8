"""The way in which the user called this program, for the commands that messages suggest."""

import os
import shlex

# In a checkout, wqmaster is on the PATH only inside ./shell, which states its own name here.
_SHELL_VARIABLE = "WQMASTER_CALLED_BY"


def this_command() -> str:
    """What the user types before a command's name: "wqmaster", or "./shell wqmaster"."""
    shell = os.environ.get(_SHELL_VARIABLE)
    return f"{shlex.quote(shell)} wqmaster" if shell else "wqmaster"
