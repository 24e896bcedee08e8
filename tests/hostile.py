"""Archives that a hostile or broken worker could return, from a seed.

Each starts from the good archive of one xtb job, and breaks one thing. `made(seed, folder, inputs)`
writes an archive and returns its kind, which names what is broken.
"""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import random
import struct
import tarfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

DATA = Path(__file__).parent / "unit" / "data" / "xtb"
STEP = "gfn2"
MEGABYTE = 1 << 20
# The good job: water, with the files that a campaign of xtb's gradients asks for.
GOOD = {path.name: path.read_bytes() for path in (DATA / "water").iterdir()}
# A run of the same program for other atoms.
OTHER = {path.name: path.read_bytes() for path in (DATA / "hydrogen-atom").iterdir()}

Files = Mapping[str, bytes]
_MADE: dict[str, Callable[["_Hostile"], None]] = {}


def kind(function: Callable[["_Hostile"], None]) -> Callable[["_Hostile"], None]:
    """Register a kind of archive under the name of its function."""
    _MADE[function.__name__.strip("_")] = function
    return function


def kinds() -> list[str]:
    """The names of all kinds."""
    return list(_MADE)


def made(seed: int, folder: Path, inputs: bytes) -> str:
    """Write `folder`/outputs.tar for a task with these inputs; return the archive's kind."""
    names = kinds()
    name = names[seed % len(names)]
    chance = random.Random(seed)  # noqa: S311  # not for secrets
    _MADE[name](_Hostile(chance, folder / "outputs.tar", inputs))
    return name


def good(folder: Path, inputs: bytes) -> None:
    """Write `folder`/outputs.tar as an honest worker does."""
    chance = random.Random(0)  # noqa: S311  # not for secrets
    hostile = _Hostile(chance, folder / "outputs.tar", inputs)
    hostile.write(hostile.archive())


