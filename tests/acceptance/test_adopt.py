"""`wqmaster adopt`: outputs become documents with the right values, or are refused with a class."""

import gzip
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import Campaigns, Cli, wait_until
from tests.shared_orca import CLASSES, DATA, EXPECTED, NEEDS_DATA, VALUES
from wqmaster.jobs.failures import FailureClass

# Values that each output has if it is valid, and those that only some have.
ALWAYS = ("final_single_point_energy", "dipole", "mulliken", "loewdin")
# A route that prints all VALUES, so that a campaign may ask for them.
WITH_ALL = "! B3LYP D3BJ def2-SVP EnGrad Hirshfeld MBIS CHELPG"
GRADIENT = "6.1/water.grad.out"
ROUTE = "! B3LYP def2-SVP\n! EnGrad"


WATER_PLACES = [[0.0, 0.0, 0.0], [0.0, 0.0, 0.96], [0.93, 0.0, -0.24]]
WATER_XYZ = "3\n\nO 0.0000 0.0000 0.0000\nH 0.0000 0.0000 0.9600\nH 0.9300 0.0000 -0.2400\n"


def campaign(
    campaigns: Campaigns, *parsers: str, key: str = "old", route: str = ROUTE, **more: Any
) -> Path:
    """A campaign of ORCA with one step `sp`, whose results are stored under `key`."""
    config = {
        "func_name": "wqmaster.tasks.orca.sequential",
        "args": [{"name": "sp", "route": route, "parsers": list(parsers) or ["total_energy"]}],
        "kwargs": {"mongo_output_key": key},
    }
    return campaigns.write(campaign=key, campaign_config=config, submit={"query": {}}, **more)


def adopt(cli: Cli, folder: Path, path: Path, *words: str, code: int = 0) -> dict[str, Any]:
    """The report of `wqmaster adopt`."""
    asked = ("adopt", folder, "--program", "orca", "-C", path, "--json", *words)
    report: dict[str, Any] = json.loads(cli(*asked, code=code))
    return report


def refused(path: Path) -> dict[str, str]:
    """The refused outputs and their classes, from adopt-refused.jsonl."""
    key = path.parent / f"{next(path.parent.glob('*.run')).name}" / "adopt-refused.jsonl"
    lines = [json.loads(line) for line in key.read_text().splitlines()]
    return {line["path"]: line["class"] for line in lines}


def tree(tmp_path: Path, *names: str) -> Path:
    """A folder with copies of these real outputs, by their file names."""
    folder = tmp_path / "tree"
    folder.mkdir()
    for name in names:
        shutil.copy(DATA / name, folder / Path(name).name)
    return folder


def flat(values: Any) -> list[float]:
    if isinstance(values, list):
        return [number for value in values for number in flat(value)]
    return [values]


def check_values(stored: Mapping[str, Any], text: Mapping[str, Any], keys: Sequence[str]) -> None:
    for key in keys:
        parser, tolerance = VALUES[key]
        one, other = flat(stored[parser]), flat(text[key])
        assert len(one) == len(other)
        assert max(abs(x - y) for x, y in zip(one, other, strict=True)) <= tolerance, (key, stored)


