"""What `wqmaster parse` and `_run` state about a calculation."""

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output
from wqmaster.parsers.pyscf.report import FILE, report


def program_version(output: Output) -> str | None:
    """The version of PySCF that the report states; None if it states none."""
    try:
        found = report(output).get("versions")
    except ParseError:
        return None
    version = found.get("pyscf") if isinstance(found, dict) else None
    return version if isinstance(version, str) else None


def file_name(name: str) -> str | None:
    """How parsers name a file given to `wqmaster parse`; None if it is not a report."""
    return FILE if name.endswith(FILE) else None
