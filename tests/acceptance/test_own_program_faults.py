"""What a newcomer's own program does wrong, and what is said about it."""

import json
from pathlib import Path

import pytest

from tests.acceptance.test_own_program import MODULE, PROGRAM, settings
from tests.conftest import Campaigns, Cli


@pytest.fixture
def path(campaigns: Campaigns) -> Path:
    """A campaign of the program of the guide, with three molecules."""
    campaigns.waters(3)
    program = campaigns.folder / "tally"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    (campaigns.folder / "tallying.py").write_text(MODULE)
    return campaigns.write(**settings(campaigns, "tallying.count"))


# --- results and documents ---------------------------------------------------------------------


def test_smoke_and_run_refuse_a_value_that_no_document_can_hold_and_name_it(
    path: Path, campaigns: Campaigns, cli: Cli
) -> None:
    large = MODULE.replace("return float(found[1])", 'return "x" * (31 << 20)')
    (campaigns.folder / "tallying.py").write_text(large)
    said = (
        "first.energy is 31.0 MB of the 31.0 MB of the result, and a document holds 16 MB with all "
        "its fields; keep the file with 'keep_files' instead"
    )
    failure = json.loads(cli("smoke", path, "--json", code=1))["failure"]
    assert failure["class"] == "not_stored"
    assert said in failure["message"]
    cli("run", path, code=1)
    assert said in campaigns.failures.find_one({"document": 1})["message"]


def test_a_value_that_the_database_cannot_hold_is_named(
    path: Path, campaigns: Campaigns, cli: Cli
) -> None:
    module = MODULE.replace("return float(found[1])", "return {1, 2}")
    (campaigns.folder / "tallying.py").write_text(module)
    assert "not_stored: first.energy cannot be stored: " in cli("smoke", path, code=1)


def test_documents_that_are_done_do_not_make_a_campaign_wrong_when_they_become_unusable(
    path: Path, campaigns: Campaigns, cli: Cli
) -> None:
    cli("run", path)
    refusing = MODULE.replace("@task(", "@task(inspect=refuse, ").replace(
        "class CalmRung",
        "from wqmaster.errors import BadDocument\n\n"
        "def refuse(molecule, options):\n"
        '    raise BadDocument("tally has no oxygen")\n\n\n'
        "class CalmRung",
    )
    (campaigns.folder / "tallying.py").write_text(refusing)
    said = "no first job can be shown: document 1: tally has no oxygen"
    assert f"note        {said}\n" in cli("check", path)
    remarks = json.loads(cli("check", path, "--json"))["remarks"]
    assert {"code": "document-unusable", "message": said} in remarks


def test_an_unusable_document_among_those_to_be_computed_is_named(
    path: Path, campaigns: Campaigns, cli: Cli
) -> None:
    refusing = MODULE.replace("@task(", "@task(inspect=refuse, ").replace(
        "class CalmRung",
        "from wqmaster.errors import BadDocument\n\n"
        "def refuse(molecule, options):\n"
        "    if molecule.id != 2:\n"
        '        raise BadDocument("tally has no oxygen")\n\n\n'
        "class CalmRung",
    )
    (campaigns.folder / "tallying.py").write_text(refusing)
    assert "The first job, of document 2" in cli("check", path)
    refusing = refusing.replace("if molecule.id != 2", "if True")
    (campaigns.folder / "tallying.py").write_text(refusing)
    cli("check", path, code=1)
    assert "the first: document 1: tally has no oxygen" in cli.errors
