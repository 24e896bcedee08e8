"""The names of Vina's files, and the version of Vina that ran."""

import re

from wqmaster.parsers.base import Output
from wqmaster.parsers.vina.blocks import POSES

_VERSION = re.compile(r"^AutoDock Vina v?(\d\S*)", re.MULTILINE)


def program_version(output: Output) -> str | None:
    """Vina's version as stated in its output, or None (1.1.2 does not state it)."""
    stated = _VERSION.search(output.text)
    return stated[1] if stated else None


def file_name(name: str) -> str | None:
    """The name that a job gives to Vina's file `name`, or None if no parser reads that file.

    By default, Vina writes the poses to LIGAND_out.pdbqt.
    """
    return POSES if name == POSES or name.endswith("_out.pdbqt") else None
