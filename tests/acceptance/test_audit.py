"""`wqmaster audit`, and the audit that precedes a run: how large is the noise of the labels?"""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Campaigns, Cli, wait_until
from tests.integration.test_pyscf_runs import direct
from wqmaster.datasets.units import EV_PER_ANGSTROM, EV_PER_EH
from wqmaster.jobs.molecule import Molecule

MOLECULES = {
    "co": ([6, 8], [[0.0, 0.0, 0.0], [0.3, 0.2, 1.08]]),
    "water": ([8, 1, 1], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.96], [0.93, 0.0, -0.24]]),
}
LEVEL: dict[str, Any] = {"xc": "pbe", "basis": "sto-3g"}
# What `wqmaster.tasks.pyscf.tighter` makes of grid level 1, apart from conv_tol.
TIGHT: dict[str, Any] = {**LEVEL, "grid": 5, "density_fit": False}


def inserted(campaigns: Campaigns, *names: str) -> None:
    campaigns.insert(
        *(
            {"_id": name, "atomic_numbers": numbers, "coordinates": places}
            for name, (numbers, places) in MOLECULES.items()
            if name in (names or MOLECULES)
        )
    )


def pyscf(campaigns: Campaigns, grid: int, conv_tol: float, **top: Any) -> Path:
    step = {"name": "dft", **LEVEL, "grid": grid, "conv_tol": conv_tol}
    step["parsers"] = ["energy", "gradient"]
    config = {
        "func_name": "wqmaster.tasks.pyscf.singlepoint",
        "args": [step],
        "kwargs": {"mongo_output_key": f"grid{grid}"},
    }
    return campaigns.write(
        campaign_config=config,
        submit={"query": {f"grid{grid}.dft": None}},
        software={"pyscf": "pyscf-python"},
        **top,
    )


def expected_noise(campaigns: Campaigns, grid: int) -> tuple[float, float]:
    """Mean |difference| of energies (meV per atom) and force components (meV/A), all documents.

    Both calculations are made without wqmaster.
    """
    energies, forces = [], []
    for found in campaigns.documents.find():
        places = tuple((x, y, z) for x, y, z in found["coordinates"])
        molecule = Molecule("m", tuple(found["atomic_numbers"]), places)
        label = direct(molecule, **LEVEL, grid=grid, density_fit=False)
        again = direct(molecule, **TIGHT)
        energies.append(abs(label["energy"] - again["energy"]) / len(places))
        forces.append(np.abs(np.subtract(label["gradient"], again["gradient"])).ravel())
    unit = 1000 * EV_PER_ANGSTROM
    return 1000 * EV_PER_EH * float(np.mean(energies)), unit * float(np.concatenate(forces).mean())


@pytest.mark.skipif(shutil.which("pyscf-python") is None, reason="pyscf-python is missing")
def test_a_coarse_grid_is_stopped_by_its_audit_and_a_fine_one_passes(
    campaigns: Campaigns, cli: Cli
) -> None:
    inserted(campaigns)
    audit = {"sample": 2, "stop_above": "1.0 meV/Å"}
    path = pyscf(campaigns, 1, 1e-9, audit=audit)
    output = cli("run", path, code=1, timeout=600)
    errors = cli.errors
    assert "advice" in output
    assert "stop_above: 1.0 meV/Å" in errors
    assert "change grid from 1 to 5" in errors
    assert "--no-audit" in errors
    # Their net forces are above 10 meV/Å per atom, so they are not results.
    assert "2 of 2 structures were also refused by check_net_force" in errors
    assert campaigns.documents.count_documents({"grid1.dft": {"$ne": None}}) == 0
    assert campaigns.failures.count_documents({"class": "check_net_force", "final": True}) == 2
    found = json.loads(cli("audit", path, "--sample", "2", "--json"))
    energy, force = expected_noise(campaigns, 1)
    # The direct calculations converge a little further.
    assert found["noise"]["energy_mean"]["value"] == pytest.approx(energy, rel=1e-3)
    assert found["noise"]["force_mean"]["value"] == pytest.approx(force, rel=1e-3)
    assert f"off by {found['noise']['force_mean']['value']:.3g} meV/Angstrom" in errors
    assert {one["name"]: round(one["removes"], 1) for one in found["settings"]} == {
        "grid": 1.0,
        "conv_tol": 0.0,
    }
    # The same campaign with a fine grid; its results are stored beside the others. With a single
    # setting to change, none is tried alone.
    cli("run", pyscf(campaigns, 5, 1e-11, audit=audit), timeout=600)
    audits = campaigns.documents.database["wqmaster.audits"]
    fine = audits.find_one({"output_key": "grid5"})
    assert fine is not None
    assert fine["report"]["noise"]["force_mean"]["value"] < 0.3
    assert fine["report"]["noise"]["refused"] == {}
    assert campaigns.documents.count_documents({"grid5.dft": {"$ne": None}}) == 2
    assert {one["campaign"] for one in campaigns.failures.find()} == {"test"}


