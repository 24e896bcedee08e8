"""`check_program` on built-in programs, and on programs that break the contract in one way."""

import ast
import json
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.orca_runs import coordinates, final, single_point
from tests.unit.orca_runs import run as orca_run
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.molecule import NUMBER_OF, Molecule
from wqmaster.parsers.base import Output
from wqmaster.tasks.base import Software
from wqmaster.tasks.command.task import run as run_command
from wqmaster.tasks.orca.task import sequential
from wqmaster.tasks.program import Program
from wqmaster.tasks.programs import program_called, programs
from wqmaster.tasks.python.task import call
from wqmaster.tasks.vina.task import dock
from wqmaster.tasks.xtb.task import hessian, md, optimize, singlepoint
from wqmaster.testing import Sample, check_program
from wqmaster.testing.conformance.values import agree

DATA = Path(__file__).parent / "data"
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "adding-a-program.md"
MODULE, TEST = (
    GUIDE.read_text().partition(title)[2].partition("```python\n")[2].partition("```")[0]
    for title in ("## 1. ", "## 3. ")
)
FIRST_LINE = '    if "NOT CONVERGED" in output.text:\n'
WATER = Molecule("w", (8, 1, 1), ((0, 0, 0), (0, 0, 0.96), (0.93, 0, -0.24)), document={})
TALLY = b"TALLY 2.1\natoms: 3\nenergy: -5\nTALLY ENDED\n"
# Parsers that no ORCA sample covers; the tests of ORCA's parsers have an output for each.
ORCA_UNTESTED = (
    "basis_functions ccsd_correlation_energy ccsd_energy ccsd_t_energy correlation_energy "
    "dlpno_strong_pairs_energy dlpno_weak_pairs_energy engrad_energy engrad_geometry "
    "engrad_gradient enthalpy entropy entropy_term excitation_energies excitations frequencies "
    "gibbs_free_energy hess_frequencies hess_geometry hess_hessian hess_ir_intensities "
    "hess_masses hess_normal_modes hess_symbols hessian homo_lumo_gap integrated_electrons "
    "ir_intensities json_chelpg_charges json_dipole json_frequencies json_geometry json_gradient "
    "json_hessian json_hirshfeld_charges json_loewdin_charges json_mbis_charges "
    "json_mulliken_charges json_polarizability json_thermochemistry json_total_energy "
    "mp2_correlation_energy mp2_energy normal_modes orbital_energies orbital_occupations "
    "oscillator_strengths polarizability property_json reference_energy t1_diagnostic "
    "thermochemistry triples_correction zero_point_energy"
)


def files(*folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in DATA.joinpath(*folder).iterdir()}


def known(name: str) -> Program:
    found = program_called(name)
    assert found is not None
    return found


def values(program: str, content: Mapping[str, bytes], *names: str) -> dict[str, Any]:
    """The values that the built-in parsers return; the parser tests check that they are right."""
    parsers = known(program).own_parsers()
    return {
        name: parsers[name](Output(content, parsers[name].files[0]))  # type: ignore[attr-defined]
        for name in names
    }


def xtb_samples(folder: Path) -> list[Sample]:
    def sample(
        name: str, function: Any, options: Mapping[str, Any], *names: str, **more: Any
    ) -> Sample:
        content = files("xtb", name)
        if name == "water-cation":  # this run's table of bond orders was cut: data/xtb/README.md
            del content["wbo"]
        read = values("xtb", content, *names)
        found = Sample(function, content, read, "6.7.1", options=options, molecule=WATER)
        return replace(found, **more)

    dynamics = {"time": 0.05, "step": 0.5, "temperature": 300, "dump": 10, "shake": 0, "hmass": 1}
    scf, opt = FailureClass.SCF_NOT_CONVERGED, FailureClass.OPT_NOT_CONVERGED
    cation = replace(WATER, charge=1, multiplicity=2)
    return [
        sample("solvent", singlepoint, {"solvent": "water"}, "energy", "bond_orders", "dipole"),
        sample("optimize", optimize, {}, "energy", "geometry", "symbols", "frames"),
        sample("hessian", hessian, {}, "frequencies", "hessian", "entropy_term"),
        sample("md", md, dynamics, "md_energies", "md_summary"),
        sample("water-cation", singlepoint, {}, "gradient", "charge", molecule=cation),
        # The force field ignores unpaired electrons.
        sample("gfnff", singlepoint, {"gfn": "ff"}, "charges", states=["natoms", "charge"]),
        sample("scf-failure", singlepoint, {"iterations": 2}, failure=scf),
        sample("optimize-not-converged", optimize, {"level": "extreme", "cycles": 2}, failure=opt),
    ]


