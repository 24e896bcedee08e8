"""Each result belongs to its document's molecule: mixed geometries, edits, added parsers."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import WATER, Campaigns, Cli, wait_until

CONFIG = {
    "func_name": "wqmaster.tasks.xtb.singlepoint",
    "job_timeout": 60,
    "kwargs": {"mongo_output_key": "xtb"},
}


def written(
    campaigns: Campaigns, *parsers: str, keep: dict[str, str] | None = None, **top: Any
) -> Path:
    step = {"name": "gfn2", "parsers": list(parsers or ["energy", "gradient"])}
    if keep:
        step["keep_files"] = keep
    return campaigns.write(campaign_config={**CONFIG, "args": [step]}, **top)


def stretched(coordinates: list[list[float]], by: float) -> list[list[float]]:
    return [[x, y, z + (by if place == 1 else 0)] for place, (x, y, z) in enumerate(coordinates)]


def stale(cli: Cli, path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cli("status", path, "--json"))["stale_survey"]
    return found


def runs(campaigns: Campaigns) -> dict[Any, dict[str, Any]]:
    return {
        document["_id"]: document["xtb"]["gfn2"]["_run"]
        for document in campaigns.documents.find({"xtb.gfn2": {"$ne": None}})
    }


def test_raw_and_optimized_geometries_never_share_a_key(campaigns: Campaigns, cli: Cli) -> None:
    """Once, results for 20 raw and 20 optimized geometries ended up under one key."""
    for number in range(40):
        raw = stretched(WATER["coordinates"], 1e-3 * number)
        optimized = {"positions": stretched(raw, 0.01)}
        campaigns.insert({**WATER, "_id": number, "coordinates": raw, "opt": optimized})
    path = written(campaigns, "energy")
    cli("run", path, "--limit", "20")
    before = runs(campaigns)
    assert len(before) == 20

    written(campaigns, "energy", molecule={"coordinates": "opt.positions"})
    for command in ("check", "run"):
        cli(command, path, code=2)
        assert "20 results were made with another recipe" in cli.errors
        assert "molecule.coordinates" in cli.errors
        assert "opt.positions" in cli.errors
    assert runs(campaigns) == before

    # With the old fields, the campaign can compute the remaining documents.
    written(campaigns, "energy")
    cli("run", path)
    assert {run["recipe"] for run in runs(campaigns).values()} == {before[0]["recipe"]}
    assert len(runs(campaigns)) == 40


@pytest.mark.parametrize(
    ("field", "value", "part"),
    [
        ("coordinates", stretched(WATER["coordinates"], 0.1), "coordinates: changed"),
        ("charge", 2, "charge: 0 when computed, 2 now"),
        ("multiplicity", 3, "multiplicity: 1 when computed, 3 now"),
        ("atomic_numbers", [16, 1, 1], "elements: changed"),
        ("coordinates", [[0.0, 0.0, 0.0]], "molecule: "),
    ],
)
def test_a_document_edited_after_it_is_done_is_stale_until_computed_again(
    field: str, value: Any, part: str, campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(3)
    path = written(campaigns, "energy", keep={"stdout": "{id}.out"})
    cli("run", path)
    assert (stale(cli, path)["stale"], stale(cli, path)["checked"]) == (0, 3)
    old = campaigns.documents.find_one({"_id": 2})
    assert old is not None
    campaigns.documents.update_one({"_id": 2}, {"$set": {field: value}})

    assert stale(cli, path)["stale"] == 1
    assert "stale     1" in cli("status", path)
    cli("run", path, code=2)
    assert "1 of 3 documents was changed after the results were computed" in cli.errors
    assert f"document 2: {part}" in cli.errors
    assert f"wqmaster rerun {path} --stale" in cli.errors
    cli("check", path, code=2)
    assert f"document 2: {part}" in cli.errors

    dry = cli("rerun", path, "--stale", "--dry-run").splitlines()
    assert "of 1 document would be moved" in dry[0]
    assert dry[1] == "2"  # the stale document's id
    assert campaigns.documents.find_one({"_id": 2})["xtb"] == old["xtb"]  # type: ignore[index]
    said = cli("rerun", path, "--stale")
    assert "the results of 1 document were moved to wqmaster.history" in said
    [entry] = campaigns.history.find()
    assert entry["document"] == 2
    assert entry["values"] == old["xtb"]["gfn2"]
    assert "no documents to compute again" in cli("rerun", path, "--stale")

    kept = Path(entry["kept"][0])
    assert kept.parent == campaigns.folder / "test.run" / "kept" / "replaced"
    cli("run", path, code=(0, 1))
    assert stale(cli, path)["stale"] == 0
    if not part.startswith("molecule"):
        new = campaigns.documents.find_one({"_id": 2})
        assert new is not None
        assert new["xtb"]["gfn2"]["energy"] != old["xtb"]["gfn2"]["energy"]
        assert kept.read_bytes() != (kept.parent.parent / "2.out").read_bytes()


def test_a_document_that_is_edited_back_is_not_stale(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.insert({**WATER, "_id": "a"})
    path = written(campaigns, "energy")
    cli("run", path)
    campaigns.documents.update_one({"_id": "a"}, {"$set": {"charge": 1, "name": "water"}})
    assert stale(cli, path)["stale"] == 1
    campaigns.documents.update_one({"_id": "a"}, {"$set": {"charge": 0}})
    assert stale(cli, path)["stale"] == 0
    cli("run", path)


def test_fields_that_do_not_affect_the_result_do_not_make_it_stale(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.insert({**WATER, "_id": 1, "name": "water"})
    path = written(
        campaigns, "energy", submit={"query": {"xtb.gfn2": None}, "projection": ["name"]}
    )
    cli("run", path)
    campaigns.documents.update_one({"_id": 1}, {"$set": {"name": "ice"}})
    assert stale(cli, path)["stale"] == 0
    written(campaigns, "energy")
    assert stale(cli, path)["stale"] == 0


def test_results_of_an_older_version_are_compared_as_a_whole(
    campaigns: Campaigns, cli: Cli
) -> None:
    """Such results record no parts of the fingerprint, and their recipe covers no field names."""
    campaigns.insert(*({**WATER, "_id": n, "positions": WATER["coordinates"]} for n in range(3)))
    path = written(campaigns, "energy")
    cli("run", path)
    campaigns.documents.update_many({}, {"$unset": {"xtb.gfn2._run.computed": ""}})
    cli("run", path)
    written(campaigns, "energy", molecule={"coordinates": "positions"})
    cli("run", path)  # the other field holds the same molecules

    moved = stretched(WATER["coordinates"], 0.2)
    campaigns.documents.update_one({"_id": 1}, {"$set": {"positions": moved}})
    cli("run", path, code=2)
    assert "document 1: molecule: it differs" in cli.errors


@pytest.mark.parametrize("keep", ["failed", "all"])
def test_check_counts_the_results_that_lack_an_added_parser(
    keep: str, campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(3)
    path = written(campaigns, "energy", archive={"keep": keep})
    cli("run", path)
    assert "lack" not in cli("run", path)

    written(campaigns, "energy", "charges", archive={"keep": keep})
    said = cli("check", path)
    assert "3 of 3 results of step gfn2 lack 'charges'" in said
    assert "3 of 3 results of step gfn2 lack 'charges'" in cli("run", path)
    assert ("wqmaster reparse" in said) == (keep == "all")
    if keep == "all":
        cli("reparse", path, "--write")
    else:
        query = json.dumps({"xtb.gfn2.charges": {"$exists": False}})
        assert f"wqmaster rerun {path} --query '{query}'" in said
        assert "the results of 3 documents" in cli("rerun", path, "--query", query)
        cli("run", path)
    assert "lack" not in cli("check", path)
    found = campaigns.documents.find()
    assert all(len(document["xtb"]["gfn2"]["charges"]) == 3 for document in found)


def test_documents_are_computed_again_by_id_query_and_class(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(4)
    campaigns.insert({**WATER, "_id": "bad", "charge": 1})
    path = written(campaigns, "energy")
    cli("run", path, code=1)
    before = runs(campaigns)

    assert "results of 2 documents" in cli("rerun", path, "--id", "1", "--id", "3")
    assert sorted(runs(campaigns)) == [2, 4]
    assert sorted(entry["document"] for entry in campaigns.history.find()) == [1, 3]
    cli("rerun", path, "--id", "7", code=2)
    assert "there is no document '7'" in cli.errors

    said = cli("rerun", path, "--query", '{"_id": {"$in": [2, "bad"]}}')
    assert "results of 1 document " in said
    assert "1 failed document " in said
    cli("run", path, code=1)
    assert sorted(runs(campaigns)) == [1, 2, 3, 4]
    assert runs(campaigns)[4] == before[4]
    assert runs(campaigns)[1]["finished"] > before[1]["finished"]

    campaigns.documents.update_one({"_id": "bad"}, {"$set": {"charge": 0}})
    assert json.loads(cli("rerun", path, "--class", "bad_document", "--json"))["retried"] == 1
    cli("run", path)
    assert len(runs(campaigns)) == 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "use exactly one of"),
        (("--stale", "--id", "1"), "use exactly one of"),
        (("--query", "{"), "not valid JSON: a name in double quotes is missing"),
        (("--query", "[1]"), "must be a JSON object"),
        (("--query", '{"$no": 1}'), "refused --query"),
        (("--query", '{"$where": "1"}'), "refused --query"),
        (("--class", "bad_documents"), "did you mean 'bad_document'"),
    ],
)
def test_an_invalid_rerun_is_refused_before_anything_is_moved(
    words: tuple[str, ...], said: str, campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(1)
    path = written(campaigns, "energy")
    cli("run", path)
    cli("rerun", path, *words, code=2)
    assert said in cli.errors
    assert campaigns.history.count_documents({}) == 0
    assert len(runs(campaigns)) == 1


def test_a_killed_rerun_loses_nothing_and_the_same_command_completes_it(
    campaigns: Campaigns, cli: Cli
) -> None:
    count = 3000
    campaigns.insert(
        *(
            {
                **WATER,
                "_id": number,
                "xtb": {
                    "gfn2": {
                        "energy": -5.0 - number,
                        "charges": [0.1] * 1000,
                        "_run": {"attempt": 1, "finished": datetime.now(UTC)},
                    }
                },
            }
            for number in range(count)
        )
    )
    path = written(campaigns, "energy")
    process = cli.start("rerun", path, "--query", "{}")
    wait_until(lambda: campaigns.history.estimated_document_count() > 50)
    process.kill()
    process.wait()
    moved = campaigns.documents.count_documents({"xtb.gfn2": None})
    assert moved < count

    cli("rerun", path, "--query", "{}")
    assert campaigns.documents.count_documents({"xtb.gfn2": None}) == count
    energies = sorted(entry["values"]["energy"] for entry in campaigns.history.find())
    assert energies == sorted(-5.0 - number for number in range(count))


def two_steps(campaigns: Campaigns, *names: str, query: dict[str, Any]) -> Path:
    steps = [
        {
            "name": name,
            "gfn": int(name[-1]),
            "parsers": ["energy"],
            "keep_files": {"stdout": f"{{id}}_{name}.out"},
        }
        for name in names
    ]
    return campaigns.write(campaign_config={**CONFIG, "args": steps}, submit={"query": query})


def test_an_added_step_runs_and_existing_results_stay(campaigns: Campaigns, cli: Cli) -> None:
    """Once, `check` recommended `check`, and a run replaced kept files of existing results."""
    campaigns.waters(3)
    path = two_steps(campaigns, "gfn2", query={"xtb.gfn2": None})
    cli("run", path)
    before = runs(campaigns)
    kept = campaigns.folder / "test.run" / "kept" / "2_gfn2.out"
    content, changed = kept.read_bytes(), kept.stat().st_mtime_ns

    two_steps(campaigns, "gfn2", "gfn1", query={"xtb.gfn2": None})
    for command in ("check", "run"):
        cli(command, path, code=2)
        assert "of other steps but not of 'gfn1' (3 in total)" in cli.errors
        assert "{query: {xtb.gfn1: null}}" in cli.errors
    assert "partly    3 with results of other steps but not of 'gfn1'" in cli("status", path)

    two_steps(campaigns, "gfn2", "gfn1", query={"xtb.gfn1": None})
    cli("run", path)
    assert runs(campaigns) == before
    assert campaigns.documents.count_documents({"xtb.gfn1": {"$ne": None}}) == 3
    assert (kept.read_bytes(), kept.stat().st_mtime_ns) == (content, changed)
    assert kept.with_name("2_gfn1.out").is_file()


def test_results_of_another_recipe_are_not_moved_as_stale(campaigns: Campaigns, cli: Cli) -> None:
    """Once, some of these results were moved, and the others made the guard refuse the next run."""
    campaigns.waters(3)
    path = written(campaigns, "energy")
    cli("run", path)
    campaigns.documents.update_many({"_id": {"$lt": 3}}, {"$set": {"opt": [[0.0, 0.0, 0.0]] * 3}})
    written(campaigns, "energy", molecule={"coordinates": "opt"})
    said = cli("status", path)
    assert "recipe    results were computed with another recipe" in said
    assert "rerun" not in said
    cli("rerun", path, "--stale", code=2)
    assert "results were made with another recipe" in cli.errors
    assert f"wqmaster rerun {path} --query '{{}}'" in cli.errors
    assert campaigns.history.count_documents({}) == 0
    assert "the results of 3 documents" in cli("rerun", path, "--query", "{}")
