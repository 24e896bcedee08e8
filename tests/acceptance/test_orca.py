"""ORCA campaigns from end to end, with a stand-in for ORCA that returns real outputs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Campaigns, Cli, wait_until
from wqmaster.engines.choosing import why_not

HERE = Path(__file__).resolve()
OUTPUTS = HERE.parents[3] / "shared" / "data" / "orca"
STAND_IN = HERE.parents[1] / "stand_ins" / "orca_stand_in"
EXAMPLE = HERE.parents[2] / "examples" / "orca-wb97mv"

pytestmark = pytest.mark.skipif(
    not OUTPUTS.is_dir(), reason="real outputs of ORCA are missing: ../shared/data/orca"
)
ENGINES = [
    pytest.param(
        "work_queue",
        marks=pytest.mark.skipif(
            why_not("work_queue") is not None, reason=str(why_not("work_queue"))
        ),
    ),
    "local",
]
# The stand-in chooses its output by the first atom's x coordinate, in Angstrom.
CASES = {
    "good": 0.001,
    "scf": 0.002,
    "keyword": 0.003,
    "endless": 0.004,
    "cut": 0.005,
    "memory": 0.006,
    "other": 0.007,
    "optimized": 0.008,
}


def document(name: str) -> dict[str, Any]:
    return {
        "_id": name,
        "atomic_numbers": [8, 1, 1],
        "coordinates": [[CASES[name], 0.01, 0.0], [0.121, 0.976, 0.086], [0.75, -0.331, -0.545]],
        "charge": 0,
        "multiplicity": 1,
    }


def campaign_file(
    campaigns: Campaigns, engine: str, *, name: str = "campaign.yaml", **more: Any
) -> Path:
    """The example's campaign file, changed only as far as running it in a test requires."""
    here = {
        "database": {"uri": campaigns.uri, "name": campaigns.database},
        "engine": engine,
        "workers": {"type": "local", "count": 2},
        "software": {"orca": f"{STAND_IN} {OUTPUTS}"},
        **more,
    }
    text = (EXAMPLE / name).read_text()
    return campaigns.write(text + yaml.safe_dump(here))


def stored(campaigns: Campaigns, name: str) -> Mapping[str, Any]:
    found = campaigns.documents.find_one({"_id": name}) or {}
    result: Mapping[str, Any] = found.get("wb97mv", {})
    return result


def failures(campaigns: Campaigns, name: str) -> Sequence[Mapping[str, Any]]:
    return list(campaigns.failures.find({"document": name}).sort("attempt"))


@pytest.mark.parametrize("engine", ENGINES)
def test_each_output_gets_its_verdict(engine: str, campaigns: Campaigns, cli: Cli) -> None:
    campaigns.insert(*(document(name) for name in CASES if name not in ("endless", "optimized")))
    path = campaign_file(campaigns, engine, resources={"memory": 1000})
    cli("run", path, code=1)

    energy = json.loads((OUTPUTS / "expected.json").read_text())["files"]["6.1/water.grad.out"]
    for name, remedy in {"good": None, "scf": "kdiis_soscf", "memory": "memory_2x"}.items():
        result = stored(campaigns, name)["wb97md3bj"]
        assert result["total_energy"] == pytest.approx(
            energy["text"]["final_single_point_energy"], abs=1e-9
        )
        assert result["gradient"] == energy["text"]["gradient"]
        assert (result["_run"]["remedy"], result["_run"]["program_version"]) == (remedy, "6.1.0")
    assert [f["class"] for f in failures(campaigns, "scf")] == ["scf_not_converged"] * 2
    assert [f["remedy"] for f in failures(campaigns, "scf")] == [{}, {"wb97md3bj": ["slow_conv"]}]
    assert [f["class"] for f in failures(campaigns, "memory")] == ["memory"]

    # Wrong input is never retried. A truncated output is retried elsewhere, which uses no rung.
    [keyword] = failures(campaigns, "keyword")
    assert (keyword["class"], keyword["final"]) == ("input_keyword", True)
    cut = failures(campaigns, "cut")
    assert [f["class"] for f in cut] == ["truncated"] * 3
    assert [f["remedy"] for f in cut] == [{}] * 3
    assert [f["final"] for f in cut] == [False, False, True]
    [other] = failures(campaigns, "other")
    assert (other["class"], other["final"]) == ("not_as_asked", True)
    assert all(not stored(campaigns, name) for name in ("keyword", "cut", "other"))

    kept = path.parent / "wb97mv.run" / "kept"
    assert {file.name for file in kept.iterdir()} == {
        f"{name}_wb97md3bj.{kind}" for name in ("good", "scf", "memory") for kind in ("out", "gbw")
    }