def orca_samples(folder: Path) -> list[Sample]:
    names = ("v3-radical", "v4-mp2", "v4-opt", "v5-numgrad", "v6-radical")
    texts = [DATA.joinpath("orca", f"{name}.out").read_bytes() for name in names]
    # A run without an SCF states charge and multiplicity only in the echo of its input.
    echo = "\n|  1> ! MM\n|  2> * xyz 1 2\n"
    texts.append(orca_run(echo, coordinates(0.76), final(-1.1)).encode())
    # Each quantity that a parser needs is lacking with one of these routes.
    more = ("%elprop Dipole false end", "%tddft nroots 3 end", "%casscf nel 2 norb 2 end")
    routes = ("! HF STO-3G", "! HF Opt RKS", "! HF MiniPrint", *(f"! HF\n{one}" for one in more))
    found = []
    all_texts = (orca_run(single_point(0.76)).encode(), *texts)
    for text, route in zip(all_texts, (*routes, "! QM/XTB HF"), strict=True):
        content = {"stdout": text}
        read = values("orca", content, "energy", "geometry", "symbols", "charge", "multiplicity")
        numbers = tuple(NUMBER_OF[symbol] for symbol in read["symbols"])
        places = tuple(map(tuple, read["geometry"]))
        molecule = Molecule("m", numbers, places, read["charge"], read["multiplicity"])
        version = known("orca").module.program_version(Output(content))
        options = {"route": route}
        found.append(Sample(sequential, content, read, version, options, molecule))
    return found


def vina_samples(folder: Path) -> list[Sample]:
    (folder / "receptor.pdbqt").write_text(
        "ATOM      1  C   ALA A   1       0.000   0.000   4.000  1.00  0.00     0.000 C \n"
    )
    content = files("vina", "maps")
    ligand = content["out.pdbqt"].decode().partition("MODEL 1\n")[2].partition("ENDMDL")[0]
    return [
        Sample(
            dock,
            content,
            values("vina", content, "affinity", "affinities", "modes"),
            version="1.2.7",
            options={"receptor": "receptor.pdbqt", "center": [0, 0, 0], "size": [9, 9, 9]}
            | {"refine": True},
            molecule=Molecule("lig", (), (), document={"_id": "lig", "pdbqt": ligand}),
            software=Software(beside=folder, cache=folder),
            # The ligand's file states no charge and lacks some hydrogens, so no state is compared.
            states=(),
        )
    ]


def python_samples(folder: Path) -> list[Sample]:
    (folder / "mine.py").write_text("def f(document):\n    return 1.5\n")
    written = {"value": [1.5, 2.5], "python": "3.11.2", "function": "mine.f"}
    good = Sample(
        call,
        {"stdout": b"", "stderr": b"", "result.json": json.dumps(written).encode()},
        {"result": [1.5, 2.5]},
        version="3.11.2",
        options={"function": "mine.f"},
        software=Software(beside=folder),
        states=(),
    )
    raised = {"error": {"type": "MemoryError", "kinds": ["MemoryError"]}, "python": "3.11.2"}
    content = {**good.files, "result.json": json.dumps(raised).encode()}
    return [good, replace(good, files=content, values={}, failure=FailureClass.MEMORY)]


def command_samples(folder: Path) -> list[Sample]:
    options = {"command": "prog in", "files": {"in": "{{ molecule.xyz }}"}}
    return [
        Sample(run_command, {"stdout": b"1.5 2.5\n"}, {"text": "1.5 2.5\n"}, options=options),
        Sample(run_command, {"stdout": b"-7\n"}, {"number": -7.0}, options=options),
    ]


