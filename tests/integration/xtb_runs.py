"""Real xtb runs in a worker's sandbox, judged as a campaign judges them."""

import gzip
import itertools
import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from wqmaster.campaign.loading import load
from wqmaster.checks.table import NO_CHECKS
from wqmaster.jobs import wire
from wqmaster.jobs.failures import Failure, FailureClass
from wqmaster.jobs.job import Job, Outcome
from wqmaster.jobs.molecule import SYMBOLS, Molecule
from wqmaster.recipe.judgement import judge
from wqmaster.recipe.recipe import Recipe
from wqmaster.recipe.resolving import resolve
from wqmaster.tasks.xtb.task import environment

TOP = Path(__file__).resolve().parents[2]
RUNNER = TOP / "wqmaster" / "engines" / "runner.sh"
MOLECULES = TOP / "examples" / "xtb-gradients" / "molecules.extxyz.gz"
_COUNT = itertools.count()

NEEDS_XTB = pytest.mark.skipif(shutil.which("xtb") is None, reason="xtb is not installed")

Rows = Sequence[tuple[str, float, float, float]]


def molecule(rows: Rows, charge: int = 0, multiplicity: int = 1) -> Molecule:
    numbers = tuple(SYMBOLS.index(row[0]) for row in rows)
    places = tuple((float(x), float(y), float(z)) for _, x, y, z in rows)
    return Molecule("one", numbers, places, charge, multiplicity)


def pair(first: str, second: str, apart: float, **state: int) -> Molecule:
    return molecule([(first, 0, 0, 0), (second, 0, 0, apart)], **state)


WATER = molecule([("O", 0, 0, 0), ("H", 0, 0, 0.96), ("H", 0.93, 0, -0.24)])
METHANE = molecule(
    [
        ("C", 0, 0, 0),
        ("H", 0.63, 0.63, 0.63),
        ("H", -0.63, -0.63, 0.63),
        ("H", -0.63, 0.63, -0.63),
        ("H", 0.63, -0.63, -0.63),
    ]
)
AMMONIUM = molecule(
    [("N", *METHANE.coordinates[0]), *(("H", *place) for place in METHANE.coordinates[1:])],
    charge=1,
)
HYDROGEN, HELIUM = molecule([("H", 0, 0, 0)], multiplicity=2), molecule([("He", 0, 0, 0)])
RADICAL = pair("O", "H", 1.0, multiplicity=2)
HYDROXIDE = pair("O", "H", 1.0, charge=-1)
SODIUM = molecule([("Na", 1.0, 2.0, 3.0)], charge=1)
CO2 = molecule([("O", 0, 0, 1.17), ("C", 0, 0, 0), ("O", 0, 0, -1.17)])
SHORT_MD = {"time": 0.05, "step": 0.5, "dump": 5.0, "shake": 0, "hmass": 0}


