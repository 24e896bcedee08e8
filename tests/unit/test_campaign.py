"""Accepted contents of the campaign file, and error messages."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from bson import ObjectId
from pydantic import BaseModel, ValidationError

from wqmaster.campaign.base import ALLOWED
from wqmaster.campaign.ignored import keys_ignored
from wqmaster.campaign.loading import LoadedCampaign, load
from wqmaster.campaign.models import Campaign, nearest
from wqmaster.campaign.workers import CondorWorkers, LocalWorkers, NoWorkers, SlurmWorkers
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError
from wqmaster.tasks.base import Rung
from wqmaster.tasks.orca.task import Step as OrcaOptions
from wqmaster.tasks.python.task import Call as PythonOptions
from wqmaster.tasks.vina.task import Dock as VinaOptions

MINIMAL = """\
campaign: small
campaign_config:
  func_name: wqmaster.tasks.xtb.singlepoint
  args:
    - name: gfn2
      parsers: [energy]
"""

# A campaign file in the format of the RQ framework.
LEGACY = """\
campaign: wb97mv
campaign_config:
  func_name: wqmaster.tasks.orca.sequential
  job_timeout: 15000
  args:
    - name: wb97md3bj
      route: |
        ! wB97m-d3bj def2-tzvpp def2/j rijcosx engrad tightscf
        %elprop dipole true quadrupole true end
        %output PrintLevel mini Print[P_DFTD_GRAD] 1 end
        %scf maxiter 256 end
      parsers:
        stdout:
          - wqmaster.parsers.orca.total_energy
          - wqmaster.parsers.orca.gradient
          - wqmaster.parsers.orca.dipole
      keep_files:
        stdout: '{id}_wb97md3bj.out'
        orca.gbw: '{id}_wb97md3bj.gbw'
  kwargs:
    mongo_output_key: wb97mv
submit:
  query: {wb97mv.wb97md3bj: null}
  projection: []
  queue: orca:high
"""


def loaded(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> LoadedCampaign:
    path = folder / "campaign.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, environ or {})


def refused(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> str:
    """The error message for a campaign file with `text`, without the folder's name."""
    with pytest.raises(CampaignError) as caught:
        loaded(folder, text, environ)
    assert caught.value.exit_code == 2
    return caught.value.message.replace(f"{folder}/", "")


def test_a_short_file_gets_the_documented_defaults(tmp_path: Path) -> None:
    campaign = loaded(tmp_path, MINIMAL).campaign
    assert campaign.campaign_config.job_timeout == 3600
    assert campaign.output_key == "small"
    assert campaign.submit.query == {}
    assert campaign.database.uri is None
    assert (campaign.database.name, campaign.database.collection) == ("wqmaster", "molecules")
    assert campaign.engine.type == "auto"
    assert campaign.workers.type == "local"
    assert (campaign.bundle.size, campaign.bundle.time) == ("auto", None)
    assert campaign.archive.compression == "auto"


def test_a_file_of_the_older_framework_is_accepted_as_it_is(tmp_path: Path) -> None:
    campaign = loaded(tmp_path, LEGACY).campaign
    [step] = campaign.steps
    assert campaign.output_key == "wb97mv"
    assert campaign.campaign_config.job_timeout == 15000
    assert campaign.submit.query == {"wb97mv.wb97md3bj": None}
    assert campaign.submit.queue == "orca:high"
    assert (campaign.submit.category, campaign.submit.level) == ("orca", 10)
    assert list(step.options) == ["route"]
    assert step.options["route"].splitlines()[3] == "%scf maxiter 256 end"
    assert isinstance(step.parsers, dict)
    assert step.parsers["stdout"][2] == "wqmaster.parsers.orca.dipole"
    assert step.keep_files == {
        "stdout": "{id}_wb97md3bj.out",
        "orca.gbw": "{id}_wb97md3bj.gbw",
    }


@pytest.mark.parametrize(
    ("submit", "category", "level", "weight"),
    [
        ("{}", None, 0, 1.0),
        ("{queue: orca}", "orca", 0, 1.0),
        ("{queue: 'orca:low', weight: 0.5}", "orca", -10, 0.5),
        ("{queue: 'orca:normal'}", "orca", 0, 1.0),
        ("{queue: orca, priority: 3}", "orca", 3, 1.0),
    ],
)
def test_a_queue_has_a_category_and_a_priority(
    tmp_path: Path, submit: str, category: str | None, level: int, weight: float
) -> None:
    found = loaded(tmp_path, f"{MINIMAL}submit: {submit}\n").campaign.submit
    assert (found.category, found.level, found.weight) == (category, level, weight)