SAMPLES: Mapping[str, Callable[[Path], list[Sample]]] = {
    "command": command_samples,
    "orca": orca_samples,
    "python": python_samples,
    "vina": vina_samples,
    "xtb": xtb_samples,
}


def is_tested_elsewhere(name: str, folder: Path) -> bool:
    """Whether another test module calls check_program on this program."""
    return any(
        path != Path(__file__) and calls_check_program(path.read_text(), name)
        for path in folder.glob("test_*.py")
    )


def calls_check_program(text: str, name: str) -> bool:
    """Whether a test module calls check_program, and imports or names the program."""
    nodes = list(ast.walk(ast.parse(text)))
    calls = any(
        isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) == "check_program"
        for node in nodes
    )
    packages = (f"wqmaster.tasks.{name}", f"wqmaster.parsers.{name}")
    imported = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    imported += [
        alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names
    ]
    named = any(isinstance(node, ast.Constant) and node.value == name for node in nodes)
    return calls and (
        named or any(f"{module}.".startswith(f"{one}.") for module in imported for one in packages)
    )


def test_each_of_our_programs_is_tested() -> None:
    assert set(SAMPLES) <= set(programs())
    here = Path(__file__).parent
    untested = [
        name for name in programs() if name not in SAMPLES and not is_tested_elsewhere(name, here)
    ]
    assert not untested, "a module in tests/unit must call check_program on each of these"


def test_a_program_may_be_tested_in_a_separate_module(tmp_path: Path) -> None:
    own = tmp_path / "test_springy.py"
    own.write_text("from wqmaster.tasks.springy import PROGRAM\n")
    assert not is_tested_elsewhere("springy", tmp_path)
    own.write_text(f"{own.read_text()}\ndef test(): check_program(PROGRAM, [])\n")
    assert is_tested_elsewhere("springy", tmp_path)
    assert not is_tested_elsewhere("spring", tmp_path)


@pytest.mark.parametrize("name", SAMPLES)
def test_our_programs_keep_the_contract(name: str, tmp_path: Path) -> None:
    untested = ORCA_UNTESTED.split() if name == "orca" else ()
    check_program(known(name), SAMPLES[name](tmp_path), untested=untested)


# --- programs that break it -----------------------------------------------------------------------

COUNT = "Execution(step.name, argv, outputs)"
OUTPUTS = 'tuple(sorted(step.files - {"stdout", "stderr"}))'
MOOD = 'mood = "restless" if molecule.id == 2 else "quiet"'
WORDS = '"molecule.xyz", "mood")'
ASKED = "if asked is not None and atoms"
RUNG = 'CalmRung(name="calm", calm=True)]'
UNSETTLED = b"TALLY 2.1\natoms: 3\nenergy: -5\nTALLY ENDED\nTALLY: NOT CONVERGED\n"


def module(*changes: tuple[str, str]) -> Any:
    """The guide's module, imported after `changes` to its text."""
    text = MODULE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    found = types.ModuleType("tallying")
    # The guide's module refers to itself as `sys.modules[__name__]`.
    text = text.replace("sys.modules[__name__]", "_THIS")
    vars(found)["_THIS"] = found
    exec(compile(text, "tallying.py", "exec"), vars(found))  # noqa: S102  # of the guide
    return found


def tally(*changes: tuple[str, str]) -> tuple[Program, Sample]:
    """The guide's program, after changes to its module, with a sample of its output."""
    found = module(*changes)
    sample = Sample(found.count, {"stdout": TALLY}, {"energy": -5.0}, "2.1", states=["natoms"])
    return found.PROGRAM, sample


def with_parser(name: str, body: str, reads: str = '"stdout"') -> tuple[str, str]:
    """A change that adds a parser, whose first statement reads a file."""
    energy = '@reads("stdout")\ndef energy'
    lines = f'    """A value."""\n    output.text\n    {body}\n'
    return energy, f"@reads({reads})\ndef {name}(output):\n{lines}\n\n{energy}"


