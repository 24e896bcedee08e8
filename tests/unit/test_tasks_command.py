"""The task function for any command: refused options and templates, and the jobs it builds."""

import re
from pathlib import Path
from typing import Any

import pytest
from bson import Int64, ObjectId
from pydantic import ValidationError

from wqmaster.errors import BadDocument
from wqmaster.jobs.job import Job
from wqmaster.jobs.molecule import Molecule
from wqmaster.tasks import stages
from wqmaster.tasks.base import Software, StepRequest, traits_of
from wqmaster.tasks.command.task import Command, run
from wqmaster.tasks.fields import id_text, pick, shortest

TRAITS = traits_of(run)
NO_ATOMS: tuple[tuple[int, ...], tuple[tuple[float, float, float], ...]] = ((), ())
ION = Molecule(
    "ion", (8, 1), ((0.0, 0.0, 0.1), (0.0, 1e-9, 0.9695)), charge=-1, multiplicity=1, document={}
)


def options(**given: Any) -> Command:
    return Command.model_validate({"command": "prog in", **given})


def steps(
    *given: Command, files: frozenset[str] = frozenset(), beside: Path = Path()
) -> list[StepRequest]:
    requests = [StepRequest(f"s{n}", option, files) for n, option in enumerate(given)]
    return [stages.loaded(TRAITS, step, Software(beside=beside)) for step in requests]


def checked(*given: Command, beside: Path = Path()) -> None:
    assert TRAITS.check is not None
    TRAITS.check(steps(*given, beside=beside), Software(beside=beside))


def built(
    *given: Command,
    molecule: Molecule = ION,
    software: Software | None = None,
    files: frozenset[str] = frozenset(),
) -> Job:
    software = software or Software()
    return run(molecule, steps(*given, files=files, beside=software.beside), software)


def filled(template: str, molecule: Molecule | None = None, **fields: Any) -> str:
    """The text that the template gives for a document with `fields`."""
    found = molecule or Molecule("id-1", *NO_ATOMS, document=fields)
    option = options(files={"in": template})
    checked(option)
    return built(option, molecule=found).files["in"].decode()


def refused(template: str, **fields: Any) -> str:
    """The reason why a document with `fields` cannot fill the template."""
    with pytest.raises(BadDocument) as caught:
        filled(template, **fields)
    return caught.value.message


# --- commands ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("prog -n 4 'two words'", ("prog", "-n", "4", "two words")),
        (["prog", "-n", 4, 0.5, ">"], ("prog", "-n", "4", "0.5", ">")),
        ("awk '$1>2 {print; exit}' in#1", ("awk", "$1>2 {print; exit}", "in#1")),
    ],
)
def test_a_command_is_a_line_or_a_list(command: Any, words: tuple[str, ...]) -> None:
    [step] = built(Command(command=command)).steps
    assert step.argv == words


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("prog {{ document.charge }}", "values of a document are not allowed"),
        (["prog", "{{id}}"], "values of a document are not allowed"),
        ("prog < in", "no shell runs this"),
        ("prog in > out", "no shell runs this"),
        ("prog 2>&1", "no shell runs this"),
        ("a | b", "no shell runs this"),
        ("a && b", "no shell runs this"),
        ("a; b", "no shell runs this"),
        ("X=1 prog", "'environment:'"),
        ("prog in>out", "no shell runs this"),
        ("prog in|sort", "no shell runs this"),
        ("", "the command is empty"),
        ([], "at least 1 item"),
        ("prog 'open", "a quotation mark is not closed"),
        (["prog", True], "valid string"),
        (["prog", None], "valid string"),
        ("''", "is not a program"),
    ],
)
def test_an_invalid_command_is_refused(command: Any, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Command(command=command)


def test_the_program_is_called_as_software_says() -> None:
    software = Software(commands={"prog": "nice '/opt/my prog'"}, cores=2)
    [step] = built(options(), software=software).steps
    assert step.argv == ("nice", "/opt/my prog", "in")
    assert step.environment["OMP_NUM_THREADS"] == "2"


@pytest.mark.parametrize(
    ("command", "called"),
    [
        ("prog in", ["nice"]),
        ("/opt/other in", ["/opt/other"]),
        ("../shared/mine in", []),
        ("./mine", []),
        ("awk x", ["awk"]),
    ],
)
def test_programs_that_come_with_the_job_are_not_searched_for(
    command: str, called: list[str]
) -> None:
    assert TRAITS.runs is not None
    software = Software(commands={"prog": "nice '/opt/my prog'"})
    assert list(TRAITS.runs(options(command=command), software)) == called


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"files": {"a/b": ""}}, "cannot be the name of a file"),
        ({"outputs": ["stdout"]}, "reserved for the runner"),
        ({"outputs": ["../x"]}, "cannot be the name of a file"),
        ({"files": {"in": ""}, "templates": {"in": "x"}}, "in both"),
        ({"files": {"in": ""}, "outputs": ["in"]}, "would be returned as its output"),
        ({"environment": {"A B": "1"}}, "is not a valid name of a variable"),
        ({"environment": {"A": "{{ id }}"}}, "values of a document are not"),
        ({"environment": {"A": True}}, "valid string"),
        ({"outpts": ["x"]}, "did you mean 'outputs'"),
    ],
)
def test_an_invalid_option_is_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        options(**given)


