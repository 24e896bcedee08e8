"""The data that a collector keeps in memory, and the data that it stores."""

from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from wqmaster.campaign.loading import load
from wqmaster.database import records
from wqmaster.database.documents import Store
from wqmaster.engines.base import Returned, TaskResult
from wqmaster.jobs.failures import Failure, FailureClass
from wqmaster.jobs.job import Asked, Outcome, StepOutcome
from wqmaster.recipe.judgement import StepResult, Verdict
from wqmaster.recipe.recipe import Recipe
from wqmaster.recipe.resolving import resolve
from wqmaster.run.collector.collector import Collector, _open
from wqmaster.run.spool import Spool

ASKED = Asked(1, 2, natoms=3, charge=0, multiplicity=1, molecule="m", recipe="r", target="t")
RETURNED = Returned("t-1", TaskResult.OK, 0, "node1", 1.5, 2.5, "")


def recipe(folder: Path) -> Recipe:
    step = {"name": "a", "keep_files": {"stdout": "{id}.out"}}
    config = {"func_name": "wqmaster.tasks.xtb.singlepoint", "args": [step]}
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump({"campaign": "test", "campaign_config": config}))
    return resolve(load(path, {}))


def test_after_a_job_is_judged_only_its_kept_files_stay_in_memory(tmp_path: Path) -> None:
    """A bundle can have a thousand jobs of several megabytes each."""
    collector = Collector(recipe(tmp_path), cast("Store", None), Spool(tmp_path), tmp_path)
    files = {"stdout": b"kept", "stderr": b"", "molecule.engrad": b"large"}
    outcome = Outcome("node1", (StepOutcome("a", 0, 1.5, False, files),))

    def held(verdict: Verdict) -> Any:
        [step] = collector._without_files(outcome, verdict).steps
        assert (step.name, step.wall_time) == ("a", 1.5)
        return step.files

    assert held(Verdict()) == {"stdout": b"kept"}
    assert held(Verdict(failure=Failure(FailureClass.KILLED, "killed"))) == {}


def test_a_result_records_the_remedies_of_its_step_and_of_the_whole_job(tmp_path: Path) -> None:
    remedy = {"(job)": ["disk_2x"], "a": ["slow", "more"], "b": ["other"]}
    asked = Asked(**{**vars(ASKED), "remedy": remedy})
    step = StepResult("a", "r", {"energy": -1.0}, "6.7", "1", 1.5)
    result = records.result(recipe(tmp_path), asked, RETURNED, None, (step,))
    assert result.steps["a"]["_run"]["remedy"] == "disk_2x, slow, more"


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (28, "runner.sh: disk full", FailureClass.DISK_FULL),
        (
            1,
            "tar: a: Cannot write: No space left on device\nrunner.sh: inputs.tar cannot be "
            "unpacked\n\n",
            FailureClass.DISK_FULL,
        ),
        (1, "runner.sh: disk quota?", FailureClass.TRANSFER),
    ],
)
def test_an_empty_return_caused_by_a_full_disk_is_recognized(
    tmp_path: Path, code: int, message: str, kind: FailureClass
) -> None:
    returned = Returned("t", TaskResult.NO_OUTPUT, code, "h", 0.0, 1.0, message)
    archive, failure = _open(Spool(tmp_path), tmp_path / "outputs.tar", returned)
    assert archive is None
    assert failure is not None
    assert failure.kind is kind
    last = message.strip().splitlines()[-1]
    assert failure.message == f"no output (exit code {code}): {last}"
