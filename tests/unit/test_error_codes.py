"""Error codes: stable words, each documented and each in use."""

import ast
import re
from pathlib import Path

import pytest

from wqmaster import errors
from wqmaster.error_codes import ErrorCode
from wqmaster.factory.trouble import TroubleKind

TOP = Path(__file__).resolve().parents[2]
PACKAGE = TOP / "wqmaster"
PAGE = (TOP / "docs" / "error-codes.md").read_text()
CLASSES = [
    found
    for found in vars(errors).values()
    if isinstance(found, type) and issubclass(found, errors.WqmasterError)
]


def documented() -> tuple[list[str], list[str]]:
    """The documented codes of errors, and those of a factory's trouble."""
    codes, trouble = PAGE.split("## Trouble of a factory")
    pattern = r"^\| `([^`]+)` \| \S.* \| \S.* \|$"
    return re.findall(pattern, codes, re.MULTILINE), re.findall(pattern, trouble, re.MULTILINE)


def test_the_page_lists_every_code_once() -> None:
    codes, trouble = documented()
    assert codes == [str(code) for code in ErrorCode]
    assert trouble == [kind.value.replace("_", "-") for kind in TroubleKind]


def test_codes_are_short_words_with_hyphens() -> None:
    for code in ErrorCode:
        assert re.fullmatch(r"[a-z]+(-[a-z]+){0,3}", code), code


def test_every_code_has_a_comment_and_is_in_use() -> None:
    source = (PACKAGE / "error_codes.py").read_text()
    used = "".join(
        path.read_text() for path in PACKAGE.rglob("*.py") if path.name != "error_codes.py"
    )
    for code in ErrorCode:
        assert re.search(rf'    {code.name} = "{code}"  # .+', source), code
        assert re.search(rf"ErrorCode\.{code.name}\b", used), code


@pytest.mark.parametrize("kind", CLASSES)
def test_raising_code_may_set_another_error_code(kind: type[errors.WqmasterError]) -> None:
    assert kind().code is kind.code
    if kind is not errors.BadDocument:
        assert kind("words", code=ErrorCode.FILE_CHANGED).code is ErrorCode.FILE_CHANGED


def test_a_finding_of_the_doctor_that_is_not_ok_has_a_code() -> None:
    for path in (PACKAGE / "doctor").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id != "Finding" or ast.unparse(node.args[1]) == "'ok'":
                continue
            has_code = len(node.args) > 4 or any(word.arg == "code" for word in node.keywords)
            assert has_code, f"{path.name}:{node.lineno}"