class _Hostile:
    """The pieces of an archive, and chance."""

    def __init__(self, chance: random.Random, path: Path, inputs: bytes) -> None:
        self.chance = chance
        self.path = path
        self.inputs = hashlib.sha256(inputs).hexdigest()

    def lines(self, files: Files, steps: tuple[str, ...] = (f"0 {STEP} 0 123 0",)) -> list[str]:
        return [
            "wqmaster 1",
            "host node1",
            f"inputs {self.inputs}",
            *(f"step {step}" for step in steps),
            *(f"size {len(content)} ./{name}" for name, content in files.items()),
            *(
                f"{hashlib.sha256(content).hexdigest()}  ./{name}"
                for name, content in files.items()
            ),
        ]

    def archive(
        self,
        files: Files | None = None,
        *members: tuple[tarfile.TarInfo, bytes],
        lines: list[str] | None = None,
        layout: int = tarfile.GNU_FORMAT,
        stated: Files | None = None,
    ) -> bytes:
        """A tar of `files`, with a manifest of `stated` or of `lines`, and further members."""
        files = named(GOOD) if files is None else files
        body = "".join(f"{line}\n" for line in lines or self.lines(stated or files)).encode()
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=layout) as tar:
            for name, content in {**files, "manifest": signed(body)}.items():
                entry = tarfile.TarInfo(f"./{name}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
            for entry, content in members:
                tar.addfile(entry, io.BytesIO(content))
        return buffer.getvalue()

    def write(self, content: bytes) -> None:
        self.path.write_bytes(content)

    def with_file(self, **files: bytes) -> None:
        """Write an archive in which files of the job are replaced."""
        self.write(self.archive(named({**GOOD, **files})))

    def some(self, *choices: bytes) -> bytes:
        return self.chance.choice(choices)


def named(files: Files, job: int = 0) -> dict[str, bytes]:
    return {f"{job}.{STEP}/{name}": content for name, content in files.items()}


def signed(body: bytes) -> bytes:
    return body + f"end {hashlib.sha256(body).hexdigest()}\n".encode()


def entry(name: str, type_: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type = type_
    found.linkname = target
    return found


def header(name: bytes, size: bytes, type_: bytes = b"0") -> bytes:
    """A tar header with a right checksum, whatever it holds."""
    block = bytearray(512)
    block[: len(name)] = name
    block[100:108] = b"0000600\0"
    block[124 : 124 + len(size)] = size
    block[156:157] = type_
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


# --- damaged -----------------------------------------------------------------------------------


@kind
def truncated(one: _Hostile) -> None:
    content = one.archive()
    one.write(content[: one.chance.randrange(len(content.rstrip(b"\0")))])


@kind
def flipped(one: _Hostile) -> None:
    content = bytearray(one.archive())
    for _ in range(one.chance.randint(1, 20)):
        content[one.chance.randrange(len(content))] ^= 1 << one.chance.randrange(8)
    one.write(bytes(content))


@kind
def noise(one: _Hostile) -> None:
    one.write(one.some(b"", b"\x1f\x8b", b"\x1f\x8b\x08") + one.chance.randbytes(20_000))


@kind
def shuffled(one: _Hostile) -> None:
    content = one.archive()
    blocks = [content[place : place + 512] for place in range(0, len(content), 512)]
    one.chance.shuffle(blocks)
    one.write(b"".join(blocks))


@kind
def truncated_gzip(one: _Hostile) -> None:
    content = gzip.compress(one.archive())
    one.write(content[: one.chance.randrange(1, len(content))])


# --- not files ---------------------------------------------------------------------------------


@kind
def links_and_devices(one: _Hostile) -> None:
    types = (*(tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE), b"6", b"7")
    name = one.chance.choice([f"./0.{STEP}/stdout", f"./0.{STEP}/new", "./manifest", "./0"])
    target = one.chance.choice(
        ["/etc/passwd", "../../../password", f"./0.{STEP}/stderr", "/dev/zero"]
    )
    one.write(one.archive(None, (entry(name, one.some(*types), target), b"")))


@kind
def the_archive_is_a_link(one: _Hostile) -> None:
    one.path.symlink_to(one.chance.choice(["/etc/passwd", "/dev/zero", "/nowhere", "outputs.tar"]))


@kind
def the_archive_is_a_folder_or_pipe(one: _Hostile) -> None:
    if one.chance.random() < 0.5:
        one.path.mkdir()
    else:
        os.mkfifo(one.path)


@kind
def sparse(one: _Hostile) -> None:
    if one.chance.random() < 0.5:
        block = bytearray(header(b"./0.gfn2/big", b"00000001000\0", b"S"))
        one.write(bytes(block) + bytes(512) + one.archive())
        return
    found = entry(f"./0.{STEP}/big")
    found.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "x"}
    found.pax_headers |= {"GNU.sparse.realsize": str(1 << 50)}
    one.write(one.archive(None, (found, b""), layout=tarfile.PAX_FORMAT))


# --- names -------------------------------------------------------------------------------------


@kind
def names(one: _Hostile) -> None:
    name = one.chance.choice(
        [
            *("../../escaped", "/escaped-from-wqmaster", f"0.{STEP}/../../../escaped"),
            *(
                "0/..",
                f"00.{STEP}/stdout",
                f"0//{STEP}/stdout",
                f"0.{STEP}/a/b",
                f"0.{STEP}/",
                "0/x",
            ),
            *(f"0.{STEP}/{'a' * 4000}", f"0/{'b' * 4000}/stdout", f"{'9' * 300}/{STEP}/stdout"),
            *(f"0.{STEP}/e\u0301", f"0.{STEP}/\u202etuo", f"0.{STEP}/a\nb", f"0.{STEP}/-rf"),
            *(f"0.{STEP}/a b", f"0.{STEP}/$(id)", f"-1/{STEP}/stdout", f"0\\{STEP}\\x", "", "."),
        ]
    )
    layout = one.chance.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    one.write(one.archive({**named(GOOD), name: b"escaped"}, layout=layout))


@kind
def name_with_nul(one: _Hostile) -> None:
    long = b"./0.gfn2/stdout\0/../../../escaped"
    extended = header(b"././@LongLink", b"%011o\0" % len(long), b"L") + long.ljust(512, b"\0")
    one.write(extended + header(b"x", b"00000000000\0") + one.archive())


@kind
def duplicate(one: _Hostile) -> None:
    again = entry(one.chance.choice([f"./0.{STEP}/stdout", f"0.{STEP}/stdout", "./manifest"]))
    again.size = 5
    one.write(one.archive(None, (again, b"other")))


@kind
def many_members(one: _Hostile) -> None:
    count = one.chance.choice([1_000, 70_000, 200_000])
    block = header(b"./0.gfn2/x", b"00000000000\0", one.some(b"0", b"5"))
    if block[156:157] == b"5":
        one.write(block * count + one.archive())
        return
    blocks = (header(b"./0.gfn2/%d" % number, b"00000000000\0") for number in range(count))
    one.write(b"".join(blocks) + one.archive())


# --- headers -----------------------------------------------------------------------------------


@kind
def sizes(one: _Hostile) -> None:
    size = one.chance.choice(
        [
            *(b"77777777777\0", b"-0000000001\0", b"99999999999\0", b"0x1000\0", b"\xff" * 12),
            *(b"\x80" + b"\xff" * 11, b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7),
        ]
    )
    one.write(
        header(f"./0.{STEP}/big".encode(), size, one.some(b"0", b"5", b"L", b"x", b"g"))
        + one.archive()
    )


@kind
def long_extension(one: _Hostile) -> None:
    """A name or a record of up to 64 MB, of which a careless reader holds several copies."""
    size = one.chance.choice([20_000, MEGABYTE, 64 * MEGABYTE])
    type_ = one.some(b"L", b"x", b"g", b"K")
    with one.path.open("wb") as file:
        file.write(header(b"././@LongLink", b"%011o\0" % size, type_))
        file.seek(size - size % 512 + 512, io.SEEK_CUR)
        file.write(one.archive())


@kind
def chained_extensions(one: _Hostile) -> None:
    long = b"./0.gfn2/" + b"y" * 300
    block = header(b"././@LongLink", b"%011o\0" % len(long), b"L") + long.ljust(512, b"\0")
    one.write(block * one.chance.choice([2, 10_000, 50_000]) + one.archive())


@kind
def pax_lies(one: _Hostile) -> None:
    records = one.chance.choice(
        [
            *(
                {"path": "../../escaped"},
                {"size": "-1"},
                {"size": str(1 << 60)},
                {"path": "x" * 9000},
            ),
            *({"size": "9" * 14}, {"hdrcharset": "BINARY", "path": "../x"}, {"linkpath": "/etc"}),
        ]
    )
    found = entry(f"./0.{STEP}/new")
    found.pax_headers = records
    one.write(one.archive(None, (found, b""), layout=tarfile.PAX_FORMAT))


@kind
def pax_records_are_torn(one: _Hostile) -> None:
    record = one.some(b"99999999 path=x\n", b"0 path=x\n", b"7 path=\n", b"-5 a=b\n", b"a" * 500)
    block = header(b"PaxHeaders/x", b"%011o\0" % len(record), b"x") + record.ljust(512, b"\0")
    one.write(block + one.archive())


# --- compression -------------------------------------------------------------------------------


@kind
def gzip_bomb(one: _Hostile) -> None:
    size = one.chance.choice([100, 500, 2_000]) * MEGABYTE
    machine = zlib.compressobj(9, zlib.DEFLATED, 31)
    part = bytes(MEGABYTE)
    with one.path.open("wb") as file:
        file.write(machine.compress(header(b"./0.gfn2/stdout", b"%011o\0" % size)))
        # What follows repeats, so that the test need not compress gigabytes.
        file.write(machine.compress(part) + machine.flush(zlib.Z_FULL_FLUSH))
        block = machine.compress(part) + machine.flush(zlib.Z_FULL_FLUSH)
        for _ in range(size // MEGABYTE - 1):
            file.write(block)


@kind
def nested_gzip(one: _Hostile) -> None:
    content = one.archive()
    for _ in range(one.chance.randint(2, 30)):
        content = gzip.compress(content)
    one.write(content)


@kind
def other_compression(one: _Hostile) -> None:
    content = one.chance.choice([lzma.compress, bz2.compress])(bytes(20 * MEGABYTE))
    one.write(one.some(content, b"\x28\xb5\x2f\xfd" + content, b"PK\x03\x04" + content))


@kind
def many_gzip_members(one: _Hostile) -> None:
    empty = gzip.compress(b"", mtime=0)
    one.write(empty * one.chance.choice([1, 100_000]) + gzip.compress(one.archive()))


@kind
def long_gzip_header(one: _Hostile) -> None:
    flags, rest = one.chance.choice(
        [(8, b"n" * 30 * MEGABYTE), (16, b"c" * 30 * MEGABYTE), (4, b"\xff\xff")]
    )
    one.write(struct.pack("<BBBBIBB", 31, 139, 8, flags, 0, 0, 3) + rest)


@kind
def gzip_with_more(one: _Hostile) -> None:
    one.write(gzip.compress(one.archive()) + one.some(b"x", bytes(30 * MEGABYTE), one.archive()))


# --- the manifest lies -------------------------------------------------------------------------


@kind
def wrong_sum(one: _Hostile) -> None:
    name = one.chance.choice(list(GOOD))
    changed = bytes(reversed(GOOD[name])) or b"x"
    one.write(one.archive(named({**GOOD, name: changed}), stated=named(GOOD)))


@kind
def wrong_size(one: _Hostile) -> None:
    lines = one.lines(named(GOOD))
    place = next(number for number, line in enumerate(lines) if line.startswith("size"))
    lines[place] = (
        one.chance.choice(["size 7", "size -1", f"size {'9' * 5000}"]) + f" ./0.{STEP}/stdout"
    )
    one.write(one.archive(lines=lines))


@kind
def other_files(one: _Hostile) -> None:
    fewer, more = named(GOOD), {**named(GOOD), f"0.{STEP}/new": b"x"}
    del fewer[f"0.{STEP}/stdout"]
    stated, files = one.chance.choice(
        [(fewer, named(GOOD)), (more, named(GOOD)), (named(GOOD), more)]
    )
    one.write(one.archive(files, stated=stated))


@kind
def another_task(one: _Hostile) -> None:
    one.inputs = one.chance.choice([hashlib.sha256(b"another").hexdigest(), "0" * 64, "", "x"])
    one.write(one.archive())


@kind
def no_inputs_named(one: _Hostile) -> None:
    one.write(one.archive(lines=[line for line in one.lines(named(GOOD)) if "inputs" not in line]))


@kind
def another_job(one: _Hostile) -> None:
    one.write(one.archive(named(GOOD, job=one.chance.choice([1, 7, 999_999]))))


@kind
def another_molecule(one: _Hostile) -> None:
    one.write(one.archive(named(OTHER)))


@kind
def no_output(one: _Hostile) -> None:
    files = one.chance.choice([{}, {"stdout": b""}, {"stdout": b"", "stderr": b""}])
    lines = one.lines(named(files), one.chance.choice([(f"0 {STEP} 0 1 0",), ()]))
    one.write(one.archive(named(files), lines=lines))


@kind
def steps(one: _Hostile) -> None:
    line = one.chance.choice(
        [
            *(
                f"0 {STEP} -1 1 0",
                f"0 {STEP} 256 1 0",
                f"0 {STEP} {'9' * 5000} 1 0",
                f"0 {STEP} 0 1 2",
            ),
            *(
                f"0 {STEP} 0 1e9 0",
                "0 ../x 0 1 0",
                f"0 {STEP} 0 1 0 ../../key",
                f"0 {STEP} 0 1",
                "0",
            ),
            *(f"0 {STEP} 0 99999999999999999 0", f"-1 {STEP} 0 1 0", f"0 {STEP} 0 1 0 a b", "\x00"),
        ]
    )
    one.write(one.archive(lines=one.lines(named(GOOD), (line,))))


@kind
def many_steps(one: _Hostile) -> None:
    count = one.chance.choice([2, 5_000, 300_000])
    different = one.chance.random() < 0.5
    found = tuple(f"0 {f's{number}' if different else STEP} 0 1 0" for number in range(count))
    one.write(one.archive(lines=one.lines(named(GOOD), found)))


@kind
def manifest_lines(one: _Hostile) -> None:
    line = one.chance.choice(
        [
            "",
            "\n" * MEGABYTE,
            "x" * 10 * MEGABYTE,
            "host " + "h" * 50_000,
            "cut 5 ../../x",
            "\u202e",
            "\0",
        ]
    )
    one.write(one.archive(lines=[*one.lines(named(GOOD)), line]))


@kind
def large_manifest(one: _Hostile) -> None:
    count = one.chance.choice([50_000, 150_000])
    more = [f"size {number} ./0.{STEP}/f{number}" for number in range(count)]
    more += [f"{'0' * 64}  ./0.{STEP}/f{number}" for number in range(count)]
    one.write(one.archive(lines=[*one.lines(named(GOOD)), *more]))


@kind
def cut_lies(one: _Hostile) -> None:
    name = one.chance.choice([f"0.{STEP}/stdout", f"0.{STEP}/stderr", f"0.{STEP}/molecule.engrad"])
    size = one.chance.choice([0, 5, 10**14])
    one.write(one.archive(lines=[*one.lines(named(GOOD)), f"cut {size} ./{name}"]))


@kind
def hostile_host(one: _Hostile) -> None:
    lines = one.lines(named(GOOD))
    lines[1] = "host " + one.chance.choice(
        ["\x1b[2J", "$(id)", "a" * 5000, "../x", "<script>", "{id}"]
    )
    one.write(one.archive(lines=lines))


# --- contents ----------------------------------------------------------------------------------


def large_file(one: _Hostile, name: str, size: int, part: bytes) -> None:
    """Write an archive in which one file has `size` bytes of repeated `part`."""
    content = part * (size // len(part))
    one.with_file(**{name: content})


@kind
def large_stdout(one: _Hostile) -> None:
    large_file(one, "stdout", one.chance.choice([20, 62, 65, 100]) * MEGABYTE, b"x" * 64 + b"\n")


@kind
def endless_line(one: _Hostile) -> None:
    part = one.some(b"x", b"\0", b"9", b" ", b"-", b"\xff", b"1.5 ")
    name = one.chance.choice(["stdout", "molecule.engrad", "xtbout.json", "stderr"])
    large_file(one, name, 30 * MEGABYTE, part)


@kind
def only_newlines(one: _Hostile) -> None:
    name = one.chance.choice(["stdout", "molecule.engrad", "stderr"])
    large_file(one, name, 20 * MEGABYTE, one.some(b"\n", b"\r\n", b"\x0c", "\u2028".encode()))


@kind
def wide_characters(one: _Hostile) -> None:
    large_file(
        one, "stdout", one.chance.choice([20, 60]) * MEGABYTE, "energy \U0001f4a5 ".encode() * 16
    )


@kind
def deep_json(one: _Hostile) -> None:
    depth = one.chance.choice([90, 200, 5_000, 1_000_000])
    opening, closing = one.chance.choice([(b"[", b"]"), (b'{"a":', b"}")])
    end = closing * depth if one.chance.random() < 0.5 else b""
    one.with_file(**{"xtbout.json": opening * depth + b"1" + end})


@kind
def hostile_json(one: _Hostile) -> None:
    found = json.loads(GOOD["xtbout.json"])
    key = one.chance.choice(list(found))
    wrong = one.chance.choice(
        [
            b"1e999",
            b"NaN",
            b"-Infinity",
            b"9" * 100_000,
            b'"' + b"x" * MEGABYTE + b'"',
            b"null",
            b"{}",
        ]
    )
    text = json.dumps({**found, key: "@"}).encode().replace(b'"@"', wrong)
    one.with_file(**{"xtbout.json": text})


@kind
def hostile_gradient(one: _Hostile) -> None:
    lines = GOOD["molecule.engrad"].splitlines(keepends=True)
    place = one.chance.randrange(len(lines))
    lines[place] = one.some(
        b"999999999999\n", b"nan\n", b"1e400\n", b"\0\n", b"-3\n", b"\xff\xfe\n"
    )
    one.with_file(**{"molecule.engrad": b"".join(lines)})


@kind
def mixed(one: _Hostile) -> None:
    """Files of two runs."""
    name = one.chance.choice(["stdout", "molecule.engrad", "xtbout.json"])
    one.with_file(**{name: OTHER[name]})
