"""The next run computes a failed document that was corrected; no option is needed."""

import json
from typing import Any

from tests.acceptance.conftest import each
from tests.acceptance.test_verbs import TOO_CLOSE
from tests.conftest import WATER, Campaigns, Cli


def counts(campaigns: Campaigns, cli: Cli, path: Any) -> tuple[int, int, int, int]:
    """How many documents are done, failed and pending in `status`, and how many `failures` has."""
    (_, status, _), (_, groups, _) = each(
        cli, ["status", path, "--json"], ["failures", path, "--json"]
    )
    found = json.loads(status)
    listed = sum(group["count"] for group in json.loads(groups))
    return found["done"], found["failed"], found["pending"], listed


def test_a_failed_document_is_computed_again_after_its_correction(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(2)
    campaigns.insert(
        {"_id": "close", **TOO_CLOSE},  # xtb fails
        {"_id": "spin", **WATER, "multiplicity": 2},  # the document has no valid molecule
        {"_id": "stays", **WATER, "multiplicity": 4},
    )
    path = campaigns.write()
    cli("run", path, code=1)
    assert counts(campaigns, cli, path) == (2, 3, 0, 3)
    attempts = campaigns.failures.count_documents({})
    assert "nothing to do" in cli("run", path, code=1)
    assert campaigns.failures.count_documents({}) == attempts

    apart = [[0.0, 0.0, 0.0], [0.0, 0.0, 0.74]]
    campaigns.documents.update_one({"_id": "close"}, {"$set": {"coordinates": apart}})
    campaigns.documents.update_one({"_id": "spin"}, {"$set": {"multiplicity": 1}})
    said = cli("run", path, code=1)
    assert "done                 4 (2 in this run, 2 before)" in said
    assert "failed               1 (0 in this run, 1 before)" in said
    assert "retried 2 failed documents that had changed" in said
    assert counts(campaigns, cli, path) == (4, 1, 0, 1)
    for name in ("close", "spin"):
        document = campaigns.documents.find_one({"_id": name})
        assert document is not None
        assert document["xtb"]["gfn2"]["energy"] < 0
    # The failed attempts stay recorded.
    shown = cli("failures", path, "--show", "close")
    assert "not retried until the document was changed" in shown
    assert campaigns.failures.count_documents({}) == attempts