def gated_xtb(folder: Path) -> str:
    """An xtb that logs each run, and waits for the file `tight` before a tighter one."""
    program = folder / "gated-xtb"
    program.write_text(
        "#!/bin/sh\n"
        f'case " $* " in *" --acc "*) echo tight >> {folder}/ran\n'
        f"while [ ! -e {folder}/tight ]; do sleep 0.05; done ;;\n"
        f"*) echo plain >> {folder}/ran ;; esac\n"
        f'exec {shutil.which("xtb")} "$@"\n'
    )
    program.chmod(0o755)
    (folder / "ran").touch()
    return str(program)


def ran(campaigns: Campaigns) -> list[str]:
    return (campaigns.folder / "ran").read_text().split()


def copies(campaigns: Campaigns) -> Any:
    return campaigns.documents.database["molecules.audit"]


needs_xtb = pytest.mark.skipif(shutil.which("xtb") is None, reason="xtb is not installed")


@needs_xtb
@pytest.mark.parametrize("engine", ["local", "work_queue"])
def test_a_killed_audit_continues_with_the_same_sample(
    campaigns: Campaigns, cli: Cli, engine: str
) -> None:
    campaigns.waters(12)
    audit = {"sample": 4, "stop_above": "1 meV/A"}
    software = {"xtb": gated_xtb(campaigns.folder)}
    path = campaigns.write(engine=engine, software=software, audit=audit)
    master = cli.start("run", path)
    wait_until(lambda: "tight" in ran(campaigns) or master.poll() is not None)
    assert master.poll() is None, master.communicate()
    assert ran(campaigns).count("plain") == 4
    sample = {one["audit_of"] for one in copies(campaigns).find()}
    assert sample == {one["_id"] for one in campaigns.documents.find({"xtb.gfn2": {"$ne": None}})}
    master.send_signal(signal.SIGKILL)
    master.wait()
    # Documents that are added now do not change the sample.
    campaigns.insert({"_id": "late", "atomic_numbers": [10], "coordinates": [[0.0, 0.0, 0.0]]})
    (campaigns.folder / "tight").touch()
    assert "audit passed" in cli("run", path)
    assert {one["audit_of"] for one in copies(campaigns).find()} == sample
    assert ran(campaigns).count("plain") == 13
    assert campaigns.documents.count_documents({"xtb.gfn2.energy": {"$lt": 0}}) == 13
    # A finished audit is not repeated.
    before = len(ran(campaigns))
    cli("run", path)
    assert len(ran(campaigns)) == before