@pytest.mark.parametrize(
    ("submit", "said"),
    [
        ("{queue: 'orca:hihg'}", "'hihg' is not a level of priority; did you mean 'high'?"),
        ("{queue: 'orca:high:1'}", "'high:1' is not a level of priority"),
        ("{queue: ':high'}", "the queue has no name"),
        ("{queue: 'orca:high', priority: 3}", "give the priority only once"),
        ("{priority: 1.5}", "submit.priority: must be a whole number"),
        ("{weight: 0}", "submit.weight: must be above 0"),
    ],
)
def test_a_priority_that_means_nothing_is_refused(tmp_path: Path, submit: str, said: str) -> None:
    line = MINIMAL.count("\n") + 1
    message = refused(tmp_path, f"{MINIMAL}submit: {submit}\n")
    assert message.startswith(f"campaign.yaml:{line}: ")
    assert said in message


def test_a_campaign_cannot_be_changed_by_accident(tmp_path: Path) -> None:
    campaign = loaded(tmp_path, MINIMAL).campaign
    with pytest.raises(ValidationError, match="frozen"):
        campaign.campaign = "other"


def test_unknown_keys_of_a_step_are_options_that_keep_their_types(tmp_path: Path) -> None:
    text = MINIMAL + "      gfn: 1\n      gradient: no\n      nested: {list: [1, 2.5, x]}\n"
    [step] = loaded(tmp_path, text).campaign.steps
    assert step.options == {"gfn": 1, "gradient": False, "nested": {"list": [1, 2.5, "x"]}}


def test_the_options_of_a_step_are_a_copy(tmp_path: Path) -> None:
    [step] = loaded(tmp_path, MINIMAL + "      gfn: 1\n").campaign.steps
    step.options["gfn"] = 2
    assert step.options == {"gfn": 1}


@pytest.mark.parametrize(
    ("line", "engine", "workers"),
    [
        ("engine: local", "local", "local"),
        ("engine: {type: local}", "local", "local"),
        ("workers: none", "auto", "none"),
    ],
)
def test_a_bare_type_describes_the_whole_section(
    tmp_path: Path, line: str, engine: str, workers: str
) -> None:
    campaign = loaded(tmp_path, f"{MINIMAL}{line}\n").campaign
    assert (campaign.engine.type, campaign.workers.type) == (engine, workers)


def test_a_bare_command_describes_a_program_of_software(tmp_path: Path) -> None:
    text = MINIMAL + "software:\n  xtb: nice -n 5 xtb\n  orca: {command: /opt/orca}\n"
    software = loaded(tmp_path, text).campaign.software
    assert {name: program.command for name, program in software.items()} == {
        "xtb": "nice -n 5 xtb",
        "orca": "/opt/orca",
    }


# --- variables ---------------------------------------------------------------------------------


def test_a_variable_is_replaced_inside_a_longer_text_and_its_name_is_recorded(
    tmp_path: Path,
) -> None:
    text = MINIMAL + "database: {uri: 'mongodb://me:${SECRET}@${HOST}/?x=${SECRET}'}\n"
    found = loaded(tmp_path, text, {"SECRET": "a:b#c{}", "HOST": "db", "OTHER": "x"})
    assert found.campaign.database.uri == "mongodb://me:a:b#c{}@db/?x=a:b#c{}"
    assert found.variables == {"SECRET", "HOST"}


def test_the_environment_of_the_process_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WQMASTER_TEST_KEY", "from_outside")
    path = tmp_path / "campaign.yaml"
    path.write_text(MINIMAL + "molecule: {charge: '${WQMASTER_TEST_KEY}'}\n")
    assert load(path).campaign.molecule.charge == "from_outside"


def test_a_variable_can_hold_a_number(tmp_path: Path) -> None:
    found = loaded(tmp_path, MINIMAL + "engine: {port: '${PORT}'}\n", {"PORT": "9123"})
    assert found.campaign.engine.port == 9123


def test_a_value_that_contains_yaml_remains_one_string(tmp_path: Path) -> None:
    text = MINIMAL + "submit: {query: {name: '${NAME}'}}\n"
    found = loaded(tmp_path, text, {"NAME": "{$gt: ''}\nengine: local"})
    assert found.campaign.submit.query == {"name": "{$gt: ''}\nengine: local"}


