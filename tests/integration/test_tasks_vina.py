"""The task function for Vina builds a job from a document's ligand and steps."""

import shlex
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pydantic import ValidationError

from wqmaster.errors import BadDocument, ProgramMissing, WqmasterError
from wqmaster.jobs.job import Job
from wqmaster.jobs.molecule import Molecule
from wqmaster.parsers.vina import pdbqt_file
from wqmaster.tasks import stages
from wqmaster.tasks.base import Software, StepRequest, traits_of
from wqmaster.tasks.vina import ligand
from wqmaster.tasks.vina.grid import MAPS, Box, Grid, needed, read_box
from wqmaster.tasks.vina.task import Dock, dock, seed_of


def atom(number: int, kind: str, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> str:
    place = f"{x:8.3f}{y:8.3f}{z:8.3f}"
    return f"ATOM  {number:5d}  {kind[0]:<3} UNL     1    {place}  1.00  0.00    +0.000 {kind}"


LIGAND = "\n".join(
    [
        "REMARK made up; $(from-document) --config /etc/passwd",
        "ROOT",
        atom(1, "C", 0.125),
        atom(2, "A", 1.5),
        "ENDROOT",
        "BRANCH   2   3",
        atom(3, "OA", 2.5, 0.5),
        atom(4, "HD", 2.75, 1.5),
        "ENDBRANCH   2   3",
        "TORSDOF 1\n",
    ]
)
RECEPTOR = "\n".join(["REMARK made up", atom(1, "C", 4.0), atom(2, "OA", -4.0), "TER\n"])
BOX = "center_x = 0.5\ncenter_y = -1\ncenter_z=0  # middle\n\nsize_x = 10\nsize_y = 11\nsize_z = 12"
# A stand-in for Vina in `prepare`. It writes maps of all atom types, with the same value at each
# point, or it fails.
STAND_IN = """#!/usr/bin/env python3
import math, pathlib, sys
print("AutoDock Vina v9.9.9")
if sys.argv[1:] == ["--version"]:
    sys.exit(0)
here = pathlib.Path(__file__).parent
(here / "calls").open("a").write(" ".join(sys.argv[1:]) + chr(10))
lines = pathlib.Path("vina.conf").read_text().splitlines()
conf = dict(line.split(" = ") for line in lines)
(here / "conf").write_text(repr(conf))
counts = [math.ceil(float(conf["size_" + x]) / float(conf["spacing"])) for x in "xyz"]
points = math.prod(count + 1 for count in counts)
for name in MAPS:
    text = "GRID_PARAMETER_FILE NULL\\nGRID_DATA_FILE NULL\\nMACROMOLECULE NULL\\nSPACING 1\\n"
    text += "NELEMENTS %d %d %d\\nCENTER 0 0 0\\n" % tuple(counts) + "0.25\\n" * points
    pathlib.Path(conf["write_maps"] + "." + name + ".map").write_text(text)
"""


def stand_in(old: str = "", new: str = "") -> str:
    """The source of the stand-in, with `old` replaced by `new`."""
    assert old in STAND_IN
    return STAND_IN.replace(old, new, 1).replace("MAPS", repr((*MAPS, "W")))


@pytest.fixture
def software(tmp_path: Path) -> Software:
    """A folder with a receptor and a box, and a stand-in for Vina that writes maps."""
    beside, cache = tmp_path / "campaign", tmp_path / "cache"
    beside.mkdir()
    cache.mkdir()
    (beside / "receptor.pdbqt").write_text(RECEPTOR)
    (beside / "box.txt").write_text(BOX)
    program = tmp_path / "vina"
    program.write_text(stand_in())
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return Software({"vina": shlex.quote(str(program))}, beside=beside, cache=cache)


def options(**changes: Any) -> Dock:
    given = {"receptor": "receptor.pdbqt", "center": [0, 0, 0.5], "size": [6, 6.1, 6.7], **changes}
    return Dock.model_validate({key: value for key, value in given.items() if value is not None})


def steps(*wanted: Dock, files: frozenset[str] = frozenset()) -> list[StepRequest]:
    return [StepRequest(f"step{place}", option, files) for place, option in enumerate(wanted)]


TRAITS = traits_of(dock)


def document(**fields: Any) -> Molecule:
    found = {"_id": "id; rm -rf /", "pdbqt": LIGAND, **fields}
    return Molecule(found["_id"], (), (), document=found)


def check(requests: Sequence[StepRequest], software: Software) -> list[StepRequest]:
    return [stages.loaded(TRAITS, step, software) for step in requests]


def prepare(requests: Sequence[StepRequest], software: Software) -> list[StepRequest]:
    return [stages.prepared(TRAITS, step, software) for step in check(requests, software)]


def build(software: Software, *wanted: Dock, molecule: Molecule | None = None) -> Job:
    requests = prepare(steps(*(wanted or (options(),))), software)
    return dock(molecule or document(), requests, software)


def conf(job: Job, name: str = "vina.conf") -> dict[str, str]:
    pairs = (line.split(" = ", 1) for line in job.files[name].decode().splitlines())
    return dict(pairs)


def calls(software: Software) -> int:
    path = Path(software.argv("vina")[0]).parent / "calls"
    return len(path.read_text().splitlines()) if path.exists() else 0


# --- options -----------------------------------------------------------------------------------


def test_the_defaults_are_those_of_vina() -> None:
    found = options()
    assert (found.scoring, found.exhaustiveness, found.num_modes) == ("vina", 8, 9)
    assert (found.energy_range, found.min_rmsd, found.spacing) == (3.0, 1.0, 0.375)
    assert (found.seed, found.max_evals, found.refine) == (None, None, False)


@pytest.mark.parametrize(
    ("given", "field", "form"),
    [
        (None, "pdbqt", "pdbqt"),
        ("smiles", "smiles", "smiles"),
        ("sdf", "sdf", "sdf"),
        ("ligands.smiles", "ligands.smiles", "smiles"),
        ("prepared", "prepared", "pdbqt"),
        ({"field": "smiles"}, "smiles", "smiles"),
        ({"field": "smiles", "format": "pdbqt"}, "smiles", "pdbqt"),
        ({"field": "canonical", "format": "smiles"}, "canonical", "smiles"),
    ],
)
def test_the_ligand_is_a_field_and_its_format(
    software: Software, given: object, field: str, form: str
) -> None:
    found = options(ligand=given).ligand
    assert (found.field, found.format) == (field, form)
    [step] = check(steps(options(ligand=given)), software)
    assert list(TRAITS.fields(step.loaded)) == [field]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("exhaustiveness", 0),
        ("exhaustiveness", True),
        ("exhaustiveness", "8"),
        ("num_modes", 0),
        ("seed", 0),
        ("seed", 2**31),
        ("seed", 1.5),
        ("energy_range", -1),
        ("energy_range", float("nan")),
        ("min_rmsd", -0.5),
        ("spacing", 0),
        ("scoring", "ad4"),
        ("center", [0, 0]),
        ("center", [0, 0, float("inf")]),
        ("size", [1, 1, 0]),
        ("size", None),
        ("center", None),
        ("box", "box.txt"),
        ("ligand", "a..b"),
        ("ligand", "$where"),
        ("ligand", {"field": "x", "format": "mol2"}),
        ("receptor", ""),
        ("refine", "yes"),
        ("cpu", 4),
    ],
)
def test_an_option_that_vina_cannot_have_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError):
        options(**{name: value})


