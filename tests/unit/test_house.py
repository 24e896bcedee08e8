"""Modules are short, and an __init__.py only imports the names that its package offers."""

import ast
import re
import tomllib
from pathlib import Path

import yaml

import wqmaster

TOP = Path(__file__).resolve().parents[2]
PACKAGE = TOP / "wqmaster"
MAX_LINES = 400


def test_no_module_is_too_long() -> None:
    long = {
        str(path.relative_to(PACKAGE)): count
        for path in PACKAGE.rglob("*.py")
        if (count := len(path.read_text().splitlines())) > MAX_LINES
    }
    assert not long


def test_an_init_has_no_logic() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        docstring, *rest = ast.parse(path.read_text()).body
        assert isinstance(docstring, ast.Expr), path
        for node in rest:
            # Such imports are for type checkers and never run.
            types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for each in node.body if types else [node]:
                assert isinstance(each, (ast.Import, ast.ImportFrom, ast.Assign)), (path, node)


def test_the_facts_that_comments_cite_are_in_the_design() -> None:
    facts = re.findall(r"^- \*\*(F\d+)\*\* ", (TOP / "DESIGN.md").read_text(), re.M)
    assert len(facts) == len(set(facts))
    sources = (path for kind in ("*.py", "*.sh") for path in PACKAGE.rglob(kind))
    cited = {fact for path in sources for fact in re.findall(r"\bF\d+\b(?=[);])", path.read_text())}
    assert len(cited) >= 10
    assert cited <= set(facts)


def test_the_version_is_stated_once_and_the_citation_agrees() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    assert wqmaster.__version__ == project["version"]
    citation = yaml.safe_load((TOP / "CITATION.cff").read_text())
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert [author["name"] for author in citation["authors"]] == [
        author["name"] for author in project["authors"]
    ]


def test_the_changelog_lists_the_version() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (TOP / "CHANGELOG.md").read_text(), re.M)
    assert headings[0] == "Unreleased" or headings[0] == wqmaster.__version__


def is_shell(path: Path) -> bool:
    """Whether a file is a shell script, by its first line."""
    with path.open("rb") as file:
        return re.match(rb"#!\S*(/| )(ba|da)?sh\b", file.readline(100)) is not None


def test_every_shell_script_is_linted() -> None:
    folders = ("environment", "wqmaster", "examples", "tests", "factory", "benchmarks", ".ci")
    files = [file for folder in folders for file in (TOP / folder).rglob("*") if file.is_file()]
    scripts = {file for file in (*files, *TOP.glob("*")) if file.is_file() and is_shell(file)}
    linted = re.search(r"^SCRIPTS := ((?:.*\\\n)*.*)$", (TOP / "Makefile").read_text(), re.M)
    assert linted is not None
    patterns = linted[1].replace("\\\n", " ").split()
    assert scripts == {file for pattern in patterns for file in TOP.glob(pattern)}
    assert len(scripts) >= 8


def test_the_hooks_call_the_linters_of_make_test() -> None:
    hooks = yaml.safe_load((TOP / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"]
    makefile = (TOP / "Makefile").read_text()
    for hook in hooks[0]["hooks"]:
        words = hook["entry"].removesuffix(" --force-exclude")
        assert words.startswith("./shell ")
        assert words in makefile, words