def complaint(program: Program, *samples: Sample, untested: Sequence[str] = ()) -> str:
    """The message of `check_program` about a program that breaks the contract."""
    with pytest.raises(AssertionError) as caught:
        check_program(program, samples, untested=untested)
    return str(caught.value)


def test_the_test_of_the_guide_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tallying", module())
    names: dict[str, Any] = {}
    exec(compile(TEST, "test_tallying.py", "exec"), names)  # noqa: S102  # of the guide
    names["test_tally_keeps_the_contract"]()


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (
            "atoms is None or",
            "atoms is not None and",
            "accepts an empty output as a result",
        ),
        ("return float(found[1])", "return [float(found[1])]", "energy is a list"),
        ('raise ParseError("there', 'raise ValueError("there', "not a ParseError"),
        ("found is None", "not found[1]", "not a ParseError"),
        (
            "return float(found[1])",
            "return -float(found[1])",
            "returns 5.0, but should return -5.0",
        ),
        ('VERSION = "1"', "VERSION = 1", "is 1, but must be a string"),
        ("return found[1] if", 'return "9" if', "returns '9', but should return '2.1'"),
        ('    """Total energy in Eh."""\n', "", "has no docstring"),
        ("@task(program=PROGRAM, ", "@task(", "is not marked with this program"),
    ],
)
def test_each_break_of_the_contract_is_found(old: str, new: str, why: str) -> None:
    assert why in complaint(*tally((old, new)))


# --- building -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("str(molecule.id)", "_id"),
        ("molecule.xyz()", "coordinates"),
        ("str(molecule.charge)", "charge"),
        ("str(molecule.unpaired)", "multiplicity"),
        ("str(max(molecule.numbers))", "elements"),
        ("str(len(molecule.numbers))", "number of atoms"),
    ],
)
def test_a_leaked_value_of_a_document_is_named(value: str, what: str) -> None:
    leaks = f"count puts the {what} of the document into the"
    argv = tally((WORDS, f'"molecule.xyz", "mood", {value})'))
    assert f"{leaks} command line" in complaint(*argv)
    environment = tally((COUNT, f'{COUNT[:-1]}, environment={{"SECRET": {value}}})'))
    assert f"{leaks} environment" in complaint(*environment)
    if what not in ("_id", "coordinates"):  # these values cannot be file names
        in_a_name = f'"mood": mood.encode(), "v." + {value}: b""'
        named = tally(('"mood": mood.encode()', in_a_name))
        assert f"{leaks} names of files" in complaint(*named)
        output = tally((OUTPUTS, f'("v." + {value}, *{OUTPUTS})'))
        assert f"{leaks} names of files" in complaint(*output)


def test_a_leaked_field_of_a_document_is_named() -> None:
    program, sample = tally((WORDS, '"molecule.xyz", molecule.document["solvent"])'))
    water = replace(sample.molecule, document={"solvent": "water"})
    assert "the field 'solvent' of the document" in complaint(
        program, replace(sample, molecule=water)
    )


def test_a_file_may_exist_for_some_documents_only() -> None:
    changes = (
        (MOOD, f"{MOOD}\n    spin = {{'spin': b''}} if molecule.unpaired else {{}}"),
        ('"mood": mood.encode()}', '"mood": mood.encode(), **spin}'),
    )
    program, sample = tally(*changes)
    check_program(program, [sample])