def test_files_that_determine_a_result_are_named(software: Software) -> None:
    (software.beside / "box.txt").write_text(BOX)
    boxed = options(box="box.txt", center=None, size=None)
    one, other = check(steps(options(), boxed), software)
    assert list(TRAITS.uses(one.loaded)) == ["receptor.pdbqt"]
    assert list(TRAITS.uses(other.loaded)) == ["receptor.pdbqt", "box.txt"]
    assert TRAITS.molecule is False


# --- the box and the receptor, when the campaign is read ---------------------------------------


def test_a_box_file_is_read_as_vina_writes_it() -> None:
    assert read_box(BOX) == Box((0.5, -1.0, 0.0), (10.0, 11.0, 12.0))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOX.replace("size_x = 10", ""), "size_x is missing"),
        (BOX.replace("= 10", "= ten"), "'ten' is not a finite number"),
        (BOX.replace("= 10", "= nan"), "not a finite number"),
        (BOX.replace("= 10", "= 0"), "a size must be above zero"),
        (BOX + "\nexhaustiveness = 8", "'exhaustiveness = 8' is not a valid line in a box file"),
        (BOX + "\nsize_x = 11", "duplicate 'size_x'"),
        ("", "center_x, center_y, center_z, size_x, size_y, size_z is missing"),
    ],
)
def test_a_box_file_with_other_content_is_refused(
    software: Software, text: str, words: str
) -> None:
    (software.beside / "box.txt").write_text(text)
    with pytest.raises(ValueError, match=r"box\.txt: ") as caught:
        check(steps(options(box="box.txt", center=None, size=None)), software)
    assert words in str(caught.value)


