"""Packing jobs into inputs.tar, and reading outcomes from outputs.tar."""

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from wqmaster.errors import ArchiveError
from wqmaster.jobs.job import Execution, Job, Outcome
from wqmaster.jobs.wire import Archive, job_script, pack


def test_a_leftover_file_is_not_an_output_of_the_next_step_unless_that_step_continues_it() -> None:
    first = Execution("a", ("x",), outputs=("restart", "energy", "in"))
    second = Execution(
        "b", ("x",), outputs=("restart", "energy", "in"), continues=("restart",), clean=("old",)
    )
    renamed = Execution("c", ("x",), outputs=("energy", "in"), rename=(("c.in", "in"),))
    job = Job((first, second, renamed), {"in": b"", "c.in": b""})
    assert [job.removed_before(place) for place in range(3)] == [
        (),
        ("old", "energy", "in"),
        ("energy",),
    ]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"argv": "springy molecule.xyz"}, "argv=('springy', 'molecule.xyz')"),
        ({"argv": ("springy",), "outputs": "final.xyz"}, "outputs=('final.xyz',)"),
    ],
)
def test_a_single_string_is_not_split_into_letters(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError) as caught:
        Execution("fine", **fields)
    assert "of step 'fine' is one string" in str(caught.value)
    assert said in str(caught.value)


# --- inputs.tar --------------------------------------------------------------------------------


def test_inputs_are_a_tar_with_a_folder_for_each_job() -> None:
    first = Job((Execution("a", ("x",)),), {"molecule.xyz": b"1\n\nH 0 0 0\n", ".CHRG": b"0\n"})
    second = Job((Execution("b", ("y",)),), {"empty": b"", "bytes": bytes(range(256)) * 5})
    with tarfile.open(fileobj=io.BytesIO(pack([first, second]))) as tar:
        members = {member.name: member for member in tar}
        found = {
            name: handle.read()
            for name, member in members.items()
            if (handle := tar.extractfile(member))
        }
    assert found == {
        "jobs.sh": (job_script(first, 0) + job_script(second, 1)).encode(),
        "0.a/molecule.xyz": b"1\n\nH 0 0 0\n",
        "0.a/.CHRG": b"0\n",
        "1.b/empty": b"",
        "1.b/bytes": bytes(range(256)) * 5,
    }
    assert {member.mode for member in members.values() if member.isfile()} == {0o600}
    assert {member.mode for member in members.values() if member.isdir()} == {0o700}


def test_packing_the_same_jobs_twice_gives_the_same_bytes() -> None:
    job = Job((Execution("a", ("x",)),), {"molecule.xyz": b"1"})
    assert pack([job, job]) == pack([job, job])


# --- outputs.tar -------------------------------------------------------------------------------

FILES = {
    "0/gfn2/stdout": b"energy -5.07\n" * 30,
    "0/gfn2/stderr": b"",
    "0/gfn2/xtbout.json": b'{"a": 1}',
    "0/opt/stdout": b"second step",
    "1/gfn2/stdout": bytes(range(256)),
}
STEPS = ("step 0 gfn2 0 123 0", "step 0 opt 1 45 0", "step 1 gfn2 124 6000 1")


def signed(body: bytes) -> bytes:
    """A manifest from `body`, to which the last line adds the checksum of all bytes before it."""
    return body + f"end {hashlib.sha256(body).hexdigest()}\n".encode()


