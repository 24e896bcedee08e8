"""The values from a real xtb run belong to one evaluation, which a direct run recomputes."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.integration.xtb_runs import NEEDS_XTB
from wqmaster.errors import ParseError
from wqmaster.parsers import xtb
from wqmaster.parsers.base import Output
from wqmaster.tasks.xtb.task import environment

pytestmark = NEEDS_XTB

# A geometry of ethanol away from the minimum, in Angstrom.
ETHANOL = """9

C   -0.75   0.00   0.10
C    0.75   0.05  -0.10
O    1.25   1.35   0.15
H   -1.25   0.90  -0.25
H   -1.20  -0.85  -0.40
H   -0.95  -0.10   1.20
H    1.10  -0.25  -1.10
H    1.25  -0.65   0.60
H    2.15   1.40  -0.30
"""
MOST_FRAMES = 20
# Tolerances (in Eh, Eh/Bohr and e) for files with 8 and 12 decimals and for converged charges.
SAME_ENERGY, SAME_GRADIENT, SAME_CHARGE = 1e-8, 2e-6, 1e-5
METHODS = {"1": ("--gfn", "1"), "2": ("--gfn", "2"), "ff": ("--gfnff",)}

Run = Callable[..., Output]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A function that runs xtb in a new folder and returns all files of the run."""
    folders = iter(range(1000))

    def run(xyz: str, *words: str, control: str = "") -> Output:
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        (folder / "molecule.xyz").write_text(xyz)
        if control:
            (folder / "control.inp").write_text(control)
            words = (*words, "--input", "control.inp")
        done = subprocess.run(
            ["xtb", "molecule.xyz", *words],
            cwd=folder,
            capture_output=True,
            check=False,
            env=environment(1) | {"PATH": "/usr/local/bin:/usr/bin:/bin"},
        )
        found = {path.name: path.read_bytes() for path in folder.iterdir()}
        return Output(found | {"stdout": done.stdout, "stderr": done.stderr})

    return run


def read(name: str, output: Output) -> Any:
    parser = getattr(xtb, name)
    return parser(output.beside(parser.files[0]))


def xyz_of(symbols: Sequence[str], geometry: Sequence[Sequence[float]]) -> str:
    rows = [
        f"{symbol} {x!r} {y!r} {z!r}" for symbol, (x, y, z) in zip(symbols, geometry, strict=True)
    ]
    return "\n".join([str(len(rows)), "", *rows, ""])


