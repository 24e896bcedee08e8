"""The engine that a campaign uses without ndcctools, and the advice on how to get another."""

from pathlib import Path

import pytest

from tests.unit.test_campaign import MINIMAL, loaded
from wqmaster.campaign.models import Campaign
from wqmaster.doctor import ndcctools
from wqmaster.doctor.finding import Case
from wqmaster.engines import choosing
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import EngineError


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the Python bindings of ndcctools look as if they were not installed."""

    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named 'ndcctools.{name}'", name="ndcctools")

    monkeypatch.setattr(choosing, "bindings", missing)


def campaign(folder: Path, more: str = "") -> Campaign:
    """A small campaign whose file ends with the lines `more`."""
    return loaded(folder, MINIMAL + more).campaign


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize("more", ["", "resources: {running_time_min: 60}\n"])
def test_without_ndcctools_jobs_run_here_and_one_line_explains_why(
    tmp_path: Path, more: str
) -> None:
    engine, why = choosing.choose(campaign(tmp_path, more))
    assert engine == "local"
    assert "\n" not in why
    assert why.endswith(", so this computer runs the jobs itself")


@pytest.mark.usefixtures("nothing_installed")
def test_without_ndcctools_remote_workers_are_an_error_that_explains_how_to_install_it(
    tmp_path: Path,
) -> None:
    with pytest.raises(EngineError) as error:
        choosing.choose(campaign(tmp_path, "engine: {port: 9123}\nworkers: {type: slurm}\n"))
    assert error.value.code is ErrorCode.ENGINE_NOT_INSTALLED
    assert choosing.INSTALL_ADVICE in error.value.message


@pytest.mark.usefixtures("nothing_installed")
def test_an_explicit_local_engine_needs_nothing(tmp_path: Path) -> None:
    engine, _ = choosing.choose(campaign(tmp_path, "engine: local\n"))
    assert engine == "local"


def test_the_doctor_reports_what_each_engine_lacks_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        ndcctools, "bindings", lambda engine, environ: "No module named 'ndcctools'"
    )
    case = Case({"PATH": str(tmp_path)}, loaded(tmp_path, MINIMAL), engine="local")
    checks = (ndcctools.work_queue, ndcctools.taskvine)
    found = [finding for check in checks for finding in check(case)]
    assert [(one.subject, one.state) for one in found] == [
        ("Work Queue", "warning"),
        ("TaskVine", "warning"),
    ]
    assert {one.fix for one in found} == {choosing.INSTALL_ADVICE}
    # One program is checked even if the other parts of ndcctools are missing.
    (tmp_path / "vine_factory").symlink_to("/bin/true")
    monkeypatch.setattr(ndcctools, "version", lambda program, environ: "7.14.5")
    assert {one.subject for one in ndcctools.taskvine(case)} == {
        "TaskVine",
        "vine_worker",
        "vine_factory",
    }


@pytest.mark.skipif(
    choosing.why_not("work_queue") is not None, reason=str(choosing.why_not("work_queue"))
)
def test_a_project_name_without_a_catalog_is_refused_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CATALOG_HOST", raising=False)
    text = f"{MINIMAL}engine:\n  type: work_queue\n  name: mine\n"
    with pytest.raises(EngineError) as error:
        choosing.create("work_queue", loaded(tmp_path, text), 1, {})
    assert error.value.code is ErrorCode.CATALOG_MISSING
    assert f".yaml:{text.splitlines().index('  name: mine') + 1}: " in error.value.message
