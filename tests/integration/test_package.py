"""The packages for PyPI: the contents of sdist and wheel, and a run from an installed wheel."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path, PurePosixPath

import pytest
import yaml

import wqmaster
from tests.conftest import Campaigns

TOP = Path(__file__).resolve().parents[2]
NAME = f"wqmaster-{wqmaster.__version__}"


def ran(*words: str | Path, folder: Path, environ: Mapping[str, str] | None = None) -> str:
    """Run a command, which must succeed, and return its standard output."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def committed() -> set[str]:
    """The files in the repository, including those that are not yet added."""
    # Otherwise git, run as root in a container, refuses another user's checkout.
    words = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others"]
    listed = ran(*words, "--exclude-standard", folder=TOP).splitlines()
    return {name for name in listed if (TOP / name).is_file()}


@dataclass(frozen=True)
class Built:
    """An unpacked sdist, the wheel built from it, and the wheel built from the repository."""

    source: Path
    wheel: Path
    direct: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist and the wheels, built once from a copy, because a build leaves folders behind."""
    folder = tmp_path_factory.mktemp("package")
    copy = folder / "repository"
    for name in committed():
        place = copy / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes((TOP / name).read_bytes())
        place.chmod((TOP / name).stat().st_mode)
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir")
    # This command builds an sdist, and a wheel from the sdist.
    ran(*build, folder / "both", copy, folder=folder)
    ran(*build, folder / "direct", "--wheel", copy, folder=folder)
    with tarfile.open(folder / "both" / f"{NAME}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    wheel = f"{NAME}-py3-none-any.whl"
    return Built(folder / NAME, folder / "both" / wheel, folder / "direct" / wheel)


def members(wheel: Path) -> set[str]:
    """The names of the files in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_sdist_holds_the_whole_repository(built: Built) -> None:
    files = {path.relative_to(built.source) for path in built.source.rglob("*") if path.is_file()}
    generated = {"PKG-INFO", "setup.cfg"}
    names = {str(path) for path in files if path.parts[0] != "wqmaster.egg-info"}
    assert names - generated == committed()
    assert os.access(built.source / "shell", os.X_OK)


def test_both_wheels_hold_the_package_with_its_data_and_its_license(built: Built) -> None:
    assert members(built.wheel) == members(built.direct)
    package = {name for name in committed() if PurePosixPath(name).parts[0] == "wqmaster"}
    assert "wqmaster/py.typed" in package
    assert {Path(name).suffix for name in package} == {".py", ".sh", ".txt", ".typed"}
    info = f"{NAME}.dist-info"
    expected = {*package, f"{info}/licenses/LICENSE"}
    generated = {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "top_level.txt")}
    assert members(built.wheel) == expected | generated | {f"{info}/entry_points.txt"}


def test_the_metadata_describe_the_package(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        metadata = message_from_bytes(archive.read(f"{NAME}.dist-info/METADATA"))
    assert metadata["License-Expression"] == "MIT"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Author"] == "The wqmaster developers"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert {"structures", "mongod", "docking", "all", "test"} <= {
        *metadata.get_all("Provides-Extra", [])
    }


def test_the_installed_wheel_runs_a_campaign(
    built: Built, campaigns: Campaigns, tmp_path: Path
) -> None:
    """The wheel uses the dependencies in this environment, so nothing is downloaded."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index")
    ran(*pip, "--disable-pip-version-check", built.wheel, folder=tmp_path)
    paths = sysconfig.get_paths(vars={"base": str(tmp_path / "venv")}, scheme="venv")
    site = Path(paths["purelib"])
    # Each line of a .pth file is a folder to search. Python does not read .pth files in these
    # folders, so it does not find the checkout that is installed in this environment.
    places = dict.fromkeys(path for path in sys.path if path.endswith("-packages"))
    (site / "dependencies.pth").write_text("".join(f"{place}\n" for place in places))
    example = tmp_path / "example"
    example.mkdir()
    for file in (built.source / "examples" / "python-function").iterdir():
        if file.is_file():
            (example / file.name).write_bytes(file.read_bytes())
    settings = yaml.safe_load((example / "campaign.yaml").read_text())
    settings["database"] = {"uri": campaigns.uri, "name": campaigns.database}
    (example / "campaign.yaml").write_text(yaml.safe_dump({**settings, "engine": "local"}))

    wqmaster_command = tmp_path / "venv" / "bin" / "wqmaster"
    clean = {"PYTHONPATH": "", "PATH": f"{tmp_path / 'venv' / 'bin'}:{os.environ['PATH']}"}

    def command(*words: str) -> str:
        return ran(wqmaster_command, *words, folder=example, environ=clean)

    where = "import wqmaster.cli.main; print(wqmaster.__file__)"
    found = ran(python, "-c", where, folder=example, environ=clean)
    assert Path(found.strip()).is_relative_to(site)
    assert command("--version") == f"wqmaster, version {wqmaster.__version__}\n"
    command("import", "campaign.yaml", "documents.jsonl")
    command("run", "campaign.yaml")
    assert campaigns.documents.count_documents({"results.rotor.result": {"$exists": True}}) == 20
