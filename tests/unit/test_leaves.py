"""The files and quantities that steps produce, compared with those that parsers need."""

import importlib
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from wqmaster.campaign.loading import load
from wqmaster.parsers import orca
from wqmaster.parsers.base import Output
from wqmaster.recipe.resolving import resolve
from wqmaster.tasks import vina, xtb
from wqmaster.tasks.base import traits_of
from wqmaster.tasks.leaves import Leaves
from wqmaster.tasks.orca.leaves import keeps_geometry, leaves
from wqmaster.tasks.orca.route import remarks
from wqmaster.tasks.orca.task import Step
from wqmaster.tasks.programs import programs

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "orca"


def needs(program: str) -> Mapping[str, tuple[str, ...]]:
    found: Mapping[str, tuple[str, ...]] = importlib.import_module(
        f"wqmaster.parsers.{program}.needs"
    ).NEEDS
    return found


def lacks(route: str, parser: str) -> list[bool]:
    """Whether it is certain, for each quantity that the parser needs but the route lacks."""
    left = leaves(Step(route=route)).quantities
    return [left[need].certain for need in needs("orca").get(parser, ()) if need in left]


# A program with a single module of parsers has no needs.py, because its steps always produce what
# its few parsers read.
WITH_NEEDS = sorted(
    name
    for name, program in programs().items()
    if program.has_own_format and hasattr(program.module, "__path__")
)


def test_the_programs_with_needs_are_known() -> None:
    assert {"orca", "vina", "xtb"} <= set(WITH_NEEDS)


@pytest.mark.parametrize("program", WITH_NEEDS)
def test_every_parser_declares_its_needs(program: str) -> None:
    plain: frozenset[str] = importlib.import_module(f"wqmaster.parsers.{program}.needs").PLAIN
    public = {
        name
        for name, value in vars(programs()[program].module).items()
        if inspect.isfunction(value) and hasattr(value, "files")
    }
    assert public <= plain | set(needs(program))
    assert not plain & set(needs(program))


def test_every_need_of_orca_is_one_that_a_route_can_lack() -> None:
    more = ("%elprop Dipole false end", "%tddft nroots 3 end", "%casscf nel 2 norb 2 end")
    plain = ("! HF", "! HF Opt RKS", "! HF MiniPrint", "! QM/XTB HF")
    routes = (*plain, *(f"! HF\n{block}" for block in more))
    known = {name for route in routes for name in leaves(Step(route=route)).quantities}
    assert {need for some in needs("orca").values() for need in some} <= known


@pytest.mark.parametrize(
    ("route", "there"),
    [
        ("! B3LYP def2-SVP", False),
        ("! IP-EOM-CCSD def2-SVP", False),
        ("! STEOM-DLPNO-CCSD def2-SVP", True),
        ("! B3LYP def2-SVP\n%tddft nroots 5 end", True),
        ("! HF def2-SVP\n%cis nroots 5 end", True),
    ],
)
def test_the_density_of_an_excited_state_calculation_gets_a_warning(
    route: str, there: bool
) -> None:
    lack = leaves(Step(route=route)).quantities.get("density")
    assert (lack is not None) is there
    if lack is not None:
        assert not lack.certain
        assert "excited state" in lack.reason


@pytest.mark.parametrize(
    ("route", "parser", "words"),
    [
        ("! B3LYP def2-SVP\n%tddft nroots 3 end", "total_energy", "excited state"),
        ("! EOM-CCSD def2-SVP", "energy", "excited state"),
        ("! B3LYP def2-SVP\n%tddft nroots 3 iroot 0 end", "energy", "excited state"),
        ("! QM/XTB B3LYP def2-SVP", "mulliken_charges", "one layer"),
        ("! QM/XTB B3LYP def2-SVP", "scf_energy", "one layer"),
        ("! HF def2-SVP\n%casscf nel 2 norb 2 end", "scf_cycles", "CASSCF"),
        ("! HF def2-SVP Opt", "engrad_gradient", "last cycle"),
    ],
)
def test_a_value_that_may_belong_to_something_else_gets_a_warning(
    route: str, parser: str, words: str
) -> None:
    lacks = leaves(Step(route=route)).quantities
    found = [lacks[need] for need in needs("orca")[parser] if need in lacks]
    assert len(found) == 1
    assert words in found[0].reason
    assert not found[0].certain


def test_the_energy_beside_values_of_another_state_is_an_error() -> None:
    lack = leaves(Step(route="! B3LYP def2-SVP\n%tddft nroots 3 end")).quantities["one state"]
    assert lack.certain
    assert "scf_energy" in lack.instead
    assert "total_energy" in lack.instead