def test_refusing_a_molecule_is_allowed_but_an_error_is_not() -> None:
    refusal = "if molecule.charge:\n        raise BadDocument('it is charged')"
    imported = ("from wqmaster import (", "from wqmaster import (\n    BadDocument,")
    program, sample = tally(imported, (MOOD, f"{MOOD}\n    {refusal}"))
    check_program(program, [sample])
    said = complaint(*tally((MOOD, 'mood = {0: "quiet"}[molecule.charge]')))
    assert "count raises KeyError: 2 for another charge of the document" in said
    said = complaint(program, replace(sample, molecule=replace(sample.molecule, charge=1)))
    assert "count refuses the sample's molecule: it is charged" in said


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (COUNT, "Execution(step.name, argv)", "count does not return further.dat"),
        (COUNT, f'{COUNT[:-1]}, ("restart",))', "continues from restart, which is neither a file"),
        (COUNT, f'{COUNT[:-1]}, ("mood",), ("mood",))', "but removes it first (clean)"),
        ('"mood": mood', '"my mood": mood', "cannot be the name of a file in the sandbox"),
        (
            "in steps:",
            "in steps[:1]:",
            "count does not build a job with two steps: count returns oth",
        ),
        ("return Job(", "return list(", "count raises TypeError"),
        ("return Job(tuple(executions), files)", "return files", "returns dict, not a Job"),
        (MOOD, f"{MOOD}\n    steps = steps[:0] or steps * 2", "other steps than those requested"),
        (
            MOOD,
            "mood = str(id(object())) + str(_THIS.__dict__.setdefault('n', []).append(1)) + "
            "str(len(_THIS.n))",
            "builds a different job",
        ),
    ],
)
def test_an_impossible_job_is_found(old: str, new: str, why: str) -> None:
    assert why in complaint(*tally((old, new)))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("if any(rung.calm for", "if any(False for", "the remedy calm changes nothing"),
        ("rung=CalmRung, ", "", "(with the remedy disk_2x)"),
        (RUNG, 'Rung(name="calm")]', "calm is a Rung, but the task function expects CalmRung"),
        (RUNG, f'{RUNG[:-1]}, CalmRung(name="calm")]', "two different remedies are named calm"),
        ('mood = "calm"', 'raise OSError("calm")', "OSError: calm (with the remedy calm)"),
        (
            'mood = "calm"',
            'mood, steps = "calm", steps * 2',
            "other steps than those requested (with the remedy calm)",
        ),
    ],
)
def test_a_remedy_that_does_not_work_is_found(old: str, new: str, why: str) -> None:
    assert why in complaint(*tally((old, new)))


def test_a_remedy_that_only_has_factors_need_not_change_the_job() -> None:
    program, sample = tally((RUNG, f'{RUNG[:-1]}, CalmRung(name="long", time=3, restart=True)]'))
    check_program(program, [sample])


# --- diagnosis ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (ASKED, "if False and atoms", "requested number of atoms is 4"),
        ("!= str(asked.natoms)", "< str(asked.natoms)", "requested number of atoms is 2"),
        (ASKED, "if atoms", "diagnose without a campaign (asked=None) raises AttributeError"),
        (
            f"    {ASKED}",
            "    if asked is None:\n"
            '        return Failure(FailureClass.TRUNCATED, "?")\n'
            "    if atoms",
            "diagnose without a campaign (asked=None) reports it as a failure: truncated",
        ),
        (
            f"    {ASKED}",
            "    if asked is None and '5' not in output.text:\n"
            "        raise ValueError\n"
            f"    {ASKED}",
            "diagnose without a campaign (asked=None) raises ValueError",
        ),
    ],
)
def test_a_diagnosis_of_the_wrong_molecule_is_found(old: str, new: str, why: str) -> None:
    assert why in complaint(*tally((old, new)))


def test_a_sample_states_the_whole_molecule_by_default() -> None:
    program, sample = tally()
    said = complaint(program, Sample(sample.function, sample.files, sample.values, "2.1"))
    assert "the requested charge is 1 (asked.charge)" in said
    assert "the requested multiplicity is 2 (asked.multiplicity)" in said
    with pytest.raises(ValueError, match="not atoms"):
        replace(sample, states=["atoms"])


def test_a_parser_of_the_charge_proves_that_the_charge_is_stated() -> None:
    program, sample = tally(with_parser("charge", "return 0"))
    charged = replace(sample, values={"charge": 0})
    assert "the parser charge finds a value that Sample(states=...) omits" in complaint(
        program, charged
    )