def test_a_value_that_looks_like_a_variable_is_not_replaced_again(tmp_path: Path) -> None:
    text = MINIMAL + "submit: {query: {a: '${A}'}}\n"
    found = loaded(tmp_path, text, {"A": "${B}", "B": "secret"})
    assert found.campaign.submit.query == {"a": "${B}"}
    assert found.variables == {"A"}


def test_two_dollar_signs_give_literal_braces(tmp_path: Path) -> None:
    text = MINIMAL + "submit: {query: {a: '$${X} and ${X}', $where: $x}}\n"
    found = loaded(tmp_path, text, {"X": "1"})
    assert found.campaign.submit.query == {"a": "${X} and 1", "$where": "$x"}
    assert loaded(tmp_path, MINIMAL + "      route: $${X}\n").variables == frozenset()


def test_an_escape_repeated_by_an_alias_stays_escaped(tmp_path: Path) -> None:
    text = MINIMAL + "submit: {query: {a: &once '$${X}', b: *once}}\n"
    found = loaded(tmp_path, text, {"X": "1"})
    assert found.campaign.submit.query == {"a": "${X}", "b": "${X}"}


def test_an_unset_variable_is_reported_with_its_line(tmp_path: Path) -> None:
    text = MINIMAL + "database:\n  name: x\n  uri: ${MONGO_URI}\n"
    message = refused(tmp_path, text)
    assert message.startswith("campaign.yaml:9: ")
    assert "'MONGO_URI' is not set" in message


def test_a_variable_in_a_comment_need_not_be_set(tmp_path: Path) -> None:
    assert loaded(tmp_path, "# ${NOT_SET}\n" + MINIMAL).variables == frozenset()


# --- errors and their locations ----------------------------------------------------------------


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match=r"nowhere\.yaml: there is no such campaign file"):
        load(tmp_path / "nowhere.yaml", {})


@pytest.mark.parametrize("typed", ["campaigns.yaml", "campaign.yml", "camapign.yaml"])
def test_a_misspelled_campaign_file_is_answered_with_the_nearest_one(
    tmp_path: Path, typed: str
) -> None:
    for name in ("campaign.yaml", "other.yaml", "campaign.txt"):
        (tmp_path / name).write_text(MINIMAL)
    with pytest.raises(CampaignError) as caught:
        load(tmp_path / typed, {})
    assert caught.value.message.endswith(f"did you mean '{tmp_path / 'campaign.yaml'}'?")
    assert caught.value.code is ErrorCode.CAMPAIGN_NOT_FOUND


def test_a_folder_is_not_a_campaign_file(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="is a folder; name a campaign file") as caught:
        load(tmp_path, {})
    assert caught.value.code is ErrorCode.CAMPAIGN_NOT_FOUND


@pytest.mark.parametrize("typed", ["", "service.yaml", "campaign.yaml"])
def test_what_is_not_a_campaign_of_a_service_is_answered_with_the_command_that_shows_them(
    tmp_path: Path, typed: str
) -> None:
    (tmp_path / "service.yaml").write_text("service: ours\n")
    for name in ("first.yaml", "second.yaml"):
        (tmp_path / name).write_text(MINIMAL)
    with pytest.raises(CampaignError) as caught:
        load(tmp_path / typed, {})
    assert caught.value.message.endswith(f"status {tmp_path}")
    assert (f"serve {tmp_path}; " in caught.value.message) == (typed != "campaign.yaml")


