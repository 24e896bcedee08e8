"""The verdict on an outcome, with one test for each way to reach one."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pytest
from pydantic import BaseModel

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.errors import ParseError
from wqmaster.jobs.failures import Failure, FailureClass
from wqmaster.jobs.job import Asked, Job, LargeFile, Outcome, StepOutcome
from wqmaster.jobs.molecule import Molecule
from wqmaster.parsers import xtb as xtb_parsers
from wqmaster.parsers.base import Output, reads
from wqmaster.recipe.judgement import Verdict, judge
from wqmaster.recipe.recipe import ParserCall, Recipe, StepRecipe
from wqmaster.recipe.task_function import TaskFunction
from wqmaster.recipe.values import not_finite, plain
from wqmaster.tasks.base import NoOptions, Software, StepRequest, Traits
from wqmaster.tasks.programs import programs

DATA = Path(__file__).parent / "data" / "xtb"
ASKED = Asked(1, 1, natoms=3, charge=0, multiplicity=1, molecule="m", recipe="abc", target="t")
GOOD = {"stdout": b"fine\n", "stderr": b""}


def never(molecule: Molecule, steps: Sequence[StepRequest], software: Software) -> Job:
    raise AssertionError("judging builds no job")


def call(function: Callable[[Output], Any], name: str = "value") -> ParserCall:
    return ParserCall(name, "stdout", function)


def recipe(
    *calls: ParserCall,
    program: str | None = None,
    files: tuple[str, ...] = (),
    needed: tuple[str, ...] = (),
    steps: tuple[str, ...] = ("a",),
) -> Recipe:
    options: BaseModel = NoOptions()
    known = programs()[program] if program is not None else None
    function = TaskFunction("own.function", never, Traits(), known, ())
    return Recipe(
        steps=tuple(
            StepRecipe(
                request=StepRequest(name, options, frozenset({*files, *needed})),
                function=function,
                parsers=calls,
                keep_files=(),
                needed=frozenset(needed),
                options={},
            )
            for name in steps
        ),
        software=Software(),
        hash="abc",
        target="t",
        fields=(),
        ladders={},
        loaded=cast("LoadedCampaign", None),  # judging needs only the steps
    )


def step(
    code: int = 0,
    name: str = "a",
    timed_out: bool = False,
    files: dict[str, bytes] | None = None,
    **contents: bytes,
) -> StepOutcome:
    return StepOutcome(name, code, 1.5, timed_out, {**(files or GOOD), **contents})


def verdict(found: StepOutcome, *calls: ParserCall, **settings: Any) -> Verdict:
    return judge(recipe(*calls, **settings), ASKED, Outcome("node1", (found,)))


def failure(found: StepOutcome, *calls: ParserCall, **settings: Any) -> Failure:
    result = verdict(found, *calls, **settings)
    assert result.failure is not None
    assert result.results == ()
    assert result.failure.step == "a"
    return result.failure


def values(*calls: ParserCall) -> dict[str, Any]:
    result = verdict(step(), *calls)
    assert result.failure is None, result.failure
    return dict(result.results[0].values)


def run_of(name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (DATA / name).iterdir()}


# --- results -----------------------------------------------------------------------------------


def test_a_good_outcome_has_the_values_of_all_parsers() -> None:
    result = verdict(
        step(), call(lambda output: output.text.strip(), "word"), call(lambda output: 7, "number")
    )
    assert result.failure is None
    [found] = result.results
    assert (found.step, found.values, found.wall_time) == ("a", {"word": "fine", "number": 7}, 1.5)
    assert (found.program_version, found.parser_version) == (None, None)


def test_every_step_has_its_own_result() -> None:
    outcome = Outcome("node1", (step(name="a"), step(name="b", stdout=b"other")))
    result = judge(recipe(call(lambda output: output.text), steps=("a", "b")), ASKED, outcome)
    assert [(found.step, found.values["value"]) for found in result.results] == [
        ("a", "fine\n"),
        ("b", "other"),
    ]


def test_an_xtb_result_has_the_versions_of_program_and_parsers() -> None:
    calls = [call(xtb_parsers.energy, "energy"), call(xtb_parsers.gradient, "gradient")]
    result = verdict(step(files=run_of("water")), *calls, program="xtb")
    [found] = result.results
    assert found.values["energy"] == -5.070383095219
    assert (found.program_version, found.parser_version) == ("6.7.1", xtb_parsers.VERSION)


def test_a_parser_sees_the_file_that_it_reads() -> None:
    named = ParserCall("value", "other.txt", lambda output: (output.name, output.text))
    assert verdict(step(files={**GOOD, "other.txt": b"x"}), named).results[0].values == {
        "value": ["other.txt", "x"]
    }


# --- exit codes --------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [124, 137, 143, 0])
def test_a_job_out_of_time_is_recognized_with_any_exit_code(code: int) -> None:
    assert failure(step(code, timed_out=True)).kind is FailureClass.TIME_LIMIT


def test_exit_code_124_of_the_program_itself_is_not_a_time_limit() -> None:
    assert failure(step(124)).kind is FailureClass.PROGRAM_ERROR


@pytest.mark.parametrize(
    ("code", "stderr"),
    [
        (127, b"timeout: failed to run command 'xtb': No such file or directory\n"),
        (126, b"timeout: failed to run command 'xtb': Permission denied\n"),
    ],
)
def test_a_program_that_cannot_be_run_is_missing(code: int, stderr: bytes) -> None:
    found = failure(step(code, stderr=stderr), program="xtb")
    assert found.kind is FailureClass.PROGRAM_MISSING
    assert found.message == stderr.decode().strip()


@pytest.mark.parametrize("code", [126, 127])
def test_a_missing_program_without_a_message_is_recognized_by_its_exit_code(code: int) -> None:
    found = failure(step(code, stderr=b"\n \n"))
    assert (found.kind, found.message) == (FailureClass.PROGRAM_MISSING, f"exit code {code}")


def test_a_missing_library_is_distinguished_from_a_missing_program() -> None:
    line = "xtb: error while loading shared libraries: libgfortran.so.5: cannot open shared object"
    found = failure(step(127, stderr=f"{line}\n\n".encode()), program="xtb")
    assert (found.kind, found.message) == (FailureClass.LIBRARY_MISSING, line)


def test_a_killed_program_is_distinguished_from_one_that_failed() -> None:
    assert failure(step(137), program="xtb").kind is FailureClass.KILLED


def test_a_full_disk_is_recognized_in_the_programs_messages() -> None:
    said = b"cp: error writing 'a': No space left on device\n"
    found = failure(step(1, stderr=said), program="xtb")
    assert found.kind is FailureClass.DISK_FULL
    assert found.message == said.decode().strip()


@pytest.mark.parametrize("why", ["Disk quota exceeded", "File too large"])
def test_exceeding_the_allowed_disk_is_a_separate_class(why: str) -> None:
    found = failure(step(1, stderr=f"cp: error writing 'a': {why}\n".encode()), program="xtb")
    assert found.kind is FailureClass.DISK_LIMIT


@pytest.mark.parametrize("code", [1, 2, 139, 255])
def test_any_other_exit_code_is_an_error_of_the_program(code: int) -> None:
    found = failure(step(code), call(lambda output: 1))
    assert (found.kind, found.message) == (FailureClass.PROGRAM_ERROR, f"exit code {code}")


def test_a_failure_shows_the_last_lines_of_the_output() -> None:
    lines = "".join(f"line {number}\n" for number in range(1000))
    tail = failure(step(1, stdout=lines.encode(), stderr=b"why \xff\n\n")).tail
    assert tail.splitlines()[-2:] == ["line 999", "why \ufffd"]
    assert len(tail.splitlines()) <= 15


def test_a_single_endless_line_does_not_fill_the_tail() -> None:
    assert len(failure(step(1, stdout=b"x" * 1_000_000)).tail) <= 10_000


# --- diagnosis ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code", "kind"),
    [
        ("scf-failure", 1, FailureClass.SCF_NOT_CONVERGED),
        ("coincident", 1, FailureClass.COINCIDENT_ATOMS),
        ("clash", 0, FailureClass.IMPLAUSIBLE_ENERGY),
        ("charge-20", 0, FailureClass.CHARGE_MULTIPLICITY),
        ("water-cation", 0, FailureClass.NOT_AS_ASKED),
    ],
)
def test_the_programs_diagnosis_comes_before_its_exit_code(
    name: str, code: int, kind: FailureClass
) -> None:
    found = failure(step(code, files=run_of(name)), program="xtb", needed=("molecule.engrad",))
    assert found.kind is kind
    assert found.message.startswith("xtb: ")


def test_an_exit_code_counts_even_if_the_output_looks_good() -> None:
    found = failure(step(1, files=run_of("water")), program="xtb")
    assert (found.kind, found.message) == (FailureClass.PROGRAM_ERROR, "exit code 1")


def test_an_outcome_without_streams_is_a_failure_and_not_an_exception() -> None:
    outcome = Outcome("node1", (StepOutcome("a", 0, 1.0, False, {}),))
    assert judge(recipe(program="xtb"), ASKED, outcome).failure is not None


# --- outputs and parsers -----------------------------------------------------------------------


def test_missing_outputs_are_all_named() -> None:
    found = failure(step(files={**GOOD, "b.txt": b""}), needed=("c.txt", "b.txt", "a.txt"))
    assert (found.kind, found.message) == (
        FailureClass.MISSING_OUTPUT,
        "a.txt, c.txt are missing: the step wrote: b.txt",
    )


def test_a_missing_output_is_reported_with_its_parser_and_the_existing_files() -> None:
    geometry = ParserCall("geometry", "finl.xyz", lambda output: 1)
    found = failure(step(files={**GOOD, "final.xyz": b""}), geometry, needed=("finl.xyz",))
    assert found.message == ("finl.xyz is missing: geometry reads it; the step wrote: final.xyz")
    found = failure(step(), geometry, needed=("finl.xyz",))
    assert found.message == "finl.xyz is missing: geometry reads it; the step wrote no files"


def test_a_file_that_is_fetched_but_not_needed_may_be_missing() -> None:
    result = verdict(step(), call(lambda output: output.has("a.txt")), files=("a.txt",))
    assert result.failure is None
    assert result.results[0].values == {"value": False}


def test_a_missing_block_is_a_parse_error_that_names_the_parser() -> None:
    def broken(output: Output) -> float:
        raise output.missing("FINAL ENERGY")

    found = failure(step(), call(broken, "energy"))
    assert found.kind is FailureClass.PARSE_ERROR
    assert found.message == "energy: the block FINAL ENERGY is missing from stdout"


def test_an_undeclared_file_that_is_missing_is_a_parse_error() -> None:
    found = failure(step(), call(lambda output: output.file("wbo")))
    assert (found.kind, found.message) == (
        FailureClass.PARSE_ERROR,
        "value: the file wbo is missing",
    )


@pytest.mark.parametrize(
    "error",
    [
        ValueError("could not convert"),
        KeyError("x"),
        IndexError(),
        ZeroDivisionError(),
        AssertionError(),
        RecursionError(),
        MemoryError(),
        StopIteration(),
        OSError(28, "No space left"),
        ParseError(),
        SystemExit(1),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_parser_raises_is_a_parse_error(error: BaseException) -> None:
    def broken(output: Output) -> float:
        raise error

    try:
        found = failure(step(), call(broken, "mine"))
    except SystemExit:
        pytest.fail("a parser that calls sys.exit() ends the collector")
    assert found.kind is FailureClass.PARSE_ERROR
    assert found.message.startswith("mine: ")
    assert len(found.message.splitlines()) == 1


def test_a_value_that_contains_itself_is_a_parse_error() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert failure(step(), call(lambda output: endless)).kind is FailureClass.PARSE_ERROR


def test_a_value_that_a_document_cannot_hold_is_a_parse_error() -> None:
    # MongoDB would refuse the value, and with it all other results in the same write.
    def nested(levels: int) -> Any:
        return [nested(levels - 1)] if levels else 1.0

    assert verdict(step(), call(lambda output: nested(80))).failure is None
    for levels in (81, 300):
        found = failure(step(), call(lambda output, n=levels: nested(n)))
        assert found.kind is FailureClass.PARSE_ERROR
        assert "more than 80 levels" in found.message


def test_a_job_whose_second_parser_fails_keeps_no_value() -> None:
    def broken(output: Output) -> float:
        raise ValueError

    assert failure(step(), call(lambda output: 1, "a"), call(broken, "b")).message.startswith("b: ")


# --- checks of values --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (math.nan, "value"),
        (-math.inf, "value"),
        ([1.0, math.inf], "value[1]"),
        ((1.0, (2.0, math.nan)), "value[1][1]"),
        ({"a": {"b": [0.0, math.nan]}}, "value.a.b[1]"),
        (np.float64("nan"), "value"),
        (np.float32("inf"), "value"),
        (np.array([[0.0, 1.0], [np.nan, 1.0]]), "value[1][0]"),
        ({"a": np.array([np.inf])}, "value.a[0]"),
        ([np.float64("nan")], "value[0]"),
    ],
)
def test_a_value_that_is_not_finite_is_refused_with_its_position(value: Any, place: str) -> None:
    found = failure(step(), call(lambda output: value))
    assert (found.kind, found.message) == (FailureClass.NOT_FINITE, f"{place} is not finite")


@pytest.mark.parametrize("value", [0, 1.5, "nan", None, True, [], {}, [[]], b"inf", 10**30])
def test_a_value_that_is_not_a_float_is_finite(value: Any) -> None:
    assert not_finite(value) is None


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (np.float64(1.5), 1.5),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        (np.array(2.0), 2.0),
        (np.arange(6.0).reshape(2, 3), [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]),
        ((np.int32(1), [np.array([1])]), [1, [[1]]]),
        ({"a": np.float64(1.0), 2: (1, 2)}, {"a": 1.0, "2": [1, 2]}),
        (None, None),
    ],
)
def test_numpy_values_become_plain_values(value: Any, stored: Any) -> None:
    found = values(call(lambda output: value))["value"]
    assert found == stored
    assert type(found) is type(stored)
    assert repr(plain(value)) == repr(stored)


@pytest.mark.parametrize("name", ["gradient", "charges"])
@pytest.mark.parametrize("count", [0, 2, 4, 9])
def test_a_list_per_atom_of_wrong_length_is_refused(name: str, count: int) -> None:
    found = failure(
        step(), call(reads("stdout", per_atom=True)(lambda output: np.zeros((count, 3))), name)
    )
    assert found.kind is FailureClass.ATOM_COUNT
    assert found.message == f"{name} covers {count} atoms, but the document has 3"


def test_a_value_per_atom_that_is_not_a_list_is_refused() -> None:
    found = failure(step(), call(reads("stdout", per_atom=True)(lambda output: 7), "charges"))
    assert (found.kind, found.parser) == (FailureClass.PARSE_ERROR, "charges")


def test_a_list_per_atom_of_the_right_length_and_other_lists_are_accepted() -> None:
    found = values(
        call(reads("stdout", per_atom=True)(lambda output: np.zeros((3, 3))), "gradient"),
        call(reads("stdout", per_atom=True)(lambda output: [0.0] * 3), "charges"),
        call(lambda output: [0.0] * 99, "spectrum"),
    )
    assert len(found["gradient"]) == 3


# --- steps -------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [(), (step(name="b"),)])
def test_a_step_that_never_ran_is_a_truncated_outcome(steps: tuple[StepOutcome, ...]) -> None:
    result = judge(recipe(steps=("a", "b")), ASKED, Outcome("node1", steps))
    assert result.failure == Failure(FailureClass.TRUNCATED, "the step never ran", "a")


def test_the_failure_is_that_of_the_first_failed_step() -> None:
    outcome = Outcome("node1", (step(name="a"), step(3, name="b")))
    result = judge(recipe(steps=("a", "b", "c")), ASKED, outcome)
    assert result.failure is not None
    assert (result.failure.step, result.failure.message) == ("b", "exit code 3")
    assert [passed.step for passed in result.results] == ["a"]


def test_a_users_parser_may_give_a_common_name_another_meaning() -> None:
    """Only the program's own parsers promise the common quantity."""
    shares = {"O": -0.8, "H": 0.4}
    result = verdict(step(), call(lambda output: shares, "charges"))
    assert result.failure is None
    assert result.results[0].values["charges"] == shares


