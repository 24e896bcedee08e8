"""Texts for users: suggested commands, errors of users' code and templates, ids, refused input."""

import json
from pathlib import Path

import pytest
from bson import ObjectId

from wqmaster.campaign.loading import load
from wqmaster.errors import CampaignError
from wqmaster.jobs.molecule import shown_id
from wqmaster.parsers.base import Output
from wqmaster.parsers.xtb import frequencies, ir_intensities
from wqmaster.recipe.resolving import resolve
from wqmaster.software.pack.proof import last_lines
from wqmaster.system.this_command import this_command
from wqmaster.system.tracebacks import described
from wqmaster.tasks.command.templates import Template
from wqmaster.tasks.orca.remedies import check_route


def test_a_suggested_command_can_be_copied_inside_and_outside_of_a_checkout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("WQMASTER_CALLED_BY", raising=False)
    assert this_command() == "wqmaster"
    monkeypatch.setenv("WQMASTER_CALLED_BY", "../my checkout/shell")
    assert this_command() == "'../my checkout/shell' wqmaster"


def test_an_error_is_described_on_one_line_without_pythons_notation() -> None:
    assert described(ValueError("two\nlines")) == "ValueError: two lines"
    assert described(KeyError()) == "KeyError"


def test_an_id_is_shown_as_it_is_typed() -> None:
    text = "65a0123456789abcdef01234"
    assert [shown_id(one) for one in ("a-1", 7, ObjectId(text))] == ["'a-1'", "7", f"'{text}'"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{ a b }}", "'b' is not expected in '{{ ... }}'"),
        ("{% for x in molecule.atoms %}x", "'{% for ... %}' has no '{% endfor %}'"),
        ("{% if 1 %}a{% endfor %}", "'{% endfor %}' is not expected here"),
        ("{{ molecule.charge + }}", "an expression is missing or incomplete"),
        ("{{ 'a }}", "a quotation mark is not closed"),
        ("{# x", "'{#' is not closed with '#}'"),
        ("{% foo %}", "there is no tag '{% foo %}'"),
        ("{% endif %}", "'{% endif %}' has no '{% if ... %}' or '{% for ... %}' before it"),
    ],
)
def test_a_mistake_in_a_template_is_explained_in_plain_words(text: str, why: str) -> None:
    with pytest.raises(ValueError, match="line 1") as error:
        Template("in.txt", text)
    assert why in str(error.value)


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("notify: {command: /bin/true, timeout: 1h}", ["10 min"]),
        ("software: {xtb: {command: bin/xtb, url: 'https://example.org'}}", ["'xtb'", "'url'"]),
    ],
)
def test_a_refused_setting_is_named_with_its_line_and_unit(
    tmp_path: Path, setting: str, parts: list[str]
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "campaign: c\ncampaign_config: {func_name: wqmaster.tasks.xtb.singlepoint, "
        f"args: [{{name: one, parsers: [energy]}}]}}\n{setting}\n"
    )
    with pytest.raises(CampaignError) as error:
        resolve(load(path))
    assert error.value.message.startswith(f"{path}:3: ")
    assert all(part in error.value.message for part in parts)


def refused(folder: Path, step: str, function: str) -> str:
    """The error for a campaign with this step, which begins in line 5."""
    head = f"campaign: c\ncampaign_config:\n  func_name: wqmaster.tasks.{function}\n  args:\n"
    path = folder / "campaign.yaml"
    path.write_text(head + step)
    with pytest.raises(CampaignError) as error:
        resolve(load(path))
    return error.value.message


def test_an_orca_line_without_its_mark_is_one_mistake(tmp_path: Path) -> None:
    step = "    - name: s\n      route: PBE def2-SVP EnGrad\n      parsers: [energy, gradient]\n"
    said = refused(tmp_path, step, "orca.sequential")
    assert "did you mean '! PBE def2-SVP EnGrad'?" in said
    assert "gradient" not in said.replace("EnGrad", "")


