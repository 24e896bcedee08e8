"""Geometries that a chain passes from step to step, as other programs and people write them."""

from pathlib import Path

import pytest

from tests.unit.test_chains import PYSCF, WATER, recipe
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.job import Outcome, StepOutcome
from wqmaster.recipe.judgement import judge

WRITER = {
    "name": "mine",
    "func_name": "wqmaster.tasks.command.run",
    "command": "mine",
    "final_geometry": "out.xyz",
}
PLAIN = WATER.xyz()
ROWS = PLAIN.splitlines()[2:]


def file(*rows: str, comment: str = "") -> bytes:
    return "\n".join([str(len(rows)), comment, *rows, ""]).encode()


def verdict_on(folder: Path, content: bytes | None) -> FailureClass | None:
    """The failure of the step that wrote `content` (None: it wrote no file)."""
    found = recipe(folder, WRITER, {**PYSCF, "geometry": "mine"})
    files = {"stdout": b"", "stderr": b""}
    if content is not None:
        files["out.xyz"] = content
    step = StepOutcome("mine", exit_code=0, wall_time=1.0, timed_out=False, files=files)
    failure = judge(found, found.asked_of(WATER), Outcome("host", (step,))).failure
    assert failure is not None  # there is no second step
    return failure.kind if failure.step == "mine" else None


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode(),
        file(*ROWS, comment='Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.0 pbc="F F F"'),
        file(*(f"{row} 0.1 0.2 0.3" for row in ROWS)),
        file(*(row.lower() for row in ROWS)),
        file("O 0.0D+00 0 0", "H 0 0 9.6D-01", "H 9.3D-01 0 -2.4d-01"),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.encode() + b"\n\n",
        PLAIN.replace("\n\n", "\n (\xc5)\n").encode("latin-1"),
    ],
    ids=["plain", "extended", "columns", "lower", "fortran", "windows", "blank", "latin"],
)
def test_the_style_of_a_writer_does_not_matter(tmp_path: Path, content: bytes) -> None:
    assert verdict_on(tmp_path, content) is None


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (file(*ROWS[:2]), FailureClass.ATOM_COUNT),
        (file(*ROWS, "H 9 9 9"), FailureClass.ATOM_COUNT),
        (file(*ROWS[::-1]), FailureClass.ATOM_COUNT),
        (file(ROWS[0].replace("O", "S"), *ROWS[1:]), FailureClass.ATOM_COUNT),
        (file(ROWS[0].replace("O", "Qq"), *ROWS[1:]), FailureClass.ATOM_COUNT),
        (file(ROWS[0].replace("O", "8"), *ROWS[1:]), FailureClass.PARSE_ERROR),
        (file(ROWS[0].replace("O", "O1"), *ROWS[1:]), FailureClass.PARSE_ERROR),
        (PLAIN.encode() * 2, FailureClass.PARSE_ERROR),
        (PLAIN.encode()[:-1], FailureClass.PARSE_ERROR),
        (PLAIN.encode()[:40], FailureClass.PARSE_ERROR),
        (b"", FailureClass.PARSE_ERROR),
        (file("O nan 0 0", *ROWS[1:]), FailureClass.NOT_FINITE),
        (None, FailureClass.MISSING_OUTPUT),
    ],
    ids=[
        *("fewer", "more", "order", "element", "symbol", "numbers", "labels", "trajectory"),
        *("newline", "truncated", "empty", "nan", "none"),
    ],
)
def test_a_geometry_of_other_atoms_is_refused(
    tmp_path: Path, content: bytes | None, kind: FailureClass
) -> None:
    assert verdict_on(tmp_path, content) is kind


def test_the_geometry_that_a_step_passes_is_returned_and_never_that_of_an_earlier_step(
    tmp_path: Path,
) -> None:
    """Without this, a command that writes no geometry would pass on the one before."""
    later = {**WRITER, "name": "second", "geometry": "mine"}
    job = recipe(tmp_path, WRITER, later, {**PYSCF, "geometry": "second"}).build(WATER)
    assert all("out.xyz" in step.outputs for step in job.steps[:2])
    assert "out.xyz" in job.removed_before(1)
    assert "out.xyz" not in job.steps[2].outputs


def test_a_geometry_that_no_step_needs_is_not_returned(tmp_path: Path) -> None:
    job = recipe(tmp_path, WRITER, PYSCF).build(WATER)
    assert job.steps[0].outputs == ()
