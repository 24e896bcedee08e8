"""Parsers for plain files, and for the files that the harness for Python functions writes."""

import contextlib
import json
import math
import random
from typing import Any

import pytest

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import FailureClass, signature
from wqmaster.jobs.job import Asked
from wqmaster.parsers import command as plain
from wqmaster.parsers import python
from wqmaster.parsers.base import Output, Parser

ASKED = Asked(1, 1, 3, 0, 1, "molecule", "recipe", "target")


def output(content: str | bytes, name: str = "out") -> Output:
    return Output({name: content.encode() if isinstance(content, str) else content}, name)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-76.5\n", -76.5),
        ("  1.5D-03 ", 1.5e-3),
        ("1d+2", 100.0),
        (".5", 0.5),
        ("7.", 7.0),
        ("-1E5", -1e5),
        ("0.1", 0.1),
    ],
)
def test_one_number_is_read_with_all_its_digits(text: str, value: float) -> None:
    assert plain.number(output(text)) == value


@pytest.mark.parametrize(
    "text",
    ["", " \n", "E = -76.5", "1 2", "*******", "1_0", "0x10", "1,5", "1.5.2", "٣", "1.0-100"],
)
def test_a_text_other_than_one_number_is_an_error(text: str) -> None:
    with pytest.raises(ParseError, match="out is not a single number"):
        plain.number(output(text))


@pytest.mark.parametrize("text", ["NaN", "-nan", "Infinity", "-inf", "1e999"])
def test_a_value_that_is_not_finite_is_returned_unchanged(text: str) -> None:
    assert not math.isfinite(plain.number(output(text)))


def test_a_table_is_read_as_its_rows() -> None:
    text = "# x y\n\n 1 2.5\n-3\t4D-1\r\n#\n0 nan\n"
    rows = plain.table(output(text))
    assert rows[:2] == [[1.0, 2.5], [-3.0, 0.4]]
    assert math.isnan(rows[2][1])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds no numbers"),
        ("# only\n", "holds no numbers"),
        ("1 2\n3\n", "line 2: the number of columns is 1, but was 2 above"),
        ("1 2\n3 ****\n", r"line 2: '\*\*\*\*' is not a number"),
        ("x y\n1 2\n", "line 1: 'x' is not a number"),
        ("1 2_0\n", "'2_0' is not a number"),
        ("\n\n1D0 2\n\n \n1d0\n", "line 6: the number of columns is 1, but was 2 above"),
        ("1D0 2\n\n1D 2\n", "line 3: '1D' is not a number"),
        ("1\n" * 1_000_001, "more numbers than"),
    ],
)
def test_a_text_that_is_not_a_table_is_an_error(text: str, why: str) -> None:
    with pytest.raises(ParseError, match=why):
        plain.table(output(text))


def test_json_is_read_completely() -> None:
    assert plain.json_value(output('{"e": [-1.5, null, true]}\n')) == {"e": [-1.5, None, True]}
    assert math.isnan(plain.json_value(output("[NaN]"))[0])


@pytest.mark.parametrize("text", ["", "{", '{"a": 1', '{"a": 1} x', "[" * 100_000, '{"a":1,"a":2}'])
def test_invalid_json_is_an_error_that_names_the_file(text: str) -> None:
    with pytest.raises(ParseError, match="out is not valid JSON"):
        plain.json_value(output(text))


def test_text_is_read_unchanged() -> None:
    assert plain.text(output(" a\n\nb ")) == " a\n\nb "


def test_a_command_is_diagnosed_by_its_streams_only() -> None:
    assert plain.diagnose(Output({"stdout": b"error!"}), ASKED, {}) is None
    failure = plain.diagnose(Output({}), ASKED, {})
    assert failure is not None
    assert failure.kind is FailureClass.MISSING_OUTPUT
    assert plain.diagnose(output("1"), None, None) is None


# --- Python functions --------------------------------------------------------------------------


def harness(**content: Any) -> Output:
    """The files of a step whose result.json has this content; the main file is stdout."""
    whole = {"function": "m.f", "python": "3.6.8", **content}
    return Output({"stdout": b"", "stderr": b"", "result.json": json.dumps(whole).encode()})


def diagnosis(found: Output) -> tuple[FailureClass, str]:
    failure = python.diagnose(found, ASKED, {"function": "m.f"})
    assert failure is not None
    assert len(failure.message.splitlines()) == 1
    return failure.kind, failure.message


def error(kind: str, message: str = "", stage: str = "call", **more: Any) -> dict[str, Any]:
    return {"type": kind, "kinds": [kind, "Exception"], "message": message, "stage": stage, **more}