@pytest.mark.parametrize(
    ("step", "line"),
    [
        ("    - name: s\n      function: mine.g\n", 6),
        ("    - name: s\n      function: mine.f\n      arguments: {x: 1, y: 1}\n", 7),
        ("    - name: s\n      function: mine.f\n      arguments: {}\n", 7),
        ("    - name: s\n      function: mine.f\n      modules: [other.py]\n", 7),
    ],
)
def test_an_error_about_a_python_function_names_the_line_of_the_key(
    tmp_path: Path, step: str, line: int
) -> None:
    (tmp_path / "mine.py").write_text("def f(document, x):\n    return x\n")
    assert f"campaign.yaml:{line}: " in refused(tmp_path, step, "python.call")


def test_an_unknown_solvent_is_reported_at_its_key(tmp_path: Path) -> None:
    said = refused(tmp_path, "    - name: s\n      solvent: watre\n", "xtb.singlepoint")
    assert "campaign.yaml:6: " in said
    assert "did you mean 'water'?" in said


def test_the_modes_of_an_older_xtb_come_from_vibspectrum() -> None:
    """The formats of xtb 6.5.1 (src/freq/io.f90, src/main/json.f90)."""
    lines = [
        "$vibrational spectrum",
        "#  mode     symmetry     wave number   IR intensity    selection rules",
        "#                         cm**(-1)      (km*mol⁻¹)       IR     RAMAN",
        *(f"{n:6}{'':9}{0:18.2f}{0:16.5f}{'':7} - {'':5} - " for n in range(1, 6)),
        f"{6:6}{'':8}a{500.25:18.2f}{1.5:16.5f}{'':7}YES{'':5}YES",
        "$end",
        "",
    ]
    waves = [0.0, 0.0, 0.0, 0.0, 0.0, 500.25341]
    values = {"vibrational frequencies/rcm": waves, "IR intensities/amu": [1.0] * 6}
    files = {"vibspectrum": "\n".join(lines).encode(), "xtbout.json": json.dumps(values).encode()}
    output = Output(files, "vibspectrum")
    assert (frequencies(output), ir_intensities(output)) == ([500.25], [1.5])


def test_an_orca_route_is_quoted_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "campaign.yaml"
    path.write_text(
        "campaign: c\ncampaign_config:\n  func_name: wqmaster.tasks.orca.sequential\n  args:\n"
        "    - {name: s, route: '! PBE Def2-SVPX EnGrad'}\n"
    )
    (warning,) = resolve(load(path)).warnings
    assert "'Def2-SVPX' is not a keyword" in warning
    with pytest.raises(ValueError, match="'FinalGrid' may change the level of theory"):
        check_route("! SlowConv FinalGrid")
    with pytest.raises(ValueError, match="'ThreshX' in %scf may change"):
        check_route("%SCF MaxIter 300 ThreshX 1e-9 END")
    check_route("! SlowConv\n%SCF MaxIter 300 Shift Shift 0.1 ErrOff 0.1 End END")


def test_the_processes_of_a_route_are_refused_at_their_line(tmp_path: Path) -> None:
    first = "    - {name: a, route: '! PBE def2-SVP'}\n"
    second = "    - name: b\n      route: |\n        ! PBE def2-SVP\n\n        %pal nprocs 8 end\n"
    said = refused(tmp_path, first + second, "orca.sequential")
    assert "campaign.yaml:10: step 'b': the route asks for 8 processes" in said


def test_an_option_whose_name_is_also_a_word_of_pydantic_is_refused_at_its_line(
    tmp_path: Path,
) -> None:
    said = refused(tmp_path, "    - name: s\n      function: mine\n", "python.call")
    assert "campaign.yaml:6: step 's': function: 'mine' cannot be used here; allowed: " in said
    said = refused(tmp_path, "    - name: s\n", "python.call")
    assert "campaign.yaml:5: step 's': the key 'function' is missing" in said


def test_the_end_of_an_output_is_shown_without_a_backtrace() -> None:
    text = (
        "At line 12 of file read.f90\nFortran runtime error: End of file\n\n"
        "Error termination. Backtrace:\n#0  0x7f2 in ???\n#1  0x55e in main\n\tat ./a.f90:9\n"
    )
    said = last_lines(text)
    assert said == "At line 12 of file read.f90 | Fortran runtime error: End of file"
    assert last_lines("#0  0x7f2 in ???\n") == "#0  0x7f2 in ???"
