"""What the real ORCA outputs in ../shared/data/orca hold, and how each must be judged."""

import json
from pathlib import Path
from typing import Any

import pytest

from wqmaster.jobs.failures import FailureClass

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "orca"
NEEDS_DATA = pytest.mark.skipif(
    not DATA.is_dir(), reason="the folder shared/data/orca is not next to the checkout"
)
EXPECTED: dict[str, Any] = (
    json.loads((DATA / "expected.json").read_text())["files"] if DATA.is_dir() else {}
)
# Key in "text" -> parser, and the largest permitted deviation in the parser's unit.
VALUES = {
    "final_single_point_energy": ("total_energy", 1e-9),
    "scf_energy": ("scf_energy", 1e-9),
    "dispersion_energy": ("dispersion_energy", 1e-9),
    "gradient": ("gradient", 1e-8),
    "dipole": ("dipole", 1e-5),
    "mulliken": ("mulliken_charges", 1e-6),
    "loewdin": ("loewdin_charges", 1e-6),
    "hirshfeld": ("hirshfeld_charges", 1e-6),
    "mbis": ("mbis_charges", 1e-6),
    "chelpg": ("chelpg_charges", 1e-6),
}
# The failure class that each outcome other than ok must have.
CLASSES = {
    "fail:input_keyword": FailureClass.INPUT_KEYWORD,
    "fail:module_crash_gtoint(memory)": FailureClass.MODULE_CRASH,
    "fail:charge_multiplicity": FailureClass.CHARGE_MULTIPLICITY,
    "fail:memory_maxcore_scf": FailureClass.MEMORY,
    "fail:input_basis": FailureClass.INPUT_BASIS,
    "fail:killed_mdci(process killed)": FailureClass.KILLED,
    "fail:cc_not_converged": FailureClass.CC_NOT_CONVERGED,
    "fail:truncated(edited)": FailureClass.TRUNCATED,
    "fail:truncated": FailureClass.TRUNCATED,
    "fail:scf_not_converged": FailureClass.SCF_NOT_CONVERGED,
    "trap:scf_not_converged_but_normal": FailureClass.SCF_NOT_CONVERGED,
    "trap:scf_diverged_but_normal (E=-2.0e7 Eh)": FailureClass.IMPLAUSIBLE_ENERGY,
}
