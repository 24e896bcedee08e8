"""The tighter recipes of programs: they keep the level of theory, and change what makes noise."""

from typing import Any

import pytest

from wqmaster.tasks.orca.task import PROGRAM as ORCA
from wqmaster.tasks.orca.task import Step
from wqmaster.tasks.program import Program
from wqmaster.tasks.pyscf.options import Optimize, Singlepoint
from wqmaster.tasks.pyscf.task import PROGRAM as PYSCF
from wqmaster.tasks.xtb.task import PROGRAM as XTB


def tightened(program: Program, options: dict[str, Any], version: str | None = None) -> Any:
    """The options after all changes, and the names of the changes."""
    changes = program.tighter(options, version)
    found = options
    for change in changes:
        found = change.apply(found)
    return found, [change.name for change in changes]


def route(text: str, version: str | None = "6.0.1") -> tuple[list[str], list[str]]:
    """The words of the tighter route in lower case, and the names of the changes."""
    found, names = tightened(ORCA, {"route": text}, version)
    Step.model_validate(found)
    return found["route"].lower().replace("!", " ").split(), names


def pyscf(**more: Any) -> dict[str, Any]:
    given = {"xc": "wb97x-d3bj", "basis": "def2-svp", "solvent": "water", **more}
    return Singlepoint.model_validate(given).model_dump(mode="json", exclude_none=True)


def test_pyscf_gets_a_finer_grid_exact_integrals_and_a_converged_scf() -> None:
    given = pyscf(grid=1, density_fit=True, auxbasis="def2-universal-jkfit")
    found, names = tightened(PYSCF, given)
    assert names == ["grid", "density_fit", "conv_tol"]
    assert (found["grid"], found["nlc_grid"], found["density_fit"]) == (5, 3, False)
    assert found["conv_tol"] == 1e-11
    assert Singlepoint.model_validate(found).auxbasis is None
    assert PYSCF.theory(found) == PYSCF.theory(given)


def test_the_grid_of_pyscf_ends_at_level_9_and_hartree_fock_has_none() -> None:
    assert tightened(PYSCF, pyscf(grid=8, conv_tol=1e-12)) == (
        pyscf(grid=9, conv_tol=1e-12),
        ["grid"],
    )
    assert tightened(PYSCF, pyscf(grid=9, conv_tol=1e-12))[1] == []
    assert tightened(PYSCF, pyscf(xc="hf"))[1] == ["conv_tol"]


@pytest.mark.parametrize("level", [{"xc": "wb97m-v"}, {"xc": "pbe", "nlc": "vv10"}])
def test_non_local_correlation_gets_a_finer_grid_too(level: dict[str, Any]) -> None:
    assert tightened(PYSCF, pyscf(**level))[0]["nlc_grid"] == 5


@pytest.mark.parametrize(
    "change", [{"basis": "def2-tzvp"}, {"xc": "pbe0"}, {"solvent": "ethanol"}, {"nlc": False}]
)
def test_another_level_of_pyscf_is_recognized(change: dict[str, Any]) -> None:
    assert PYSCF.theory(pyscf()) != PYSCF.theory(pyscf(**change))
    assert PYSCF.theory(pyscf()) == PYSCF.theory(pyscf(grid=9, density_fit=True))


def test_the_values_of_an_optimization_are_recomputed_as_a_single_point() -> None:
    given = Optimize.model_validate({"xc": "pbe", "basis": "def2-svp", "cycles": 7})
    options = given.model_dump(mode="json", exclude_none=True)
    found = PYSCF.single_point("wqmaster.tasks.pyscf.optimize", options)
    assert found is not None
    assert found[0] == "wqmaster.tasks.pyscf.singlepoint"
    assert Singlepoint.model_validate(found[1]).xc == "pbe"
    assert XTB.single_point("wqmaster.tasks.xtb.optimize", {"gfn": 1, "level": "tight"}) == (
        "wqmaster.tasks.xtb.singlepoint",
        {"gfn": 1, "gradient": True},
    )
    assert XTB.single_point("wqmaster.tasks.xtb.md", {"gfn": 2}) is None