def test_good_steps_are_not_refused(software: Software) -> None:
    boxed = options(box="box.txt", center=None, size=None)
    check(steps(options(), boxed, options(refine=True, scoring="vinardo")), software)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it has no atoms"),
        (RECEPTOR.replace("OA", "Xx"), "line 3: Vina has no atom type 'Xx'"),
        (LIGAND, "line 2: ROOT belongs in a ligand"),
        ("MODEL 1\n" + RECEPTOR, "line 1: 'MODEL 1' does not belong in a receptor"),
        (RECEPTOR.replace("   4.000", "     nan"), "line 2: the coordinate 'nan' is not a finite"),
        ("HEADER  not pdbqt\n", "line 1"),
    ],
)
def test_a_receptor_that_vina_would_refuse_is_refused(
    software: Software, text: str, words: str
) -> None:
    (software.beside / "receptor.pdbqt").write_text(text)
    with pytest.raises(ValueError, match=r"receptor\.pdbqt: ") as caught:
        check(steps(options()), software)
    assert words in str(caught.value)


def test_a_missing_receptor_is_refused(software: Software) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.pdbqt.* cannot be read"):
        check(steps(options(receptor="nowhere.pdbqt")), software)


@pytest.mark.parametrize("center", [[0, 20, 0], [16, 0, 0], [-100, 0, 0]])
def test_a_box_away_from_the_receptor_is_refused(software: Software, center: list[float]) -> None:
    with pytest.raises(ValueError, match="8 Angstrom or more away from all atoms"):
        check(steps(options(center=center)), software)


def test_a_box_whose_poses_cannot_be_written_is_refused(software: Software) -> None:
    with pytest.raises(ValueError, match="coordinates in a PDBQT file"):
        check(steps(options(center=[-998, 0, 0])), software)


def test_maps_that_are_too_large_are_refused_but_not_with_refine(software: Software) -> None:
    with pytest.raises(ValueError, match="refine: true"):
        check(steps(options(size=[90, 90, 90])), software)
    check(steps(options(size=[90, 90, 90], refine=True)), software)


def test_a_missing_extra_is_reported_when_the_campaign_is_read(
    software: Software, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ligand, "_MODULES", ("rdkit", "no_such_module"))
    check(steps(options()), software)
    with pytest.raises(ValueError, match=r"pip install 'wqmaster\[docking\]'"):
        check(steps(options(), options(ligand="smiles")), software)


# --- maps --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "spacing", "intervals"),
    [
        ((6.0, 6.1, 6.7), 0.375, (16, 18, 18)),
        ((20.0, 24.0, 30.0), 0.375, (54, 64, 80)),
        ((0.3, 0.3, 0.3), 0.1, (4, 4, 4)),  # 0.3 / 0.1 is 2.9999999999999996
        ((1.0, 2.0, 3.0), 1.0, (2, 2, 4)),
    ],
)
def test_a_grid_has_an_even_number_of_intervals(
    size: tuple[float, float, float], spacing: float, intervals: tuple[int, ...]
) -> None:
    grid = Grid("", Box((0, 0, 0), size), spacing, "vina")
    assert grid.intervals == intervals


