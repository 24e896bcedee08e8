"""Imports between the rooms run one way, as DESIGN.md has it."""

import ast
import re
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


def ranks() -> dict[str, int]:
    """Room -> its place in the line of DESIGN.md, from the top."""
    text = (TOP / "DESIGN.md").read_text(encoding="utf-8")
    found = re.search(r"Imports run one way: (.+?)\.\n", text, re.DOTALL)
    assert found is not None
    places = " ".join(found[1].split()).split(" → ")
    return {room: place for place, rooms in enumerate(places) for room in rooms.split(", ")}


def imported(path: Path) -> set[str]:
    """The rooms that the module at `path` imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("wqmaster.")}


def test_imports_run_one_way() -> None:
    rank = ranks()
    assert {"cli", "master", "store", "tasks", "parsers", "errors"} <= set(rank)
    for path in (TOP / "wqmaster").rglob("*.py"):
        room = path.relative_to(TOP / "wqmaster").parts[0].removesuffix(".py")
        for other in imported(path) - {room}:
            if room in rank and other in rank:
                assert rank[room] < rank[other], f"{path.name} imports {other}"
