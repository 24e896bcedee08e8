"""Modules are short, and an __init__.py only names what its package has to give."""

import ast
import re
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


def test_the_facts_that_comments_cite_are_in_the_design() -> None:
    facts = re.findall(r"^- \*\*(F\d+)\*\* ", (PACKAGE.parent / "DESIGN.md").read_text(), re.M)
    assert len(facts) == len(set(facts))
    sources = (path for kind in ("*.py", "*.sh") for path in PACKAGE.rglob(kind))
    cited = {fact for path in sources for fact in re.findall(r"\bF\d+\b(?=[);])", path.read_text())}
    assert len(cited) >= 10
    assert cited <= set(facts)
