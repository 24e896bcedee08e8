"""The OSPool's rules, submit files, names on OSDF, and secrets that are left behind."""

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_campaign import MINIMAL, loaded
from tests.unit.test_factory import campaign
from wqmaster.campaign.workers import CondorWorkers
from wqmaster.doctor import ospool as checks
from wqmaster.doctor.finding import Case, Finding
from wqmaster.error_codes import ErrorCode
from wqmaster.factory import ospool
from wqmaster.factory.plan import Address, PlanRequest, Project
from wqmaster.factory.submit_file import MARK, Needs, SubmitFile, _arguments, submit_file
from wqmaster.factory.submitted import note_submit_file
from wqmaster.jobs.job import Supply
from wqmaster.software import osdf
from wqmaster.system import hosts

HOUR = 3600
REQUEST = PlanRequest("work_queue", Address("master.org", 9123), "osg-1a", "127.0.0.1")
NEEDS = Needs(Path("/opt/work_queue_worker"), Path("/x/password"))


def made(
    workers: dict[str, Any] | None = None,
    needs: Needs = NEEDS,
    request: PlanRequest = REQUEST,
    **settings: Any,
) -> SubmitFile:
    stated = {"type": "condor", "walltime": "9h", "project": "P", **(workers or {})}
    found = campaign(workers=stated, **settings)
    assert isinstance(found.workers, CondorWorkers)
    return submit_file(found, found.workers, request, needs, Path("w.sub"))


def line(file: SubmitFile, key: str) -> str:
    return next(
        text.partition("= ")[2] for text in file.text.splitlines() if text.startswith(f"{key} =")
    )


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("ap40.uw.osg-htc.org", True),
        ("AP41.uw.osg-htc.org.", True),
        ("ap20.uc.osg-htc.org", True),
        ("ap7.ospool.osg-htc.org", True),
        ("notebook.ospool.osg-htc.org", True),
        ("ap1.facility.path-cc.io", True),
        ("login05.osgconnect.net", True),
        ("portal.osg-htc.org", False),
        ("ap40", False),
        ("ap40.uw.osg-htc.org.example.org", False),
        ("myap40.uw.osg-htc.org", False),
        ("laptop.uw.edu", False),
    ],
)
def test_access_points_are_recognized_by_their_names(name: str, is_one: bool) -> None:
    assert ospool.access_point(["localhost", name]) == (name if is_one else None)


@pytest.mark.parametrize(
    ("hours", "category"),
    [(1, "Medium"), (10, "Medium"), (10.01, "Long"), (20, "Long"), (21, None)],
)
def test_a_wall_time_decides_the_category(hours: float, category: str | None) -> None:
    assert ospool.category(int(hours * HOUR)) == category