def manifest(
    files: Mapping[str, bytes] = FILES,
    steps: tuple[str, ...] = STEPS,
    sums: Mapping[str, str] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> bytes:
    """A manifest as runner.sh writes it, except for some checksums and sizes."""
    lines = ["wqmaster 1", "host node1", *steps]
    for name, content in files.items():
        lines.append(f"{(sums or {}).get(name, hashlib.sha256(content).hexdigest())}  ./{name}")
    for name, content in files.items():
        lines.append(f"size {(sizes or {}).get(name, len(content))} ./{name}")
    return signed("".join(f"{line}\n" for line in lines).encode())


def tar_of(
    files: Mapping[str, bytes], *members: tarfile.TarInfo, layout: int = tarfile.GNU_FORMAT
) -> bytes:
    """A tar with `files`, followed by `members` without content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=layout) as tar:
        for name in (".", "./0", "./0/gfn2"):
            folder = tarfile.TarInfo(name)
            folder.type = tarfile.DIRTYPE
            tar.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in members:
            tar.addfile(member)
    return buffer.getvalue()


GOOD = tar_of({**FILES, "manifest": manifest()})


def opened(folder: Path, content: bytes, jobs: int = 2) -> list[Outcome]:
    """The outcomes of all jobs in an archive with this content."""
    path = folder / "outputs.tar"
    path.write_bytes(content)
    with Archive(path) as archive:
        return [archive.outcome(job) for job in range(jobs)]


def refused(folder: Path, content: bytes) -> str:
    with pytest.raises(ArchiveError) as caught:
        opened(folder, content)
    return caught.value.message


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_complete_archive_gives_the_outcome_of_each_job(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    first, second = opened(tmp_path, compress(GOOD))
    assert first.host == second.host == "node1"
    gfn2, opt = first.steps
    assert (gfn2.name, gfn2.exit_code, gfn2.wall_time, gfn2.timed_out) == ("gfn2", 0, 1.23, False)
    assert gfn2.files == {
        "stdout": FILES["0/gfn2/stdout"],
        "stderr": b"",
        "xtbout.json": b'{"a": 1}',
    }
    assert (opt.name, opt.exit_code, opt.files) == ("opt", 1, {"stdout": b"second step"})
    [late] = second.steps
    assert (late.exit_code, late.wall_time, late.timed_out) == (124, 60.0, True)
    assert late.files == {"stdout": bytes(range(256))}


def test_a_job_that_did_not_run_has_no_steps(tmp_path: Path) -> None:
    assert opened(tmp_path, GOOD, jobs=12)[11].steps == ()


@pytest.mark.parametrize(
    "where",
    ["runner.sh: 240: exec: ", "/a b/runner.sh: line 240: exec: ", "runner.sh: exec: line 240: "],
    ids=["dash", "bash", "busybox"],
)
def test_messages_of_the_shell_whose_program_does_not_start_are_not_shown(
    tmp_path: Path, where: str
) -> None:
    said = f"{where}springi: Permission denied\n".encode()
    files = {**FILES, "0/gfn2/stderr": said}
    for code, shown in (
        (126, b"the program 'springi' cannot be started: Permission denied\n"),
        (1, said),
    ):
        lines = manifest(files, (f"step 0 gfn2 {code} 123 0", *STEPS[1:]))
        outcome = opened(tmp_path, tar_of({**files, "manifest": lines}))[0]
        assert outcome.steps[0].files["stderr"] == shown


def test_a_missing_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError):
        Archive(tmp_path / "outputs.tar")


def test_a_folder_is_not_an_archive(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError):
        Archive(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive\n" * 200, gzip.compress(b"", mtime=0), b"\0" * 10240],
    ids=["empty", "text", "gzip", "zeros"],
)
def test_a_file_that_is_not_an_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    refused(tmp_path, content)


def test_an_archive_truncated_at_any_length_is_refused(tmp_path: Path) -> None:
    end = len(GOOD.rstrip(b"\0"))
    for length in [*range(0, end, 97), *range(0, end, 512), end - 1]:
        refused(tmp_path, GOOD[:length])


def test_a_compressed_archive_truncated_at_any_length_is_refused(tmp_path: Path) -> None:
    content = gzip.compress(GOOD, mtime=0)
    assert len(opened(tmp_path, content)) == 2
    for length in range(len(content)):
        refused(tmp_path, content[:length])


def test_an_archive_that_lost_its_last_file_and_its_end_is_refused(tmp_path: Path) -> None:
    early = tar_of({"manifest": manifest(), **FILES})
    assert len(opened(tmp_path, early)) == 2
    for length in range(0, len(early.rstrip(b"\0")), 256):
        refused(tmp_path, early[:length])


def unnoticed(folder: Path, content: bytes, places: range, mask: int) -> list[int]:
    """The places where a changed byte alters the outcomes without an error."""
    whole = opened(folder, content)
    found = []
    for place in places:
        altered = bytearray(content)
        altered[place] ^= mask
        try:
            if opened(folder, bytes(altered)) != whole:
                found.append(place)
        except ArchiveError:
            continue
    return found


@pytest.mark.parametrize("mask", [0x01, 0x80])
def test_a_flipped_byte_of_a_file_is_noticed(tmp_path: Path, mask: int) -> None:
    content = tar_of({**FILES, "manifest": manifest()})
    assert unnoticed(tmp_path, content, range(0, content.index(b"./manifest"), 11), mask) == []


@pytest.mark.parametrize("mask", [0x01, 0x02])
def test_a_flipped_byte_of_a_compressed_archive_is_noticed(tmp_path: Path, mask: int) -> None:
    content = gzip.compress(GOOD, mtime=0)
    assert unnoticed(tmp_path, content, range(len(content)), mask) == []


def test_a_flipped_byte_of_the_manifest_is_noticed(tmp_path: Path) -> None:
    start = GOOD.index(b"wqmaster 1\n")
    places = range(start, start + len(manifest()))
    altered = unnoticed(tmp_path, GOOD, places, 0x01)
    assert [GOOD[place - 8 : place + 8] for place in altered] == []


@pytest.mark.parametrize("place", [-8, -5, -4, -1])
def test_a_wrong_trailer_of_a_compressed_archive_is_refused(tmp_path: Path, place: int) -> None:
    """The last eight bytes are the CRC and the size of the uncompressed data."""
    content = bytearray(gzip.compress(GOOD, mtime=0))
    content[place] ^= 0x01
    refused(tmp_path, bytes(content))


@pytest.mark.parametrize("compress", [bz2.compress, lzma.compress], ids=["bzip2", "xz"])
def test_an_archive_with_another_compression_is_refused(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    content = bytearray(compress(GOOD))
    refused(tmp_path, bytes(content))
    content[len(content) // 2] ^= 0xFF
    refused(tmp_path, bytes(content))


def test_a_wrong_checksum_is_reported(tmp_path: Path) -> None:
    wrong = manifest(sums={"0/gfn2/stdout": "0" * 64})
    message = refused(tmp_path, tar_of({**FILES, "manifest": wrong}))
    assert message == "the checksum of '0/gfn2/stdout' is wrong"


def test_a_wrong_checksum_fails_only_one_job(tmp_path: Path) -> None:
    path = tmp_path / "outputs.tar"
    path.write_bytes(tar_of({**FILES, "manifest": manifest(sums={"0/gfn2/stdout": "0" * 64})}))
    with Archive(path) as archive:
        assert archive.outcome(1).steps[0].exit_code == 124


def test_a_wrong_size_is_reported(tmp_path: Path) -> None:
    wrong = manifest(sizes={"0/gfn2/xtbout.json": 9})
    message = refused(tmp_path, tar_of({**FILES, "manifest": wrong}))
    assert message == "the size of '0/gfn2/xtbout.json' is wrong"


def test_an_extra_file_is_refused(tmp_path: Path) -> None:
    content = tar_of({**FILES, "0/gfn2/other": b"x", "manifest": manifest()})
    assert (
        refused(tmp_path, content) == "the files in the archive differ from those in its manifest"
    )


def test_a_listed_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    fewer = {name: content for name, content in FILES.items() if name != "0/gfn2/stderr"}
    content = tar_of({**fewer, "manifest": manifest()})
    assert (
        refused(tmp_path, content) == "the files in the archive differ from those in its manifest"
    )


def test_a_missing_manifest_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, tar_of(FILES)) == "'manifest' is missing from the archive"


BODY = manifest()[: manifest().rindex(b"end ")]
NOT_WHOLE = "the manifest of the archive is incomplete"


@pytest.mark.parametrize(
    "altered",
    [
        b"",
        BODY,
        BODY + b"end\n",
        BODY + b"end " + b"0" * 64 + b"\n",
        manifest()[:200],
        manifest()[:-2],
        manifest() + b"host node2\n",
        manifest().replace(b"node1", b"node2"),
    ],
    ids=[
        "empty",
        "end",
        "no checksum",
        "wrong checksum",
        "cut",
        "cut checksum",
        "longer",
        "altered",
    ],
)
def test_an_incomplete_manifest_is_refused(tmp_path: Path, altered: bytes) -> None:
    assert refused(tmp_path, tar_of({**FILES, "manifest": altered})) == NOT_WHOLE


@pytest.mark.parametrize(
    "body",
    [
        b"",
        BODY.replace(b"wqmaster 1", b"wqmaster 2"),
        BODY.replace(b"host node1\n", b"host node1\n\n"),
        BODY.replace(b"host node1\n", b"host\n"),
        BODY.replace(b"gfn2 0 123 0", b"gfn2 0 123"),
        BODY.replace(b"gfn2 0 123 0", b"gfn2 zero 123 0"),
        BODY.replace(b"node1", b"node\xff"),
    ],
    ids=["empty", "version", "blank", "host", "fields", "number", "bytes"],
)
def test_a_manifest_that_the_runner_did_not_write_is_refused(tmp_path: Path, body: bytes) -> None:
    """Each manifest has the right checksum, so it is refused for its contents."""
    assert body != BODY
    assert refused(tmp_path, tar_of({**FILES, "manifest": signed(body)})) != NOT_WHOLE


def special(kind: bytes, name: str, target: str = "/etc/passwd") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = target if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
    return member


NOT_PLAIN = ", not a file"
KINDS = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_or_device_in_place_of_a_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    fewer = {name: content for name, content in FILES.items() if name != "0/gfn2/stdout"}
    content = tar_of({**fewer, "manifest": manifest()}, special(kind, "./0/gfn2/stdout"))
    assert refused(tmp_path, content).endswith(NOT_PLAIN)


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_or_device_as_the_manifest_is_refused(tmp_path: Path, kind: bytes) -> None:
    content = tar_of(FILES, special(kind, "./manifest", "./0/gfn2/stdout"))
    assert refused(tmp_path, content).endswith(NOT_PLAIN)


@pytest.mark.parametrize("kind", KINDS)
def test_an_extra_link_or_device_is_refused(tmp_path: Path, kind: bytes) -> None:
    content = tar_of({**FILES, "manifest": manifest()}, special(kind, "./0/gfn2/other"))
    assert refused(tmp_path, content).endswith(NOT_PLAIN)


@pytest.mark.parametrize("size", [(1 << 30) + 1, 1 << 40, 1 << 62, 1 << 64, 1 << 80])
@pytest.mark.parametrize("name", ["0/gfn2/stdout", "manifest"])
def test_an_absurd_size_is_refused(tmp_path: Path, name: str, size: int) -> None:
    files = {**FILES, "manifest": manifest()}
    files.pop(name)
    member = tarfile.TarInfo(f"./{name}")
    member.size = size
    header = member.tobuf(tarfile.GNU_FORMAT)
    others = tar_of(files)
    end = -(-len(others.rstrip(b"\0")) // 512) * 512
    refused(tmp_path, others[:end] + header + b"x" * 512)
    refused(tmp_path, header + others)


def test_a_file_over_the_limit_is_not_read_into_memory(tmp_path: Path) -> None:
    """The file is sparse: it has a size, but takes no space."""
    member = tarfile.TarInfo("./0/gfn2/stdout")
    member.size = (1 << 30) + 1
    others = {name: FILES[name] for name in FILES if name != "0/gfn2/stdout"}
    path = tmp_path / "outputs.tar"
    with path.open("wb") as handle:
        handle.write(member.tobuf(tarfile.GNU_FORMAT))
        handle.seek(((1 << 30) // 512 + 1) * 512, io.SEEK_CUR)
        sizes = {"0/gfn2/stdout": member.size}
        handle.write(tar_of({**others, "manifest": manifest(sizes=sizes)}))
    with Archive(path) as archive:
        step = archive.outcome(0).steps[0]
    assert {name: file.size for name, file in step.large.items()} == {"stdout": member.size}
    assert step.names == {"stdout", "stderr", "xtbout.json"}
    assert "stdout" not in step.files


def test_nothing_is_written_next_to_the_archive(tmp_path: Path) -> None:
    opened(tmp_path, GOOD)
    assert [entry.name for entry in tmp_path.iterdir()] == ["outputs.tar"]


def test_an_archive_that_grows_out_of_proportion_is_taken_to_be_damaged(tmp_path: Path) -> None:
    """Its job runs again: a disk or a worker can have made that of a good archive."""
    path = tmp_path / "outputs.tar"
    path.write_bytes(gzip.compress(bytes(70 << 20)))
    with pytest.raises(ArchiveError, match="too large when it is decompressed") as caught:
        Archive(path)
    assert type(caught.value) is ArchiveError
