"""Real programs that workers lack: packed, proved, and run through each engine."""

import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.conftest import Campaigns, Cli

ENGINES = ("local", "work_queue", "taskvine")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with this machine's xtb and vina."""
    folder = tmp_path_factory.mktemp("packed")
    found = [shutil.which(name) for name in ("xtb", "vina")]
    if not all(found):
        pytest.skip("xtb and vina are not installed")
    words = [word for path in found for word in ("--program", str(path))]
    cli = Cli(folder)
    try:
        said = cli("software", "pack", "chemistry", *words)
    finally:
        cli.close()
    assert "TOTAL ENERGY" in said
    return folder / "chemistry.tar.gz"


def others(folder: Path) -> dict[str, str]:
    """Environment variables with a PATH on which xtb and vina fail."""
    tools = folder / "tools"
    tools.mkdir()
    for name in ("xtb", "vina"):
        (tools / name).write_text("#!/bin/sh\necho the wrong one >&2\nexit 9\n")
        (tools / name).chmod(0o755)
    return {"PATH": f"{tools}:{os.environ['PATH']}"}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_packed_xtb_runs_a_campaign_alone(
    engine: str, packed: Path, campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.waters(12)
    env = others(tmp_path)
    shutil.copy(packed, tmp_path / "chemistry.tar.gz")
    xtb = {"command": "bin/xtb", "archive": "chemistry.tar.gz"}
    path = campaigns.write(engine=engine, software={"xtb": xtb}, bundle={"size": 2})
    assert "../software/" in cli("check", path, env=env)
    cli("run", path, env=env)
    found = [document["xtb"]["gfn2"] for document in campaigns.documents.find()]
    assert len(found) == 12
    assert all(abs(values["energy"] + 5.07) < 0.01 for values in found)
    assert {values["_run"]["program_version"] for values in found} != {None}
    assert {values["_run"]["software"][16:] for values in found} == {"-chemistry.tar.gz"}
    assert campaigns.failures.count_documents({}) == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_an_archive_is_unpacked_once_for_all_tasks_of_a_worker(
    engine: str, campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.waters(12)
    folder = folder_of(tmp_path, "mine", '#!/bin/sh\nexec ls -di "${0%/*}"\n')
    cli("software", "pack", "mine", "--from", folder, "--prove", "environment")
    path = campaigns.write(
        campaign_config={
            "func_name": "wqmaster.tasks.command.run",
            "args": [{"name": "a", "command": ["mine"], "keep_files": {"stdout": "{id}.out"}}],
            "kwargs": {"mongo_output_key": "mine"},
        },
        submit={"query": {}},
        engine=engine,
        software={"mine": {"command": "bin/mine", "archive": "mine.tar.gz"}},
        workers={"type": "local", "count": 2},
    )
    cli("run", path)
    kept = list((tmp_path / "test.run" / "kept").glob("*.out"))
    assert len(kept) == 12
    said = {file.read_text().strip() for file in kept}
    assert len(said) <= (1 if engine == "local" else 2)
    assert all(line.endswith("-mine.tar.gz/bin") for line in said)


def test_smoke_and_the_maps_of_vina_use_the_program_from_the_archive(
    packed: Path, campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    example = Path(__file__).parents[2] / "examples" / "vina-docking"
    shutil.copy(example / "receptor.pdbqt", tmp_path)
    shutil.copy(packed, tmp_path / "chemistry.tar.gz")
    env = others(tmp_path)
    campaigns.insert({"_id": 1, "smiles": "CCO"})
    step = {
        "name": "a",
        "receptor": "receptor.pdbqt",
        "center": [0.0, 0.0, 0.0],
        "size": [14.0, 14.0, 14.0],
        "ligand": "smiles",
        "exhaustiveness": 1,
        "parsers": ["affinities"],
    }
    path = campaigns.write(
        campaign_config={
            "func_name": "wqmaster.tasks.vina.dock",
            "args": [step],
            "kwargs": {"mongo_output_key": "vina"},
        },
        submit={"query": {}},
        software={"vina": {"command": "bin/vina", "archive": "chemistry.tar.gz"}},
    )
    assert "affinities" in cli("smoke", path, env=env)


@pytest.mark.parametrize("engine", ["local", "taskvine"])
def test_a_program_that_cannot_be_fetched_is_reported_as_missing(
    engine: str, campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.waters(1)
    url = f"file://{tmp_path}/absent.tar.gz"
    path = campaigns.write(engine=engine, software={"xtb": {"command": "bin/xtb", "url": url}})
    cli("run", path, code=1)
    (message,) = {record["message"] for record in campaigns.failures.find()}
    assert f"cannot fetch {url}" in message
    assert {record["class"] for record in campaigns.failures.find()} == {"program_missing"}


def test_check_reports_mistakes_in_software(campaigns: Campaigns, cli: Cli, tmp_path: Path) -> None:
    campaigns.waters(1)
    path = campaigns.write(software={"xtb": {"command": "bin/xtb", "archive": "absent.tar.gz"}})
    cli("check", path, code=2)
    assert "campaign.yaml:" in cli.errors
    assert "absent.tar.gz" in cli.errors
    folder = folder_of(tmp_path, "xtb", READS)
    cli("software", "pack", "xtb", "--from", folder, "--run", "x")
    path = campaigns.write(software={"xtb": {"command": "bin/xtb", "archive": "xtb.tar.gz"}})
    before = sorted(tmp_path.rglob("*"))
    assert "the campaign provides xtb (archive)" in cli("doctor", path)
    assert sorted(tmp_path.rglob("*")) == before


# --- the packer --------------------------------------------------------------------------------


def test_an_archive_is_reproducible_and_lists_its_contents(packed: Path, cli: Cli) -> None:
    beside = json.loads((packed.parent / f"{packed.name}.manifest.json").read_text())
    with tarfile.open(packed) as tar:
        names = tar.getnames()
        manifest = json.load(tar.extractfile("MANIFEST.json"))  # type: ignore[arg-type]
    assert names == sorted(names)
    assert [entry["path"] for entry in manifest["files"]] == sorted(
        name for name in names if name != "MANIFEST.json"
    )
    assert manifest["files"] == beside["files"]
    assert {"bin/xtb", "bin/vina", "lib/libgfortran.so.5", "lib/libstdc++.so.6"} <= set(names)
    assert not [name for name in names if name.startswith(("lib/libc.", "lib/ld-", "lib/libm."))]
    assert "xtb version" in manifest["version"]
    assert beside["proof"]["exit_code"] == 0
    words = [word for name in ("xtb", "vina") for word in ("--program", str(shutil.which(name)))]
    report = json.loads(cli("software", "pack", "chemistry", *words, "--json"))
    assert report["sha256"] == beside["sha256"]


def folder_of(tmp_path: Path, name: str, script: str) -> Path:
    """A folder with the program bin/NAME, data that the program reads, and a link."""
    folder = tmp_path / "tree"
    (folder / "bin").mkdir(parents=True)
    (folder / "share").mkdir()
    (folder / "share" / "data").write_text("its data\n")
    (folder / "bin" / name).write_text(script)
    (folder / "bin" / name).chmod(0o755)
    (folder / "share" / "linked").symlink_to(folder / "share" / "data")
    return folder


READS = '#!/bin/sh\nread -r line < "${0%/*}/../share/linked" && echo "$line $1"\n'


def test_a_folder_is_packed_as_it_is_and_run(cli: Cli, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "mine", READS)
    said = cli("software", "pack", "mine", "--from", folder, "--run", "here", "-o", "a.tgz")
    assert "its data here" in said
    with tarfile.open(tmp_path / "a.tgz") as tar:
        assert tar.getmember("share/linked").linkname == "data"


def test_a_folder_is_packed_with_the_libraries_that_it_lacks(
    packed: Path, cli: Cli, tmp_path: Path
) -> None:
    """When the archive is unpacked and packed again, it has the same files."""
    folder = tmp_path / "tree"
    (folder / "bin").mkdir(parents=True)
    shutil.copy(str(shutil.which("xtb")), folder / "bin" / "xtb")
    assert "TOTAL ENERGY" in cli("software", "pack", "xtb", "--from", folder)
    with tarfile.open(tmp_path / "xtb.tar.gz") as tar:
        first = tar.getnames()
        tar.extractall(tmp_path / "again", filter="tar")
    assert "lib/libgfortran.so.5" in first
    cli("software", "pack", "xtb", "--from", tmp_path / "again", "-o", "again.tar.gz")
    with tarfile.open(tmp_path / "again.tar.gz") as tar:
        assert tar.getnames() == first


def test_a_link_to_a_device_is_not_called_a_folder(cli: Cli, tmp_path: Path) -> None:
    program = tmp_path / "from" / "bin" / "run"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    link = tmp_path / "from" / "link"
    for end, words in (
        ("/dev/null", "leads to /dev/null, which is a device"),
        ("/dev", "leads to the folder /dev outside"),
    ):
        link.symlink_to(end)
        cli("software", "pack", "run", "--from", link.parent, "--run", "", code=2)
        assert words in cli.errors
        link.unlink()


def test_a_folder_with_links_odd_names_and_its_own_archive_is_packed(
    cli: Cli, tmp_path: Path
) -> None:
    """Packing the folder again gives the same archive, since the archive in it is left out."""
    folder = tmp_path / "odd"
    (folder / "v 1").mkdir(parents=True)
    program = folder / "v 1" / "odd, one"
    program.write_text('#!/bin/sh\necho "version 1" > /dev/null && echo well\n')
    program.chmod(0o755)
    (folder / "current").symlink_to("v 1")
    (folder / "damaged.bin").write_bytes(b"\x7fELF\x02\x01 cut short")
    words = ("--from", folder, "--program", "current/odd, one", "-o", folder / "odd.tar.gz")
    said = cli("software", "pack", "odd", *words, "--run", "")
    assert "exit code 0: well" in said
    assert "damaged.bin needs is unknown" in said
    printed = yaml.safe_load(said.splitlines()[-1].removeprefix("campaign"))
    assert printed["software"]["odd"] == {
        "command": "'v 1/odd, one'",
        "archive": str(folder / "odd.tar.gz"),
    }
    first = (folder / "odd.tar.gz").read_bytes()
    cli("software", "pack", "odd", *words, "--run", "")
    assert (folder / "odd.tar.gz").read_bytes() == first
    # Data that is given by a path ending in '..' is packed under the folder's real name.
    cli("software", "pack", "two", "--program", program, "--data", folder / "v 1" / "..")
    with tarfile.open(tmp_path / "two.tar.gz") as tar:
        assert "share/odd/v 1/odd, one" in tar.getnames()


@pytest.mark.parametrize(
    ("script", "words", "why"),
    [
        ("#!/bin/sh\nexit 3\n", ("--run", "x"), "exited with code 3"),
        ("#!/no/such/interpreter\n", (), "interpreter /no/such/interpreter is missing"),
        ("\x7fELF no program", (), "does not run"),
        ('#!/bin/sh\nexec "${0%/*}/absent"\n', (), "does not run"),
        (READS, ("--max-size", "1"), "larger than 1 MB"),
        (READS, ("--program", "bin/absent"), "no file bin/absent"),
        (READS, ("-o", "no/such/folder/a.tar.gz"), "there is no folder"),
        (READS, ("-o", "a.zip"), "must end in .tar.gz"),
        (READS, ("--run", "'"), "not a valid command line"),
    ],
)
def test_a_program_that_does_not_run_or_fit_is_not_packed(
    script: str, words: tuple[str, ...], why: str, cli: Cli, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path, "mine", script)
    (folder / "large").write_bytes(os.urandom(1_100_000))
    cli("software", "pack", "mine", "--from", folder, *words, code=(1, 2))
    assert why in cli.errors
    assert not list(tmp_path.glob("*.tar.gz"))
    assert not list(tmp_path.glob(".*tar.gz"))


# ORCA's license allows copies on the user's own machines, but not where others can read them.
ORCA = '#!/bin/sh\n"${0%/*}/orca_scf"\necho "ORCA TERMINATED NORMALLY"\n'


def test_an_archive_of_orca_is_private(cli: Cli, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "orca", ORCA)
    (folder / "bin" / "orca_scf").write_text("#!/bin/sh\n")
    (folder / "bin" / "orca_scf").chmod(0o755)
    # The programs are recognized as ORCA's even if they are links to files with other names.
    (folder / "bin" / "orca").rename(folder / "bin" / "orca.real")
    (folder / "bin" / "orca").symlink_to("orca.real")
    (folder / "bin" / "orca_scf").rename(folder / "bin" / "scf")
    (folder / "bin" / "orca_scf").symlink_to("scf")
    said = cli("software", "pack", "orca", "--from", folder)
    assert "private storage only" in said
    for name in ("orca.tar.gz", "orca.tar.gz.manifest.json"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    public = tmp_path / "public_html"
    public.mkdir()
    cli("software", "pack", "orca", "--from", folder, "-o", public / "orca.tar.gz", code=2)
    assert "looks public" in cli.errors
    assert not list(public.iterdir())