# --- large outputs -----------------------------------------------------------------------------


class Large:
    """A file of which only the size and the end matter."""

    size = 900 << 20

    def tail(self, most: int) -> bytes:
        return b"the last line"[-most:]

    def copy_to(self, target: IO[bytes]) -> None:
        raise NotImplementedError


def large_step(**files: LargeFile) -> StepOutcome:
    small = {name: content for name, content in GOOD.items() if name not in files}
    return StepOutcome("a", 0, 1.5, False, small, large=files)


def test_a_standard_output_that_is_too_large_fails_and_its_end_is_recorded() -> None:
    found = failure(large_step(stdout=Large()))
    assert found.kind is FailureClass.OUTPUT_TOO_LARGE
    assert "943,718,400 bytes" in found.message
    assert "the last line" in found.tail


def test_a_large_file_that_only_one_parser_wants_is_refused_by_its_class() -> None:
    reads_other = call(lambda output: len(output.file("other")), "length")
    found = failure(large_step(other=Large()), reads_other)
    assert found.kind is FailureClass.OUTPUT_TOO_LARGE


def test_a_large_file_that_no_parser_reads_does_no_harm() -> None:
    number = call(lambda output: 7 if output.has("orca.gbw") else 0, "number")
    result = verdict(large_step(**{"orca.gbw": Large()}), number)
    assert result.failure is None
    assert dict(result.results[0].values) == {"number": 7}


def test_a_standard_output_without_its_middle_is_not_parsed() -> None:
    found = failure(StepOutcome("a", 0, 1.5, False, GOOD, cut={"stdout": 900 << 20}))
    assert found.kind is FailureClass.OUTPUT_TOO_LARGE


def test_a_large_text_with_wide_characters_is_read_in_one_byte_each() -> None:
    text = Output({"stdout": b"energy -1.0\n" * 10**6 + "\U0001f4a5".encode()}).text
    assert text.startswith("energy -1.0\n")
    assert max(map(ord, text[-8:])) < 256
    assert Output({"stdout": "\U0001f4a5".encode()}).text == "\U0001f4a5"
