"""A campaign from document to result, through the command line."""

import json

from tests.conftest import WATER, Campaigns, Cli


def test_a_document_comes_back_with_its_result(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.insert({"_id": "water", **WATER})
    output = cli("run", campaigns.write())
    assert "done                 1 (1 in this run)" in output
    result = campaigns.documents.find_one({"_id": "water"})["xtb"]["gfn2"]
    assert abs(result["energy"] - -5.070383095219) < 1e-9
    assert len(result["gradient"]) == 3
    assert result["_run"]["program_version"].startswith("6.")
    status = json.loads(cli("status", "--json"))
    assert (status["done"], status["pending"], status["failed"]) == (1, 0, 0)
