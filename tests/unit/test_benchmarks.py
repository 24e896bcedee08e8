"""What the benchmarks calculate and make themselves."""

import hashlib
from pathlib import Path

import pytest

from benchmarks.pairs.measured import Measured, check_equal, makespans, spread, table
from benchmarks.pairs.simulated_workers import outputs_of
from wqmaster.errors import ArchiveError
from wqmaster.jobs.archive import Archive
from wqmaster.jobs.job import Execution, Job
from wqmaster.jobs.wire import pack


def inputs_of(*values: str) -> bytes:
    step = Execution("one", ("cat", "value.txt"))
    return pack([Job((step,), {"value.txt": f"value {value}\n".encode()}) for value in values])


def test_a_simulated_worker_answers_with_an_archive_of_the_runner(tmp_path: Path) -> None:
    inputs = inputs_of("0.5", "7.5")
    content, values = outputs_of(inputs, "node1", 1.5, b"text")
    assert values == ["0.5", "7.5"]
    (tmp_path / "outputs.tar").write_bytes(content)
    sum_of_inputs = hashlib.sha256(inputs).hexdigest()
    with Archive(tmp_path / "outputs.tar", inputs=sum_of_inputs) as archive:
        [step] = archive.outcome(1).steps
    assert (step.name, step.exit_code, step.wall_time) == ("one", 0, 1.5)
    assert step.files == {"stdout": b"value 7.5\ntext", "stderr": b""}


def test_a_simulated_worker_names_the_inputs_that_it_received(tmp_path: Path) -> None:
    content, _ = outputs_of(inputs_of("0.5"), "node1", 1.5, b"")
    (tmp_path / "outputs.tar").write_bytes(content)
    other = hashlib.sha256(inputs_of("1.5")).hexdigest()
    with pytest.raises(ArchiveError):
        Archive(tmp_path / "outputs.tar", inputs=other)


@pytest.mark.parametrize("other", [{1: 2.0}, {1: 1.0, 2: 2.0}, {}])
def test_sides_with_other_documents_or_values_are_not_compared(other: dict[int, float]) -> None:
    check_equal("side", {1: 1.0}, {1: 1.0 + 1e-9})
    with pytest.raises(ValueError, match="side"):
        check_equal("side", {1: 1.0}, other)


def test_a_spread_names_the_median_the_smallest_and_the_largest_value() -> None:
    assert spread([3.0, 1.0, 10.0], 1) == "3.0 (1.0-10.0)"


def test_ratios_come_from_the_pairs_of_each_round_and_a_shorter_makespan_is_better() -> None:
    found = {
        "base": [Measured(10.0, makespan=10.0), Measured(40.0, makespan=20.0)],
        "side": [Measured(20.0, 1.0, makespan=5.0), Measured(20.0, 3.0, makespan=40.0)],
    }
    assert table(found, "base").splitlines()[-1] == (
        "| side | 20.0 (20.0-20.0) | 2.00 (1.00-3.00) | 1.25 (0.50-2.00) |"
    )
    assert makespans(found, "base").splitlines()[-1] == (
        "| side | 22.5 (5.0-40.0) | 1.25 (0.50-2.00) | 2.00 (1.00-3.00) | - |"
    )
