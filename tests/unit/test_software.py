"""A campaign's `software:`: inspection of archives, errors with file and line, command lines."""

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from wqmaster.campaign.loading import load
from wqmaster.errors import CampaignError, WqmasterError
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.job import SOFTWARE, SOFTWARE_SCRIPT, Execution, Job, StepOutcome, Supply, Task
from wqmaster.jobs.wire import job_script
from wqmaster.recipe.judgement import _by_exit_code
from wqmaster.recipe.recipe import Recipe
from wqmaster.recipe.resolving import resolve
from wqmaster.software.archive import BadArchive, look, noted_look
from wqmaster.tasks.base import Software

Members = list[tuple[str, str, str]]  # kind, name, content or target

GOOD: Members = [
    ("dir", "./", ""),
    ("dir", "dist/bin", ""),
    ("exe", "dist/bin/program", "#!/bin/sh\n"),
    ("file", "dist/share/data", "x" * 5000),
    ("sym", "dist/bin/alias", "program"),
    ("sym", "dist/bin/far", "../share/../bin/program"),
    ("hard", "dist/bin/same", "dist/bin/program"),
]


def written(path: Path, members: Members, mode: str = "w:gz") -> Path:
    kinds = {"sym": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "dir": tarfile.DIRTYPE}
    kinds |= {"fifo": tarfile.FIFOTYPE, "device": tarfile.CHRTYPE}
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for kind, name, text in members:
            member = tarfile.TarInfo(name)
            member.mode = 0o755 if kind in ("exe", "dir") else 0o644
            if kind in kinds:
                member.type = kinds[kind]
                member.linkname = text
                tar.addfile(member)
            else:
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text.encode()))
    return path


@pytest.mark.parametrize("mode", ["w:", "w:gz", "w:bz2", "w:xz"])
def test_an_archive_is_inspected(mode: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a", GOOD, mode)
    programs = ["dist/bin/program", "dist/bin/alias", "dist/bin/far", "dist/bin/same"]
    found = look(path, [*programs, "dist/share/data", "dist/bin/progam"])
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (found.size, found.files) == (5010, 3)
    assert [found.programs[name] for name in programs] == [None] * 4
    assert "is not executable: its mode is 644" in str(found.programs["dist/share/data"])
    assert "did you mean 'dist/bin/program'?" in str(found.programs["dist/bin/progam"])


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([("file", "/etc/passwd", "")], "an absolute path"),
        ([("file", "../evil", "")], "outside its folder"),
        ([("file", "a/../../evil", "")], "outside its folder"),
        ([("sym", "a", "/etc")], "leads out of it, to '/etc'"),
        ([("sym", "a", "..")], "leads out of it"),
        ([("sym", "a/b/c", "../../../x")], "leads out of it"),
        # The path goes through another link: d is the top folder, so d/.. is above it.
        ([("sym", "d", "."), ("sym", "e", "d/../x")], "leads out of it"),
        ([("sym", "e", "d/../x"), ("sym", "d", ".")], "leads out of it"),
        ([("hard", "a", "/etc/passwd")], "leads out of it"),
        ([("hard", "a", "../x")], "leads out of it"),
        ([("hard", "a", "absent")], "to a file that is not in it"),
        ([("fifo", "a", "")], "not a file, folder or link"),
        ([("device", "a", "")], "not a file, folder or link"),
        ([("sym", "a", "b"), ("file", "a", "")], "twice"),
        ([("file", "a", ""), ("sym", "a", "b")], "twice"),
    ],
)
def test_a_member_outside_the_archive_is_refused(
    members: Members, why: str, tmp_path: Path
) -> None:
    with pytest.raises(BadArchive, match=why):
        look(written(tmp_path / "a", [*GOOD, *members]), [])


def test_circular_links_do_no_harm(tmp_path: Path) -> None:
    path = written(tmp_path / "a", [*GOOD, ("sym", "a", "b"), ("sym", "b", "a")])
    assert look(path, ["a"]).programs["a"] is not None


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _altered(content: bytes) -> bytes:
    return content[:-6] + bytes([content[-6] ^ 1]) + content[-5:]