def test_a_campaign_may_be_named_like_a_service_file(tmp_path: Path) -> None:
    (tmp_path / "service.yaml").write_text(MINIMAL)
    assert load(tmp_path / "service.yaml", {}).campaign.campaign


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"campaign: \xff\xfe\x00")
    with pytest.raises(CampaignError, match="not UTF-8 text"):
        load(tmp_path / "binary.yaml", {})


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1b"])
def test_a_control_character_is_refused(tmp_path: Path, character: str) -> None:
    assert "campaign.yaml" in refused(tmp_path, MINIMAL + f"folder: a{character}b\n")


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    assert loaded(tmp_path, "\ufeff" + MINIMAL).campaign.campaign == "small"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (MINIMAL + "submit: {query: {a: 1}\nengine: local\n", 7),
        ("[1, 2\n", 1),
        ("campaign: 'small\n", 1),
        (MINIMAL + "\tengine: local\n", 7),
        (MINIMAL + "engine: &a\nworkers: *b\n", 8),
        (MINIMAL + "engine: !!python/object:os.system {}\n", 7),
        (MINIMAL + "---\ncampaign: second\n", 7),
    ],
    ids=[
        "open brace",
        "open bracket",
        "open quote",
        "tab",
        "unknown alias",
        "python tag",
        "two documents",
    ],
)
def test_invalid_yaml_is_refused_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    assert refused(tmp_path, text).startswith(f"campaign.yaml:{line}: invalid YAML: ")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("campaign: [\n", 1, "'[' or '{' is not closed"),
        ("submit:\n  query: {a: [1, 2],\n\nb: [\n", 4, "'[' or '{' is not closed"),
        ('{"_id": 1}\n{"_id": 2}\n', 2, "a second YAML document begins here"),
        ("a: 1\n---\nb: 2\n", 2, "a second YAML document begins here"),
        ("a: *y\n", 1, "no '&y' before '*y'"),
        ("a: !y 1\n", 1, "the tag '!y' is unknown"),
        ("a: [1, }\n", 1, "'}' is not allowed here"),
        ("a: {{x}}\n", 1, "cannot be a key"),
        ("a: - b\n", 1, "a '-' is not allowed here"),
        ('a: "\\q"\n', 1, "'\\q' is not an escape sequence"),
    ],
)
def test_invalid_yaml_is_explained_without_the_words_of_its_parser(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    message = refused(tmp_path, text)
    assert message.startswith(f"campaign.yaml:{line}: invalid YAML: ")
    assert words in message
    assert not re.search(r"node|<|scalar|found", message)


def test_a_value_that_contains_itself_is_refused(tmp_path: Path) -> None:
    assert "campaign.yaml" in refused(tmp_path, MINIMAL + "submit: {query: &a {b: *a}}\n")


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_file_is_refused(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text) == "campaign.yaml:1: the campaign file is empty"


@pytest.mark.parametrize("text", ["[1, 2]\n", "word\n", "null\n"])
def test_a_file_that_is_not_a_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text).startswith("campaign.yaml:1: a campaign file must be a mapping")


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        (MINIMAL + "campaign: again\n", 7, "campaign"),
        (MINIMAL + "      gfn: 1\n      gfn: 2\n", 8, "gfn"),
        (MINIMAL + 'submit: {query: {a: 1,\n  "a": 2}}\n', 8, "a"),
    ],
    ids=["top", "step", "query"],
)
def test_a_duplicate_key_is_refused(tmp_path: Path, text: str, line: int, key: str) -> None:
    message = refused(tmp_path, text)
    assert message.startswith(f"campaign.yaml:{line}: duplicate key '{key}'")


@pytest.mark.parametrize(
    ("text", "line", "key", "hint"),
    [
        (MINIMAL + "\ndatabse: {}\n", 8, "databse", "did you mean 'database'?"),
        (MINIMAL + "database:\n  name: x\n  url: y\n", 9, "url", "did you mean 'uri'?"),
        (MINIMAL + "resources: {cpus: 4}\n", 7, "cpus", "available: cores, disk, memory"),
        (MINIMAL + "engine:\n  type: local\n  prot: 1\n", 9, "prot", "did you mean 'port'?"),
        (
            MINIMAL.replace("  args:", "  job_time_out: 5\n  args:"),
            4,
            "job_time_out",
            "did you mean 'job_timeout'?",
        ),
        (MINIMAL + "software:\n  xtb:\n    comand: x\n", 9, "comand", "'command'?"),
        (MINIMAL + "7: x\n", 7, "7", "available: archive, audit, breaker"),
    ],
)
def test_an_unknown_key_is_refused_with_its_line_and_the_nearest_key(
    tmp_path: Path, text: str, line: int, key: str, hint: str
) -> None:
    message = refused(tmp_path, text)
    assert message.startswith(f"campaign.yaml:{line}: ")
    assert f"unknown key '{key}'; " in message
    assert hint in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("campaign: small", "campaign: small/er", 1, "campaign: 'small/er' cannot be used here"),
        ("name: gfn2", "name: gfn.2", 5, "step 1: name: 'gfn.2' cannot be used here"),
        ("name: gfn2", "name: -gfn2", 5, "'-gfn2' cannot be used here"),
        ("name: gfn2", 'name: "gfn2\\n"', 5, "cannot be used here"),
        ("[energy]", "energy", 6, "parsers: must be a mapping (KEY: VALUE) or a list"),
        ("[energy]", "{stdout: energy}", 6, "parsers.stdout: must be a list"),
        ("[energy]", "[energy, 7]", 6, "must be text"),
        ("  args:", "  job_timeout: 0\n  args:", 4, "job_timeout: must be above 0"),
        ("  args:", "  kwargs: {mongo_output_key: $x}\n  args:", 4, "'$x' cannot be used here"),
        ("  args:", "  kwargs: {mongo_output_key: a..b}\n  args:", 4, "'a..b' cannot be used here"),
    ],
)
def test_a_wrong_value_is_refused_with_its_line_and_key(
    tmp_path: Path, old: str, new: str, line: int, words: str
) -> None:
    message = refused(tmp_path, MINIMAL.replace(old, new))
    assert all(text.startswith(f"campaign.yaml:{line}: ") for text in message.splitlines())
    assert words in message