def some(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most 20 of the frames, including the first and the last."""
    last = len(frames) - 1
    count = min(MOST_FRAMES, len(frames))
    return [frames[round(place * last / max(count - 1, 1))] for place in range(count)]


def recomputed(run: Run, frames: list[dict[str, Any]], method: tuple[str, ...]) -> list[Output]:
    """Run xtb at some of the frames; each run must give the energy of its frame."""
    runs = []
    for frame in some(frames):
        direct = run(xyz_of(frame["symbols"], frame["geometry"]), *method, "--grad")
        assert abs(read("energy", direct) - frame["energy"]) < SAME_ENERGY
        runs.append(direct)
    return runs


def far(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> float:
    return max(
        abs(x - y)
        for row, second in zip(one, other, strict=True)
        for x, y in zip(row, second, strict=True)
    )


@pytest.mark.parametrize("gfn", METHODS)
@pytest.mark.parametrize("engine", ["rf", "lbfgs", "inertial"])
def test_a_direct_run_gives_the_energy_of_each_frame(run: Run, gfn: str, engine: str) -> None:
    output = run(
        ETHANOL,
        *METHODS[gfn],
        "--opt",
        "tight",
        "--grad",
        control=f"$opt\n engine={engine}\n$end\n",
    )
    frames = read("frames", output)
    assert len(frames) >= 10
    assert [frame["converged"] for frame in frames] == [False] * (len(frames) - 1) + [True]
    last = frames[-1]
    assert last["geometry"] == read("geometry", output)
    assert last["energy"] == read("energy", output)
    assert last["gradient"] == read("gradient", output)
    assert all(frame["gradient"] is None for frame in frames[:-1])
    assert all(frame["symbols"] == read("symbols", output) for frame in frames)
    at_last = recomputed(run, frames, METHODS[gfn])[-1]
    assert far(last["gradient"], read("gradient", at_last)) < SAME_GRADIENT


@pytest.mark.parametrize("gfn", ["1", "2"])
@pytest.mark.parametrize("word", ["--opt", "--ohess"])
def test_after_an_optimization_all_values_belong_to_its_last_geometry(
    run: Run, gfn: str, word: str
) -> None:
    output = run(ETHANOL, *METHODS[gfn], "--json", word, "--grad")
    direct = run(
        xyz_of(read("symbols", output), read("geometry", output)),
        *(*METHODS[gfn], "--json", "--grad"),
    )
    assert abs(read("energy", output) - read("energy", direct)) < SAME_ENERGY
    assert abs(read("gradient_norm", output) - read("gradient_norm", direct)) < SAME_GRADIENT
    assert far(read("gradient", output), read("gradient", direct)) < SAME_GRADIENT
    for name in ("charges", "orbital_energies", "dipole"):
        # With GFN1, the dipole is in the printout only, with fewer decimals.
        allowed = 2e-4 if name == "dipole" else SAME_CHARGE
        assert far([read(name, output)], [read(name, direct)]) < allowed
    assert far(read("bond_orders", output), read("bond_orders", direct)) < SAME_CHARGE
    # The frames from --ohess have another orientation than its final structure.
    assert len(read("frames", output)) == len(read("opt_trajectory_energies", output))
    assert read("frames", output)[-1]["converged"]


@pytest.mark.parametrize("gfn", METHODS)
def test_a_direct_run_gives_the_energy_of_each_point_of_a_relaxed_scan(run: Run, gfn: str) -> None:
    control = "$constrain\n force constant=0.5\n distance: 1,2,1.50\n$scan\n 1: 1.50,1.70,5\n$end\n"
    output = run(ETHANOL, *METHODS[gfn], "--opt", "--grad", control=control)
    frames = read("frames", output)
    assert len(frames) == 5
    recomputed(run, frames, METHODS[gfn])
    # The result that xtb prints belongs to the optimization before the scan.
    assert far(frames[-1]["geometry"], read("geometry", output)) == 0
    for name in ("energy", "gradient", "gradient_norm"):
        with pytest.raises(ParseError, match="before the relaxed scan"):
            read(name, output)
    assert xtb.diagnose(output, None, {}) is None


@pytest.mark.parametrize("gfn", METHODS)
def test_a_direct_run_gives_the_energy_of_each_structure_of_an_md(run: Run, gfn: str) -> None:
    control = "$md\n time=0.2\n step=1.0\n dump=10.0\n$end\n"
    output = run(ETHANOL, *METHODS[gfn], "--md", "--grad", control=control)
    frames = read("frames", output)
    assert len(frames) == 20
    assert not any(frame["converged"] for frame in frames)
    recomputed(run, frames, METHODS[gfn])
    start = run(ETHANOL, *METHODS[gfn], "--grad")
    assert abs(read("energy", output) - read("energy", start)) < SAME_ENERGY
    assert far(read("gradient", output), read("gradient", start)) < SAME_GRADIENT


@pytest.mark.parametrize("gfn", ["2", "ff"])
def test_a_biased_hessian_has_no_energy_of_its_geometry(run: Run, gfn: str) -> None:
    output = run(ETHANOL, *METHODS[gfn], *(() if gfn == "ff" else ("--json",)), "--bhess", "--grad")
    for name in ("energy", "gradient", "gradient_norm", "enthalpy", "gibbs_free_energy", "frames"):
        with pytest.raises(ParseError, match="includes the bias"):
            read(name, output)
    thermal = read("thermochemistry", output)
    assert thermal["enthalpy"] is thermal["gibbs_free_energy"] is None
    assert thermal["gibbs_correction"] > 0
    direct = run(xyz_of(read("symbols", output), read("geometry", output)), *METHODS[gfn], "--json")
    if gfn == "ff":
        with pytest.raises(ParseError, match="to the initial geometry"):
            read("charges", output)
    else:
        assert far([read("charges", output)], [read("charges", direct)]) < SAME_CHARGE
    assert xtb.diagnose(output, None, {}) is None


@pytest.mark.parametrize("word", ["--vip", "--vea", "--vomega"])
def test_values_of_an_ion_are_not_those_of_the_molecule(run: Run, word: str) -> None:
    output = run(ETHANOL, "--gfn", "2", "--json", word, "--grad")
    molecule = run(ETHANOL, "--gfn", "2", "--json", "--grad")
    assert abs(read("energy", output) - read("energy", molecule)) < SAME_ENERGY
    assert read("unpaired_electrons", output) == 0
    for name in ("gradient", "charges", "dipole", "bond_orders", "orbital_energies"):
        with pytest.raises(ParseError, match="to the ion"):
            read(name, output)
    # Even without the printout, the files of the run state the command line.
    alone = Output({"xtbout.json": output.file("xtbout.json").encode()}, "xtbout.json")
    with pytest.raises(ParseError, match="to the ion"):
        xtb.charges(alone)
    assert xtb.diagnose(output, None, {}) is None


def test_a_missing_input_under_copy_is_only_a_warning(run: Run) -> None:
    assert xtb.diagnose(run(ETHANOL, "--gfn", "2", "--copy"), None, {}) is None
    failure = xtb.diagnose(run(ETHANOL, "--gfn", "2", "--input", "not-there.inp"), None, {})
    assert failure is not None
    assert "not-there.inp" in failure.message


def test_a_run_without_frames_is_reported(run: Run) -> None:
    with pytest.raises(ParseError, match="no optimization, relaxed scan or molecular dynamics"):
        read("frames", run(ETHANOL, "--gfn", "2", "--grad"))


@pytest.mark.parametrize("word", ["--opt", "--sp"])
def test_energy_and_gradient_of_a_layered_run_are_those_of_the_whole(run: Run, word: str) -> None:
    output = run(ETHANOL, "--oniom", "gfn2:gfnff", "3,9", word, "--grad", "--json")
    energy, gradient = read("energy", output), read("gradient", output)
    assert xtb.diagnose(output, None, {}) is None
    # By definition, the energy is E(whole, low) + E(inner, high) - E(inner, low).
    geometry = read("geometry", output) if word == "--opt" else None
    whole = ETHANOL if geometry is None else xyz_of(read("symbols", output), geometry)
    inner = output.file("inner_region.xyz")
    high = read("energy", run(inner, "--gfn", "2", "--json"))
    low, all_low = (read("energy", run(xyz, "--gfnff")) for xyz in (inner, whole))
    assert abs(all_low - low + high - energy) < 1e-5
    norm = sum(value**2 for row in gradient for value in row) ** 0.5
    assert abs(norm - read("gradient_norm", output)) < SAME_GRADIENT
    for name in ("charges", "dipole", "orbital_energies", "net_charge", "unpaired_electrons"):
        with pytest.raises(ParseError, match="inner region"):
            read(name, output)
    if word == "--opt":
        last = read("frames", output)[-1]
        assert (last["energy"], last["gradient"]) == (energy, gradient)
        assert (last["charge"], last["multiplicity"], last["converged"]) == (None, None, True)


def test_the_only_frame_of_an_atom_is_a_stationary_point(run: Run) -> None:
    output = run("1\n\nAr 0.0 0.0 0.0\n", "--opt", "--grad")
    (frame,) = read("frames", output)
    assert (frame["kind"], frame["converged"]) == ("stationary_point", True)


def test_a_gradient_without_the_rows_of_fixed_atoms_is_refused(run: Run) -> None:
    output = run(ETHANOL, "--opt", "--grad", control="$fix\n atoms: 1,2\n$end\n")
    with pytest.raises(ParseError, match="zeros for fixed atoms"):
        read("gradient", output)
    last = read("frames", output)[-1]
    assert last["gradient"] is None
    direct = run(xyz_of(last["symbols"], last["geometry"]), "--grad")
    assert abs(read("energy", direct) - last["energy"]) < SAME_ENERGY
    assert abs(read("gradient_norm", output) - read("gradient_norm", direct)) < SAME_GRADIENT
