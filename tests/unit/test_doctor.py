"""The doctor: no secrets in findings, the needs of ELF files, checks that fail or hang."""

import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.test_campaign import MINIMAL, loaded
from wqmaster.campaign.loading import load
from wqmaster.cli import doctor
from wqmaster.database.address import redacted
from wqmaster.doctor import batch, examination, machine, network, reports, worker_sent
from wqmaster.doctor.finding import Case, Check, Finding
from wqmaster.doctor.folder import clocks
from wqmaster.doctor.glibc import judged, of_image
from wqmaster.engines.ndcctools import Setting
from wqmaster.engines.refusals import Refusals
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError, EngineError
from wqmaster.factory.campaigns import planned
from wqmaster.factory.plan import WORKER_SCRIPT, Address
from wqmaster.run.opening import log, logged
from wqmaster.software.pack.making import too_new
from wqmaster.system import elf
from wqmaster.system.glibc import too_old


def test_a_fix_shared_by_several_findings_is_printed_once() -> None:
    findings = [
        Finding("one", "wrong", "is missing", "install it", ErrorCode.PROGRAM_MISSING),
        Finding("two", "warning", "is old", "update it", ErrorCode.VERSIONS_DIFFER),
        Finding("three", "wrong", "is missing", "install it", ErrorCode.PROGRAM_MISSING),
        Finding("four", "ok", "is there"),
        Finding("five", "wrong", "is missing", "install it", ErrorCode.PROGRAM_MISSING),
    ]
    assert list(doctor._lines(findings)) == [
        "WRONG    one    is missing",
        "warning  two    is old",
        "                -> update it",
        "WRONG    three  is missing",
        "ok       four   is there",
        "WRONG    five   is missing",
        "for one, three and five:",
        "  -> install it",
    ]


def test_a_check_that_raises_or_hangs_is_reported_and_delays_no_other() -> None:
    never = threading.Event()

    def raises(case: Case) -> Iterator[Finding]:
        yield Finding("one", "ok", "seen before it failed")
        raise OSError(5, "Input/output error")

    def hangs(case: Case) -> Iterator[Finding]:
        never.wait()
        yield Finding("two", "ok", "never")

    def works(case: Case) -> Iterator[Finding]:
        yield Finding("three", "ok", "well")

    checks = (Check("one", raises), Check("two", hangs), Check("three", works))
    found = examination._all(Case({}), checks, 0.3)
    never.set()
    assert [(one.subject, one.state) for one in found] == [
        ("one", "ok"),
        ("one", "warning"),
        ("two", "warning"),
        ("three", "ok"),
    ]
    assert "Input/output error" in found[1].seen
    assert "did not finish" in found[2].seen
    assert found[1].code is found[2].code is ErrorCode.CHECK_INCOMPLETE


def test_user_and_password_of_the_database_are_hidden_in_all_their_forms(tmp_path: Path) -> None:
    uri = "mongodb://chemist:se%2Fcret%21@db.example.org/chem"
    case = Case({}, loaded(tmp_path, f"{MINIMAL}database: {{uri: '{uri}'}}\n"))
    said = f"cannot reach {uri}: tried chemist:se%2Fcret%21 and se/cret!"
    hidden = Finding("database", "wrong", said, f"mongosh {uri}").hiding(case.secrets)
    for text in (hidden.seen, hidden.fix or ""):
        assert "cret" not in text
        assert "db.example.org" in text
    assert "tried ..." in hidden.seen