@pytest.mark.parametrize(
    ("addition", "words"),
    [
        ("engine: slurm", "must be 'auto', 'work_queue', 'taskvine' or 'local'"),
        ("engine: {port: 70000}", "at most 65535"),
        ("engine: 3", "engine: must be the name of an engine or a mapping; it is 3"),
        ("workers: {type: local, count: 0}", "above 0"),
        ("bundle: {size: 100000}", "a whole number from 1 to 1,000"),
        ("resources: {cores: 1.5}", "must be a whole number"),
        ("submit: {query: [1]}", "submit.query"),
        ("archive: {compression: xz}", "must be 'auto', 'gzip' or 'none'"),
    ],
)
def test_a_value_out_of_bounds_is_refused(tmp_path: Path, addition: str, words: str) -> None:
    message = refused(tmp_path, f"{MINIMAL}{addition}\n")
    assert message.startswith("campaign.yaml:7: ")
    assert words in message


def test_a_missing_key_is_reported_where_it_belongs(tmp_path: Path) -> None:
    message = refused(tmp_path, MINIMAL.replace("name: gfn2", "gfn: 2"))
    assert message == "campaign.yaml:5: step 1: the key 'name' is missing"


@pytest.mark.parametrize("uri", ["''", "'  '", "'${HOME_OF_NOTHING}'"])
def test_an_empty_address_of_the_database_is_refused_with_its_line(
    tmp_path: Path, uri: str
) -> None:
    text = f"{MINIMAL}database: {{uri: {uri}}}\n"
    assert refused(tmp_path, text, {"HOME_OF_NOTHING": ""}) == (
        "campaign.yaml:7: database.uri: the address is empty: write mongodb://HOST, or remove the "
        "key 'uri' for a private server"
    )


def test_a_wrong_value_is_shown_unless_it_may_be_secret(tmp_path: Path) -> None:
    for text, shown in (
        ("bundle: {size: many}", "from 1 to 1,000; it is 'many'"),
        ("bundle: {size: '${SIZE}'}", "from 1 to 1,000"),
        ("database: {uri: 17}", "must be text"),
    ):
        message = refused(tmp_path, f"{MINIMAL}{text}\n", {"SIZE": "secret"})
        assert message.endswith(shown)


def test_all_errors_are_reported_each(tmp_path: Path) -> None:
    text = MINIMAL.replace("campaign: small", "campaign: a b") + "bundle: {size: 0}\n"
    lines = refused(tmp_path, text).splitlines()
    assert [line.split(" ")[0] for line in lines] == ["campaign.yaml:1:", "campaign.yaml:7:"]


def test_two_steps_with_the_same_name_are_refused(tmp_path: Path) -> None:
    assert "two steps are named 'gfn2'" in refused(tmp_path, MINIMAL + "    - name: gfn2\n")


def test_a_campaign_without_steps_is_refused(tmp_path: Path) -> None:
    text = "campaign: a\ncampaign_config: {func_name: a.b, args: []}\n"
    assert "campaign_config.args" in refused(tmp_path, text)


def test_an_error_does_not_print_the_secret_in_the_uri(tmp_path: Path) -> None:
    text = MINIMAL + "database: {uri: '${URI}', nam: x}\n"
    assert "hunter2" not in refused(tmp_path, text, {"URI": "mongodb://me:hunter2@db"})
    found = loaded(tmp_path, MINIMAL + "database: {uri: '${URI}'}\n", {"URI": "mongodb://hunter2"})
    assert "hunter2" not in repr(found.campaign)


