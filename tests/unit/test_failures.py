"""Failure classes, and the signatures that group failures."""

import ast
import inspect
import re

import pytest

from wqmaster.jobs.failures import FailureClass, Family, signature


def test_every_class_has_its_own_label() -> None:
    labels = [member.label for member in FailureClass]
    assert len(set(labels)) == len(labels) == len(FailureClass.__members__)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", label) for label in labels)


def test_a_label_is_the_name_of_its_member() -> None:
    assert {member.name.lower(): member for member in FailureClass} == {
        member.label: member for member in FailureClass
    }


def test_every_class_is_explained_in_a_sentence() -> None:
    [definition] = ast.parse(inspect.getsource(FailureClass)).body
    assert isinstance(definition, ast.ClassDef)
    explained = {}
    for statement, following in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            assert isinstance(following, ast.Expr), statement.targets[0].id
            assert isinstance(following.value, ast.Constant), statement.targets[0].id
            explained[statement.targets[0].id] = str(following.value.value)
    assert set(explained) == set(FailureClass.__members__)
    assert all(text[0].isupper() and text.endswith(".") for text in explained.values())
    assert len(set(explained.values())) == len(explained)


@pytest.mark.parametrize("member", FailureClass)
def test_a_class_is_found_by_its_label(member: FailureClass) -> None:
    assert FailureClass.of(member.label) is member


@pytest.mark.parametrize("label", ["", "TIME_LIMIT", "unknown"])
def test_an_unknown_label_is_an_error(label: str) -> None:
    with pytest.raises(KeyError):
        FailureClass.of(label)


@pytest.mark.parametrize("member", FailureClass)
def test_only_infrastructure_failures_run_again(member: FailureClass) -> None:
    assert member.again == (member.family is Family.INFRASTRUCTURE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "xtb: an energy of 642.777 Eh is above zero",
            "xtb: an energy of 1.3E+01 Eh is above zero",
        ),
        ("atom 3 is not finite: nan", "atom 12 is not finite: inf"),
        ("the energy is inf", "the energy is -inf"),
        ("charge -1 is impossible", "charge 20 is impossible"),
        ("cannot open /tmp/worker-1/t.7/a.xyz", "cannot open /scratch/b.gbw"),
        ("cannot open ./a/b.xyz", "cannot open ../../c.d"),
        ("lost on node12.cluster.example.org", "lost on c-7.other.edu"),
        ("lost on node12", "lost on node7"),
        ("no 3.5 (/w1/t.7/mine.py, line 12, in f)", "no 7 (/w2/t.9/mine.py, line 12, in f)"),
        ("x.out, line 12: no energy", "x.out, line 80: no energy"),
        ("segfault at 0x7ffd1a", "segfault at 0xDEADBEEF"),
        ("line  1\n  broke", "line 22 broke "),
        (
            "very short distance of  0.000E+00 for H1-H2",
            "very short distance of 0.1D-03 for H7-H12",
        ),
    ],
)
def test_messages_that_differ_between_jobs_share_one_signature(one: str, other: str) -> None:
    assert signature(one) == signature(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("the SCC did not converge", "the geometry did not converge"),
        ("exit code 1", "the program was killed"),
        ("stdout is missing", "wbo is missing"),
        ("nancy is missing", "information is missing"),
        ("ValueError('no') (mine.py, line 12, in f)", "ValueError('no') (mine.py, line 80, in f)"),
        ('File "/a/mine.py", line 12', 'File "/a/mine.py", line 80'),
        ("no (sub/mine.py, line 12)", "no (sub/other.py, line 12)"),
        (f"{'a b ' * 300} (mine.py, line 12, in f)", f"{'a b ' * 300} (mine.py, line 80, in f)"),
    ],
)
def test_messages_of_different_causes_have_different_signatures(one: str, other: str) -> None:
    assert signature(one) != signature(other)


def test_the_words_of_a_message_stay_readable_in_its_signature() -> None:
    assert signature("xtb: 3 unpaired electrons, 0 asked for") == (
        "xtb: N unpaired electrons, N asked for"
    )
    for words in (
        "N eV/Angstrom",
        "and/or",
        "DEF2-TZVPX",
        "def2/JK",
        "MMFF94",
        "GFN2-xTB",
    ):
        assert signature(f"about {words}.") == f"about {words}."
    assert signature("numpy.linalg.norm of a/b.xyz") == "numpy.linalg.norm of PATH"


@pytest.mark.parametrize(
    "message",
    [
        "x 0x1f at /a/b/c.d on n1.example.org: -1.5e-3, nan",
        "ValueError: 3.5 is too much (sub/my-own_2.py, line 12, in f)",
        f"{'a b ' * 300} (mine.py, line 12, in f)",
    ],
)
def test_a_signature_is_its_own_signature(message: str) -> None:
    once = signature(message)
    assert signature(once) == once


def test_a_line_of_a_traceback_stays_readable_in_its_signature() -> None:
    assert signature("ValueError: 3.5 is too much (/w/my-own_2.py, line 12, in f)") == (
        "ValueError: N is too much (my-own_2.py, line 12, in f)"
    )


@pytest.mark.parametrize(
    "message",
    [
        "a" * 4000,
        "a/" * 2000,
        "a/" * 2000 + "b.py, line 1" * 300,
        "a.b-" * 1000,
        "1" * 4000,
        "x\n" * 2000,
    ],
)
def test_the_signature_of_a_very_long_message_is_short(message: str) -> None:
    assert len(signature(message)) <= 200