def test_every_atom_type_has_its_maps() -> None:
    for kind, element in pdbqt_file.ELEMENTS.items():
        assert (len(needed([kind])) > 0) == (element not in ("H", "X"))
        assert set(needed([kind])) <= set(MAPS)
    assert needed(["A", "OA", "HD"]) == ("C_H", "C_P", "O_A", "O_DA")
    assert needed(["Zn"]) == needed(["Na"]) == ("Met_D",)
    assert needed(["NA"]) == ("N_A", "N_DA")


def test_maps_are_made_once_and_shared(software: Software) -> None:
    job = build(software)
    names = [shared.name for shared in job.inputs]
    prefix = conf(job)["maps"].removeprefix("../shared/")
    assert names == [f"{prefix}.{name}.map" for name in ("C_H", "C_P", "O_A", "O_DA")]
    assert build(software).inputs == job.inputs
    assert calls(software) == 1
    assert software.cache is not None
    assert sorted(path.name for path in software.cache.iterdir()) == sorted(
        f"{prefix}.{name}.map" for name in MAPS
    )


def test_a_map_states_all_digits_of_the_center(software: Software) -> None:
    job = build(software, options(center=[0.123456789, 0, -1.5]))
    lines = job.inputs[0].path.read_text().splitlines()
    assert lines[3:6] == ["SPACING 0.375", "NELEMENTS 16 18 18", "CENTER 0.123456789 0.0 -1.5"]
    assert len(lines) == 6 + 17 * 19 * 19


@pytest.mark.parametrize(
    "change",
    [
        {"center": [0, 0, 0]},
        {"size": [9, 6, 6]},
        {"spacing": 0.5},
        {"scoring": "vinardo"},
    ],
)
def test_other_grids_have_other_maps(software: Software, change: dict[str, Any]) -> None:
    assert build(software).inputs[0].name != build(software, options(**change)).inputs[0].name
    assert calls(software) == 2


def test_a_changed_receptor_never_meets_old_maps(software: Software) -> None:
    before = build(software).inputs
    (software.beside / "receptor.pdbqt").write_text(RECEPTOR.replace("4.000", "4.001"))
    assert {shared.name for shared in build(software).inputs}.isdisjoint(
        shared.name for shared in before
    )


def test_another_version_of_vina_makes_its_own_maps(software: Software) -> None:
    before = build(software).inputs
    program = Path(software.argv("vina")[0])
    program.write_text(stand_in("v9.9.9", "v9.9.10"))
    assert build(software).inputs != before
    assert calls(software) == 2


def test_missing_maps_are_made_again(software: Software) -> None:
    job = build(software)
    job.inputs[-1].path.unlink()
    assert build(software).inputs == job.inputs
    assert calls(software) == 2


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("0.25", "nan", "not finite"),
        ("* points", "* (points - 1)", "incomplete map"),
        ("NELEMENTS %d", "NELEMENTS 1%d", "incomplete map"),
        ("in MAPS", "in ()", "no map for the atom type"),
        ("sys.exit(0)", "sys.exit(3)", "exit code 3"),
    ],
)
def test_bad_maps_never_reach_the_cache(software: Software, old: str, new: str, words: str) -> None:
    Path(software.argv("vina")[0]).write_text(stand_in(old, new))
    with pytest.raises(WqmasterError, match=words):
        build(software)
    assert software.cache is not None
    assert list(software.cache.iterdir()) == []


@pytest.mark.parametrize("program", ["no-such-vina", "true"])
def test_maps_need_vina_on_this_machine(software: Software, program: str) -> None:
    without = Software({"vina": program}, beside=software.beside, cache=software.cache)
    with pytest.raises(ProgramMissing):
        prepare(steps(options()), without)


