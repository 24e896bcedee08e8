"""The files and the version of a run of Vina."""

import re

from wqmaster.parsers.base import Output
from wqmaster.parsers.vina.blocks import POSES

_VERSION = re.compile(r"^AutoDock Vina v?(\d\S*)", re.MULTILINE)


def program_version(output: Output) -> str | None:
    """Vina's version as stated in its output (1.1.2 does not state it)."""
    stated = _VERSION.search(output.text)
    return stated[1] if stated else None


def file_name(name: str) -> str | None:
    """A job's name for a file that Vina names `name` by default: LIGAND_out.pdbqt has the poses."""
    return POSES if name == POSES or name.endswith("_out.pdbqt") else None