def test_doctor_and_factory_find_the_same_worker_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, only the doctor expanded `~`, and so accepted a file that `run` refused."""
    monkeypatch.setenv("HOME", str(tmp_path))
    worker = tmp_path / "work_queue_worker"
    worker.write_text("#!/bin/sh\n")
    worker.chmod(0o755)
    found = loaded(tmp_path, f"{MINIMAL}workers: {{type: slurm, worker: ~/{worker.name}}}\n")
    (finding,) = worker_sent.sent(Case({}, found, engine="work_queue"))
    assert finding.code is ErrorCode.WORKER_UNUSABLE
    with pytest.raises(CampaignError, match=f"{tmp_path}/~/{worker.name}"):
        planned(found, "work_queue", Address("master.org", 9123), (), 1)
    named = f"{MINIMAL}workers: {{type: slurm, worker: '${{HOME}}/{worker.name}'}}\n"
    assert loaded(tmp_path, named, {"HOME": str(tmp_path)}).worker_program == worker


@pytest.mark.parametrize("place", ["host:abc", "host:0", "host:99999", "host:-1", "host:1_0"])
def test_a_catalog_with_an_impossible_port_is_reported(place: str, tmp_path: Path) -> None:
    """Once, doctor and engine converted the port of CATALOG_HOST without a check."""
    found = loaded(tmp_path, f"{MINIMAL}engine: {{type: work_queue, name: mine}}\n")
    (finding,) = network.catalog(Case({"CATALOG_HOST": place}, found, engine="work_queue"))
    assert (finding.state, finding.code) == ("wrong", ErrorCode.CATALOG_MISSING)
    with pytest.raises(EngineError) as caught:
        Setting(tmp_path, catalog=place).catalog_address()
    assert caught.value.code is ErrorCode.CATALOG_MISSING


@pytest.mark.parametrize(
    ("place", "address"),
    [
        (None, ("127.0.0.1", 9097)),
        ("host", ("host", 9097)),
        ("host:", ("host", 9097)),
        ("host:1", ("host", 1)),
    ],
)
def test_a_catalog_without_a_port_has_the_default_one(
    place: str | None, address: tuple[str, int], tmp_path: Path
) -> None:
    assert Setting(tmp_path, catalog=place).catalog_address() == address


@pytest.mark.parametrize(
    ("image", "glibc"),
    [
        ("/cvmfs/singularity.opensciencegrid.org/htc/debian:13", (2, 41)),
        ("/cvmfs/x.org/opensciencegrid/osgvo-ubuntu-20.04:latest", (2, 31)),
        ("docker://rockylinux:9.3", (2, 34)),
        ("osdf:///ospool/mine-el8.sif", (2, 28)),
        ("osdf:///ospool/model9.sif", None),
        ("docker://ubuntu:latest", None),
    ],
)
def test_the_glibc_of_an_image_is_derived_from_its_name(
    image: str, glibc: tuple[int, ...] | None
) -> None:
    assert of_image(image) == glibc


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("mongodb:/bob:hunter22@h/x", "..."),
        ("bob:hunter22@h", "..."),
        ("mongodb+srv://bob:hunter22@h/", "mongodb+srv://...@h/"),
        ("mongodb://h/?tlsCertificateKeyFilePassword=hunter22&tls=true", None),
        ("mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:hunter22", None),
        ("mongodb://h:27017/x", "mongodb://h:27017/x"),
    ],
)
def test_an_invalid_address_is_shown_without_its_password(
    uri: str, shown: str | None, tmp_path: Path
) -> None:
    assert "ter22" not in redacted(uri)
    assert shown is None or redacted(uri) == shown
    case = Case({}, loaded(tmp_path, f"{MINIMAL}database: {{uri: '{uri}'}}\n"))
    assert "ter22" not in Finding("database", "wrong", f"'{uri}' is none").hiding(case.secrets).seen


@pytest.mark.parametrize(
    ("offset", "state", "words"),
    [
        (0.0, "ok", "agrees"),
        (-9.9, "ok", "agrees"),
        (42.0, "warning", "42 s behind"),
        (-42.0, "warning", "42 s ahead of"),
        (7200.0, "wrong", "2 h 00 min behind"),
    ],
)
def test_clocks_that_differ_are_reported(offset: float, state: str, words: str) -> None:
    found = clocks("clock", offset)
    assert found.state == state
    assert words in found.seen
    assert (found.fix is None) == (state == "ok")


def installed() -> list[Path]:
    """Some programs that are installed on this machine."""
    names = (sys.executable, "sh", "work_queue_worker", "xtb")
    return [Path(found) for name in names if (found := shutil.which(name))]


def test_the_needs_of_programs_agree_with_their_strings() -> None:
    read = 0
    for path in installed():
        needs = elf.needs(path)
        if needs is None or not needs.libraries:  # a script, or a program that is linked statically
            continue
        content = path.read_bytes()
        assert needs.glibc >= (2, 2)
        assert b"\0GLIBC_%s\0" % ".".join(map(str, needs.glibc)).encode() in content
        assert b"\0GLIBC_%d.%d\0" % (needs.glibc[0], needs.glibc[1] + 1) not in content
        assert "libc.so.6" in needs.libraries
        read += 1
    assert read


def test_a_damaged_program_is_an_error_and_a_script_is_not_a_program(tmp_path: Path) -> None:
    damaged = tmp_path / "worker"
    content = Path(sys.executable).resolve().read_bytes()
    refused = 0
    for end in (6, 40, 64, 300, 1000, 5000, len(content) // 2):
        damaged.write_bytes(content[:end])
        try:
            elf.needs(damaged)
        except ValueError:  # any other exception fails the test
            refused += 1
    assert refused >= 4
    damaged.write_text("#!/bin/sh\nexec work_queue_worker\n")
    assert elf.needs(damaged) is None


def test_the_needs_of_a_program_without_section_headers_are_read(tmp_path: Path) -> None:
    content = bytearray(Path(shutil.which("sh") or "").resolve().read_bytes())
    # Remove e_shoff, and then e_shnum and e_shstrndx, from the ELF header (elf(5)).
    content[40:48] = bytes(8)
    content[60:64] = bytes(4)
    stripped = tmp_path / "sh"
    stripped.write_bytes(content)
    assert elf.needs(stripped) == elf.needs(Path(shutil.which("sh") or ""))


def test_the_enterprise_linux_that_is_too_old_for_a_program_is_known() -> None:
    assert too_old(()) == []
    assert too_old((2, 28)) == []
    assert too_old((2, 38)) == [8, 9]
    assert too_old((2, 41)) == [8, 9, 10]


@pytest.mark.parametrize(
    ("glibc", "named", "on_most_hosts"),
    [
        ((2, 34), "Enterprise Linux 8 has", False),
        ((2, 36), "Enterprise Linux 8 and 9,", True),
        ((2, 41), "Enterprise Linux 8, 9 and 10,", True),
    ],
)
def test_an_old_system_is_said_to_run_on_most_hosts_only_if_it_does(
    tmp_path: Path, glibc: tuple[int, ...], named: str, on_most_hosts: bool
) -> None:
    warning = too_new(glibc) or ""
    assert named in warning
    assert ("most OSPool hosts" in warning) == on_most_hosts
    case = Case({"PATH": str(tmp_path)}, loaded(tmp_path, f"{MINIMAL}workers: {{type: condor}}\n"))
    assert ("most OSPool hosts" in judged(case, "glibc", "x", glibc, "y").seen) == on_most_hosts


def test_only_workers_refused_in_the_last_run_are_reported(
    tmp_path: Path,
) -> None:
    case = Case({}, loaded(tmp_path, MINIMAL))
    assert case.loaded is not None
    with logged(case.loaded.folder):
        log.info("engine %s: %s", "work_queue", "as the campaign says")
        log.warning("worker refused: old.example.org: its password is not that of x")
    (old,) = reports.refused(case)
    assert old.state == "warning"
    assert "old.example.org" in old.seen
    with logged(case.loaded.folder):
        log.info("engine %s: %s", "work_queue", "as the campaign says")
    assert [found.state for found in reports.refused(case)] == ["ok"]
    with logged(case.loaded.folder):
        log.warning("worker refused (version): a.example.org: it is of another version")
        log.warning("worker refused (password): b.example.org: it is not that of y\x1b[31m")
    (new,) = reports.refused(case)
    assert "refused 2 workers" in new.seen
    assert "b.example.org" in new.seen
    assert "\x1b" not in new.seen
    assert "--password FILE" in (new.fix or "")


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        (
            "rejecting worker (n1:9) as it uses protocol 3. I am using protocol 11.",
            "this machine's worker",
        ),
        ("worker n1:9 presented the wrong password", "--password FILE"),
        ("ssl accept failed from n1 port 9", "--ssl"),
    ],
)
def test_the_fix_of_a_refusal_depends_on_its_kind(tmp_path: Path, line: str, fix: str) -> None:
    case = Case({}, loaded(tmp_path, MINIMAL))
    assert case.loaded is not None
    debug = tmp_path / "debug"
    debug.write_text(f"2026/11/29 work_queue_python[1] wq: {line}\n")
    with logged(case.loaded.folder):
        refusals = Refusals(debug, "7.14.5", Path("/campaign/password"), "sub/c.yaml")
        assert (refusals.trouble() or "").endswith("run 'wqmaster doctor sub/c.yaml' for details")
    (found,) = reports.refused(case)
    assert "n1: it" in found.seen
    assert fix in (found.fix or "")


@pytest.mark.parametrize("kind", ["", " (of-a-later-version)", " (catalog)"])
def test_a_refusal_of_unknown_kind_is_reported_with_general_advice(
    tmp_path: Path, kind: str
) -> None:
    """Earlier versions logged no kind of refusal, and the wording must not decide."""
    case = Case({}, loaded(tmp_path, MINIMAL))
    assert case.loaded is not None
    with logged(case.loaded.folder):
        log.warning(f"worker refused{kind}: ssl.example.org: its password is not that of x")
    (found,) = reports.refused(case)
    assert "ssl.example.org" in found.seen
    assert (found.fix or "").startswith("grep 'worker refused' ")


def test_hosts_that_failed_their_check_are_found_in_the_factorys_logs(tmp_path: Path) -> None:
    case = Case({}, loaded(tmp_path, MINIMAL))
    assert case.loaded is not None
    assert list(reports.hosts(case)) == []
    logs = case.loaded.folder / "factory" / "7" / "worker.1"
    logs.mkdir(parents=True)
    (logs / "out").write_bytes(b"\xff\xfe all is well\n")
    assert [found.state for found in reports.hosts(case)] == ["ok"]
    (logs / "err").write_text("wqmaster worker: the program 'xtb' is not here (on node17)\n")
    (found,) = reports.hosts(case)
    assert found.state == "warning"
    assert "the program 'xtb' is not here (on node17)" in found.seen


@pytest.mark.parametrize(
    ("text", "engine", "codes"),
    [
        ("resources: {cores: 100000}\n", "local", [ErrorCode.CORES_TOO_FEW]),
        ("resources: {cores: 100000}\n", "taskvine", [ErrorCode.CORES_TOO_FEW]),
        ("resources: {cores: 100000}\nworkers: {type: none}\n", "taskvine", []),
        ("", "local", []),
    ],
)
def test_jobs_that_are_too_large_for_this_machine_are_reported_if_they_run_on_it(
    tmp_path: Path, text: str, engine: str, codes: list[ErrorCode]
) -> None:
    found = machine.cores(Case({}, loaded(tmp_path, MINIMAL + text), engine=engine))
    assert [finding.code for finding in found] == codes


def test_a_copy_of_the_workers_script_is_not_taken_for_a_failed_host(tmp_path: Path) -> None:
    """Once, doctor reported failed hosts for every run with local workers, which keep copies."""
    case = Case({}, loaded(tmp_path, MINIMAL))
    assert case.loaded is not None
    place = case.loaded.folder / "factory" / "7"
    place.mkdir(parents=True)
    shutil.copy(WORKER_SCRIPT, place)
    (finding,) = reports.hosts(case)
    assert finding.state == "ok"


def test_workers_that_a_service_refused_are_reported_for_its_campaigns(tmp_path: Path) -> None:
    """Once, only the campaign's own log was read, which has no refusals of a shared manager."""
    (tmp_path / "service.yaml").write_text("service: ours\n")
    (tmp_path / "a.yaml").write_text(MINIMAL)
    campaign = load(tmp_path / "a.yaml", {})
    assert campaign.service is not None
    with logged(campaign.service.folder):
        log.warning("worker refused (password): b.example.org: it is not that of x")
    (found,) = reports.refused(Case({}, campaign))
    assert "b.example.org" in found.seen
    assert str(campaign.service.folder / "password") in (found.fix or "")