def test_refining_needs_no_vina_here_and_shares_the_receptor(software: Software) -> None:
    without = Software({"vina": "no-such-vina"}, beside=software.beside, cache=software.cache)
    job = build(without, options(refine=True))
    [shared] = job.inputs
    assert shared.path.read_text() == RECEPTOR
    # Later edits of the receptor do not reach the workers of this campaign.
    (software.beside / "receptor.pdbqt").write_text("")
    assert shared.path.read_text() == RECEPTOR
    found = conf(job)
    assert found["receptor"] == f"../shared/{shared.name}"
    assert [found[key] for key in ("center_z", "size_y", "spacing")] == ["0.5", "6.1", "0.375"]
    assert "maps" not in found


# --- the job -----------------------------------------------------------------------------------


def test_no_content_of_a_document_is_in_a_command_line(software: Software) -> None:
    job = build(software)
    [step] = job.steps
    assert step.argv == (*software.argv("vina"), "--config", "vina.conf", "--cpu", "1")
    assert job.files["ligand.pdbqt"] == LIGAND.encode()
    other = LIGAND.replace("0.125", "0.250").replace("OA", "O ")
    assert build(software, molecule=document(_id=7, pdbqt=other)).steps == job.steps


def test_settings_are_in_the_configuration(software: Software) -> None:
    wanted = options(exhaustiveness=3, num_modes=4, energy_range=2.5, min_rmsd=0.5, seed=99)
    found = conf(build(software, wanted))
    assert found.pop("maps").startswith("../shared/vina-")
    assert found == {
        "ligand": "ligand.pdbqt",
        "out": "out.pdbqt",
        "scoring": "vina",
        "exhaustiveness": "3",
        "num_modes": "4",
        "energy_range": "2.5",
        "min_rmsd": "0.5",
        "seed": "99",
    }
    assert conf(build(software, options(max_evals=500)))["max_evals"] == "500"


def test_vina_gets_as_many_cores_as_the_job(software: Software) -> None:
    four = Software(software.commands, cores=4, beside=software.beside, cache=software.cache)
    assert build(four).steps[0].argv[-2:] == ("--cpu", "4")


def test_poses_and_configuration_come_back_and_streams_are_not_named(software: Software) -> None:
    requests = prepare(steps(options(), files=frozenset({"stdout", "out.pdbqt"})), software)
    [step] = dock(document(), requests, software).steps
    assert step.outputs == ("out.pdbqt", "vina.conf")


def test_each_step_has_its_own_configuration_and_equal_ligands_are_sent_once(
    software: Software,
) -> None:
    other = options(ligand={"field": "other", "format": "pdbqt"}, scoring="vinardo")
    molecule = document(other=LIGAND.replace("OA", "O "))
    job = build(software, options(), options(refine=True), other, molecule=molecule)
    assert set(job.files) == {
        *("ligand.pdbqt", "ligand1.pdbqt", "vina.conf", "vina1.conf", "vina2.conf"),
    }
    assert [step.rename for step in job.steps] == [
        (),
        (("vina1.conf", "vina.conf"),),
        (("vina2.conf", "vina.conf"),),
    ]
    assert job.removed_before(1) == job.removed_before(2) == ("out.pdbqt",)
    assert conf(job, "vina1.conf")["ligand"] == "ligand.pdbqt"
    assert conf(job, "vina2.conf")["ligand"] == "ligand1.pdbqt"
    assert len({conf(job, name)["seed"] for name in job.files if "conf" in name}) == 3
    assert len({shared.name for shared in job.inputs}) == len(job.inputs)


def test_building_twice_gives_the_same_job(software: Software) -> None:
    assert build(software, options(), options(refine=True)) == build(
        software, options(), options(refine=True)
    )


def test_a_job_before_prepare_is_an_error(software: Software) -> None:
    with pytest.raises(RuntimeError, match="was not called for the step step0"):
        dock(document(), steps(options()), software)


def test_seeds_are_fixed_and_differ_by_document_and_step() -> None:
    # This value must never change, because another seed gives other poses.
    assert seed_of(ObjectId("64b7f0c2a3d4e5f601234567"), "dock") == 115017415
    seeds = {seed_of(document, step) for document in range(1000) for step in ("a", "b")}
    assert len(seeds) == 2000
    assert all(0 < seed < 2**31 for seed in seeds)


# --- ligands -----------------------------------------------------------------------------------