def test_a_file_to_continue_from_is_one_of_the_steps_files() -> None:
    checked(options(outputs=["restart.dat"], continues=["restart.dat"]))
    with pytest.raises(ValueError, match=r"'restart.dta' in 'continues:'.*mean 'restart.dat'"):
        checked(options(outputs=["restart.dat"], continues=["restart.dta"]))


# --- files -------------------------------------------------------------------------------------


def test_files_for_parsers_return_and_leftover_files_are_removed() -> None:
    option = options(files={"in": "x"}, outputs=["a", "b"], continues=["b"])
    job = built(option, option, files=frozenset({"c", "in", "stdout"}))
    assert all(set(step.outputs) == {"a", "b", "c", "in"} for step in job.steps)
    assert job.removed_before(0) == ()
    assert set(job.removed_before(1)) == {"a", "c"}


def test_an_output_can_be_a_changed_input_if_declared() -> None:
    job = built(options(files={"in": "x"}, outputs=["in"], continues=["in"]))
    assert job.steps[0].outputs == ("in",)
    assert job.removed_before(0) == ()


def test_the_input_files_of_a_later_step_wait_under_other_names() -> None:
    one, two = options(files={"in": "1"}, outputs=["b"]), options(files={"in": "2", "b": "3"})
    job = built(one, two)
    assert job.files == {"in": b"1", "s1.in": b"2", "s1.b": b"3"}
    assert (job.removed_before(0), job.removed_before(1)) == ((), ())
    assert job.steps[0].rename == ()
    assert job.steps[1].rename == (("s1.b", "b"), ("s1.in", "in"))


def test_files_that_would_overwrite_one_another_are_refused() -> None:
    with pytest.raises(ValueError, match=r"step 's1': 'in' would replace another file"):
        checked(options(files={"s1.in": ""}), options(files={"in": ""}))


def test_shared_inputs_are_sent_once_under_their_names(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "grid").write_text("x")
    option = options(inputs=["data/grid"])
    checked(option, option, beside=tmp_path)
    job = built(option, option, software=Software(beside=tmp_path))
    [shared] = job.inputs
    assert (shared.name, shared.path) == ("grid", tmp_path / "data" / "grid")
    [step] = steps(option, beside=tmp_path)
    assert TRAITS.uses(step.loaded) == ("data/grid",)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"inputs": ["absent"]}, "there is no file 'absent'"),
        ({"inputs": ["folder"]}, "is a folder"),
        ({"inputs": ["file", "folder/file"]}, "two files in 'inputs:' would be 'file'"),
        ({"templates": {"in": "absent"}}, "the file absent cannot be read"),
        ({"templates": {"in": "binary"}}, "not UTF-8"),
        ({"templates": {"in": "bad"}}, "the template of 'in', line 2"),
        ({"command": "sh ../shared/x.sh"}, "not among its 'inputs:'"),
    ],
)
def test_files_next_to_the_campaign_are_checked_when_it_is_read(
    tmp_path: Path, given: dict[str, Any], why: str
) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("file", "folder/file"):
        (tmp_path / name).write_text("x")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "bad").write_text("fine\n{% if %}\n")
    with pytest.raises(ValueError, match=why):
        checked(options(**given), beside=tmp_path)


