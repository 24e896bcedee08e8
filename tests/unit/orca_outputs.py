"""Small handmade ORCA outputs (in data/orca), and functions that alter them."""

from pathlib import Path

from wqmaster.jobs.job import Asked
from wqmaster.parsers.base import Output

DATA = Path(__file__).parent / "data" / "orca"
END = "                             ****ORCA TERMINATED NORMALLY****"
BANNER = "                                 * O   R   C   A *\n"


def text(name: str, *changes: tuple[str, str]) -> str:
    """The text of a fixture, with each change applied to every occurrence."""
    found = (DATA / f"{name}.out").read_text()
    for old, new in changes:
        assert old in found
        found = found.replace(old, new)
    return found


def output(content: str, errors: str = "") -> Output:
    return Output({"stdout": content.encode(), "stderr": errors.encode()})


def asked(natoms: int = 2, charge: int = 0, multiplicity: int = 2) -> Asked:
    return Asked(1, 1, natoms, charge, multiplicity, "molecule", "recipe", "target")


# --- files by their full names -------------------------------------------------------------------


def text_of(name: str) -> str:
    return (DATA / name).read_text()


def of(content: str) -> Output:
    return Output({"stdout": content.encode()})


def fixture(name: str) -> Output:
    return Output({"stdout": (DATA / name).read_bytes()})


def replaced(name: str, old: str, new: str) -> Output:
    content = text_of(name)
    assert old in content
    return of(content.replace(old, new))


def file(name: str, content: str | None = None) -> Output:
    """An output that consists of one file, under the file's real name."""
    return Output({name: (text_of(name) if content is None else content).encode()}, name)