@NEEDS_DATA
def test_the_real_outputs_have_no_wrong_value_and_each_trap_has_its_class(
    campaigns: Campaigns, cli: Cli
) -> None:
    expected = EXPECTED
    outputs = {name: one for name, one in expected.items() if name.endswith((".out", ".log"))}
    path = campaign(campaigns, *(VALUES[key][0] for key in ALWAYS))
    report = adopt(cli, DATA, path, "--mix-recipes", code=1)
    assert report["outputs"] == len(outputs)

    classes_of = {**CLASSES, "trap:missing_block": FailureClass.PARSE_ERROR}
    classes = {
        name: classes_of[one["outcome"]].label
        for name, one in outputs.items()
        if one["outcome"] != "ok"
    }
    assert refused(path) == classes
    good = {name: one for name, one in outputs.items() if one["outcome"] == "ok"}
    documents = {one["_id"]: one for one in campaigns.documents.find({})}
    assert documents.keys() == good.keys()
    for name, one in good.items():
        document, stored = documents[name], documents[name]["old"]["sp"]
        check_values(stored, one["text"], ALWAYS)
        assert stored["_run"]["program_version"] == one["version"]
        assert stored["_run"]["adopted"]["bytes"] == (DATA / name).stat().st_size
        known = one.get("cclib", {})
        state = {"charge": document["charge"], "mult": document["multiplicity"]}
        state["natom"] = len(document["atomic_numbers"])
        for key in state.keys() & known.keys():
            assert state[key] == known[key], (name, key)

    # Values that only some outputs have: the others are refused, not stored without them.
    for key in VALUES.keys() - {*ALWAYS}:
        path = campaign(campaigns, VALUES[key][0], key=f"of_{key}", route=WITH_ALL)
        adopt(cli, DATA, path, "--mix-recipes", "--prefix", key, code=1)
        found = {
            one["_id"].partition("/")[2]: one[f"of_{key}"]["sp"]
            for one in campaigns.documents.find({f"of_{key}": {"$exists": True}})
        }
        # ORCA prints no gradient for the final energy of an optimization.
        wanted = {
            name
            for name, one in outputs.items()
            if key in one["text"]
            and (one["outcome"] == "ok" or one["outcome"] == "trap:missing_block")
            and not (key == "gradient" and one["text"].get("opt_converged"))
        }
        assert found.keys() == wanted, key
        for name, stored in found.items():
            check_values(stored, outputs[name]["text"], [key])


@NEEDS_DATA
def test_only_outputs_with_the_settings_of_the_step_are_adopted_by_default(
    campaigns: Campaigns, cli: Cli
) -> None:
    path = campaign(campaigns, "total_energy", "gradient")
    report = adopt(cli, DATA, path, code=1)
    assert (report["adopted"], set(refused(path).values())) == (
        1,
        # The last three were refused by ORCA before it echoed their input.
        {"other_recipe", "input_keyword", "charge_multiplicity", "input_basis"},
    )
    [document] = campaigns.documents.find({})
    assert document["_id"] == GRADIENT
    run = document["old"]["sp"]["_run"]
    # The recipe is that of the output: the campaign's own does not state the version.
    [recipe] = [one for one in report["recipes"] if one["adopted"]]
    assert run["recipe"] == recipe["recipe"]
    assert recipe["asked"] == {
        "adopted": "orca",
        "keywords": "b3lyp def2-svp engrad",
        "blocks": {},
        "basis": "def2-SVP",
        "version": "6.1.0",
    }
    status = json.loads(cli("status", path, "--json"))
    assert (status["done"], status["stale"]) == (1, 0)
    # The guard does not let a run add results of the campaign's own recipe.
    assert json.loads(cli("check", path, "--json", code=2))["code"] == "recipe-changed"
    assert recipe["recipe"] in cli.errors


