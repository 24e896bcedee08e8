"""The words that a shell reads from jobs.sh."""

import subprocess

import pytest

from wqmaster.jobs.job import Execution, Job
from wqmaster.jobs.wire import job_script

# A function `step` that prints each of its arguments in brackets.
ENTER = "job() { :; }\n"
SHOW = ENTER + 'step() { for word in "$@"; do printf "[%s]" "$word"; done; echo "<$#>"; }\n'
NASTY = (
    "plain",
    "",
    "two words",
    "it's",
    'a "quoted" word',
    "$HOME `id` $(id)",
    "a;b && c | d > e < f &",
    "line one\nline two",
    "*",
    "~",
    "back\\slash\\",
    "!history #comment",
    "-n",
    "é 中 \U0001f9ea",
    "tab\there",
)


def run(script: str, before: str = SHOW) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["sh", "-c", f"set -u\n{before}{script}"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )


def shown(*words: str) -> str:
    return "".join(f"[{word}]" for word in words) + f"<{len(words)}>\n"


@pytest.mark.parametrize("word", NASTY)
def test_an_argument_reaches_step_unchanged(word: str) -> None:
    found = run(job_script(Job((Execution("a", ("program", word)),), {})))
    assert found.stderr == ""
    assert found.stdout == shown("a", "", "", "program", word)


def test_all_arguments_together_reach_step_in_order() -> None:
    found = run(job_script(Job((Execution("a", NASTY),), {})))
    assert found.stdout == shown("a", "", "", *NASTY)


def test_outputs_and_files_to_clean_are_one_argument_each() -> None:
    step = Execution("a", ("x",), outputs=("b.gbw", "c.engrad"), clean=("d", "e"))
    found = run(job_script(Job((step, step), {"d": b""})))
    first = shown("a", "b.gbw c.engrad", "d", "x")
    assert found.stdout == first + shown("a", "b.gbw c.engrad", "d e b.gbw c.engrad", "x")


def test_the_environment_is_set_for_the_program_and_values_are_quoted() -> None:
    step = Execution("a", ("x",), environment={"B": "1 2;$HOME", "A": "it's"})
    assert run(job_script(Job((step,), {}))).stdout == shown(
        "a", "", "", "env", "A=it's", "B=1 2;$HOME", "x"
    )


def test_the_next_step_runs_only_if_the_previous_one_succeeded() -> None:
    steps = tuple(Execution(name, ("x",)) for name in ("a", "b", "c"))
    before = ENTER + 'step() { echo "$1"; [ "$1" != b ]; }\n'
    assert run(job_script(Job(steps, {})), before).stdout == "a\nb\n"