def some(count: int, largest: int = 99) -> list[Molecule]:
    """Molecules from the example, evenly spaced among those with at most `largest` atoms."""
    found = []
    lines = iter(gzip.decompress(MOLECULES.read_bytes()).decode().splitlines())
    for line in lines:
        natoms, heading = int(line), next(lines)
        rows = [next(lines).split() for _ in range(natoms)]
        state = {
            key: int(heading.split(f"{key}=")[1].split()[0]) for key in ("charge", "multiplicity")
        }
        if natoms <= largest:
            found.append(
                molecule([(r[0], float(r[1]), float(r[2]), float(r[3])) for r in rows], **state)
            )
    return found[:: max(len(found) // count, 1)][:count]


def run(jobs: Sequence[Job], folder: Path) -> list[Outcome]:
    """Run `jobs` as one bundle in a worker's sandbox, and return their outcomes."""
    if not jobs:
        return []
    sandbox = folder / f"sandbox{next(_COUNT)}"
    sandbox.mkdir()
    shutil.copyfile(RUNNER, sandbox / "runner.sh")
    (sandbox / "inputs.tar").write_bytes(wire.pack(jobs))
    (sandbox / "shared").mkdir()
    for shared in {shared.name: shared for job in jobs for shared in job.inputs}.values():
        (sandbox / "shared" / shared.name).symlink_to(shared.path)
    subprocess.run(["sh", "runner.sh", "none", "120"], cwd=sandbox, check=True)
    with wire.Archive(sandbox / "outputs.tar") as archive:
        return [archive.outcome(number) for number in range(len(jobs))]


def uninspected(recipe: Recipe) -> Recipe:
    """`recipe` without its inspection, to test how xtb fails for molecules that a run refuses."""

    steps = []
    for step in recipe.steps:
        traits = replace(step.function.traits, inspect=None)
        steps.append(replace(step, function=replace(step.function, traits=traits)))
    return replace(recipe, steps=tuple(steps), checks=NO_CHECKS)


class Harness:
    """Campaigns with one step, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def recipe(self, function: str, *parsers: str, **options: Any) -> Recipe:
        keep = options.pop("keep_files", {})
        step = {"name": "a", "parsers": list(parsers), "keep_files": keep, **options}
        config = {"func_name": f"wqmaster.tasks.xtb.{function}", "args": [step]}
        path = self.folder / f"campaign{next(_COUNT)}.yaml"
        software = options.pop("software", None)
        step.pop("software", None)
        top: dict[str, Any] = {"campaign": "test", "campaign_config": config}
        if software:
            top["software"] = {"xtb": software}
        path.write_text(yaml.safe_dump(top))
        return resolve(load(path, {}))

    def all(
        self, function: str, molecules: Sequence[Molecule], *parsers: str, **options: Any
    ) -> list[dict[str, Any] | Failure]:
        """For each molecule, its values or its failure."""
        recipe = uninspected(self.recipe(function, *parsers, **options))
        jobs = [recipe.build(one) for one in molecules]
        half = (len(jobs) + 1) // 2
        with ThreadPoolExecutor(2) as pool:
            parts = pool.map(
                lambda part: run(part, self.folder) if part else [], (jobs[:half], jobs[half:])
            )
            outcomes = [outcome for part in parts for outcome in part]
        found: list[dict[str, Any] | Failure] = []
        for one, outcome in zip(molecules, outcomes, strict=True):
            verdict = judge(recipe, recipe.asked_of(one), outcome)
            found.append(verdict.failure or dict(verdict.results[0].values))
        return found

    def values(self, function: str, one: Molecule, *parsers: str, **options: Any) -> dict[str, Any]:
        [found] = self.all(function, [one], *parsers, **options)
        assert isinstance(found, dict), found
        return found

    def settled(
        self, function: str, one: Molecule, *parsers: str, **options: Any
    ) -> dict[str, Any]:
        """The values, after as many reruns as the ladder of an erratic program allows."""
        for _ in range(30):
            [found] = self.all(function, [one], *parsers, **options)
            if isinstance(found, dict):
                return found
            assert found.kind is FailureClass.ERRATIC, found
        raise AssertionError("thirty runs failed")

    def failure(self, function: str, one: Molecule, **options: Any) -> FailureClass:
        [found] = self.all(function, [one], "energy", **options)
        assert isinstance(found, Failure), found
        return found.kind


def printed(folder: Path, one: Molecule, *words: str) -> str:
    """The standard output of xtb, called by hand with these arguments."""
    place = folder / f"direct{next(_COUNT)}"
    place.mkdir()
    (place / "mol.xyz").write_text(one.xyz())
    words = ("xtb", "mol.xyz", "-c", str(one.charge), "-u", str(one.unpaired), *words)
    environ = {**os.environ, **environment(1)}
    done = subprocess.run(words, cwd=place, env=environ, capture_output=True, text=True, check=True)
    return done.stdout


def number_after(text: str, label: str) -> float:
    return float(text[text.index(label) + len(label) :].split()[0])
