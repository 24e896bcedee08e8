"""environment.yml, pyproject.toml, Debian's list and the Dockerfile agree; hadolint passes."""

import re
import shutil
import subprocess
import sysconfig
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from wqmaster.doctor.ndcctools import version
from wqmaster.engines.choosing import INSTALL_ADVICE

TOP = Path(__file__).resolve().parents[2]
# Packages that only conda lists (Python and programs) -> the Debian 13 packages for them.
PROGRAMS = {
    "python": {"python3-venv"},
    "ndcctools": {"python3-workqueue", "coop-computing-tools", "python3-cloudpickle"},
    "xtb": {"xtb"},
    "vina": {"autodock-vina"},
    "openssl": {"openssl"},
    "git": {"git"},
    "shellcheck": {"shellcheck"},
    # Debian has no package; the wheel of the extra `mongod` is used instead.
    "mongodb": set(),
    "pip": set(),
}


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["sh", "-c"], False),
        (["env", "wqmaster=", "sh", "-c"], False),
        (["nice", "-n", "0", "sh", "-c"], False),
        (["sh", "-c", "{}", "wqmaster"], True),
        (["sh", "-c", "{}", "/somewhere/wqmaster"], True),
    ],
)
def test_only_a_call_of_wqmaster_lets_messages_suggest_the_shell(
    words: list[str], named: bool
) -> None:
    """Once, a command in `./shell bash` suggested ./shell in folders that do not have it."""
    script = 'echo "${WQMASTER_CALLED_BY-none}"'
    command = [word.replace("{}", script) for word in words]
    if "{}" not in words:
        command.append(script)
    shell = str(TOP / "shell")
    ran = subprocess.run([shell, *command], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == (shell if named else "none")


def conda() -> dict[str, SpecifierSet]:
    """The packages in environment.yml and their version bounds."""
    lines = yaml.safe_load((TOP / "environment.yml").read_text())["dependencies"]
    words = [line.partition(" ")[::2] for line in lines]
    assert len({name for name, _ in words}) == len(words)
    return {name: SpecifierSet(versions) for name, versions in words}


def project() -> dict[str, Requirement]:
    """The dependencies of wqmaster and of its extras for users, from pyproject.toml."""
    table = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    extras = table["optional-dependencies"]
    lines = [*table["dependencies"], *extras["structures"], *extras["docking"]]
    return {found.name.lower(): found for found in map(Requirement, lines)}


def debian(name: str) -> set[str]:
    """The packages in one of the lists for Debian, by the list's name."""
    lines = (TOP / "environment" / name).read_text().splitlines()
    return {line for line in lines if not line.startswith("#")}


def least(specifiers: SpecifierSet) -> set[str]:
    """The lower bounds among the version specifiers."""
    return {one.version for one in specifiers if one.operator == ">="}


def test_conda_has_the_dependencies_of_the_project_with_the_same_lower_bounds() -> None:
    there, wanted = conda(), project()
    assert set(there) == set(wanted) | set(PROGRAMS)
    for name, requirement in wanted.items():
        assert least(there[name]) == least(requirement.specifier) != set(), name
    table = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    assert least(there["python"]) == least(SpecifierSet(table["requires-python"]))


def test_installed_versions_are_within_the_bounds_of_conda() -> None:
    for name, specifiers in conda().items():
        if name not in PROGRAMS:
            assert metadata.version(name) in specifiers, name
    worker = shutil.which("work_queue_worker")
    if worker is None:
        pytest.skip("ndcctools is not installed")
    assert version(worker, {}) in conda()["ndcctools"]


def test_debian_has_the_same_programs() -> None:
    there = debian("debian-packages.txt")
    for name, packages in PROGRAMS.items():
        assert packages <= there, name


def test_the_readme_and_the_messages_name_the_same_packages_of_debian() -> None:
    readme = (TOP / "README.md").read_text()
    [row] = [line for line in readme.splitlines() if line.startswith("| Debian 13 |")]
    [words] = re.findall(r"`apt install ([^`]*)`", row)
    wanted = PROGRAMS["ndcctools"] | PROGRAMS["xtb"] | PROGRAMS["python"]
    assert set(words.split()) == wanted
    assert PROGRAMS["ndcctools"] <= set(re.split(r"[ ']+", INSTALL_ADVICE))


def instructions() -> list[str]:
    """The Dockerfile's instructions, with continued lines joined."""
    text = (TOP / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def test_the_image_is_built_from_environment_yml_alone() -> None:
    lines = instructions()
    copied = [line for line in lines if line.startswith("COPY") and "environment.yml" in line]
    assert len(copied) == 1
    place = copied[0].split()[-1]
    runs = [line.removeprefix("RUN ") for line in lines if line.startswith("RUN")]
    installs = [
        command.strip()
        for run in runs
        for command in re.split(r"&&|;|\|", run)
        if " install " in command
    ]
    assert installs == [
        f"micromamba install -y -n base -f {place}",
        "pip install --no-cache-dir --no-deps /opt/wqmaster",
    ]
    base = next(line.split()[1] for line in lines if line.startswith("FROM"))
    assert re.fullmatch(r"mambaorg/micromamba:[0-9]+\.[0-9]+\.[0-9]+", base)


def lint(text: str) -> tuple[int, str]:
    """The exit code (0: no findings) and output of hadolint for a Dockerfile."""
    hadolint = shutil.which("hadolint", path=sysconfig.get_path("scripts"))
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install 'wqmaster[test]'")
    done = subprocess.run(
        [hadolint, "--no-color", "--failure-threshold", "style", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_linter_accepts_the_dockerfile() -> None:
    text = (TOP / "Dockerfile").read_text()
    assert lint(text) == (0, "")
    code, said = lint(re.sub(r"(?m)^FROM .*", "FROM mambaorg/micromamba:latest", text))
    assert code != 0
    assert "DL3007" in said