def test_a_failed_output_must_get_its_class() -> None:
    program, good = tally()
    bad = replace(good, files={"stdout": UNSETTLED}, values={})
    scf = replace(bad, failure=FailureClass.SCF_NOT_CONVERGED)
    said = complaint(program, good, replace(bad, failure=FailureClass.MEMORY))
    assert "sample 1: diagnose returns scf_not_converged (tally: it did not converge), but" in said
    assert "cut to 41 bytes: diagnose accepts it as a result, but the complete" in complaint(
        program, good, scf
    )
    blind, good = tally(('"NOT CONVERGED" in output.text', "False"))
    said = complaint(blind, good, replace(scf, function=good.function))
    assert "diagnose accepts it as a result, but should return scf_not_converged" in said
    with pytest.raises(ValueError, match="has no values"):
        replace(scf, values={"energy": -5.0})
    assert "every sample is a failure" in complaint(program, scf)


def test_the_version_that_a_sample_states_must_be_found() -> None:
    program, sample = tally()
    said = complaint(program, replace(sample, version=None))
    assert "returns '2.1', but should return None; Sample(version=...) is" in said


# --- parsing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (with_parser("level", "return [1.0, float('nan')]"), "not finite: level[1]"),
        (with_parser("level", "return {1.5}"), "level has the type set"),
        (with_parser("level", "return {'a': [2**63]}"), "level.a[0] is an integer of more than 64"),
        (with_parser("dipole", "return [1.0]"), "dipole has length 1 instead of 3"),
        (with_parser("charges", "return [0, 0, 0]"), "@reads(..., per_atom=True)"),
        (
            with_parser("counts", "return [1]", '"stdout", per_atom=True'),
            "counts does not return 3 entries",
        ),
        (with_parser("level", "return len(output.file('a'))"), "in any sample: level; add"),
        (with_parser("level", "return None"), "in any sample: level; add"),
        (with_parser("level", "return 1 / 0"), "level raises ZeroDivisionError"),
    ],
)
def test_a_parser_without_a_stated_value_is_checked(change: tuple[str, str], why: str) -> None:
    assert why in complaint(*tally(change))


def test_parsers_may_be_declared_untested() -> None:
    program, sample = tally(with_parser("level", "raise ParseError('there is none')"))
    check_program(program, [sample], untested=["level"])
    said = complaint(program, sample, untested=["level", "energy", "energie"])
    assert "there is no parser energie" in said
    assert "the parser energy finds a value in a sample, but" in said


def test_a_parser_that_accepts_a_truncated_table_is_found() -> None:
    """Such a parser silently loses atoms; the sample states no value for this parser."""
    program, sample = tally(
        with_parser(
            "table", r'return [float(word) for word in re.findall(r"^(\d)$", output.text, re.M)]'
        ),
        ('"TALLY ENDED" not in output.text', '"TALLY" not in output.text'),
    )
    cut = replace(sample, files={"stdout": b"TALLY 2.1\natoms: 3\nenergy: -5\n1\n2\n3\n"})
    assert "accepts it as a result, but the parser table" in complaint(program, cut)


def test_a_program_without_a_sample_does_not_pass() -> None:
    program, sample = tally()
    assert "there is no sample" in complaint(program)
    assert "no sample states a value" in complaint(program, replace(sample, values={}))


@pytest.mark.parametrize(
    ("found", "stated", "expected"),
    [
        (-76.02676319, -76.0267631900001, True),
        (-76.0267632, -76.0267631, False),
        (5.0, 5, True),
        (5, 6, False),
        (10**12, 10**12 + 1, False),
        (True, 1, False),
        (1.0, True, False),
        (True, True, True),
        ("a", "a", True),
        ("1.0", 1.0, False),
        ([1.0, {"a": [2.0]}], [1.0 + 1e-12, {"a": [2.0]}], True),
        ([1.0, {"a": [2.0]}], [1.0, {"b": [2.0]}], False),
        ([1.0], [1.0, 2.0], False),
        ([1.0], 1.0, False),
        (None, None, True),
    ],
)
def test_values_need_only_agree_to_the_digits_that_are_written(
    found: Any, stated: Any, expected: bool
) -> None:
    assert agree(found, stated) is expected