@pytest.mark.parametrize("mode", ["w:", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize(
    "damage", [_cut, lambda content: b"", lambda content: b"no archive at all" * 100]
)
def test_a_broken_archive_is_refused(
    damage: Callable[[bytes], bytes], mode: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "a", GOOD, mode)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BadArchive):
        look(path, [])


def test_the_checksum_of_gzip_is_verified(tmp_path: Path) -> None:
    path = written(tmp_path / "a", GOOD)
    path.write_bytes(_altered(path.read_bytes()))
    with pytest.raises(BadArchive):
        look(path, [])


def test_a_tar_file_cut_between_two_members_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a", GOOD, "w:")
    with tarfile.open(path) as tar:
        end = tar.getmembers()[-1].offset_data
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(BadArchive, match="truncated"):
        look(path, [])


def test_the_findings_are_cached_until_the_file_changes(tmp_path: Path) -> None:
    path, notes = written(tmp_path / "a", GOOD), tmp_path / "notes"
    first = noted_look(path, ["dist/bin/program"], notes)
    (note,) = notes.iterdir()
    assert noted_look(path, ["dist/bin/program"], notes) == first
    note.write_text("torn")
    assert noted_look(path, ["dist/bin/program"], notes) == first
    written(path, [*GOOD, ("file", "more", "")])
    assert noted_look(path, ["dist/bin/program"], notes).sha256 != first.sha256
    for bad in (tmp_path / "absent", tmp_path):
        with pytest.raises(BadArchive):
            noted_look(bad, [], notes)


# --- the campaign ------------------------------------------------------------------------------

CAMPAIGN = """campaign: test
campaign_config:
  func_name: wqmaster.tasks.command.run
  args:
    - name: a
      command: [program, x]
    - name: b
      command: [other]
software:
"""


def resolved(folder: Path, software: str) -> Recipe:
    path = folder / "campaign.yaml"
    path.write_text(CAMPAIGN + software)
    return resolve(load(path))


def test_two_programs_share_one_archive_and_workers_need_neither(tmp_path: Path) -> None:
    path = written(tmp_path / "dist.tar.gz", GOOD)
    recipe = resolved(
        tmp_path,
        "  program: {command: dist/bin/program --fast, archive: dist.tar.gz}\n"
        "  other: {command: dist/bin/alias, archive: dist.tar.gz}\n",
    )
    assert recipe.programs() == []
    supplies = recipe.software.supplies
    assert supplies["program"] == supplies["other"]
    key = supplies["program"].key
    assert key.startswith(hashlib.sha256(path.read_bytes()).hexdigest()[:16])
    assert recipe.software.argv("program") == (f"{SOFTWARE}{key}/dist/bin/program", "--fast")
    steps = (
        Execution("a", (*recipe.software.argv("program"), "it's")),
        Execution("b", recipe.software.argv("other")),
    )
    job = recipe.software.supplied(Job(steps, {}))
    assert [shared.name for shared in job.inputs] == [SOFTWARE_SCRIPT, key]
    script = job_script(job)
    assert script.count("wqmaster.software.sh") == 1
    assert f"use {key} archive {key} {supplies['program'].sha256} dist/bin/program && " in script
    assert script.count('"$program"') == 2
    # Unpacking does not count toward the job's time, and the engine must not interrupt it.
    plain, sent = Task("t", 1, 10), Task("t", 1, 10, job.inputs)
    assert sent.time_limit >= plain.time_limit + 900


def test_the_recipe_equals_that_of_a_program_on_the_worker(tmp_path: Path) -> None:
    written(tmp_path / "dist.tar.gz", GOOD)
    sent = resolved(tmp_path, "  program: {command: dist/bin/program, archive: dist.tar.gz}\n")
    there = resolved(tmp_path, "  program: /opt/program\n")
    assert sent.hash == there.hash
    assert there.programs() == ["/opt/program", "other"]
    module = resolved(tmp_path, "  program: {command: program, module: some/1}\n")
    assert module.programs() == ["other"]


def test_workers_get_the_archive_as_it_was_when_the_campaign_started(tmp_path: Path) -> None:
    path = written(tmp_path / "dist.tar.gz", GOOD)
    before = path.read_bytes()
    text = "  program: {command: dist/bin/program, archive: dist.tar.gz}\n"
    recipe = resolved(tmp_path, text)
    recipe.prepared()
    path.write_bytes(b"something else")
    job = recipe.software.supplied(Job((Execution("a", recipe.software.argv("program")),), {}))
    sent = job.inputs[-1].path
    assert sent.read_bytes() == before
    assert sent.stat().st_mode & 0o777 == 0o600


def test_an_archive_that_changes_while_a_campaign_starts_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "dist.tar.gz", GOOD)
    recipe = resolved(tmp_path, "  program: {command: dist/bin/program, archive: dist.tar.gz}\n")
    written(path, [*GOOD, ("file", "more", "")])
    with pytest.raises(WqmasterError, match="changed while it was being read"):
        recipe.prepared()