@pytest.mark.parametrize("value", [None, 0, -1.5, "text", [1, [2]], {"a": {"b": []}}])
def test_the_value_is_the_return_value_of_the_function(value: Any) -> None:
    found = harness(value=value)
    assert python.diagnose(found, ASKED, {"function": "m.f"}) is None
    assert python.result(found) == value
    assert python.program_version(found) == "3.6.8"


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (
            error("ValueError", "a\nb", place="m.py, line 3, in f"),
            "PROGRAM_ERROR",
            "ValueError: a b (m.py, line 3, in f)",
        ),
        (
            error("ModuleNotFoundError", "No module", kinds=["ModuleNotFoundError", "ImportError"]),
            "LIBRARY_MISSING",
            "3.6.8",
        ),
        (
            error("SyntaxError", "invalid syntax", "import", place="m.py, line 3"),
            "PROGRAM_MISSING",
            "Python 3.6.8 cannot parse (m.py, line 3): invalid syntax",
        ),
        (error("SyntaxError", "invalid syntax"), "PROGRAM_ERROR", "SyntaxError"),
        (error("MemoryError"), "MEMORY", "MemoryError"),
        (error("OSError", "full", errno=28), "DISK_FULL", "full"),
        (error("OSError", "absent", errno=2), "PROGRAM_ERROR", "absent"),
        (error("SystemExit", "3"), "PROGRAM_ERROR", "sys.exit(3)"),
        (error("KeyboardInterrupt"), "KILLED", "interrupted"),
        (error("NoJson", "the result is a set"), "PROGRAM_ERROR", "python: the result is a set"),
        ("what", "PROGRAM_ERROR", "python"),
        ({"kinds": 3, "type": [], "message": {}}, "PROGRAM_ERROR", "python"),
    ],
)
def test_an_error_has_its_class_and_message(raised: Any, kind: str, words: str) -> None:
    found, message = diagnosis(harness(error=raised))
    assert found is FailureClass[kind]
    assert words in message
    with pytest.raises(ParseError, match="an error, not a value"):
        python.result(harness(error=raised))


def test_errors_of_many_documents_share_one_signature() -> None:
    messages = {
        diagnosis(harness(error=error("ValueError", f"angle {n}.5", place="m.py, line 3, in f")))[1]
        for n in range(9)
    }
    assert len({signature(message) for message in messages}) == 1


@pytest.mark.parametrize(
    ("errors", "kind", "words"),
    [
        ("", "MODULE_CRASH", "ended before the function returned"),
        ("Fatal Python error: Segmentation fault\n\nx", "MODULE_CRASH", ": Segmentation fault"),
        ("terminate called: std::bad_alloc", "MEMORY", "bad_alloc"),
        ("Fatal Python error: init_fs_encoding: no codec", "PROGRAM_MISSING", "cannot start"),
    ],
)
def test_a_process_that_left_no_result_is_a_crash(errors: str, kind: str, words: str) -> None:
    found, message = diagnosis(Output({"stdout": b"x", "stderr": errors.encode()}))
    assert found is FailureClass[kind]
    assert words in message


def test_the_result_of_another_function_is_refused() -> None:
    found, message = diagnosis(harness(value=1, function="m.g"))
    assert found is FailureClass.NOT_AS_ASKED
    assert "m.g" in message


def test_a_result_file_alone_can_be_read() -> None:
    content = json.dumps({"function": "m.g", "python": "3.6.8", "value": 1})
    found = output(content, "some-result.json")
    assert python.diagnose(found, None, None) is None
    assert python.result(found) == 1


PARSERS = [plain.number, plain.table, plain.json_value, python.result, python.program_version]


@pytest.mark.parametrize("parser", PARSERS)
def test_a_parser_raises_nothing_else_for_any_contents(parser: Parser) -> None:
    draw = random.Random(4)  # noqa: S311
    whole = json.dumps(
        {"function": "m.f", "python": "3", "value": {"a": [1.5, -2e3]}, "error": error("E", "x")}
    ).encode()
    for seed in [whole, b"1.5 2.5\n3.5 4.5\n" * 20]:
        for _ in range(400):
            content = bytearray(seed)
            for _ in range(draw.randrange(4)):
                place = draw.randrange(len(content))
                content[place : place + draw.randrange(9)] = draw.randbytes(draw.randrange(3))
            name = "result.json"
            found = Output({name: bytes(content), "stdout": b""}, name)
            with contextlib.suppress(ParseError):
                parser(found)
            python.diagnose(found, None, {})
            python.diagnose(found.beside("stdout"), ASKED, {"function": "m.f"})