@pytest.mark.parametrize("of", ["", "service.yaml"])
def test_a_service_is_refused_with_one_of_its_campaign_files(tmp_path: Path, of: str) -> None:
    """Once, the advice for a valid service.yaml was to correct it, and to check it."""
    (tmp_path / "service.yaml").write_text("service: ours\n")
    (tmp_path / "a.yaml").write_text(MINIMAL)
    _, (finding,), wrong = examination._opened(tmp_path / of, {})
    assert wrong
    assert finding.fix == f"wqmaster doctor {tmp_path / 'a.yaml'}"


@pytest.mark.parametrize(("kind", "check"), [("slurm", batch.slurm), ("condor", batch.condor)])
def test_a_batch_system_that_the_engine_does_not_use_is_not_checked(
    tmp_path: Path, kind: str, check: Callable[[Case], Iterator[Finding]]
) -> None:
    found = loaded(tmp_path, f"{MINIMAL}workers: {{type: {kind}, manage: true}}\n")
    nowhere = {"PATH": str(tmp_path)}
    assert [one.state for one in check(Case(nowhere, found, engine="taskvine"))] == ["wrong"]
    assert list(check(Case(nowhere, found, engine="local"))) == []
    assert not Case(nowhere, found, engine="local").remote


def test_an_invalid_service_file_is_to_be_corrected(tmp_path: Path) -> None:
    (tmp_path / "service.yaml").write_text("service: ours\nnonsense: 1\n")
    (tmp_path / "a.yaml").write_text(MINIMAL)
    _, (finding,), wrong = examination._opened(tmp_path / "service.yaml", {})
    assert wrong
    assert "service.yaml:2" in finding.seen
    assert finding.fix == f"correct the file, then: wqmaster doctor {tmp_path / 'a.yaml'}"