@pytest.mark.parametrize(
    ("word", "words", "hint"),
    [
        ("enrgy", ["energy", "gradient"], "did you mean 'energy'?"),
        ("zzz", ["b", "a"], "available: a, b"),
        ("zzz", [], "none is available"),
    ],
)
def test_the_nearest_word_is_suggested(word: str, words: list[str], hint: str) -> None:
    assert nearest(word, words) == hint


# --- the query ---------------------------------------------------------------------------------


def test_an_object_id_may_occur_anywhere_in_the_query(tmp_path: Path) -> None:
    text = MINIMAL + (
        "submit:\n"
        "  query:\n"
        "    $or:\n"
        "      - _id: {$oid: 507f1f77bcf86cd799439011}\n"
        "      - _id: {$gt: {$oid: 507f1f77bcf86cd799439012}}\n"
    )
    assert loaded(tmp_path, text).campaign.submit.query == {
        "$or": [
            {"_id": ObjectId("507f1f77bcf86cd799439011")},
            {"_id": {"$gt": ObjectId("507f1f77bcf86cd799439012")}},
        ]
    }


def test_a_wrong_object_id_is_refused_at_the_query(tmp_path: Path) -> None:
    message = refused(tmp_path, MINIMAL + "submit:\n  query: {_id: {$oid: 123}}\n")
    assert message.startswith("campaign.yaml:8: the query cannot be read: ")
    assert "'123'" in message


# --- folder and command line -------------------------------------------------------------------


def test_the_folder_is_next_to_the_campaign_file_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = loaded(tmp_path, MINIMAL)
    assert found.folder == tmp_path / "small.run"
    monkeypatch.chdir(tmp_path)
    assert load("campaign.yaml", {}).folder == tmp_path / "small.run"


def test_a_relative_folder_is_relative_to_the_campaign_file(tmp_path: Path) -> None:
    assert loaded(tmp_path, MINIMAL + "folder: runs/one\n").folder == tmp_path / "runs" / "one"


def test_an_absolute_folder_is_used_unchanged(tmp_path: Path) -> None:
    assert loaded(tmp_path, MINIMAL + "folder: /scratch/me\n").folder == Path("/scratch/me")


def test_the_command_line_replaces_only_what_it_names(tmp_path: Path) -> None:
    found = loaded(tmp_path, MINIMAL + "engine: {type: work_queue, port: 9000}\n")
    engine = found.replaced(engine="local").campaign.engine
    assert (engine.type, engine.port) == ("local", 9000)
    assert found.replaced(port=0).campaign.engine.port == 0
    assert found.replaced().campaign == found.campaign
    assert found.campaign.engine.type == "work_queue"


def test_a_campaign_survives_being_handed_to_another_process(tmp_path: Path) -> None:
    campaign = loaded(tmp_path, LEGACY).campaign
    again = Campaign.model_validate(yaml.safe_load(yaml.safe_dump(campaign.model_dump())))
    assert again == campaign


# --- workers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "model"),
    [
        ("{}", LocalWorkers),
        ("{count: 2}", LocalWorkers),
        ("none", NoWorkers),
        ("{type: condor, image: a.sif}", CondorWorkers),
        ("{partition: p, type: slurm}", SlurmWorkers),
    ],
)
def test_workers_use_the_model_of_their_type(
    tmp_path: Path, section: str, model: type[object]
) -> None:
    assert type(loaded(tmp_path, f"{MINIMAL}workers: {section}\n").campaign.workers) is model


