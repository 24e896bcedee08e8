"""Checks from end to end: refused, warned about, turned off, shown, and applied to old archives."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import WATER, Campaigns, Cli

# Bonds along the axes, for which xtb 6.7.1 computes wrong gradients (DESIGN.md, F31): the forces on
# this molecule add up to a torque of 192 meV per atom.
ALONG_AN_AXIS = {
    "atomic_numbers": [8, 1, 1],
    "coordinates": [[0.0, 0.0, 0.0], [0.0, 0.0, 0.96], [0.93, 0.0, -0.24]],
}
# A program that echoes a gradient from its document's number of atoms, with a net force.
MODULE = '''
import json
import sys

from wqmaster.errors import ParseError
from wqmaster.job import Execution, Job
from wqmaster.parsers import reads
from wqmaster.tasks import Program, task

VERSION = "1"


def program_version(output):
    return None


def diagnose(output, asked, options):
    return None


@reads("stdout", per_atom=True)
def gradient(output):
    """Gradient in Eh/Bohr."""
    rows = [[0.001, 0.0, 0.0], [-0.001, 0.0, 0.0], [0.0, 0.0, 0.0]]
    rows[2][2] = float(output.text)
    return rows


PROGRAM = Program("pushed", sys.modules[__name__])


@task(program=PROGRAM, runs=lambda options, software: ["cat"]{more})
def push(molecule, steps, software):
    files = {{"net": str(molecule.document["net"]).encode()}}
    return Job(tuple(Execution(step.name, ("cat", "net")) for step in steps), files)
'''
# 1 meV/Angstrom per atom, for three atoms, in Eh/Bohr.
UNIT = 3 / 51422.067


def pushed(campaigns: Campaigns, more: str = "", **changes: Any) -> Path:
    """Three documents whose net forces per atom are 0.5, 5 and 50 meV/Angstrom."""
    (campaigns.folder / "pushing.py").write_text(MODULE.format(more=more))
    if not campaigns.documents.count_documents({}):
        campaigns.insert(
            *(
                {"_id": name, **WATER, "net": net * UNIT}
                for name, net in {"sound": 0.5, "doubtful": 5.0, "spoiled": 50.0}.items()
            )
        )
    config = {
        "func_name": "pushing.push",
        "args": [{"name": "a", "parsers": ["gradient"]}],
        "kwargs": {"mongo_output_key": "pushed"},
    }
    settings = {
        "campaign_config": config,
        "submit": {"query": {"pushed.a": None}, "projection": ["net"]},
        "archive": {"keep": "all"},
        "checks": "default",
    }
    return campaigns.write(**{**settings, **changes})


def result(campaigns: Campaigns, name: str) -> dict[str, Any] | None:
    document = campaigns.documents.find_one({"_id": name}) or {}
    found: dict[str, Any] | None = (document.get("pushed") or {}).get("a")
    return found


def test_spoiled_forces_are_refused_and_doubtful_ones_marked(
    campaigns: Campaigns, cli: Cli
) -> None:
    path = pushed(campaigns)
    cli("run", path, code=1)
    sound, doubtful = result(campaigns, "sound"), result(campaigns, "doubtful")
    assert sound is not None
    assert doubtful is not None
    assert result(campaigns, "spoiled") is None
    assert sound["_run"]["checks"]["warned"] == []
    assert sound["_run"]["checks"]["values"]["net_force"] == pytest.approx(0.5, rel=1e-6)
    assert set(sound["_run"]["checks"]["values"]) == {"max_force", "net_force"}
    assert doubtful["_run"]["checks"]["warned"] == ["net_force"]
    [failure] = campaigns.failures.find()
    assert (failure["document"], failure["class"], failure["family"]) == (
        "spoiled",
        "check_net_force",
        "judgement",
    )
    assert failure["value"] == pytest.approx(50, rel=1e-6)
    assert failure["final"] is True

    assert "check_net_force" in cli("failures", path)
    assert json.loads(cli("status", path, "--json"))["warned"] == 1
    found = json.loads(cli("reparse", path, "--json"))
    assert found["checks"] == {"warned": {"net_force": 1}, "refused": {"net_force": 1}}

    # What was refused is stored once the checks are off; nothing is measured then.
    path = pushed(campaigns, checks="off")
    cli("failures", path, "--retry", "check_net_force")
    cli("run", path)
    spoiled = result(campaigns, "spoiled")
    assert spoiled is not None
    assert "checks" not in spoiled["_run"]


def test_reparse_applies_new_limits_to_old_archives(campaigns: Campaigns, cli: Cli) -> None:
    cli("run", pushed(campaigns, checks=False))
    path = pushed(campaigns, checks={"preset": "off", "net_force": {"warn": 0.1, "refuse": 20}})
    found = json.loads(cli("reparse", path, "--write", "--json"))
    assert found["counts"]["new"] == 2
    assert found["counts"]["now failing"] == 1
    assert found["checks"] == {"warned": {"net_force": 2}, "refused": {"net_force": 1}}
    assert result(campaigns, "spoiled") is None
    sound = result(campaigns, "sound")
    assert sound is not None
    assert sound["_run"]["checks"]["warned"] == ["net_force"]
    assert json.loads(cli("reparse", path, "--json"))["counts"]["same"] == 2


def test_rerun_selects_by_the_class_of_a_check(campaigns: Campaigns, cli: Cli) -> None:
    path = pushed(campaigns)
    cli("run", path, code=1)
    assert json.loads(cli("rerun", path, "--class", "check_net_force", "--json"))
    campaigns.documents.update_one({"_id": "spoiled"}, {"$set": {"net": 0.0}})
    cli("run", path)
    assert result(campaigns, "spoiled") is not None


def test_a_step_on_which_something_acts_from_outside_is_not_checked(
    campaigns: Campaigns, cli: Cli
) -> None:
    trait = ', inapplicable_checks=lambda options: {"net_force": "a field acts"}'
    cli("run", pushed(campaigns, more=trait))
    spoiled = result(campaigns, "spoiled")
    assert spoiled is not None
    assert set(spoiled["_run"]["checks"]["values"]) == {"max_force"}


@pytest.mark.parametrize(
    ("checks", "said"),
    [
        ({"net_froce": "off"}, "there is no check 'net_froce'; did you mean 'net_force'?"),
        ("strickt", "did you mean 'strict'?"),
        ({"net_force": {"warn": 20}}, "would refuse above 10, the limit of the preset 'default'"),
        ({"net_force": {"warn": 2, "refuse": 1}}, "would refuse above 1 before it warns above 2"),
        ({"homo_lumo_gap": {"warn": -1, "refuse": 0}}, "would refuse below 0 before it warns"),
        ({"net_force": {"wran": 2}}, "unknown key 'wran'; did you mean 'warn'?"),
        ({"net_force": {"warn": "2"}}, "'2' is neither a number nor null"),
        (
            {"net_force": 3},
            "3 cannot be used here; allowed: 'default', 'strict', 'off' or a mapping",
        ),
        ({"closest_atoms": {"warn": 0.6}}, "'closest_atoms' cannot warn"),
        ({"preset": "of"}, "'of' cannot be used here; allowed: 'default', 'strict' or 'off'"),
    ],
)
def test_a_wrong_key_is_an_error_with_its_line(
    campaigns: Campaigns, cli: Cli, checks: Any, said: str
) -> None:
    path = pushed(campaigns, checks=checks)
    cli("check", path, code=2)
    assert said in cli.errors
    assert f"{path.name}:" in cli.errors


def test_limits_are_not_part_of_the_recipe(campaigns: Campaigns, cli: Cli) -> None:
    cli("run", pushed(campaigns, checks={"net_force": {"refuse": 20}}), code=1)
    strict = pushed(campaigns, checks={"net_force": "off"})
    cli("failures", strict, "--retry", "check_net_force")
    cli("run", strict)


def test_smoke_shows_each_check(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.insert({"_id": "good", **WATER})
    said = cli("smoke", campaigns.write(**campaigns.settings()), "--id", "good")
    campaigns.documents.delete_many({})
    assert "check net_torque     pass" in said
    assert "(warns above 1, refuses above 10)" in said
    path = pushed(campaigns)
    said = cli("smoke", path, "--id", "spoiled", code=1)
    assert "check net_force      refuse" in said
    assert "failed: check_net_force" in said
    found = json.loads(cli("smoke", path, "--id", "spoiled", "--json", code=1))
    assert found["failure"]["class"] == "check_net_force"
    [step] = found["checks"].values()
    assert (step["net_force"]["level"], step["net_force"]["unit"]) == ("refuse", "meV/Angstrom")
    assert (step["net_force"]["warn"], step["net_force"]["refuse"]) == (1.0, 10.0)


def test_the_gradient_of_a_molecule_along_an_axis_is_right(campaigns: Campaigns, cli: Cli) -> None:
    """xtb 6.7.1 alone gives a net torque of 192 meV per atom (F31)."""
    campaigns.insert({"_id": "water", **ALONG_AN_AXIS})
    found = json.loads(cli("smoke", campaigns.write(**campaigns.settings()), "--json"))
    torque = found["checks"]["gfn2"]["net_torque"]
    assert torque["level"] == "pass"
    assert abs(torque["value"]) < 0.1


def test_atoms_that_are_too_close_are_refused_before_they_are_computed(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.insert(
        {"_id": 1, "atomic_numbers": [1, 1], "coordinates": [[0, 0, 0], [0.1, 0.2, 0.4]]}
    )
    path = campaigns.write(**campaigns.settings(checks="default"))
    found = json.loads(cli("check", path, "--json", code=1))
    assert found["molecules"]["unusable"]["close_atoms"]["documents"] == 1
    cli("run", path, code=1)
    [failure] = campaigns.failures.find()
    assert failure["class"] == "check_closest_atoms"
    assert "wall_time" not in failure  # it never ran