@needs_xtb
def test_ctrl_c_during_the_audit_stops_the_run_and_the_same_command_continues(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(6)
    audit = {"sample": 2, "stop_above": "1 meV/A"}
    path = campaigns.write(software={"xtb": gated_xtb(campaigns.folder)}, audit=audit)
    master = cli.start("run", path, "--grace", "0")
    wait_until(lambda: "tight" in ran(campaigns) or master.poll() is not None)
    master.send_signal(signal.SIGINT)
    output, errors = master.communicate(timeout=60)
    assert master.returncode == 130, (output, errors)
    assert campaigns.documents.count_documents({"xtb.gfn2": {"$ne": None}}) == 2
    (campaigns.folder / "tight").touch()
    cli("run", path)
    assert campaigns.documents.count_documents({"xtb.gfn2": {"$ne": None}}) == 6
    assert ran(campaigns).count("plain") == 6


@needs_xtb
def test_a_failed_audit_stops_each_run_until_it_is_set_aside(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(5)
    audit = {"sample": 2, "stop_above": "0.000000001 meV/A"}
    path = campaigns.write(audit=audit)
    for _ in range(2):
        found = cli("run", path, "--quiet", code=1)
        assert not found
        assert "accepts: force components are off by" in cli.errors
        assert campaigns.documents.count_documents({"xtb.gfn2": {"$ne": None}}) == 2
    # A larger bound needs no new audit.
    assert copies(campaigns).count_documents({}) == 2
    cli("run", campaigns.write(audit={**audit, "stop_above": "5 meV/A"}), "--limit", "2")
    assert campaigns.documents.count_documents({"xtb.gfn2": {"$ne": None}}) == 4
    cli("run", campaigns.write(audit=audit), "--no-audit")
    assert campaigns.documents.count_documents({"xtb.gfn2": {"$ne": None}}) == 5


@needs_xtb
def test_a_result_that_is_replaced_during_an_audit_is_not_compared(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(3)
    path = campaigns.write(software={"xtb": gated_xtb(campaigns.folder)})
    cli("run", path)
    audit = cli.start("audit", path, "--json")
    wait_until(lambda: "tight" in ran(campaigns) or audit.poll() is not None)
    cli("rerun", path, "--id", "2")
    cli("run", path)
    (campaigns.folder / "tight").touch()
    output, errors = audit.communicate(timeout=120)
    assert audit.returncode == 1, errors
    found = json.loads(output)
    assert found["noise"]["structures"] == 2
    assert [*found["left_out"].values()] == [1]
    assert [*found["examples"].values()] == [["2"]]
    # The next audit compares the new result.
    again = json.loads(cli("audit", path, "--json"))
    assert (again["noise"]["structures"], again["left_out"]) == (3, {})


@needs_xtb
def test_an_audit_of_failed_documents_passes_nothing(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(5)
    campaigns.documents.update_many({"_id": {"$gt": 1}}, {"$set": {"multiplicity": 2}})
    audit = {"sample": 4, "stop_above": "5 meV/A"}
    path = campaigns.write(audit=audit)
    # One of two samples has the usable document, and is too small; the other has none.
    cli("run", path, code=1)
    assert "could be compared" in cli.errors
    assert "it has no result" in cli.errors
    assert campaigns.documents.count_documents({"xtb.gfn2": {"$ne": None}}) <= 1
    campaigns.documents.update_many({}, {"$unset": {"multiplicity": ""}})
    assert "audit passed" in cli("run", path)
    assert campaigns.documents.count_documents({"xtb.gfn2": {"$ne": None}}) == 5


# One molecule whose bonds are so long that forces are above 2 eV/Å.
STRETCHED = {
    "_id": "stretched",
    "atomic_numbers": [8, 1, 1],
    "coordinates": [[0.01, 0.02, 0.03], [0.0, 0.1, 1.25], [1.2, 0.0, -0.24]],
}
REFUSING = {"closest_atoms": "off", "max_force": {"refuse": 2.0}}


@needs_xtb
def test_refused_labels_are_audited_and_counted_and_not_stored(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(3)
    campaigns.insert(STRETCHED)
    path = campaigns.write(checks=REFUSING)
    cli("run", path, code=1)
    [failure] = campaigns.failures.find()
    assert (failure["document"], failure["class"]) == ("stretched", "check_max_force")
    found = json.loads(cli("audit", path, "--json"))
    assert (found["noise"]["structures"], found["left_out"]) == (4, {})
    assert found["noise"]["refused"] == {"check_max_force": 1}
    assert sum(stratum["documents"] for stratum in found["strata"]) == 4
    assert campaigns.documents.count_documents({"xtb.gfn2": {"$ne": None}}) == 3
    assert [*campaigns.failures.find({"campaign": "test"})] == [failure]
    assert "1 of 4 structures was also refused by check_max_force" in cli("audit", path)
    # The noise is that of a campaign that stores all of its results.
    path = campaigns.write(checks={"closest_atoms": "off", "max_force": "off"})
    cli("failures", path, "--retry", "check_max_force")
    cli("run", path)
    stored = json.loads(cli("audit", path, "--json"))
    assert (stored["noise"]["structures"], stored["noise"]["refused"]) == (4, {})
    for name in ("energy_mean", "force_mean", "rms_p95"):
        assert found["noise"][name]["value"] == pytest.approx(
            stored["noise"][name]["value"], rel=1e-6
        )


@needs_xtb
def test_results_of_another_recipe_are_answered_as_a_run_answers_them(
    campaigns: Campaigns, cli: Cli
) -> None:
    """Once, the advice was to run, which refuses."""
    campaigns.waters(2)
    path = campaigns.write()
    nothing = json.loads(cli("audit", path, "--json", code=2))
    assert nothing["code"] == "nothing-matches"
    cli("run", path)
    settings = campaigns.settings()
    settings["campaign_config"]["args"][0]["gfn"] = 1
    path = campaigns.write(**settings)
    refused = json.loads(cli("audit", path, "--json", code=2))
    assert refused["code"] == "recipe-changed"
    assert f"wqmaster rerun {path} --query '{{}}'" in refused["message"]
    cli("rerun", path, "--query", "{}")
    cli("run", path)
    assert json.loads(cli("audit", path, "--json"))["noise"]["structures"] == 2


@needs_xtb
def test_a_campaign_of_which_everything_was_refused_can_be_audited(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(3)
    path = campaigns.write(checks={**REFUSING, "max_force": {"refuse": 0.001}})
    cli("run", path, code=1)
    assert campaigns.documents.count_documents({"xtb.gfn2": {"$ne": None}}) == 0
    planned = json.loads(cli("audit", path, "--sample", "2", "--dry-run", "--json"))
    assert len(planned["sample"]) == 2
    found = json.loads(cli("audit", path, "--json"))
    assert found["noise"]["refused"] == {"check_max_force": 3}
    # Copies have the coordinates of the documents.
    originals = {one["_id"]: one["coordinates"] for one in campaigns.documents.find()}
    assert {one["audit_of"]: one["coordinates"] for one in copies(campaigns).find()} == originals
    # If a document has changed, its refused values belong to another molecule.
    campaigns.documents.update_one({"_id": 2}, {"$set": {"charge": 2}})
    found = json.loads(cli("audit", path, "--json", code=1))
    assert found["noise"]["refused"] == {"check_max_force": 2}
    assert [*found["examples"].values()] == [["2"]]
    # Attempts with another recipe do not count either.
    config = campaigns.settings()["campaign_config"]
    config["args"][0]["accuracy"] = 0.5
    cli("audit", campaigns.write(campaign_config=config), code=2)
    assert "one that a check refused" in cli.errors


@needs_xtb
def test_refused_labels_without_an_archive_are_left_out_with_advice(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(3)
    campaigns.insert(STRETCHED)
    path = campaigns.write(checks=REFUSING, archive={"keep": "none"})
    cli("run", path, code=1)
    found = json.loads(cli("audit", path, "--json", code=1))
    assert (found["noise"]["structures"], found["noise"]["refused"]) == (3, {})
    [(reason, count)] = found["left_out"].items()
    assert count == 1
    assert "check_max_force" in reason
    assert "archive: {keep: failed}" in reason
    assert found["examples"][reason] == ["stretched"]
    # The message advises this: archives must be kept, and the failures be computed again.
    path = campaigns.write(checks=REFUSING, archive={"keep": "failed"})
    cli("failures", path, "--retry", "check_max_force")
    cli("run", path, code=1)
    found = json.loads(cli("audit", path, "--json"))
    assert (found["noise"]["refused"], found["left_out"]) == ({"check_max_force": 1}, {})
    # A damaged archive is left out as well.
    [archive] = (path.parent / "test.run" / "spool" / "failed").glob("*/outputs.tar")
    archive.write_bytes(archive.read_bytes()[:700])
    found = json.loads(cli("audit", path, "--json", code=1))
    assert [*found["examples"].values()] == [["stretched"]]
    assert "damaged" in next(iter(found["left_out"]))


@needs_xtb
def test_a_result_that_reparse_refuses_is_read_from_the_archives_of_results(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(2)
    campaigns.insert(STRETCHED)
    off = {"closest_atoms": "off", "max_force": "off"}
    cli("run", campaigns.write(checks=off, archive={"keep": "all"}, bundle={"size": 3}))
    path = campaigns.write(checks=REFUSING, archive={"keep": "all"}, bundle={"size": 3})
    written = json.loads(cli("reparse", path, "--write", "--json"))
    assert written["counts"]["now failing"] == 1
    assert campaigns.documents.count_documents({"xtb.gfn2": {"$ne": None}}) == 2
    found = json.loads(cli("audit", path, "--json"))
    assert (found["noise"]["refused"], found["left_out"]) == ({"check_max_force": 1}, {})


@needs_xtb
def test_the_audit_of_a_run_needs_the_archives_of_what_is_refused(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(3)
    settings = {
        "checks": {**REFUSING, "max_force": {"refuse": 0.001}},
        "audit": {"sample": 2, "stop_above": "5 meV/A"},
    }
    path = campaigns.write(**settings, archive={"keep": "none"})
    cli("run", path, code=1)
    assert "archive: {keep: failed}" in cli.errors
    assert campaigns.failures.count_documents({}) == 2
    path = campaigns.write(**settings)
    cli("failures", path, "--retry", "check_max_force")
    output = cli("run", path, code=1)
    assert "2 documents; 2 of 2 structures were also refused by check_max_force" in output
    assert campaigns.failures.count_documents({"final": True}) == 3
    # A later run judges by the stored numbers, and reports the same.
    settings["audit"] = {"sample": 2, "stop_above": "0.0000001 meV/A"}
    cli("run", campaigns.write(**settings), code=1)
    assert "2 of 2 structures were also refused by check_max_force" in cli.errors


@needs_xtb
def test_the_refused_end_of_a_chain_is_audited_at_the_geometry_of_its_archive(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(2)
    opt = {
        "name": "opt",
        "func_name": "wqmaster.tasks.xtb.optimize",
        "parsers": ["optimized_geometry"],
    }
    sp = {
        "name": "sp",
        "func_name": "wqmaster.tasks.xtb.singlepoint",
        "geometry": "opt",
        "gfn": 1,
        "parsers": ["energy", "gradient"],
    }
    config = {"args": [opt, sp], "kwargs": {"mongo_output_key": "chain"}, "commit": "step"}
    path = campaigns.write(
        campaign_config=config,
        submit={"query": {"chain.sp": None}},
        checks={**REFUSING, "max_force": {"refuse": 0.001}},
    )
    cli("run", path, code=1)
    stored = {one["_id"]: one["chain"] for one in campaigns.documents.find()}
    assert {step for chain in stored.values() for step in chain} == {"opt"}
    found = json.loads(cli("audit", path, "--json"))
    assert found["noise"]["refused"] == {"check_max_force": 2}
    assert found["noise"]["force_mean"]["value"] < 1
    for one in copies(campaigns).find():
        assert one["coordinates"] == stored[one["audit_of"]]["opt"]["optimized_geometry"]


@needs_xtb
def test_an_audit_compares_an_optimization_at_its_final_geometry(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(3)
    config = {
        "func_name": "wqmaster.tasks.xtb.optimize",
        "args": [{"name": "opt", "parsers": ["energy", "optimized_geometry"]}],
        "kwargs": {"mongo_output_key": "xtb"},
    }
    path = campaigns.write(campaign_config=config, submit={"query": {"xtb.opt": None}})
    cli("run", path)
    planned = json.loads(cli("audit", path, "--sample", "2", "--dry-run", "--json"))
    assert planned["function"] == "wqmaster.tasks.xtb.singlepoint"
    assert planned["changes"] == {"accuracy": {"before": None, "tighter": 0.01}}
    assert len(planned["sample"]) == 2
    assert copies(campaigns).count_documents({}) == 0
    found = json.loads(cli("audit", path, "--sample", "2", "--json"))
    assert found["noise"]["structures"] == 2
    assert found["noise"]["force_mean"] is None
    assert found["noise"]["energy_mean"]["value"] < 0.01
    originals = {one["_id"]: one for one in campaigns.documents.find()}
    for copy in copies(campaigns).find():
        opt = originals[copy["audit_of"]]["xtb"]["opt"]
        assert copy["coordinates"] == opt["optimized_geometry"]
    assert {entry["document"] for entry in planned["sample"]} == {
        copy["audit_of"] for copy in copies(campaigns).find()
    }


@needs_xtb
def test_the_last_step_of_a_chain_is_recomputed_at_the_geometry_of_the_first(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(2)
    opt = {
        "name": "opt",
        "func_name": "wqmaster.tasks.xtb.optimize",
        "parsers": ["optimized_geometry"],
    }
    sp = {
        "name": "sp",
        "func_name": "wqmaster.tasks.xtb.singlepoint",
        "geometry": "opt",
        "gfn": 1,
        "parsers": {"xtbout.json": ["energy"], "molecule.engrad": ["gradient"]},
    }
    copy = {
        "name": "text",
        "func_name": "wqmaster.tasks.command.run",
        "command": ["cat", "opt.xyz"],
        "geometry": "opt",
        "parsers": ["text"],
    }
    path = campaigns.write(
        campaign_config={"args": [opt, sp, copy], "kwargs": {"mongo_output_key": "chain"}},
        submit={"query": {"chain.text": None}},
        remedies={"opt": {"opt_not_converged": ["lbfgs"]}, "sp": {"erratic": ["again-1"]}},
    )
    cli("run", path)
    found = json.loads(cli("audit", path, "--json"))
    assert found["noise"]["step"] == "sp"
    assert found["noise"]["structures"] == 2
    assert found["noise"]["force_mean"]["value"] < 1
    originals = {one["_id"]: one["chain"]["opt"] for one in campaigns.documents.find()}
    for one in copies(campaigns).find():
        assert one["coordinates"] == originals[one["audit_of"]]["optimized_geometry"]


@needs_xtb
def test_another_seed_or_recipe_adds_copies_and_never_mixes(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(8)
    path = campaigns.write()
    cli("run", path)
    tighter = campaigns.folder / "tighter.yaml"
    tighter.write_text("accuracy: 0.1\n")
    for words in (["--seed", "1"], ["--seed", "2"], ["--seed", "1", "--tighter", tighter]):
        cli("audit", path, "--sample", "3", *words)
    found = list(copies(campaigns).find())
    fields = [
        [name for name in copy if name.startswith("audit_") and name != "audit_of"]
        for copy in found
    ]
    assert all(len(of_one) == 1 for of_one in fields)
    assert len({name for of_one in fields for name in of_one}) == 2
    audits = list(campaigns.documents.database["wqmaster.audits"].find())
    assert len(audits) == 3
    for audit in audits:
        assert copies(campaigns).count_documents({"audits": audit["_id"]}) == 3


@needs_xtb
@pytest.mark.parametrize(
    ("text", "said"),
    [("gfn: 1\n", "level of theory"), ("accuracy_: 0.1\n", "accuracy"), ("- 1\n", "mapping")],
)
def test_a_file_that_is_not_a_tighter_recipe_is_refused(
    campaigns: Campaigns, cli: Cli, text: str, said: str
) -> None:
    campaigns.waters(1)
    path = campaigns.write()
    cli("run", path)
    tighter = campaigns.folder / "tighter.yaml"
    tighter.write_text(text)
    for words in ((), ("--dry-run",)):
        cli("audit", path, "--tighter", tighter, *words, code=2)
        assert said in cli.errors
        assert str(tighter) in cli.errors
    assert copies(campaigns).count_documents({}) == 0