@NEEDS_DATA
def test_repeating_the_command_adds_nothing_and_reports_what_changed(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    folder = tree(tmp_path, GRADIENT, "6.1/water.energy.out")
    path = campaign(campaigns)
    first = adopt(cli, folder, path, "--mix-recipes")
    before = list(campaigns.documents.find({}))
    second = adopt(cli, folder, path, "--mix-recipes")
    assert (first["adopted"], second["adopted"], second["already_there"]) == (2, 0, 2)
    assert list(campaigns.documents.find({})) == before

    shutil.copy(DATA / "6.1/mbis-test.out", folder / "water.grad.out")
    third = adopt(cli, folder, path, "--mix-recipes", code=1)
    assert (third["already_there"], third["refused"]) == (1, {"id_taken": 1})
    assert list(campaigns.documents.find({})) == before


@NEEDS_DATA
def test_a_result_is_added_to_a_document_only_if_its_molecule_is_the_same_to_the_last_digit(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    folder = tree(tmp_path, GRADIENT, "6.1/water.energy.out")
    path = campaign(campaigns)
    adopt(cli, folder, path, "--mix-recipes")
    cli("rerun", path, "--query", "{}")
    campaigns.documents.update_one({"_id": "water.energy.out"}, {"$inc": {"coordinates.0.0": 1e-7}})
    report = adopt(cli, folder, path, "--mix-recipes", code=1)
    assert (report["adopted"], refused(path)) == (1, {"water.energy.out": "id_taken"})
    [done] = campaigns.documents.find({"old.sp": {"$ne": None}})
    assert done["_id"] == "water.grad.out"
    assert done["old"]["sp"]["total_energy"] == pytest.approx(-76.320385565717, abs=1e-9)


@NEEDS_DATA
def test_awkward_files_are_refused_alone(campaigns: Campaigns, cli: Cli, tmp_path: Path) -> None:
    folder = tree(tmp_path, GRADIENT)
    good = (folder / "water.grad.out").read_bytes()
    (folder / "x.out").mkdir()
    (folder / "x.out" / "packed.out.gz").write_bytes(gzip.compress(good + b"\n"))
    (folder / "crlf.out").write_bytes(good.replace(b"\n", b"\r\n"))
    (folder / "copy.out").write_bytes(good)
    (folder / "cut.out").write_bytes(good[: len(good) * 2 // 3])
    (folder / "other.log").write_text("Entering Gaussian System, Link 0=g16\n")
    (folder / "broken.out.gz").write_bytes(gzip.compress(good)[:-900])
    (folder / "closed.out").write_bytes(good + b"\n\n")
    (folder / "closed.out").chmod(0)
    Path(os.fsdecode(os.fsencode(folder) + b"/new\nline\xe9.out")).write_bytes(b"\n" + good)
    with (folder / "huge.out").open("wb") as huge:
        huge.write(good)
        huge.truncate(2 << 30)
    (folder / "link.out").symlink_to(DATA / "6.1/water.energy.out")
    path = campaign(campaigns, "total_energy", "gradient")
    report = adopt(cli, folder, path, code=1)
    # As root, every file can be read.
    closed = {} if os.access(folder / "closed.out", os.R_OK) else {"closed.out": "unreadable"}
    assert refused(path) == {
        "broken.out.gz": "unreadable",
        "water.grad.out": "duplicate",
        "cut.out": "truncated",
        "huge.out": "too_large",
        **closed,
    }
    ids = {one["_id"] for one in campaigns.documents.find({})}
    assert ids - {"closed.out"} == {
        "copy.out",
        "crlf.out",
        "new%0Aline%E9.out",
        "x.out/packed.out.gz",
    }
    energies = {one["old"]["sp"]["total_energy"] for one in campaigns.documents.find({})}
    assert len(energies) == 1
    assert report["skipped"] == {"links": 1}


@NEEDS_DATA
def test_values_of_an_optimization_keep_their_own_geometry(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    folder = tree(tmp_path, "6.1/water.opt.out", GRADIENT)
    adopt(cli, folder, campaign(campaigns), "--mix-recipes")
    optimized, single = (
        campaigns.documents.find_one({"_id": name}) or {}
        for name in ("water.opt.out", "water.grad.out")
    )
    frames = [
        line.split()
        for line in (DATA / "6.1/water.opt.out").read_text().split("CARTESIAN COORDINATES (ANGSTR")
    ]
    first, last = ([float(word) for word in words[3:6]] for words in (frames[1], frames[-1]))
    assert optimized["coordinates"][0] == pytest.approx(first)
    assert optimized["old"]["sp"]["geometry"][0] == pytest.approx(last)
    assert first != last
    assert "geometry" not in single["old"]["sp"]


@NEEDS_DATA
def test_lenient_leaves_out_what_a_run_did_not_compute_and_refuses_what_is_damaged(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    names = (GRADIENT, "6.1/water.energy.out", "4.2/serine-compromised.out")
    folder = tree(tmp_path, *names)
    path = campaign(campaigns, "total_energy", "gradient", "loewdin_charges")
    strict = adopt(cli, folder, path, "--mix-recipes", "--dry-run", code=1)
    assert (strict["adopted"], strict["refused"]) == (1, {"parse_error": 2})
    assert not list(campaigns.documents.find({}))
    lenient = adopt(cli, folder, path, "--mix-recipes", "--lenient", code=1)
    assert (lenient["adopted"], lenient["lacking"]) == (2, {"gradient": 1})
    assert refused(path) == {"serine-compromised.out": "parse_error"}


@NEEDS_DATA
def test_an_output_of_several_jobs_is_adopted_only_if_they_are_of_one_molecule(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    folder = tree(tmp_path, GRADIENT)
    start, other = (
        "  O      0.013409    0.010263   -0.003685",
        "  S      0.013409    0.010263   -0.003685",
    )
    good = (folder / "water.grad.out").read_text()
    head, body = good.split("CARTESIAN COORDINATES (ANGSTROEM)", 1)
    for name, first in (("same.out", start), ("differ.out", other)):
        rows = body.partition("CARTESIAN COORDINATES (A.U.)")[0].replace(start, first)
        two = f"{head}CARTESIAN COORDINATES (ANGSTROEM){rows}\nJOB NUMBER  2\n\n"
        (folder / name).write_text(f"{two}CARTESIAN COORDINATES (ANGSTROEM){body}")
    adopt(cli, folder, campaign(campaigns), code=1)
    [(name, kind)] = refused(folder.parent / "campaign.yaml").items()
    assert (name, kind) == ("differ.out", "molecule_unknown")


@NEEDS_DATA
def test_files_beside_an_output_are_read_and_those_of_another_run_refused(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    folder = tree(tmp_path, "6.1/water.hess.out", "4.2/H2O_hess_orca.out")
    shutil.copy(DATA / "6.1/water.hess.hess", folder / "water.hess.hess")
    shutil.copy(DATA / "4.2/H2O_hess_orca_broken.hess", folder / "H2O_hess_orca.hess")
    path = campaign(campaigns, "hessian", route="! B3LYP def2-SVP Freq")
    adopt(cli, folder, path, "--mix-recipes", code=1)
    assert refused(path) == {"H2O_hess_orca.out": "parse_error"}
    [document] = campaigns.documents.find({})
    [beside] = document["old"]["sp"]["_run"]["adopted"]["beside"]
    assert (document["_id"], beside["file"]) == ("water.hess.out", "water.hess.hess")
    assert len(document["old"]["sp"]["hessian"]) == 9


@NEEDS_DATA
def test_results_of_a_run_and_adopted_ones_do_not_share_a_key(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    folder = tree(tmp_path, GRADIENT)
    path = campaign(campaigns)
    campaigns.insert({"_id": 1, "old": {"sp": {"total_energy": 1.0, "_run": {"recipe": "0" * 16}}}})
    report = adopt(cli, folder, path, code=2)
    assert report["code"] == "recipe-changed"
    assert campaigns.documents.count_documents({}) == 1


def test_status_does_not_take_adopted_results_for_those_of_another_recipe(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    words = ("xtb", "water.xyz", "--gfn", "2", "--grad")
    (tmp_path / "water.xyz").write_text("3\n\nO 0 0 0.12\nH 0 0.757 -0.47\nH 0.1 -0.757 -0.47\n")
    with (tmp_path / "water.out").open("wb") as out:
        subprocess.run(words, cwd=tmp_path, stdout=out, stderr=subprocess.DEVNULL, check=True)
    steps = [{"name": "sp", "parsers": ["energy"]}]
    config = {
        "func_name": "wqmaster.tasks.xtb.singlepoint",
        "args": steps,
        "kwargs": {"mongo_output_key": "old"},
    }
    path = campaigns.write(campaign_config=config, engine="local")
    cli("adopt", tmp_path, "--program", "xtb", "-C", path)
    said = cli("status", path)
    assert "recipe    results were adopted from existing outputs" in said
    assert "another recipe" not in said
    assert json.loads(cli("status", path, "--json"))["adopted"] is True


@NEEDS_DATA
def test_a_second_recipe_needs_saying(campaigns: Campaigns, cli: Cli, tmp_path: Path) -> None:
    folder = tree(tmp_path, GRADIENT)
    good = (folder / "water.grad.out").read_text()
    (folder / "z.out").write_text(good.replace("Program Version 6.1.0", "Program Version 5.0.4"))
    path = campaign(campaigns, "total_energy")
    report = adopt(cli, folder, path, code=1)
    assert (report["adopted"], refused(path)) == (1, {"z.out": "other_recipe"})
    [other] = [one["recipe"] for one in report["recipes"] if one["refused"]]
    assert adopt(cli, folder, path, "--recipe", other, code=2)["code"] == "recipe-changed"
    assert adopt(cli, folder, path, "--mix-recipes")["adopted"] == 1
    second = campaign(campaigns, "total_energy", key="second")
    assert adopt(cli, folder, second, "--recipe", "zzz", code=2)["code"] == "usage"
    only = adopt(cli, folder, second, "--recipe", other, "--prefix", "b", code=1)
    assert (only["adopted"], only["refused"]) == (1, {"other_recipe": 1})


@NEEDS_DATA
def test_a_killed_adoption_continues_and_leaves_nothing_half(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    folder = tmp_path / "tree"
    good = (DATA / GRADIENT).read_text()
    for number in range(600):
        (folder / f"{number % 7}").mkdir(parents=True, exist_ok=True)
        (folder / f"{number % 7}" / f"{number}.out").write_text(f"job {number}\n{good}")
    path = campaign(campaigns, "total_energy", "gradient")
    for number in (signal.SIGKILL, signal.SIGINT):
        count = campaigns.documents.count_documents({})
        words = ("adopt", folder, "--program", "orca", "-C", path, "--jobs", "2")
        process = cli.start(*words)
        wait_until(lambda before=count: campaigns.documents.count_documents({}) > before)
        process.send_signal(number)
        process.communicate(timeout=60)
    found = campaigns.documents.count_documents({})
    assert (
        campaigns.documents.count_documents({"old.sp._run.adopted.sha256": {"$exists": 1}}) == found
    )
    report = adopt(cli, folder, path)
    assert report["adopted"] + report["already_there"] == 600
    assert campaigns.documents.count_documents({}) == 600


@NEEDS_DATA
def test_an_output_that_kills_its_reader_is_refused_alone(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    good = (DATA / GRADIENT).read_text()
    for number in range(40):
        (folder / f"{number}.out").write_text(f"job {number}.\n{good}")
    (tmp_path / "fragile.py").write_text(
        "import os\nimport wqmaster\n\n\n@wqmaster.reads('stdout')\ndef fragile(output):\n"
        "    print('a line that is not part of the report')\n"
        "    if output.text.startswith('job 7.'):\n        os._exit(9)\n    return 1\n"
    )
    path = campaign(campaigns, "total_energy", "fragile.fragile")
    report = adopt(cli, folder, path, "--jobs", "2", code=1)
    assert (report["adopted"], refused(path)) == (39, {"7.out": "collector_crash"})


@NEEDS_DATA
def test_no_process_outlives_a_command_that_was_killed(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    good = (DATA / GRADIENT).read_text()
    for number in range(400):
        (folder / f"{number}.out").write_text(f"job {number}\n{good}")
    path = campaign(campaigns)
    process = cli.start("adopt", folder, "--program", "orca", "-C", path, "--jobs", "2")
    wait_until(lambda: campaigns.documents.count_documents({}) > 0)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.kill()
    process.communicate(timeout=60)
    assert not psutil.wait_procs(children, timeout=60)[1]


@pytest.mark.skipif(shutil.which("xtb") is None, reason="xtb is not installed")
def test_adopted_values_of_xtb_are_those_of_a_run(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    folder = tmp_path / "tree"
    for name in ("sp", "opt", "restrained", "shared", "replaced", "ion"):
        (folder / name).mkdir(parents=True)
        (folder / name / "mol.xyz").write_text(WATER_XYZ)
    (folder / "restrained" / "c.inp").write_text(
        "$constrain\n force constant=1.0\n distance: 1,2,1.2\n$end\n"
    )
    for name, printed, words in (
        ("sp", "xtb.out", "--grad --chrg 1 --uhf 1"),
        ("opt", "xtb.out", "--opt --alpb water"),
        ("restrained", "xtb.out", "--grad --input c.inp"),
        ("shared", "first.log", "--gfn 1"),
        ("shared", "second.log", "--gfn 2"),
        ("replaced", "xtb.out", "--grad"),
        ("ion", "xtb.out", "--vip"),
    ):
        with (folder / name / printed).open("wb") as file:
            command = ["xtb", "mol.xyz", *words.split()]
            subprocess.run(
                command, cwd=folder / name, stdout=file, stderr=subprocess.DEVNULL, check=True
            )
    changed = WATER_XYZ.replace("0.9600", "0.9700")
    (folder / "replaced" / "mol.xyz").write_text(changed)
    path = campaigns.write(
        campaign_config={
            "func_name": "wqmaster.tasks.xtb.singlepoint",
            "args": [{"name": "gfn2", "parsers": ["energy"]}],
            "kwargs": {"mongo_output_key": "old"},
        },
        submit={"query": {}},
    )
    words = ("adopt", folder, "--program", "xtb", "-C", path, "--mix-recipes", "--json")
    cli(*words, code=1)
    assert refused(path) == {
        "ion/xtb.out": "molecule_unknown",
        "restrained/xtb.out": "external_terms",
        "shared/first.log": "molecule_unknown",
        "shared/second.log": "molecule_unknown",
        "replaced/xtb.out": "molecule_unknown",
    }
    ion, optimized = (
        campaigns.documents.find_one({"_id": f"{name}/xtb.out"}) or {} for name in ("sp", "opt")
    )
    assert (ion["charge"], ion["multiplicity"]) == (1, 2)
    assert ion["coordinates"] == optimized["coordinates"] == WATER_PLACES
    assert optimized["old"]["gfn2"]["geometry"] != WATER_PLACES
    assert ion["old"]["gfn2"]["_run"]["recipe"] != optimized["old"]["gfn2"]["_run"]["recipe"]

    # The same molecule, computed by a run.
    campaigns.documents.update_many({}, {"$rename": {"old": "adopted"}})
    campaigns.documents.delete_one({"_id": "opt/xtb.out"})
    cli("run", path)
    computed = campaigns.documents.find_one({"_id": "sp/xtb.out"}) or {}
    energies = [computed[key]["gfn2"]["energy"] for key in ("old", "adopted")]
    assert energies[0] == pytest.approx(energies[1], abs=1e-8)
    molecules = [computed[key]["gfn2"]["_run"]["molecule"] for key in ("old", "adopted")]
    assert molecules[0] == molecules[1]


def test_a_folder_without_outputs_of_the_program_is_an_error(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "notes.txt").write_text("nothing\n")
    path = campaign(campaigns)
    assert adopt(cli, folder, path, code=2)["code"] == "output-not-recognized"
    asked = ("adopt", folder, "--program", "xtb", "-C", path, "--json")
    assert json.loads(cli(*asked, code=2))["code"] == "adoption-unclear"


def test_a_folder_without_files_is_reported_as_such(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    path = campaigns.write()
    (tmp_path / "outputs" / "below").mkdir(parents=True)
    (tmp_path / "outputs" / "link").symlink_to(path)
    words = ["adopt", tmp_path / "outputs", "--program", "xtb", "-C", path, "--json"]
    found = json.loads(cli(*words, code=2))
    assert found["code"] == "output-not-recognized"
    assert "no file" in found["message"]
    assert "links (1)" in found["message"]