def test_the_energy_of_an_excited_state_with_a_requested_gradient_gets_no_warning() -> None:
    lacks = leaves(Step(route="! B3LYP def2-SVP EnGrad\n%tddft nroots 3 end")).quantities
    assert not set(needs("orca")["energy"]) & set(lacks)


def test_every_need_of_xtb_is_one_that_a_step_can_lack() -> None:
    known: set[str] = set()
    for function in (xtb.singlepoint, xtb.optimize, xtb.hessian, xtb.md):
        known |= set(left(function, gfn="ff").quantities)
    assert {need for some in needs("xtb").values() for need in some} <= known


def left(function: Any, **options: Any) -> Leaves:
    traits = traits_of(function)
    assert traits.leaves is not None
    return traits.leaves(traits.options.model_validate(options))


@pytest.mark.parametrize(
    ("route", "parser"),
    [
        ("! HF def2-SVP", "gradient"),
        ("! HF def2-SVP PModel SCFCheckGrad", "gradient_trajectory"),
        ("! HF def2-SVP", "engrad_gradient"),
        ("! HF cc-pVTZ", "ccsd_energy"),
        ("! HF def2-SVPP", "gradient"),  # a misspelled basis set requests no gradient
        ("! HF def2-SVP Opt", "frequencies"),
        ("! HF def2-SVP EnGrad", "hess_hessian"),
        ("! HF def2-SVP Freq", "optimized_geometry"),
        ("! HF def2-SVP", "optimisation"),  # codespell:ignore optimisation
        ("! PBE def2-SVP", "hirshfeld_charges"),
        ("! PBE def2-SVP Hirshfeld", "chelpg_charges"),
        ("! PBE def2-SVP CHELPG", "mbis_charges"),
        ("! PBE def2-SVP EnGrad", "dispersion_gradient"),
        ("! PBE def2-SVP", "dispersion_energy"),
        ("! wB97M-D3BJ def2-SVP", "nl_energy"),
        ("! RI-MP2 cc-pVTZ cc-pVTZ/C", "ccsd_t_energy"),
        ("! B3LYP cc-pVTZ", "mp2_energy"),
        ("! CCSD cc-pVTZ", "triples_correction"),
        ("! CCSD(T) cc-pVTZ", "dlpno_strong_pairs_energy"),
        ("! B3LYP def2-SVP", "excitations"),
        ("! B3LYP def2-SVP\n%elprop Dipole true end", "polarizability"),
        ("! B3LYP def2-SVP\n%elprop Dipole true Quadrupole false end", "quadrupole"),
        ("! B3LYP def2-SVP NoPop", "mulliken_charges"),
        ("! B3LYP def2-SVP NoMayer", "mayer_bond_orders"),
        ("! B3LYP def2-SVP\n%elprop Dipole false end", "dipole"),
    ],
)
def test_a_quantity_that_a_route_certainly_lacks_is_an_error(route: str, parser: str) -> None:
    assert any(lacks(route, parser))


@pytest.mark.parametrize(
    ("route", "parser"),
    [
        ("!EnGrad HF def2-SVP", "gradient"),
        ("! HF def2-SVP NUMGRAD", "gradient"),
        ("%scf maxiter 300 end ! HF def2-SVP EnGrad", "gradient"),
        ("! HF def2-SVP\n%method RunTyp Gradient end", "gradient"),
        ("! HF def2-SVP TightOpt", "gradient_trajectory"),
        ("! HF def2-SVP NEB-TS", "gradient_trajectory"),
        ("! HF def2-SVP\n%freq NumFreq true end", "gradient_trajectory"),
        ("! HF def2-SVP AnFreq", "thermochemistry"),
        ("! HF def2-SVP\n%freq Temp 300 end", "frequencies"),
        ("! HF def2-SVP OptTS\n%geom Calc_Hess true end", "hess_hessian"),
        ("! HF def2-SVP COpt", "optimized_geometry"),
        ("! HF def2-SVP ScanTS", "optimisation"),  # codespell:ignore optimisation
        ("! PBE def2-SVP AllPop", "hirshfeld_charges"),
        ("! PBE def2-SVP\n%output Print[P_Hirshfeld] 1 end", "hirshfeld_charges"),
        ("! PBE def2-SVP\n%output Print[P_MBIS] 1 end", "mbis_charges"),
        ("! PBE def2-SVP\n%output Print[37] 1 end", "hirshfeld_charges"),
        ("! PBE def2-SVP CHELPG(LARGE)", "chelpg_charges"),
        ("! r2SCAN-3c", "dispersion_energy"),
        ("! B97-D3 def2-SVP", "dispersion_energy"),
        ("! PBE def2-SVP\n%method D3S6 1.0 end", "dispersion_energy"),
        ("! PBE def2-SVP D4 EnGrad\n%output Print[P_DFTD_GRAD] 1 end", "dispersion_gradient"),
        ("! wB97M-V def2-SVP", "nl_energy"),
        ("! PBE def2-SVP SCNL", "nl_energy"),
        ("! B2PLYP def2-TZVP def2-TZVP/C", "mp2_energy"),
        ("! PWPB95 def2-TZVP", "correlation_energy"),
        ("! DLPNO-CCSD(T1) def2-TZVP", "triples_correction"),
        ("! HF def2-TZVP\n%mdci CIType CCSD end", "ccsd_energy"),
        ("! Extrapolate(2/3,cc) CCSD(T)", "ccsd_t_energy"),
        ("! B3LYP def2-SVP\n%tddft nroots 5 end", "excitations"),
        ("! HF def2-SVP EOM-CCSD\n%mdci nroots 3 end", "oscillator_strengths"),
        ("! B3LYP def2-SVP\n%elprop Polar 1 end", "polarizability"),
        ("! B3LYP def2-SVP\n%elprop Quadrupole True end", "quadrupole"),
        ("! B3LYP def2-SVP NoPop Mulliken", "mulliken_charges"),
        ("! UKS B3LYP def2-SVP", "mulliken_spins"),
        ("! PBE def2-SVP MiniPrint\n%elprop Dipole true end", "dipole"),
        ("! HF def2-SVP EnGrad\n%output JsonPropFile true end", "json_gradient"),
    ],
)
def test_a_quantity_that_a_route_computes_is_not_refused(route: str, parser: str) -> None:
    assert lacks(route, parser) == []


