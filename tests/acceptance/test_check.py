"""`wqmaster check`: the files that steps name, ORCA routes, all documents, values with units."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_bad_input import BAD, FILE_IS_WRONG, config, line_of, refused
from tests.acceptance.test_orca import OUTPUTS, campaign_file, document
from tests.conftest import WATER, Campaigns, Cli


def orca(route: str, parsers: Any = ("total_energy",), **more: Any) -> dict[str, Any]:
    """A `campaign_config:` with one ORCA step."""
    listed = parsers if isinstance(parsers, dict) else list(parsers)
    step = {"name": "sp", "route": route, "parsers": listed, **more}
    return config(func_name="wqmaster.tasks.orca.sequential", args=[step])


def xtb(function: str, *parsers: str, **more: Any) -> dict[str, Any]:
    """A `campaign_config:` with one xtb step."""
    step = {"name": "gfn2", "parsers": list(parsers), **more}
    return config(func_name=f"wqmaster.tasks.xtb.{function}", args=[step])


@pytest.mark.parametrize(
    ("settings", "line", "said"),
    [
        (orca("! HF def2-SVP", ["gradient"]), "- gradient", "EnGrad"),
        (orca("! HF def2-SVP", ["engrad_gradient"]), "- engrad_gradient", "EnGrad"),
        (orca("! HF def2-SVP", keep_files={"orca.engrad": "{id}.engrad"}), "orca.engrad", "EnGrad"),
        (orca("! HF def2-SVP Opt", ["frequencies"]), "- frequencies", "Freq"),
        (orca("! HF def2-SVP", ["wqmaster.parsers.xtb.energy"]), "xtb.energy", "of xtb"),
        (
            orca("! HF def2-SVP", {"stdout": ["wqmaster.parsers.xtb.dipole"]}),
            "xtb.dipole",
            "did you mean 'wqmaster.parsers.orca.dipole'?",
        ),
        (
            orca("! HF def2-SVP", {"xtbout.json": ["wqmaster.parsers.xtb.charges"]}),
            "xtb.charges",
            "a file of another program",
        ),
        (xtb("optimize", "energy", "gradient"), "- gradient", "does not compute a gradient"),
        (
            xtb("singlepoint", "wqmaster.parsers.xtb.gradient", gradient=False),
            "xtb.gradient",
            "gradient: true",
        ),
        (xtb("singlepoint", "frequencies"), "- frequencies", "xtb.hessian"),
        (xtb("md", "orbital_energies", gfn="ff"), "- orbital_energies", "GFN-FF"),
        (xtb("hessian", keep_files={"xtbopt.xyz": "{id}.xyz"}), "xtbopt.xyz", "xtb.optimize"),
        (xtb("singlepoint", "wqmaster.parsers.orca.charge"), "orca.charge", "of orca"),
        (
            xtb("singlepoint", "wqmaster.parsers.orca.total_energy"),
            "orca.total_energy",
            "parsers of xtb: bond_orders, charge, ",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_parsers_and_files_that_do_not_fit_a_step_are_refused_before_anything_runs(
    settings: dict[str, Any], line: str, said: str, campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(1)
    path = campaigns.write(campaign_config=settings)
    for command in ("check", "run", "smoke"):
        message = refused(campaigns, cli, command, path, code=FILE_IS_WRONG)
        assert message.startswith(f"{path}:{line_of(path, line)}: ")
        assert said in message
    cli("doctor", path, code=FILE_IS_WRONG)


def test_a_value_that_may_be_missing_is_a_warning(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    path = campaigns.write(campaign_config=orca("! HF def2-SVP Opt", ["gradient"]))
    output = cli("check", path)
    where = f"{path}:{line_of(path, '- gradient')}"
    assert f"warning     {where}: the parser 'gradient' may find nothing" in output
    (warning,) = json.loads(cli("check", path, "--json"))["warnings"]
    assert warning.startswith(f"{where}: ")


def test_a_users_own_parser_is_never_refused_for_its_program(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(1)
    (campaigns.folder / "mine.py").write_text("def energy(output):\n    return 1.0\n")
    path = campaigns.write(campaign_config=orca("! HF def2-SVP", ["mine.energy"]))
    (warning,) = json.loads(cli("check", path, "--json"))["warnings"]
    assert warning.endswith("mine.energy has no @reads, so it reads the standard output")


ROUTES = {
    "a missing !": ("B3LYP def2-SVP\n! TightSCF\n", 1, "did you mean '! B3LYP def2-SVP'?"),
    "a missing ! below": ("! B3LYP\n%maxcore 100\ndef2-SVP\n", 3, "did you mean '! def2-SVP'?"),
    "a block without end": ("! HF def2-SVP\n\n%scf\n  maxiter 300\n", 3, "%scf has no 'end'"),
    "a block within a block": (
        "! HF def2-SVP Opt\n%geom\n  Constraints\n    {B 0 1 C}\n  end\n",
        2,
        "%geom has 1 'end' but needs 2",
    ),
}


@pytest.mark.parametrize(("route", "line", "said"), ROUTES.values(), ids=ROUTES)
def test_a_route_that_orca_cannot_read_is_refused_with_its_line(
    route: str, line: int, said: str, campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(1)
    text = (
        "campaign: test\n"
        "campaign_config:\n"
        "  func_name: wqmaster.tasks.orca.sequential\n"
        "  args:\n"
        "    - name: sp\n"
        "      parsers: [total_energy]\n"
        "      route: |\n" + "".join(f"        {row}\n" for row in route.splitlines())
    )
    path = campaigns.write(text)
    message = refused(campaigns, cli, "check", path, code=FILE_IS_WRONG)
    assert message.startswith(f"{path}:{7 + line}: ")
    assert said in message


def test_a_keyword_unknown_to_orca_is_a_warning_with_the_nearest_one(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(1)
    path = campaigns.write(campaign_config=orca("! B3LYPP def2-SVP TightSCF"))
    output = cli("check", path)
    assert "'B3LYPP' is not a keyword" in output
    assert "did you mean 'b3lyp'?" in output


@pytest.mark.skipif(not OUTPUTS.is_dir(), reason="../shared/data/orca does not exist")
def test_a_run_warns_of_a_possible_mistake(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.insert(document("good"))
    path = campaign_file(campaigns, "local")
    path.write_text(path.read_text().replace("tightscf", "tigthscf"))
    line = f"{path}:{line_of(path, 'tigthscf')}: 'tigthscf' is not a keyword"
    assert f"warning: {line}" in smoke_errors(cli, path)
    assert line in cli("run", path)


def smoke_errors(cli: Cli, path: Path) -> str:
    """The standard error of `wqmaster smoke`."""
    cli("smoke", path)
    return cli.errors


def test_all_documents_are_read_and_the_bad_ones_counted_by_reason(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.insert(*({"_id": f"a{name}", **bad} for name, (bad, _) in BAD.items()))
    campaigns.insert({"_id": "good", **WATER}, {"_id": "zz", **BAD["nan"][0]})
    path = campaigns.write()
    output = cli("check", path)
    assert "molecules   10 selected by the query: 1 usable, 9 unusable" in output
    assert (
        "unusable    3 bad_document (not_finite), e.g. document 'ainfinite': a coordinate of"
        in output
    )
    assert "The first job, for document 'good'" in output
    found = json.loads(cli("check", path, "--json"))
    assert found["first"]["document"] == "good"
    assert found["molecules"]["selected"] == 10
    numbers = {name: bad["documents"] for name, bad in found["molecules"]["unusable"].items()}
    assert numbers == {
        "not_finite": 3,
        "unknown_element": 2,
        "missing_field": 1,
        "lengths_differ": 1,
        "not_a_number": 1,
        "impossible_multiplicity": 1,
    }
    assert found["molecules"]["unusable"]["missing_field"]["example"] == "ano-coordinates"
    assert json.loads(cli("smoke", path, "--json"))["document"] == "good"


def test_without_a_usable_document_check_fails_and_counts_the_reasons(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.insert(*({"_id": number, **BAD["multiplicity"][0]} for number in range(5)))
    path = campaigns.write()
    output = cli("check", path, "--json", code=1)
    assert "none of the 5 selected documents has a usable molecule" in cli.errors
    found = json.loads(output)
    assert found["first"] is None
    assert found["molecules"]["unusable"]["impossible_multiplicity"]["documents"] == 5


def test_documents_without_a_ligand_are_counted(campaigns: Campaigns, cli: Cli) -> None:
    receptor = Path(__file__).parents[2] / "examples/vina-docking/receptor.pdbqt"
    (campaigns.folder / "receptor.pdbqt").write_bytes(receptor.read_bytes())
    campaigns.insert({"_id": "none"}, {"_id": "good", "smiles": "CCO"}, {"_id": "no", "smiles": 3})
    step = {
        "name": "pocket",
        "receptor": "receptor.pdbqt",
        "center": [0.0, 0.0, 0.0],
        "size": [14.0, 14.0, 14.0],
        "ligand": "smiles",
        "parsers": ["affinity"],
    }
    path = campaigns.write(
        campaign_config=config(func_name="wqmaster.tasks.vina.dock", args=[step])
    )
    found = json.loads(cli("check", path, "--json"))
    assert found["molecules"]["usable"] == 1
    assert found["molecules"]["unusable"]["missing_field"]["example"] == "none"
    assert found["molecules"]["unusable"]["other"]["example"] == "no"
    assert found["first"]["document"] == "good"


def test_times_and_sizes_take_units(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    resources = {"memory": "2GB", "disk": "500MB", "running_time_min": "10min"}
    path = campaigns.write(campaign_config=config(job_timeout="4h"), resources=resources)
    assert "The first job" in cli("check", path)
    path = campaigns.write(resources={"memory": "4 apples"})
    message = refused(campaigns, cli, "check", path, code=FILE_IS_WRONG)
    assert message.startswith(f"{path}:{line_of(path, '4 apples')}: resources.memory: ")
    assert "MB, GB, TB, MiB, GiB, TiB" in message