def test_energy_and_gradient_of_two_geometries_are_never_stored_together(
    campaigns: Campaigns, cli: Cli
) -> None:
    """ORCA computes no gradient at the geometry of an optimization's final energy."""
    campaigns.insert(document("optimized"))
    path = campaign_file(campaigns, "local")
    path.write_text(path.read_text().replace(" engrad ", " opt "))
    cli("run", path, code=1)
    failed = failures(campaigns, "optimized")[-1]
    assert failed["class"] == "parse_error"
    for words in ("gradient", "optimization cycle 4", "stationary point", "frames"):
        assert words in failed["message"]
    assert not stored(campaigns, "optimized")

    path.write_text(path.read_text().replace("orca.gradient", "orca.frames"))
    cli("failures", path, "--retry", "parse_error")
    cli("run", path)
    result = stored(campaigns, "optimized")["wb97md3bj"]
    *cycles, last = result["frames"]
    assert last["energy"] == result["total_energy"]
    assert (last["converged"], last["gradient"]) == (True, None)
    assert [frame["cycle"] for frame in cycles] == [1, 2, 3, 4]
    assert all(len(frame["gradient"]) == len(frame["geometry"]) == 3 for frame in cycles)


def test_the_old_names_still_run(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.insert(document("good"))
    cli("run", campaign_file(campaigns, "local", name="campaign-htrq.yaml"))
    assert stored(campaigns, "good")["wb97md3bj"]["dipole"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_job_that_exceeds_its_time_limit_returns_its_output(
    engine: str, campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.insert(document("endless"))
    path = campaign_file(campaigns, engine)
    path.write_text(path.read_text().replace("job_timeout: 15000", "job_timeout: 2"))
    cli("run", path, code=1)
    [record] = failures(campaigns, "endless")
    assert record["class"] == "time_limit"
    assert record["tail"]
    assert record["wall_time"] >= 2


def two_steps(campaigns: Campaigns, engine: str) -> Path:
    first = {"name": "first", "route": "! PBE def2-SVP", "parsers": ["total_energy"]}
    second = {
        "name": "second",
        "route": "! wB97X def2-TZVP EnGrad",
        "moread": "first",
        "parsers": ["total_energy", "gradient", "mulliken_charges"],
        "keep_files": {"orca.gbw": "{id}.gbw"},
    }
    return campaigns.write(
        campaign_config={
            "func_name": "wqmaster.tasks.orca.sequential",
            "job_timeout": 60,
            "args": [first, second],
            "kwargs": {"mongo_output_key": "wb97mv"},
        },
        submit={"query": {}},
        engine=engine,
        software={"orca": f"{STAND_IN} {OUTPUTS}"},
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_a_second_step_starts_from_the_orbitals_of_the_first(
    engine: str, campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.insert(document("good"))
    path = two_steps(campaigns, engine)
    cli("run", path)
    result = stored(campaigns, "good")
    assert set(result["second"]) == {"total_energy", "gradient", "mulliken_charges", "_run"}
    assert len(result["second"]["mulliken_charges"]) == 3
    assert set(result["first"]) == {"total_energy", "_run"}
    orbitals = (path.parent / "test.run" / "kept" / "good.gbw").read_text()
    assert orbitals.count("stand-in for orbitals") == 2


def test_the_second_step_does_not_run_after_the_first_fails(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.insert(document("keyword"))
    cli("run", two_steps(campaigns, "local"), code=1)
    [record] = failures(campaigns, "keyword")
    assert (record["class"], record["step"]) == ("input_keyword", "first")


def test_a_remedy_of_the_campaign_is_used(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.insert(document("scf"))
    ladder = {"scf_not_converged": [{"name": "mine", "route": "! KDIIS"}]}
    path = campaign_file(campaigns, "local", remedies=ladder)
    cli("run", path)
    assert stored(campaigns, "scf")["wb97md3bj"]["_run"]["remedy"] == "mine"


def test_without_remedies_a_document_fails_and_remedies_can_be_tried_later(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.insert(document("scf"))
    path = campaign_file(campaigns, "local", remedies=False)
    cli("run", path, code=1)
    assert len(failures(campaigns, "scf")) == 1
    path = campaign_file(campaigns, "local")
    cli("failures", path, "--retry", "scf_not_converged")
    cli("run", path)
    assert stored(campaigns, "scf")["wb97md3bj"]["_run"]["remedy"] == "kdiis_soscf"
    shown = cli("failures", path, "--show", "scf")
    assert "remedy wb97md3bj: slow_conv" in shown


@pytest.mark.parametrize("engine", ENGINES)
def test_a_killed_master_continues_with_the_next_remedy(
    engine: str, campaigns: Campaigns, cli: Cli
) -> None:
    """Kills also fall between a failure and its record, and before the next attempt begins."""
    names = [f"scf{number}" for number in range(20)]
    campaigns.insert(*({**document("scf"), "_id": name} for name in names))
    path = campaign_file(campaigns, engine, bundle={"size": 3})
    for count in (1, 12, 26, 38):
        master = cli.start("run", path, "--quiet")
        wait_until(
            lambda count=count, master=master: (
                campaigns.failures.count_documents({}) >= count or master.poll() is not None
            )
        )
        master.kill()
        master.wait()
    cli("run", path)
    for name in names:
        assert [f["remedy"] for f in failures(campaigns, name)] == [
            {},
            {"wb97md3bj": ["slow_conv"]},
        ]
        run = stored(campaigns, name)["wb97md3bj"]["_run"]
        assert (run["attempt"], run["remedy"]) == (3, "kdiis_soscf")
    assert campaigns.failures.count_documents({"final": True}) == 0


def test_the_screen_reader_is_refused_before_anything_runs(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    reader = tmp_path / "bin" / "orca"
    reader.parent.mkdir()
    reader.write_text(
        "#!/usr/bin/python3\n# Copyright The Orca Team\nfrom gi.repository import Atspi\n"
    )
    reader.chmod(0o755)
    campaigns.insert(document("good"))
    path = campaign_file(campaigns, "local", software={"orca": str(reader)})
    cli("run", path, code=3)
    assert "screen reader" in cli.errors
    assert len(cli.errors.strip().splitlines()) == 1


def test_documents_that_failed_with_another_route_run_again(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.insert(document("scf"), document("keyword"))
    path = campaign_file(campaigns, "local", remedies=False)
    cli("run", path, code=1)
    cli("run", path, code=1)
    # The second run, with the same route, adds no attempts.
    assert campaigns.failures.count_documents({"final": True}) == 2
    assert campaigns.failures.count_documents({}) == 2

    path = campaign_file(campaigns, "local")
    path.write_text(path.read_text().replace("def2-tzvpp", "def2-svp"))
    found = json.loads(cli("check", path, "--json"))
    assert (found["failed"], found["failed_with_other_recipe"]) == (2, 2)
    said = cli("check", path)
    assert "0 done, 2 to compute (2 of them failed with another recipe)" in said
    assert "The first job, for document " in said
    assert "2 with another recipe; the next run computes them again" in cli("status", path)
    output = cli("run", path, code=1)
    assert "2 documents that had failed with another recipe were queued again" in output
    # The remedies start at the first rung, because attempts with the other route do not count.
    assert stored(campaigns, "scf")["wb97md3bj"]["_run"]["remedy"] == "kdiis_soscf"
    assert campaigns.failures.count_documents({"final": True}) == 1
    [status] = [json.loads(cli("status", path, "--json"))]
    assert (status["done"], status["failed"]) == (1, 1)


def test_results_of_two_routes_are_not_mixed(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.insert(document("good"))
    path = campaign_file(campaigns, "local")
    cli("run", path)
    campaigns.insert({**document("good"), "_id": "later"})
    path.write_text(path.read_text().replace("def2-tzvpp", "def2-svp"))
    cli("run", path, code=2)
    assert "1 result was made with another recipe" in cli.errors
    assert "-! wB97m-d3bj def2-tzvpp" in cli.errors
    assert "+! wB97m-d3bj def2-svp" in cli.errors
    assert not stored(campaigns, "later")


def test_an_audit_recomputes_with_a_tighter_route(campaigns: Campaigns, cli: Cli) -> None:
    """The stand-in prints the same numbers again, so the noise is zero."""
    campaigns.insert(document("good"), document("scf"))
    path = campaign_file(campaigns, "local")
    cli("run", path)
    planned = json.loads(cli("audit", path, "--dry-run", "--json"))
    words = planned["options"]["route"].lower().split()
    assert {"wb97m-d3bj", "defgrid3", "verytightscf", "nori", "nocosx"} <= {*words}
    assert not {"rijcosx", "def2/j", "tightscf", "defgrid2"} & {*words}
    assert planned["settings"] == ["grid", "scf", "density_fit"]
    found = json.loads(cli("audit", path, "--json"))
    assert found["noise"]["structures"] == 2
    assert found["noise"]["energy_mean"]["value"] == 0
    # The ladder of remedies is that of the campaign.
    copies = campaigns.documents.database["molecules.audit"]
    copy = copies.find_one({"audit_of": "scf", "audits": {"$type": "objectId"}}) or {}
    [results] = [
        value for name, value in copy.items() if name.startswith("audit_") and name != "audit_of"
    ]
    assert next(iter(results.values()))["_run"]["remedy"] is not None