def test_a_key_of_another_type_is_accepted_with_its_default_value(tmp_path: Path) -> None:
    text = (
        MINIMAL + "workers: {type: local, max: '100', timeout: 15min, image: null, options: []}\n"
    )
    assert loaded(tmp_path, text).campaign.workers == LocalWorkers()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            "  count: 2\n  max: 5\n",
            "campaign.yaml:9: workers: 'max' does not apply to workers of type local; valid keys: "
            "count, type",
        ),
        (
            "  type: none\n  manage: true\n",
            "campaign.yaml:9: workers: 'manage' does not apply to workers of type none; valid "
            "keys: host, type",
        ),
        (
            "  type: slurm\n  partion: a\n",
            "campaign.yaml:9: workers: unknown key 'partion'; did you mean 'partition'?",
        ),
        (
            "  type: condor\n  options: [a, 7]\n",
            "campaign.yaml:9: workers.options[2]: must be text; it is 7",
        ),
        (
            "  max: 5\n  type: slrum\n",
            "campaign.yaml:9: workers.type: must be 'local', 'none', 'condor' or 'slurm'; "
            "it is 'slrum'",
        ),
        (
            "  type: [slurm]\n  optoins: a\n",
            "campaign.yaml:8: workers.type: must be 'local', 'none', 'condor' or 'slurm'\n"
            "campaign.yaml:9: workers: unknown key 'optoins'; did you mean 'options'?",
        ),
        (
            "  type: condor\n  min: 5\n  max: 4\n",
            "campaign.yaml:7: workers: 'min' is larger than 'max'",
        ),
        (
            "  - condor\n",
            "campaign.yaml:7: workers: must be a type of workers or a mapping such as {count: 4}",
        ),
    ],
)
def test_wrong_workers_are_refused_with_line_and_key(
    tmp_path: Path, section: str, message: str
) -> None:
    assert refused(tmp_path, f"{MINIMAL}workers:\n{section}") == message


def patterns(schema: Any) -> set[str]:
    """All patterns in a JSON schema."""
    if isinstance(schema, dict):
        own = {schema["pattern"]} if isinstance(schema.get("pattern"), str) else set()
        return own.union(*map(patterns, schema.values()))
    return set().union(*map(patterns, schema)) if isinstance(schema, list) else set()


@pytest.mark.parametrize("model", [Campaign, PythonOptions, VinaOptions, OrcaOptions, Rung])
def test_every_pattern_is_described_in_words(model: type[BaseModel]) -> None:
    found = patterns(model.model_json_schema())
    assert found
    assert found <= set(ALLOWED)


@pytest.mark.parametrize(
    ("line", "change", "allowed"),
    [
        (1, ("campaign: small", "campaign: bad name"), "letters, digits, '_' and '-'"),
        (7, "submit: {projection: ['a..b']}", "no part may be empty or begin with '$'"),
        (7, "database: {name: a/b}", "all characters but spaces and /"),
        (7, "database: {collection: a$b}", "all characters but '$'"),
        (7, "engine: {name: my project}", "letters, digits, '_' and '-'"),
        (7, "engine: {catalog: 'a b'}", "HOST or HOST:PORT"),
        (7, "workers: {type: slurm, project: a b}", "letters, digits, '_', '.' and '-'"),
        (7, "workers: {type: slurm, host: a_b}", "letters, digits, '.', ':' and '-'"),
        (7, "software: {xtb: {command: x, url: here}}", "SCHEME://..."),
        (7, "software: {xtb: {command: x, url: 'a://b', sha256: zz}}", "64 hexadecimal digits"),
        (7, "software: {xtb: {command: x, module: 'x y'}}", "letters, digits and _ . + / -"),
    ],
)
def test_an_invalid_name_is_refused_with_the_allowed_characters(
    tmp_path: Path, line: int, change: str | tuple[str, str], allowed: str
) -> None:
    text = f"{MINIMAL}{change}\n" if isinstance(change, str) else MINIMAL.replace(*change, 1)
    with pytest.raises(CampaignError) as caught:
        loaded(tmp_path, text)
    assert f"campaign.yaml:{line}: " in caught.value.message
    assert " cannot be used here; allowed: " in caught.value.message
    assert allowed in caught.value.message
    assert caught.value.code is ErrorCode.CAMPAIGN_INVALID


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("reference_atoms: 3", "reference_atoms: must be true, false, a list of elements"),
        ("remedies: true", "or false; it is true"),
        ("job: null", "unknown key 'job'"),
    ],
)
def test_a_message_states_values_as_yaml_writes_them(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(CampaignError) as caught:
        loaded(tmp_path, f"{MINIMAL}{line}\n")
    assert words in caught.value.message


def test_the_ending_of_a_file_does_not_make_its_name_similar(tmp_path: Path) -> None:
    for name in ("rc.yaml", "ra.yaml"):
        (tmp_path / name).write_text(MINIMAL)
    with pytest.raises(CampaignError) as caught:
        load(tmp_path / "nosuch.yaml")
    assert caught.value.code is ErrorCode.CAMPAIGN_NOT_FOUND
    assert "did you mean" not in caught.value.message
    assert caught.value.message.endswith(f"; the YAML files in {tmp_path} are ra.yaml and rc.yaml")


def test_canary_and_breaker_have_defaults_and_can_be_switched_off(tmp_path: Path) -> None:
    found = loaded(tmp_path, MINIMAL).campaign
    assert found.canary is not None
    assert (found.canary.jobs, found.canary.stop_share) == (50, 0.8)
    assert found.breaker is not None
    assert found.breaker.science.verdicts > found.breaker.infrastructure.verdicts
    text = MINIMAL + "canary: {jobs: 20}\nbreaker: {pause: 5min, science: {verdicts: 50, "
    found = loaded(tmp_path, text + "stop_share: 0.9}}\n").campaign
    assert found.canary is not None
    assert (found.canary.jobs, found.canary.stop_share) == (20, 0.8)
    assert found.breaker is not None
    assert (found.breaker.pause, found.breaker.science.verdicts) == (300, 50)
    found = loaded(tmp_path, MINIMAL + "canary: false\nbreaker: false\n").campaign
    assert (found.canary, found.breaker) == (None, None)
    # A collector receives the campaign in this form.
    assert Campaign.model_validate(found.model_dump()) == found
    found = loaded(tmp_path, MINIMAL + "canary: true\n").campaign
    assert Campaign.model_validate(found.model_dump()) == found


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("canary: {jobs: 0}", "canary.jobs: must be at least 1"),
        ("canary: {stop_share: 80}", "canary.stop_share: must be at most 1"),
        ("canary: {stopshare: 0.8}", "did you mean 'stop_share'?"),
        ("canary: 50", "canary: must be a mapping"),
        ("breaker: {hosts: 0}", "breaker.hosts: must be at least 1"),
        ("breaker: {sciences: {}}", "did you mean 'science'?"),
        ("breaker: {science: {verdicts: 1, stop_share: 1}}", "must be at least 10"),
        ("breaker: {pause: 5 parsecs}", "is not a time"),
    ],
)
def test_a_wrong_canary_or_breaker_is_refused(tmp_path: Path, text: str, part: str) -> None:
    message = refused(tmp_path, MINIMAL + text + "\n")
    assert message.startswith("campaign.yaml:7: ")
    assert part in message