@pytest.mark.parametrize(
    ("workers", "word"),
    [
        ({"walltime": "25h"}, "25 h"),
        ({"walltime": None}, "walltime"),
        ({"max": 10_001}, "10,000"),
    ],
)
def test_workers_that_break_a_rule_are_refused(workers: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        made(workers)


def test_a_submit_file_keeps_the_number_of_workers_that_the_campaign_states() -> None:
    file = made({"max": 500, "per_cycle": 50, "cores": 2, "memory": 3000, "disk": 2000})
    assert file.text.startswith(MARK)
    assert (line(file, "max_materialize"), line(file, "max_idle")) == ("500", "50")
    assert line(file, "+JobDurationCategory") == '"Medium"'
    assert line(file, "+ProjectName") == '"P"'
    assert [line(file, f"request_{name}") for name in ("cpus", "memory", "disk")] == [
        "2",
        "3000MB",
        "2000MB",
    ]
    # 38 wall times of 9 hours are two weeks.
    assert file.text.endswith(f"queue {500 * 38}\n")
    assert "getenv" not in file.text
    words = line(file, "arguments")
    assert "--cores 2 --memory 3000 --disk 2000" in words
    assert words.endswith('master.org 9123"')
    assert [path.name for path in file.files] == ["worker.sh", "work_queue_worker", "password"]


def test_a_worker_finds_a_project_in_the_catalog_and_uses_tls() -> None:
    request = replace(REQUEST, manager=Project("mine"), catalog="cat.org:9097")
    words = line(made(request=request, engine={"ssl": True}), "arguments")
    assert words.endswith('-M mine -C cat.org:9097"')
    assert " --ssl " in words


def test_requirements_follow_from_the_worker_and_its_programs() -> None:
    assert "OSGVO" not in line(made(), "requirements")
    old = replace(
        NEEDS, glibc=(2, 34), paths=("/cvmfs/oasis.opensciencegrid.org/xtb", "/usr/bin/x")
    )
    found = line(made({"requirements": 'Microarch >= "x86_64-v3"'}, old), "requirements")
    assert found == (
        '(Microarch >= "x86_64-v3") && (TARGET.Arch == "X86_64") && '
        '(isUndefined(OSGVO_OS_STRING) || OSGVO_OS_STRING == "RHEL 9" || '
        'OSGVO_OS_STRING == "RHEL 10") && (HAS_CVMFS_oasis_opensciencegrid_org == True)'
    )
    new = replace(NEEDS, glibc=(2, 41))
    with pytest.raises(ValueError, match="image"):
        made(needs=new)
    image = made({"image": "osdf:///x/debian__13.sif"}, new)
    assert line(image, "container_image") == "osdf:///x/debian__13.sif"
    assert "OSGVO" not in line(image, "requirements")
    arm = line(made({"requirements": 'Arch == "aarch64"'}), "requirements")
    assert arm == '(Arch == "aarch64")'


def test_arguments_are_quoted_for_htcondor() -> None:
    assert _arguments(["a", "b c", "it's", 'say "x"', ""]) == '''"a 'b c' 'it''s' 'say ""x""' ''"'''


def test_obsolete_words_of_requirements_have_successors() -> None:
    assert ospool.obsolete("HAS_AVX2 == True") == [("HAS_AVX2", 'Microarch >= "x86_64-v3"')]
    assert ospool.obsolete('Microarch >= "x86_64-v3"') == []
    assert ospool.obsolete(None) == []


# --- names on OSDF ---------------------------------------------------------------------------


def supply(url: str, sha256: str) -> dict[str, Supply]:
    return {f"xtb{sha256}": Supply("key", "url", url, sha256)}


def test_a_name_that_stands_for_changed_content_is_found(tmp_path: Path) -> None:
    url = "osdf:///ospool/ap40/data/me/xtb.tar.gz"
    first, second = supply(url, "a" * 64), supply(url, "b" * 64)
    assert osdf.reused(first, tmp_path) == []
    osdf.note(first, tmp_path)
    assert osdf.reused(first, tmp_path) == []
    assert osdf.reused(second, tmp_path) == [osdf.Reused(url, "a" * 64, "b" * 64)]
    osdf.note(second, tmp_path)  # the first checksum stays
    assert osdf.reused(second, tmp_path)
    assert osdf.reused(supply(f"{url}.new", "b" * 64), tmp_path) == []
    assert len(osdf.reused(first | second, tmp_path / "empty")) == 1


def test_a_web_server_has_no_such_caches(tmp_path: Path) -> None:
    url = "https://example.org/xtb.tar.gz"
    osdf.note(supply(url, "a" * 64), tmp_path)
    assert osdf.reused(supply(url, "b" * 64), tmp_path) == []


def test_a_damaged_note_is_as_good_as_none(tmp_path: Path) -> None:
    osdf.notes_file(tmp_path).parent.mkdir()
    osdf.notes_file(tmp_path).write_text("[")
    assert osdf.reused(supply("osdf:///x", "a"), tmp_path) == []


# --- the doctor ------------------------------------------------------------------------------


def case(folder: Path, workers: str = "") -> Case:
    return Case({}, loaded(folder, MINIMAL + workers))


def only(findings: list[Finding]) -> Finding:
    (found,) = findings
    return found


def test_an_access_point_is_reported_with_the_way_that_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(checks.here(case(tmp_path))) == []
    monkeypatch.setattr(hosts.socket, "gethostname", lambda: "ap40.uw.osg-htc.org")
    found = only(list(checks.here(case(tmp_path))))
    assert (found.state, found.code) == ("warning", ErrorCode.ACCESS_POINT_POLICY)
    assert "--submit-file" in (found.fix or "")


@pytest.mark.parametrize(
    ("workers", "states"),
    [
        ("workers: {type: condor, project: P, walltime: 9h}", ["ok"]),
        ("workers: {type: condor, project: P, walltime: 21h}", ["wrong"]),
        ("workers: {type: condor, project: P}", ["wrong"]),
        ("workers: {type: condor, walltime: 40h}", []),  # a pool of one's own
        ("workers: {type: slurm, project: P, walltime: 40h}", []),
        (
            "workers: {type: condor, project: P, walltime: 9h, requirements: HAS_AVX2}",
            ["ok", "warning"],
        ),
    ],
)
def test_a_wall_time_without_a_category_is_wrong(
    tmp_path: Path, workers: str, states: list[str]
) -> None:
    assert [found.state for found in checks.rules(case(tmp_path, workers))] == states


def test_copies_of_the_password_that_are_left_behind_are_reported(tmp_path: Path) -> None:
    examined = case(tmp_path)
    assert examined.loaded is not None
    folder = examined.loaded.workforce_folder
    (folder / "factory").mkdir(parents=True)
    password = folder / "password"
    password.write_text("secret")
    assert list(checks.secrets_left(examined)) == []
    point = tmp_path / "point"
    point.mkdir()
    os.utime(password, (time.time() - 100,) * 2)
    note_submit_file(folder, point / "w.sub")
    assert only(list(checks.secrets_left(examined))).state == "ok"
    copy = point / "password"
    copy.write_text("secret")
    copy.chmod(0o600)
    beside, _ = checks.secrets_left(examined)
    assert (beside.state, beside.code) == ("warning", ErrorCode.SECRET_LEFT)
    assert "--rotate-password" in (beside.fix or "")
    copy.chmod(0o644)
    exposed, _ = checks.secrets_left(examined)
    assert (exposed.state, exposed.code) == ("wrong", ErrorCode.SECRET_EXPOSED)
    copy.unlink()
    note = folder / "factory" / "submit-file.json"
    written = time.time() - 3 * 86400
    note.write_text(f'{{"file": "{point}/w.sub", "written": {written}}}')
    os.utime(password, (written - 100,) * 2)
    assert only(list(checks.secrets_left(examined))).code == ErrorCode.SECRET_LEFT
    # A rotation makes copies worthless.
    os.utime(password)
    assert list(checks.secrets_left(examined)) == []


@pytest.mark.parametrize(
    ("host", "found"),
    [("localhost", "127.0.0.1"), ("10.1.2.3", "10.1.2.3"), ("no.such.invalid", "no.such.invalid")],
)
def test_a_static_worker_gets_an_address_that_it_need_not_look_up(host: str, found: str) -> None:
    assert hosts.numeric(host) == found


def test_an_own_name_that_means_loopback_is_passed_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Debian gives a machine's own name the address 127.0.1.1, which no other machine can use."""
    answer = [(2, 1, 6, "", ("127.0.1.1", 0))]
    monkeypatch.setattr(hosts.socket, "getaddrinfo", lambda *_: answer)
    assert hosts.numeric("master") == "master"