@pytest.mark.parametrize(
    ("route", "parser"),
    [
        ("! HF def2-SVP Opt", "gradient"),  # the last gradient belongs to the last cycle
        ("! HF def2-SVP NewKeyword", "gradient"),  # an unknown keyword could request one
        ("! HF def2-SVP Freq", "gradient"),  # numerical frequencies print gradients
        ("! HF def2-SVP", "mulliken_spins"),  # present if the molecule has an open shell
        ("! RKS PBE def2-SVP", "s_squared"),
        ("! HF def2-SVP", "json_total_energy"),  # the command could call orca_2json
        ("! PBE D4 def2-SVP EnGrad", "dispersion_gradient"),  # ORCA 6 prints it in optimizations
        ("! XTB2", "orbital_energies"),
        ("! PBE def2-SVP MiniPrint", "loewdin_charges"),
        ("! PBE def2-SVP\n%output PrintLevel Mini end", "geometry"),
        ("! PBE def2-SVP\n%output PrintLevel Mini end", "dipole"),
    ],
)
def test_a_quantity_that_may_be_missing_is_a_warning(route: str, parser: str) -> None:
    found = lacks(route, parser)
    assert found
    assert not any(found)


@pytest.mark.parametrize(
    ("name", "certain"),
    [
        ("orca.engrad", True),
        ("orca.hess", True),
        ("molecule.engrad", True),
        ("orca.gwb", False),
        ("orca.xyz", False),
        ("orca.out", False),  # standard output is called stdout
        ("orca.gbw", None),
        ("orca.cube", None),
        ("first.gbw", None),
        ("my.cube", None),
    ],
)
def test_files_are_compared_with_the_route(name: str, certain: bool | None) -> None:
    route = '! HF def2-SVP\n%plots ElDens("my.cube"); end'
    lack = leaves(Step(route=route)).file(name)
    assert (lack and lack.certain) == certain


# A quantity's name in `Leaves`.
OPTIMIZATION = "optimization"


@pytest.mark.parametrize(
    ("function", "options", "missing"),
    [
        (
            xtb.singlepoint,
            {},
            {"hessian", OPTIMIZATION, "dynamics", "frames", "solvent", "force field"},
        ),
        (
            xtb.singlepoint,
            {"gradient": False, "solvent": "water"},
            {"gradient", "hessian", OPTIMIZATION, "dynamics", "frames", "force field"},
        ),
        (
            xtb.optimize,
            {"gfn": "ff"},
            {"gradient", "hessian", "dynamics", "solvent", "orbitals"},
        ),
        (
            xtb.hessian,
            {},
            {"gradient", OPTIMIZATION, "dynamics", "frames", "solvent", "force field"},
        ),
        (xtb.md, {}, {"gradient", OPTIMIZATION, "hessian", "solvent", "force field"}),
    ],
)
def test_the_steps_of_xtb_produce_what_they_compute(
    function: Any, options: dict[str, Any], missing: set[str]
) -> None:
    assert set(left(function, **options).quantities) == missing