def refused(software: Software, wanted: Dock, **fields: Any) -> str:
    with pytest.raises(BadDocument) as caught:
        build(software, wanted, molecule=document(**fields))
    message: str = caught.value.message
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (" OA\n", " Xx\n", "line 7: Vina has no atom type 'Xx'"),
        (" OA\n", " B\n", "line 7: Vina has no atom type 'B'"),
        (" OA\n", "\n", "line 7: the line is too short"),
        ("   0.125", "     nan", "line 3: the coordinate 'nan' is not a finite number"),
        ("   0.125", "     inf", "line 3: the coordinate 'inf' is not a finite number"),
        ("   0.125", " 9999999", "line 3: the atom is too far away"),
        ("   0.125", "   0_125", "line 3: the coordinate '0_125'"),
        ("   0.125", "   1.500", "atoms 1 and 2 are in the same place"),
        ("ATOM      3", "ATOM      x", "line 7: '    x' is not an atom number"),
        ("+0.000 A", "+O.OOO A", "line 4: the charge '+O.OOO'"),
        ("TORSDOF 1\n", "", "it does not end with TORSDOF"),
        ("TORSDOF 1\n", "TORSDOF\n", "line 10: TORSDOF has no number"),
        ("TORSDOF 1\n", "TORSDOF 1\nTORSDOF 1\n", "line 11: 'TORSDOF 1' does not belong"),
        ("ENDROOT\n", "", "line 5: 'BRANCH   2   3' does not belong here"),
        ("ENDBRANCH   2   3\n", "", "line 9: 'TORSDOF 1' does not belong here"),
        ("ENDBRANCH   2   3", "ENDBRANCH   2   4", "line 9: ENDBRANCH does not match BRANCH 2 3"),
        ("BRANCH   2   3\n", "BRANCH   9   3\n", "line 6: BRANCH begins at atom 9"),
        (
            "BRANCH   2   3",
            "BRANCH   2   8",
            "the BRANCH that ends here does not contain its atom 8",
        ),
        ("BRANCH   2   3\n", "BRANCH   2\n", "line 6: a BRANCH needs the numbers of two atoms"),
        ("REMARK", "MODEL 1\nREMARK", "line 1: a ligand has no MODEL"),
        ("REMARK", "NAME x\nREMARK", "line 1: 'NAME x' does not belong here"),
        ("REMARK", "RE\0MARK", "line 1: it contains a NUL"),
    ],
)
def test_a_ligand_that_vina_would_not_read_is_a_bad_document(
    software: Software, old: str, new: str, words: str
) -> None:
    assert old in LIGAND
    count = 2 if old.startswith("BRANCH   2   3") and "8" in new else 1
    message = refused(software, options(), pdbqt=LIGAND.replace(old, new, count))
    assert message.startswith("'pdbqt' is not a ligand that Vina can read: ")
    assert words in message


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "the document has no 'pdbqt'"),
        (7, "'pdbqt' is not a string: 7"),
        (b"ROOT", "'pdbqt' is not a string"),
        (["ROOT"], "'pdbqt' is not a string"),
        ("", "it has no atoms"),
        ("ROOT\nENDROOT\nTORSDOF 0\n", "it has no atoms"),
        (f"ROOT\n{atom(1, 'HD')}\nENDROOT\nTORSDOF 0\n", "no atoms other than hydrogen"),
        ("REMARK x\n" * 200_000, "more than a ligand can have"),
    ],
)
def test_an_invalid_ligand_is_a_bad_document(software: Software, value: object, words: str) -> None:
    assert words in refused(software, options(), pdbqt=value)


def test_a_ligand_with_windows_line_endings_is_read(software: Software) -> None:
    job = build(software, molecule=document(pdbqt=LIGAND.replace("\n", "\r\n")))
    assert job.files["ligand.pdbqt"] == LIGAND.encode()


def test_closures_of_a_macrocycle_may_coincide_with_atoms() -> None:
    closed = LIGAND.replace(atom(4, "HD", 2.75, 1.5), atom(4, "G0", 0.125))
    assert pdbqt_file.ligand(closed) == frozenset({"C", "A", "OA", "G0"})


