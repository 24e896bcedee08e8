"""Chains: geometries of other writers, Python functions, and failures in the middle."""

import shutil

import pytest

from tests.acceptance.test_chain import FAILING, OPT, chain, pyscf, results
from tests.conftest import Campaigns, Cli

HYDROXIDE = {
    "atomic_numbers": [8, 1],
    "coordinates": [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]],
    "charge": -1,
    "multiplicity": 1,
}

AFTER = """
def report(document):
    return {key: document[key] for key in ("symbols", "coordinates", "charge", "multiplicity")}
"""
CALL = {
    "name": "call",
    "func_name": "wqmaster.tasks.python.call",
    "geometry": "opt",
    "function": "after.report",
    "parsers": ["result"],
}


def test_a_python_function_receives_the_geometry_that_xtb_optimized(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.insert({"_id": 1, **HYDROXIDE})
    (campaigns.folder / "after.py").write_text(AFTER)
    path = chain(campaigns, OPT, CALL)
    cli("run", path)
    [found] = results(campaigns).values()
    assert found["call"]["result"] == {
        "symbols": ["O", "H"],
        "coordinates": found["opt"]["optimized_geometry"],
        "charge": -1,
        "multiplicity": 1,
    }
    assert found["opt"]["optimized_geometry"] != HYDROXIDE["coordinates"]


WRITER = {
    "name": "writer",
    "func_name": "wqmaster.tasks.command.run",
    "geometry": "opt",
    "final_geometry": "out.xyz",
}


def test_a_geometry_in_another_style_is_read_by_every_program(
    campaigns: Campaigns, cli: Cli
) -> None:
    """Lower case, Fortran's exponents, an extended comment and further columns."""
    campaigns.insert({"_id": 1, **HYDROXIDE})
    (campaigns.folder / "after.py").write_text(AFTER)
    comment = "Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.0"
    rows = "o 0.0D+00 0.0 0.0 1 2 3\\nh 0.0 0.0 9.5D-01 1 2 3"
    write = {**WRITER, "command": ["sh", "-c", f"printf '2\\n{comment}\\n{rows}\\n' > out.xyz"]}
    xtb = {
        "name": "xtb",
        "func_name": "wqmaster.tasks.xtb.singlepoint",
        "geometry": "writer",
        "parsers": ["energy"],
    }
    path = chain(campaigns, OPT, write, xtb, {**CALL, "geometry": "writer"})
    cli("run", path)
    [found] = results(campaigns).values()
    assert found["call"]["result"]["coordinates"] == [[0.0, 0.0, 0.0], [0.0, 0.0, 0.95]]
    assert found["xtb"]["energy"] > found["opt"]["energy"]


@pytest.mark.parametrize(
    ("shell", "kind"),
    [
        ("head -n 2 opt.xyz > out.xyz; tail -n 2 opt.xyz | sort >> out.xyz", "atom_count"),
        ("true", "missing_output"),
    ],
    ids=["order", "none"],
)
def test_a_wrong_geometry_stops_the_chain_at_its_writer(
    campaigns: Campaigns, cli: Cli, shell: str, kind: str
) -> None:
    """Without this, xtb would compute other atoms, or the document's first geometry."""
    campaigns.insert({"_id": 1, **HYDROXIDE})
    xtb = {
        "name": "xtb",
        "func_name": "wqmaster.tasks.xtb.singlepoint",
        "geometry": "writer",
        "parsers": ["energy", "gradient"],
    }
    path = chain(campaigns, OPT, {**WRITER, "command": ["sh", "-c", shell]}, xtb, commit="step")
    said = cli("smoke", path, code=1)
    assert kind in said + cli.errors
    assert "\n\n\n" not in said
    cli("run", path, code=1)
    [found] = results(campaigns).values()
    assert sorted(found) == ["opt"]
    [record] = campaigns.failures.find()
    assert (record["step"], record["class"]) == ("writer", kind)


def test_a_time_limit_in_the_middle_keeps_the_steps_before_it(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.insert({"_id": 1, **HYDROXIDE})
    slow = {**FAILING, "name": "slow", "command": "sleep 600"}
    path = campaigns.write(
        campaign_config={
            "args": [OPT, slow, {**FAILING, "name": "last", "command": "cat opt.xyz"}],
            "commit": "step",
            "job_timeout": 5,
            "kwargs": {"mongo_output_key": "chain"},
        },
        submit={"query": {"chain.last": None}},
        remedies={"time_limit": []},
    )
    cli("run", path, code=1)
    [found] = results(campaigns).values()
    assert sorted(found) == ["opt"]
    [record] = campaigns.failures.find()
    assert (record["step"], record["class"], record["final"]) == ("slow", "time_limit", True)


@pytest.mark.skipif(shutil.which("pyscf-python") is None, reason="pyscf-python is missing")
def test_a_remedy_of_the_middle_step_leaves_the_others_as_they_are(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.insert({"_id": 1, **HYDROXIDE})
    middle = pyscf(max_cycle=2, gradient=False, parsers=["energy", "scf_cycles"])
    last = {
        "name": "last",
        "func_name": "wqmaster.tasks.xtb.singlepoint",
        "geometry": "opt",
        "parsers": ["energy"],
    }
    path = chain(campaigns, OPT, middle, last, software={"pyscf": "pyscf-python"}, commit="step")
    cli("run", path)
    [found] = results(campaigns).values()
    assert {name: step["_run"]["attempt"] for name, step in found.items()} == {
        "opt": 2,
        "dft": 2,
        "last": 2,
    }
    assert found["dft"]["_run"]["remedy"] == "newton"
    assert found["opt"]["_run"]["remedy"] is found["last"]["_run"]["remedy"] is None
    [record] = campaigns.failures.find()
    assert (record["step"], record["class"]) == ("dft", "scf_not_converged")
