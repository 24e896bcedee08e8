"""Outputs that are larger than a collector may hold, and folders that lead elsewhere."""

import hashlib
from pathlib import Path

import pytest

from tests.conftest import Campaigns, Cli

# One more than `max_size: 1MB` below.
LARGE = (1 << 20) + 1


def command(script: str, **step: object) -> dict[str, object]:
    """A step that runs a shell script."""
    return {"name": "a", "command": ["sh", "script"], "files": {"script": script}, **step}


def campaign(campaigns: Campaigns, *steps: object) -> Path:
    config = {"func_name": "wqmaster.tasks.command.run", "args": list(steps), "job_timeout": 60}
    return campaigns.write(
        campaign_config=config,
        submit={},
        archive={"max_size": "1MB", "keep": "all"},
        molecule={"required": False},
    )


def test_a_large_file_that_is_only_kept_is_copied_and_not_held(
    campaigns: Campaigns, cli: Cli
) -> None:
    script = f"head -c {50 << 20} /dev/zero | tr '\\0' x > big; echo done\n"
    keep = {"big": "{id}.big", "stdout": "{id}.out"}
    path = campaign(campaigns, command(script, keep_files=keep, outputs=["big"]))
    campaigns.insert({"_id": "one"})
    cli("run", path)
    kept = cli.folder / "test.run" / "kept"
    with (kept / "one.big").open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    assert found == hashlib.sha256(b"x" * (50 << 20)).hexdigest()
    assert (kept / "one.out").read_bytes() == b"done\n"
    assert (kept / "one.big").stat().st_mode & 0o777 == 0o600
    assert sorted(entry.name for entry in kept.iterdir()) == ["one.big", "one.out"]


def test_a_job_that_prints_too_much_fails_and_both_ends_are_kept(
    campaigns: Campaigns, cli: Cli
) -> None:
    script = f"echo first; head -c {30 << 20} /dev/zero | tr '\\0' x; echo; echo last\n"
    path = campaign(campaigns, command(script))
    campaigns.insert({"_id": 1})
    cli("run", path, code=1)
    [record] = campaigns.failures.find()
    assert (record["class"], record["final"]) == ("output_too_large", True)
    assert f"stdout has {(30 << 20) + 12:,} bytes" in record["message"]
    assert record["tail"].endswith("last")
    archive = Path(record["archive"])
    assert archive.stat().st_size < 3_000_000
    content = archive.read_bytes()
    assert content.count(b"first\nxxx") == content.count(b"xxx\nlast\n") == 1
    assert b"the middle of this file was left out" in content


def test_a_large_file_that_a_parser_reads_fails_the_job(campaigns: Campaigns, cli: Cli) -> None:
    (cli.folder / "mine.py").write_text(
        "import wqmaster\n\n\n@wqmaster.reads('table')\ndef size(output):\n"
        "    return len(output.text)\n"
    )
    script = f"head -c {LARGE} /dev/zero | tr '\\0' x > table\n"
    path = campaign(campaigns, command(script, parsers=["mine.size"], outputs=["table"]))
    campaigns.insert({"_id": 1})
    cli("run", path, code=1)
    [record] = campaigns.failures.find()
    assert record["class"] == "output_too_large"
    assert record["message"].startswith(f"table has {LARGE:,} bytes")


@pytest.mark.parametrize("name", ["../../escaped", "x" * 4096])
def test_kept_files_stay_in_their_folder_whatever_the_id_and_the_links_there(
    campaigns: Campaigns, cli: Cli, name: str
) -> None:
    path = campaign(campaigns, command("echo mine\n", keep_files={"stdout": "{id}.out"}))
    campaigns.insert({"_id": name})
    cli("run", path)
    kept = cli.folder / "test.run" / "kept"
    [file] = kept.iterdir()
    assert file.read_bytes() == b"mine\n"
    assert not (cli.folder / "escaped.out").exists()
    # A link in the place of a kept file is replaced, not followed.
    (cli.folder / "precious").write_text("precious")
    file.unlink()
    file.symlink_to(cli.folder / "precious")
    campaigns.documents.update_one({"_id": name}, {"$unset": {"test": ""}})
    cli("run", path)
    assert (cli.folder / "precious").read_text() == "precious"
    assert not file.is_symlink()
    assert file.read_bytes() == b"mine\n"