def test_a_template_is_read_once(tmp_path: Path) -> None:
    place = tmp_path / "t"
    place.write_text("{{ document.a.b }} {{ document.a }}")
    option = options(templates={"in": "t"})
    loaded = steps(option, beside=tmp_path)
    assert list(TRAITS.fields(loaded[0].loaded)) == ["a"]
    place.write_text("changed")
    molecule = Molecule(1, *NO_ATOMS, document={"a": {"b": 1}})
    with pytest.raises(BadDocument, match="cannot be written directly"):
        run(molecule, loaded, Software(beside=tmp_path))


# --- templates ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ document.a", "line 1"),
        ("a\n{% for x in document.a %}\n", "endfor"),
        ("{{ documnt.a }}", "no variable 'documnt'; did you mean 'document'"),
        (
            "\n\n{{ molecule.symbol }}",
            r"line 3: a molecule has no 'symbol'; did you mean 'symbols'",
        ),
        ("{{ id|nosuch }}", "there is no filter 'nosuch'"),
        ("{{ document.a|random }}", "there is no filter 'random'; available: abs"),
        ("{{ document.a|fixd(3) }}", "did you mean 'fixed'"),
        ("{% if document.a is defind %}{% endif %}", "no test 'defind'; did you mean 'defined'"),
        ("{{ lipsum() }}", "no variable 'lipsum'"),
        ("{% include 'other' %}", "cannot use another template"),
        ("{% set d = document %}{{ d.a }}", "name a field of the document"),
        ("{{ document[id] }}", "name a field of the document"),
        ("{{ document['$where'] }}", "is not a valid field"),
        ("{{ document['a.b'] }}", "is not a valid field"),
    ],
)
def test_a_template_that_cannot_be_filled_is_refused_with_its_line(template: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"the template of 'in', .*{why}"):
        checked(options(files={"in": template}))


def test_the_fields_named_in_templates_are_found() -> None:
    text = (
        "{{ document.a.b }}{% if document.c is defined %}{{ document['d']['e'] }}{% endif %}"
        "{% for row in document.rows %}{{ row.x }}{% endfor %}{{ document.list[0].y }}"
        "{{ document.a.b.c|fixed(2) }} {{ molecule.charge + document.q }}"
    )
    option = options(files={"in": text, "other": "{{ document.z }}"})
    [step] = steps(option)
    assert list(TRAITS.fields(step.loaded)) == ["a.b", "c", "d.e", "list", "q", "rows", "z"]


@pytest.mark.parametrize(
    ("template", "fields", "expected"),
    [
        ("{{ document.x }}", {"x": 0.1 + 0.2}, "0.30000000000000004"),
        ("{{ document.x }}", {"x": 1e22}, "1e+22"),
        ("{{ document.x }}", {"x": Int64(7)}, "7"),
        ("{{ document.x|fixed(4) }} {{ document.x|fixed }}", {"x": 1 / 3}, "0.3333 0.333333333333"),
        ("{{ '%8.3f'|format(document.x) }}", {"x": -1.5}, "  -1.500"),
        ("{{ document.x }}", {"x": "<a & 'b'> {{ 7 * 7 }}"}, "<a & 'b'> {{ 7 * 7 }}"),
        ("{{ document.items }} {{ document.a.values }}", {"items": 1, "a": {"values": 2}}, "1 2"),
        ("{{ document.x|join(' ') }}", {"x": [1, 2.5]}, "1 2.5"),
        ("{{ document.x|tojson }}", {"x": ["<'>", 1e-9]}, '["<\'>", 1e-09]'),
        ("{{ document.x is defined }}", {}, "False"),
        ("{{ document.x|default(3) }}", {}, "3"),
        ("{{ id }}\n\n", {}, "id-1\n\n"),
        ("a\n{% if true %}\n  b\n  {% endif %}\nc\n", {}, "a\n  b\nc\n"),
        ("%pal nprocs {{ cores }} end { C 0 1 }", {}, "%pal nprocs 1 end { C 0 1 }"),
        ("{% raw %}{{ kept }}{% endraw %}", {}, "{{ kept }}"),
        ("{{ document.x.y.0 }}", {"x": {"y": [5], "z": 1}}, "5"),
        ("{{ document.rows[1].e }}", {"rows": [{"e": 1}, {"e": 2}]}, "2"),
    ],
)
def test_values_are_written_completely_and_unchanged(
    template: str, fields: dict[str, Any], expected: str
) -> None:
    assert filled(template, **fields) == expected