# --- Meeko -------------------------------------------------------------------------------------

needs_meeko = pytest.mark.skipif(
    ligand.missing() is not None, reason="the extra 'docking' is not installed"
)


@needs_meeko
def test_a_smiles_always_becomes_the_same_ligand(software: Software) -> None:
    wanted = options(ligand={"field": "mol.canonical", "format": "smiles"})
    molecule = document(mol={"canonical": "CC(=O)Nc1ccc(O)cc1"})
    job = build(software, wanted, molecule=molecule)
    text = job.files["ligand.pdbqt"].decode()
    assert pdbqt_file.ligand(text) == frozenset({"C", "A", "N", "OA", "HD"})
    assert "TORSDOF 2" in text
    assert build(software, wanted, molecule=molecule) == job


@needs_meeko
@pytest.mark.parametrize(
    ("smiles", "hydrogens"), [("CC(=O)O", 1), ("CC(=O)[O-]", 0), ("CN", 2), ("C[NH3+]", 3)]
)
def test_protonation_is_as_given(smiles: str, hydrogens: int) -> None:
    atoms = [line.split()[-1] for line in ligand.pdbqt(smiles, "smiles").splitlines()]
    assert atoms.count("HD") == hydrogens


SDF = """ethanol
     made up

  3  2  0  0  0  0  0  0  0  0999 V2000
    1.0000    2.0000    3.0000 C   0  0  0  0  0  0  0  0  0  0  0  0
    2.5000    2.0000    3.0000 C   0  0  0  0  0  0  0  0  0  0  0  0
    3.0000    3.3500    3.1000 O   0  0  0  0  0  0  0  0  0  0  0  0
  1  2  1  0
  2  3  1  0
M  END
"""


@needs_meeko
def test_an_sdf_keeps_its_coordinates_and_gets_its_hydrogens(software: Software) -> None:
    job = build(software, options(ligand="sdf"), molecule=document(sdf=SDF + "$$$$\n"))
    lines = job.files["ligand.pdbqt"].decode().splitlines()
    atoms = [pdbqt_file.atom(line) for line in lines if pdbqt_file.is_atom(line)]
    assert [found.position for found in atoms[:3]] == [(1, 2, 3), (2.5, 2, 3), (3, 3.35, 3.1)]
    assert [found.element for found in atoms] == ["C", "C", "O", "H"]


@needs_meeko
def test_a_flat_sdf_gets_coordinates(software: Software) -> None:
    flat = SDF.replace("3.0000 C", "0.0000 C").replace("3.1000 O", "0.0000 O")
    text = ligand.pdbqt(flat, "sdf")
    assert (
        len(
            {
                pdbqt_file.atom(line).position[2]
                for line in text.splitlines()
                if pdbqt_file.is_atom(line)
            }
        )
        > 1
    )


@needs_meeko
@pytest.mark.parametrize(
    ("form", "value", "words"),
    [
        ("smiles", "", "cannot read the SMILES"),
        ("smiles", "not a smiles", "cannot read the SMILES"),
        ("smiles", "C(C)(C)(C)(C)C", "cannot read the SMILES"),
        ("smiles", "[Na+].[Cl-]", "fragments"),
        ("smiles", "*CC", "Meeko cannot prepare the ligand"),
        ("smiles", "OB(O)c1ccccc1", "Vina has no atom type 'B'"),
        ("smiles", "[H][H]", "Meeko cannot prepare the ligand"),
        ("smiles", "C" * 200_000, "200,000 characters are not the text"),
        ("smiles", 5, "is not a string"),
        ("sdf", "", "cannot read the SDF"),
        ("sdf", SDF[:150], "cannot read the SDF"),
        ("sdf", SDF + "$$$$\n" + SDF, "several molecules"),
    ],
)
def test_a_molecule_that_cannot_be_prepared_is_a_bad_document(
    software: Software, capfd: pytest.CaptureFixture[str], form: str, value: object, words: str
) -> None:
    assert words in refused(software, options(ligand=form), **{form: value})
    assert capfd.readouterr() == ("", "")
