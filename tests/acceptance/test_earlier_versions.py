"""The campaign file, spool and database of an earlier version keep working.

data/version-0.2.tar.gz was made by version 0.2 with xtb 6.7.1. Of its five molecules, two have
results, one is in the spool (its master was killed before the commit), one is a bad document and
one failed. `{folder}` stands for the folder in archive paths.
"""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import json_util
from pymongo import MongoClient

from tests.conftest import Cli
from tests.integration.xtb_runs import NEEDS_XTB

pytestmark = NEEDS_XTB
LEFT = Path(__file__).parent / "data" / "version-0.2.tar.gz"


@pytest.fixture
def path(tmp_path: Path, cli: Cli) -> Iterator[Path]:
    """The campaign as version 0.2 left it, with its private server running."""
    with tarfile.open(LEFT) as archive:
        archive.extractall(tmp_path, filter="data")
    found = tmp_path / "campaign.yaml"
    # Version 0.2 had no checks, and its molecules lie along an axis (DESIGN.md, F31).
    found.write_text(found.read_text() + "\nchecks: 'off'\n")
    uri = cli("db", "start", found).split()[-1]
    text = (tmp_path / "database.json").read_text().replace("{folder}", str(tmp_path))
    with MongoClient[dict[str, Any]](uri) as client:
        for collection, documents in json_util.loads(text).items():
            client["wqmaster"][collection].insert_many(documents)
    yield found
    cli("db", "stop", found)


def energies(path: Path, cli: Cli) -> dict[int, float]:
    """The energies by document `_id`; documents without a result are left out."""
    with MongoClient[dict[str, Any]](cli("db", "url", path).split()[-1]) as client:
        found = client["wqmaster"]["molecules"].find({"xtb.gfn2": {"$ne": None}})
        return {document["_id"]: document["xtb"]["gfn2"]["energy"] for document in found}


def test_a_campaign_of_version_0_2_continues_where_it_was(path: Path, cli: Cli) -> None:
    before = energies(path, cli)
    assert sorted(before) == [1, 2]
    status = json.loads(cli("status", path, "--json"))
    assert (status["done"], status["failed"], status["stale"]) == (2, 2, 0)
    cli("check", path)
    cli("run", path, code=(0, 1))
    after = energies(path, cli)
    # The third result came from the spool, and no document was computed again.
    assert sorted(after) == [1, 2, 3]
    assert {n: after[n] for n in before} == before
    log = (path.parent / "before.run" / "logs" / "master.log").read_text()
    assert "document" not in log, log
    assert json.loads(cli("status", path, "--json"))["failed"] == 2


def test_archives_and_failures_of_version_0_2_are_read(path: Path, cli: Cli) -> None:
    cli("run", path, code=(0, 1))
    counts = json.loads(cli("reparse", path, "--json"))["counts"]
    assert {name: n for name, n in counts.items() if n} == {"same": 3, "still failed": 1}
    assert "implausible_energy" in cli("failures", path, "--show", "5")
    assert "of 1 document would be moved" in cli("rerun", path, "--id", "1", "--dry-run")
