"""The jobs that both sides of a comparison run.

Each workload makes documents, and states the program to run in words that every side understands,
and what is read from its output.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms

EXAMPLE = Path(__file__).parents[2] / "examples" / "xtb-gradients" / "molecules.extxyz.gz"
TEXT_BYTES = 200_000
_VALUE = r"(?m)^value (\S+)$"
_XTB_ENERGY = r"\| TOTAL ENERGY +(-?[0-9.]+) Eh"


@dataclass(frozen=True)
class Workload:
    """Jobs of one kind.

    `argv` is the program with its arguments, run in a folder with the file `name`, whose content
    `content` gives for a document. `shared` are files that all jobs read, in a folder `shared`
    beside that folder. The regular expression `pattern` finds one number in what the program
    prints, and `reads` is a file of rows of three numbers that the program writes.
    """

    name: str
    argv: tuple[str, ...]
    file: str
    documents: tuple[dict[str, Any], ...]
    content: Callable[[dict[str, Any]], str]
    pattern: str
    reads: str
    shared: dict[str, str]
    # The step of a campaign file that says the same.
    step: dict[str, Any]

    def first(self, jobs: int) -> "Workload":
        """The same with fewer jobs."""
        return replace(self, documents=self.documents[:jobs])


def _documents(jobs: int) -> tuple[dict[str, Any], ...]:
    chance = random.Random(0)  # noqa: S311  # not for secrets
    return tuple({"_id": number, "x": round(chance.random(), 6)} for number in range(jobs))


def text(jobs: int) -> Workload:
    """Jobs that read a file and print 200 KB, of which one number is kept."""
    return Workload(
        "200 KB",
        ("cat", "value.txt", "../shared/text.txt"),
        "value.txt",
        _documents(jobs),
        lambda document: f"value {document['x']}\n",
        _VALUE,
        "",
        {"text.txt": ("some words of a long output\n" * (TEXT_BYTES // 28 + 1))[:TEXT_BYTES]},
        {
            "name": "one",
            "command": "cat value.txt ../shared/text.txt",
            "inputs": ["text.txt"],
            "files": {"value.txt": "value {{ document.x }}\n"},
            "parsers": {"stdout": ["bench_parsers.value"]},
        },
    )


def nothing(jobs: int) -> Workload:
    """Jobs that print one number."""
    return Workload(
        "no-op",
        ("cat", "value.txt"),
        "value.txt",
        _documents(jobs),
        lambda document: f"value {document['x']}\n",
        _VALUE,
        "",
        {},
        {
            "name": "one",
            "command": "cat value.txt",
            "files": {"value.txt": "value {{ document.x }}\n"},
            "parsers": {"stdout": ["bench_parsers.value"]},
        },
    )


def _xyz(document: dict[str, Any]) -> str:
    atoms = Atoms(document["atomic_numbers"], document["coordinates"])
    rows = zip(atoms.get_chemical_symbols(), document["coordinates"], strict=True)
    lines = [f"{symbol} {x!r} {y!r} {z!r}" for symbol, (x, y, z) in rows]
    return "\n".join([str(len(lines)), "", *lines, ""])


def xtb(jobs: int) -> Workload:
    """GFN2-xTB energies (Eh) and gradients of the molecules of examples/xtb-gradients."""
    molecules = ase.io.read(EXAMPLE, slice(jobs))
    documents = tuple(
        {
            "_id": number,
            "atomic_numbers": molecule.numbers.tolist(),
            "coordinates": molecule.positions.tolist(),
            "charge": 0,
            "multiplicity": 1,
        }
        for number, molecule in enumerate(molecules)
    )
    return Workload(
        "xtb",
        ("xtb", "molecule.xyz", "--gfn", "2", "--grad"),
        "molecule.xyz",
        documents,
        _xyz,
        _XTB_ENERGY,
        "gradient",
        {},
        {
            "name": "one",
            "func_name": "wqmaster.tasks.xtb.singlepoint",
            "gfn": 2,
            "gradient": True,
            "parsers": ["energy", "gradient"],
        },
    )


WORKLOADS: dict[str, Callable[[int], Workload]] = {"nothing": nothing, "text": text, "xtb": xtb}
# How many jobs a comparison runs if it is not told otherwise.
DEFAULT_JOBS = {"nothing": 4000, "text": 4000, "xtb": 1025}
