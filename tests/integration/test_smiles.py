"""Force-field geometries from SMILES; xtb computes GFN-FF."""

from pathlib import Path

import pytest

from tests.unit.structure_files import read
from tests.unit.test_structures_smiles import bond
from wqmaster.jobs.molecule import SYMBOLS


def test_force_fields_move_the_atoms_to_their_minimum(tmp_path: Path) -> None:
    (tmp_path / "set.smi").write_text("CC#N\n")
    lengths = {}
    for name in ("none", "mmff", "gfnff"):
        [record] = read(tmp_path / "set.smi", optimize=name)
        assert record.why is None, record.why
        [document] = record.documents
        assert [SYMBOLS[n] for n in document["atomic_numbers"]] == ["C", "C", "N", "H", "H", "H"]
        lengths[name] = bond(document, 1, 2)
    assert lengths["mmff"] == pytest.approx(1.16, abs=0.01)
    assert lengths["gfnff"] == pytest.approx(1.15, abs=0.02)
    assert len({round(length, 4) for length in lengths.values()}) == 3
