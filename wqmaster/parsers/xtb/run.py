"""The names of xtb's files, and the version of xtb that ran."""

from wqmaster.parsers.base import Output
from wqmaster.parsers.xtb.text import last_line

_FILES = frozenset(
    {
        "xtbout.json",
        "xtbopt.xyz",
        "xtbopt.log",
        "xtbscan.log",
        "xtb.trj",
        "hessian",
        "vibspectrum",
        "wbo",
    }
    | {"gfnff_charges", "molecule.xyz"}
)


def file_name(name: str) -> str | None:
    """The name that a job gives to xtb's file `name`, or None if no parser reads that file."""
    if name in _FILES:
        return name
    return "molecule.engrad" if name.endswith(".engrad") else None


def program_version(output: Output) -> str | None:
    """The version of xtb as stated in its output, or None if it is not stated."""
    rest = last_line(output.text, "* xtb version ")
    words = rest.split() if rest else []
    return words[0] if words else None
