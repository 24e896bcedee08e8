"""In each frame of real outputs (../shared/data/orca), energy and gradient belong together.

After each gradient of an optimization, in the relaxation step, ORCA prints the energy and the
gradient norm that it uses, and from the second cycle on the energy change.
"""

import math
import re
from itertools import pairwise
from pathlib import Path

import pytest

from wqmaster.errors import ParseError
from wqmaster.parsers import orca
from wqmaster.parsers.base import Output

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "orca"
pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the folder shared/data/orca is not next to the checkout"
)
OUTPUTS = sorted(
    str(path.relative_to(DATA)) for path in DATA.glob("*/*") if path.suffix in (".out", ".log")
)
STEP = re.compile(r"Current Energy +\.{4} +(\S+) Eh\nCurrent gradient norm +\.{4} +(\S+) Eh/bohr\n")
CHANGE = re.compile(r"\n +Energy change +(\S+) ")
# Cycles must have been removed before publication, because the largest gradient falls from 5e-2 to
# 7e-5 in one step.
CUT = "4.1/test_ts_reopt_optts_orca.out"


def output(name: str) -> Output:
    return Output({"stdout": (DATA / name).read_bytes()})


def with_steps() -> list[str]:
    return [name for name in OUTPUTS if STEP.search(output(name).text)]


def test_there_are_optimizations() -> None:
    assert len(with_steps()) >= 6


@pytest.mark.parametrize("name", with_steps())
def test_energy_and_gradient_of_each_cycle_are_those_that_orca_uses(name: str) -> None:
    found = orca.frames(output(name))
    cycles = [frame for frame in found if frame["kind"] == "optimisation_cycle"]
    steps = STEP.findall(output(name).text)
    assert len(cycles) == len(steps)
    for frame, (energy, norm) in zip(cycles, steps, strict=True):
        assert frame["energy"] == pytest.approx(float(energy), abs=1e-9)
        components = [value for row in frame["gradient"] for value in row]
        assert math.hypot(*components) == pytest.approx(float(norm), abs=1e-6)
        assert len(frame["gradient"]) == len(frame["geometry"]) == len(frame["symbols"])
    if name == CUT:
        return
    energies = [frame["energy"] for frame in cycles]
    changes = [after - before for before, after in pairwise(energies)]
    printed = [float(change) for change in CHANGE.findall(output(name).text)]
    assert changes == pytest.approx(printed, abs=2e-9)


@pytest.mark.parametrize("name", with_steps())
def test_the_last_frame_has_the_values_of_the_output(name: str) -> None:
    *cycles, last = orca.frames(output(name))
    assert last["energy"] == orca.total_energy(output(name))
    assert last["geometry"] == orca.geometry(output(name))
    state = orca.optimisation(output(name))  # codespell:ignore optimisation
    assert last["converged"] is state["converged"]
    assert not any(frame["converged"] for frame in cycles)
    if last["converged"]:
        # After the last step, ORCA computes the energy again, but not the gradient.
        assert last["gradient"] is None
        assert last["geometry"] != cycles[-1]["geometry"]
        with pytest.raises(ParseError, match="belongs to optimization cycle"):
            orca.gradient(output(name))


@pytest.mark.parametrize("name", OUTPUTS)
def test_frames_and_single_values_belong_to_one_evaluation(name: str) -> None:
    try:
        last = orca.frames(output(name))[-1]
        energy = orca.total_energy(output(name))
    except ParseError:
        return
    if last["energy"] != energy:
        # The SCF of the final evaluation is not converged, so this evaluation is not a frame.
        assert orca.diagnose(output(name), None, {}) is not None
        return
    assert last["geometry"] == orca.geometry(output(name))
    assert last["charge"] == orca.charge(output(name))
    assert last["multiplicity"] == orca.multiplicity(output(name))
    if last["gradient"] is not None:
        assert last["gradient"] == orca.gradient(output(name))
        norms = [math.hypot(*row) for row in last["gradient"]]
        assert orca.largest_force(output(name)) == max(norms)
        # ORCA violates translational invariance only slightly.
        assert math.hypot(*orca.net_force(output(name))) < 1e-3 * len(norms)


@pytest.mark.parametrize(
    ("out", "hess"),
    [
        ("6.1/water.hess.out", "6.1/water.hess.hess"),
        ("4.2/H2O_hess_orca.out", "4.2/H2O_hess_orca.hess"),
    ],
)
def test_a_hessian_is_compared_with_the_final_geometry(out: str, hess: str) -> None:
    content = (DATA / hess).read_bytes()
    together = {"stdout": (DATA / out).read_bytes(), "orca.hess": content}
    found = Output(together, "orca.hess")
    assert orca.hess_hessian(found) == orca.hess_hessian(
        Output({"orca.hess": content}, "orca.hess")
    )
    other = {"stdout": (DATA / "6.1/water.opt.out").read_bytes(), "orca.hess": content}
    for parser in (orca.hess_hessian, orca.hess_geometry, orca.hess_frequencies):
        with pytest.raises(ParseError, match="another geometry"):
            parser(Output(other, "orca.hess"))