@pytest.mark.parametrize(
    ("template", "fields", "why"),
    [
        ("\n{{ document.x }}", {}, "line 2: the document has no field 'x'"),
        ("{{ document.a.b.c }}", {"a": {"b": {"d": 1}}}, "no field 'a.b.c'"),
        ("{{ document.a.b }}{{ document.a.c }}", {"a": {"b": 1}}, "no field 'a.c'"),
        ("{{ document.x }}", {"x": None}, "the value is null"),
        ("{{ document.x }}", {"x": float("nan")}, "'document.x' of the document is not finite"),
        ("{{ document.x / 1e-300 }}", {"x": 1e300}, "not finite"),
        ("{{ document.x }}", {"x": [1]}, "a list cannot be written"),
        ("{{ document.x }}", {"x": {"y": 1}}, "cannot be written"),
        ("{{ document.x.upper }}", {"x": "a"}, "has no field 'x.upper'"),
        ("{{ document.x.y }}", {"x": [1, 2]}, "has no field 'x.y'"),
        ("{{ document.x.y.z }}", {"x": {"y": 1}}, "has no field 'x.y.z'"),
        ("{{ document.x.y }}", {}, "has no field 'x.y'"),
        ("{{ document.x|upper() ~ document.x[5] }}", {"x": [1]}, "a list has no entry 5"),
        ("{{ 1 / document.x }}", {"x": 0}, "ZeroDivisionError"),
        ("{{ 'x' * document.n }}", {"n": 10**12}, "more than 1,000,000 entries"),
        ("{{ document.n * [1] }}", {"n": 10**12}, "more than 1,000,000 entries"),
        ("{{ 3 ** document.n }}", {"n": 10**12}, "OverflowError"),
        ("{{ document.x }}", {"x": b"raw"}, "a type that JSON lacks"),
        ("{{ document.x|fixed }}", {"x": "1"}, "'fixed' needs a finite number"),
        ("{{ molecule.xyz }}", {}, "the document has no molecule"),
        ("{{ memory }}", {}, r"'resources: \{memory: MB\}'"),
    ],
)
def test_only_a_document_that_cannot_fill_a_template_fails_with_the_reason(
    template: str, fields: dict[str, Any], why: str
) -> None:
    message = refused(template, **fields)
    assert re.search(why, message), message


def test_a_molecule_is_written_unchanged() -> None:
    text = (
        "{{ molecule.charge }} {{ molecule.multiplicity }} {{ molecule.natoms }}\n"
        "{% for a in molecule.atoms %}\n"
        "{{ a.symbol }} {{ a.x }} {{ a.y }} {{ a.z }}\n"
        "{% endfor %}\n"
    )
    assert filled(text, ION) == "-1 1 2\nO 0.0 0.0 0.1\nH 0.0 1e-09 0.9695\n"
    assert filled("{{ molecule.xyz }}", ION) == ION.xyz()


def test_memory_and_cores_are_those_of_the_job() -> None:
    option = options(files={"in": "{{ cores }} {{ memory }}"})
    job = built(option, software=Software(cores=3, memory=4000))
    assert job.files["in"] == b"3 4000"


def test_no_value_of_a_document_is_in_a_command_line() -> None:
    option = options(files={"in": "{{ id }} {{ document.x }}"})
    one = built(option, molecule=Molecule("a", *NO_ATOMS, document={"x": "secret"}))
    two = built(option, molecule=Molecule("b", *NO_ATOMS, document={"x": "other"}))
    assert one.steps == two.steps
    assert one.files != two.files


# --- fields ------------------------------------------------------------------------------------


def test_nested_fields_are_picked_with_their_structure() -> None:
    document = {"a": {"b": 1, "c": 2, "d": 3}, "rows": [{"x": 1, "y": 2}, {"x": 3}], "n": None}
    found = pick(document, ["a.b", "a.c", "rows.x", "n", "absent.q", "a.b.z", "n.m"])
    assert found == {"a": {"b": 1, "c": 2}, "rows": [{"x": 1}, {"x": 3}], "n": None}


def test_a_field_within_another_is_not_fetched_twice() -> None:
    assert shortest(["a.b", "a", "ab.c", "a.b.c", "d.e"]) == ["a", "ab.c", "d.e"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"),
        ("x", "x"),
        (ObjectId("5f43a1b2c3d4e5f6a7b8c9d0"), "5f43a1b2c3d4e5f6a7b8c9d0"),
        ({"b": 1, "a": 2.5}, '{"a": 2.5, "b": 1}'),
    ],
)
def test_an_id_has_a_text_form(value: Any, text: str) -> None:
    assert id_text(value) == text