def test_a_program_can_be_called_on_this_machine(tmp_path: Path) -> None:
    supply = Supply("key", "url", "https://example.org/a.tar.gz", "0" * 64)
    software = Software({"p": "bin/p -x"}, cache=tmp_path, supplies={"p": supply}, here=True)
    shell, script, *words = software.argv("p")
    assert (shell, Path(script).name) == ("sh", "software.sh")
    assert words == [
        str(tmp_path / "unpacked"),
        "key",
        "url",
        supply.source,
        "0" * 64,
        "bin/p",
        "-x",
    ]


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (
            "command: x/p, archive: absent.tar.gz",
            "10: .*absent.*pack program .*PATH -o .*absent",
        ),
        ("command: x/p, archive: .", "10: .*it is not a file"),
        ("command: x/p, archive: broken.tar.gz", "10: .*not a complete tar archive"),
        ("command: x/p, archive: evil.tar.gz", "10: .*outside its folder"),
        ("command: bin/p, archive: good.tar.gz", "10: .*there is no file 'bin/p' in it"),
        ("command: dist/share/data, archive: good.tar.gz", "10: .*is not executable"),
        ("command: /dist/bin/program, archive: good.tar.gz", "10: .*without a leading '/'"),
        ("command: ../program, archive: good.tar.gz", "10: .*leads out"),
        ("command: p, url: 'gopher://x/y.tar'", "10: .*cannot fetch 'gopher' URLs"),
        ("command: p, url: 'https://me:secret@x.org/y.tar'", "10: .*password"),
        ("command: p, url: 'https://x.org/'", "10: .*no file name"),
        ("command: /opt/p, url: 'https://x.org/y.tar'", "10: .*without a leading '/'"),
        ("command: o/orca, url: 'https://github.com/me/o.tar.gz'", "10: .*license of ORCA"),
        ("command: orca, url: 'osdf:///ospool/public/o.tar.gz'", "10: .*license of ORCA"),
        ("command: bin/p, module: some/1", "10: .*name of a program"),
    ],
)
def test_invalid_software_is_refused_with_file_and_line(
    program: str, why: str, tmp_path: Path
) -> None:
    written(tmp_path / "good.tar.gz", GOOD)
    written(tmp_path / "evil.tar.gz", [("file", "../evil", "")])
    (tmp_path / "broken.tar.gz").write_bytes(b"\x1f\x8bnothing")
    with pytest.raises(CampaignError, match=rf"campaign.yaml:{why}"):
        resolved(tmp_path, f"  program: {{{program}}}\n")


def test_reading_outputs_needs_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "campaign.yaml"
    path.write_text(f"{CAMPAIGN}  program: {{command: p, archive: absent.tar.gz}}\n")
    with pytest.raises(CampaignError):
        resolve(load(path))
    there = resolved(tmp_path, "  program: p\n")
    path.write_text(f"{CAMPAIGN}  program: {{command: p, archive: absent.tar.gz}}\n")
    assert resolve(load(path), runs=False).hash == there.hash


def test_an_old_glibc_on_the_worker_is_recognized() -> None:
    """The message is the loader's on Enterprise Linux 9, for a program from Debian 13."""
    said = b"bin/xtb: /lib64/libc.so.6: version `GLIBC_2.38' not found (required by bin/xtb)\n"
    failure = _by_exit_code(StepOutcome("a", 1, 0.0, False, {"stderr": said}), None)
    assert failure is not None
    assert failure.kind is FailureClass.LIBRARY_MISSING
    assert "GLIBC_2.38" in failure.message


def test_a_program_of_software_that_the_job_does_not_include_is_refused() -> None:
    job = Job((Execution("a", (f"{SOFTWARE}unknown/bin/p",)),), {})
    with pytest.raises(ValueError, match="belongs to none of"):
        job_script(job)