def test_xtb_gets_a_smaller_accuracy_unless_it_has_one() -> None:
    assert tightened(XTB, {"gfn": 2}) == ({"gfn": 2, "accuracy": 0.01}, ["accuracy"])
    assert tightened(XTB, {"gfn": 2, "accuracy": 0.001})[1] == []


def test_a_hybrid_of_orca_gets_defgrid3_a_tight_scf_and_no_rijcosx() -> None:
    words, names = route("! wB97M-V def2-TZVPD EnGrad RIJCOSX def2/J NoUseSym TightSCF DEFGRID2")
    assert names == ["grid", "scf", "density_fit"]
    expected = "wb97m-v def2-tzvpd engrad nousesym defgrid3 verytightscf nori nocosx"
    assert sorted(words) == sorted(expected.split())


def test_the_routes_of_orca_4_keep_their_own_keywords() -> None:
    words, names = route("! PBE0 def2-SVP Grid4 FinalGrid5 EnGrad", "4.2.1")
    assert names == ["grid", "scf", "density_fit"]
    expected = "pbe0 def2-svp engrad grid6 nofinalgrid verytightscf nori"
    assert sorted(words) == sorted(expected.split())
    # Without a version, the keywords decide.
    assert "grid6" in route("! PBE0 def2-SVP Grid4 EnGrad", None)[0]
    assert "defgrid3" in route("! PBE0 def2-SVP EnGrad", None)[0]


@pytest.mark.parametrize(
    "text",
    [
        "! B2PLYP def2-TZVP def2-TZVP/C RIJCOSX def2/J EnGrad",
        "! DLPNO-CCSD(T) cc-pVTZ cc-pVTZ/C TightSCF",
        "! RI-MP2 def2-SVP def2-SVP/C EnGrad",
        "! r2SCAN-3c EnGrad",
        "! PBE0 def2-SVP def2/J RIJCOSX\n%tddft nroots 3 end",
    ],
)
def test_fitting_stays_where_it_is_part_of_the_method(text: str) -> None:
    words, names = route(text)
    assert "density_fit" not in names
    assert {word for word in words if "/" in word or word.startswith("ri")} == {
        word for word in text.lower().split() if "/" in word or word.startswith("ri")
    }


def test_a_threshold_in_a_block_of_orca_is_tightened_too() -> None:
    text = "! HF def2-SVP EnGrad ExtremeSCF DEFGRID3\n%scf\n  Convergence Tight\n  maxiter 300\nend"
    words, names = route(text)
    assert names == ["scf"]
    assert words[words.index("convergence") + 1] == "verytight"
    assert "extremescf" in words
    assert "verytightscf" not in words


def test_a_route_that_moves_the_atoms_becomes_a_single_point() -> None:
    text = "! PBE def2-SVP TightOpt Freq\n%geom maxiter 50 end\n%scf maxiter 200 end"
    function = "wqmaster.tasks.orca.sequential"
    found = ORCA.single_point(function, {"route": text, "moread": "first"})
    assert found is not None
    name, options = found
    assert (name, [*options]) == (function, ["route"])
    assert options["route"].lower().split() == (
        ["!", "pbe", "def2-svp", "%scf", "maxiter", "200", "end", "!", "engrad"]
    )
    assert ORCA.single_point(function, {"route": "! PBE def2-SVP NEB-TS"}) is None


@pytest.mark.parametrize(
    ("text", "is_same"),
    [
        ("! PBE0 def2-SVP VeryTightSCF DEFGRID3 NoRI EnGrad", True),
        ("! PBE0 def2-TZVP EnGrad", False),
        ("! B3LYP def2-SVP EnGrad", False),
        ("! PBE0 def2-SVP D4 EnGrad", False),
        ("! PBE0 def2-SVP CPCM(water) EnGrad", False),
        ('! PBE0 def2-SVP EnGrad\n%basis newgto H "def2-TZVP" end end', False),
    ],
)
def test_another_level_of_orca_is_recognized(text: str, is_same: bool) -> None:
    base = ORCA.theory({"route": "! PBE0 def2-SVP RIJCOSX def2/J EnGrad"})
    assert (ORCA.theory({"route": text}) == base) is is_same
