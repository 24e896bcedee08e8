"""Modules are short, and an __init__.py only names what its package has to give."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "wqmaster"
MAX_LINES = 400


def test_no_module_is_longer_than_can_be_read_at_once() -> None:
    long = {
        str(path.relative_to(PACKAGE)): count
        for path in PACKAGE.rglob("*.py")
        if (count := len(path.read_text().splitlines())) > MAX_LINES
    }
    assert not long


def test_no_logic_stands_in_an_init() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        docstring, *rest = ast.parse(path.read_text()).body
        assert isinstance(docstring, ast.Expr), path
        for node in rest:
            assert isinstance(node, (ast.Import, ast.ImportFrom, ast.Assign)), (path, node.lineno)