def test_a_key_that_yaml_takes_for_true_is_a_name(tmp_path: Path) -> None:
    text = MINIMAL + "notify:\n  command: ./tell.sh\n  on: [finished]\n"
    assert loaded(tmp_path, text).campaign.notify.on == ("finished",)
    with pytest.raises(CampaignError, match="notify: unknown key 'off'"):
        loaded(tmp_path, text + "  off: [paused]\n")


@pytest.mark.parametrize(
    ("line", "end"),
    [("on: [finish]", "; it is 'finish'"), ("timeout: 1h", "must be at most 10 min; it is '1h'")],
)
def test_a_message_on_notify_repeats_a_value_that_cannot_be_secret(
    tmp_path: Path, line: str, end: str
) -> None:
    text = f"{MINIMAL}notify:\n  command: ./tell.sh token\n  {line}\n"
    assert refused(tmp_path, text).endswith(end)
    assert "token" not in refused(tmp_path, f"{MINIMAL}notify: {{command: [token]}}\n")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (
            "engine: {type: local, port: 9123, ssl: true}\nworkers: {type: slurm}\n",
            ["port", "ssl", "workers"],
        ),
        ("engine: local\nworkers: {type: condor}\n", ["workers"]),
        ("engine: {type: local, name: mine}\n", ["name"]),
        ("engine: local\nworkers: {count: 2}\n", []),
        ("engine: {type: taskvine, port: 9123}\nworkers: {type: slurm}\n", []),
        ("workers: {type: slurm}\n", []),
    ],
)
def test_keys_without_effect_on_the_local_engine_are_reported(
    tmp_path: Path, text: str, names: list[str]
) -> None:
    """Once, such a campaign ran on this machine, and its port and workers were ignored silently."""
    found = loaded(tmp_path, MINIMAL + text)
    said = keys_ignored(found)
    assert (said is not None) is bool(names)
    assert [name for name in ("port", "ssl", "name", "workers") if f"'{name}'" in (said or "")] == [
        name for name in ("port", "ssl", "name", "workers") if name in names
    ]
    # A trial on this machine, with `--engine local`, is no mistake in the file.
    other = loaded(tmp_path, f"{MINIMAL}workers: {{type: slurm}}\n").replaced(engine="local")
    assert keys_ignored(other) is None
