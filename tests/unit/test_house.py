"""Modules are short, and an __init__.py only names what its package has to give."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "wqmaster"
MOST_LINES = 400
# They have more than names until each program is one object.
_WITH_LOGIC = {"parsers/orca", "parsers/vina", "parsers/xtb"}


def test_no_module_is_longer_than_can_be_read_at_once() -> None:
    long = {
        str(path.relative_to(PACKAGE)): count
        for path in PACKAGE.rglob("*.py")
        if (count := len(path.read_text().splitlines())) > MOST_LINES
    }
    assert not long


def test_no_logic_stands_in_an_init() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        if str(path.parent.relative_to(PACKAGE)) in _WITH_LOGIC:
            continue
        docstring, *rest = ast.parse(path.read_text()).body
        assert isinstance(docstring, ast.Expr), path
        for node in rest:
            assert isinstance(node, (ast.Import, ast.ImportFrom, ast.Assign)), (path, node.lineno)