def test_xtb_files_are_compared_with_the_options() -> None:
    plain, force_field = left(xtb.singlepoint), left(xtb.singlepoint, gfn="ff")
    assert plain.file("molecule.engrad") is None
    assert plain.file("xtbout.json") is None
    for found, name, certain in (
        (plain, "xtbopt.xyz", True),
        (plain, "gfnff_charges", True),
        (force_field, "xtbout.json", True),
        (plain, "xtbopt.xzy", False),
    ):
        lack = found.file(name)
        assert lack is not None
        assert lack.certain == certain


@pytest.mark.parametrize("name", ["xtb.out", "orca.log"])
def test_the_printout_of_a_program_is_in_stdout(name: str) -> None:
    for lack in (left(xtb.md).file(name), leaves(Step(route="! HF")).file(name)):
        assert lack is None or "'stdout'" in lack.instead


def test_the_files_of_vina_are_known() -> None:
    box = {"center": (0.0, 0.0, 0.0), "size": (9.0, 9.0, 9.0), "receptor": "r.pdbqt"}
    found = left(vina.dock, **box)
    assert found.file("out.pdbqt") is None
    lack = found.file("orca.gbw")
    assert lack is not None
    assert not lack.certain


def test_a_function_without_declarations_may_produce_anything(tmp_path: Path) -> None:
    path = tmp_path / "campaign.yaml"
    path.write_text(
        "campaign: any\n"
        "campaign_config:\n"
        "  func_name: wqmaster.tasks.command.run\n"
        "  args:\n"
        "  - name: step\n"
        "    command: my-orca\n"
        "    parsers: [wqmaster.parsers.orca.gradient, wqmaster.parsers.xtb.energy]\n"
        "    keep_files: {orca.engrad: '{id}.engrad'}\n"
    )
    assert resolve(load(path)).warnings == ()


@pytest.mark.skipif(not SHARED.is_dir(), reason="the folder shared/data/orca is not there")
def test_no_parser_that_finds_its_value_in_a_real_output_is_refused() -> None:
    names = json.loads((SHARED / "expected.json").read_text())["files"]
    seen = 0
    for name in sorted(name for name in names if name.endswith((".out", ".log"))):
        output = Output({"stdout": (SHARED / name).read_bytes()})
        route = route_of(output.text)
        if route is None or orca.diagnose(output, None, {}) is not None:
            continue
        left = leaves(Step(route=route)).quantities
        for parser, wanted in needs("orca").items():
            certain = [left[need].reason for need in wanted if need in left and left[need].certain]
            function = getattr(orca, parser, None)
            if certain and function is not None and function.files[0] == "stdout":
                with pytest.raises(Exception, match=r"."):
                    function(output)
                seen += 1
    assert seen > 100


@pytest.mark.skipif(not SHARED.is_dir(), reason="the folder shared/data/orca is not there")
def test_routes_of_real_outputs_are_read_without_remarks() -> None:
    names = json.loads((SHARED / "expected.json").read_text())["files"]
    routes = []
    for name in sorted(name for name in names if name.endswith((".out", ".log"))):
        output = Output({"stdout": (SHARED / name).read_bytes()})
        route = route_of(output.text)
        if route is not None and orca.diagnose(output, None, {}) is None:
            routes.append(route)
    assert len(routes) > 10
    for route in routes:
        assert list(remarks(Step(route=route))) == []


def route_of(text: str) -> str | None:
    """The route that an output echoes, up to the coordinates; None if there is no echo."""
    lines = []
    for line in text.splitlines():
        _, bar, rest = line.partition("> ")
        if not line.startswith("|") or not bar:
            continue
        if rest.lstrip().startswith("*") or "END OF INPUT" in rest:
            break
        lines.append(rest)
    route = "\n".join(lines)
    unlike = ("%coords", "$new_job", "%base", "%compound")
    return None if not route.strip() or any(word in route.lower() for word in unlike) else route


@pytest.mark.parametrize(
    ("route", "stays"),
    [
        ("! wB97X-D3 def2-SVP EnGrad", True),
        ("! BP86 def2-SVP NumFreq", True),
        ("! DLPNO-CCSD(T) cc-pVDZ cc-pVDZ/C", True),
        ("! HF STO-3G Opt", False),
        ("! B3LYP def2-SVP TightOpt Freq", False),
        ("! BP86 def2-SVP\n%geom Scan B 0 1 = 1,2,3 end end", False),
        ("! BP86 def2-SVP UseSym", False),
        ("! BP86 def2-SVP IRC", False),
        ("! BP86 Foo", False),
    ],
)
def test_orca_keeps_the_geometry_only_if_the_whole_route_is_known_not_to_move_atoms(
    route: str, stays: bool
) -> None:
    assert keeps_geometry(Step(route=route)) is stays
