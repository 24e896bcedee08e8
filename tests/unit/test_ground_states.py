"""The ground states of atoms."""

from wqmaster.jobs.ground_states import GROUND_STATES
from wqmaster.jobs.molecule import NUMBER_OF


def test_each_multiplicity_fits_the_number_of_electrons() -> None:
    assert len(GROUND_STATES) == 103
    wrong = {
        symbol
        for symbol, multiplicity in GROUND_STATES.items()
        if (NUMBER_OF[symbol] - multiplicity + 1) % 2
    }
    assert not wrong


def test_they_follow_hunds_rules_with_the_known_exceptions() -> None:
    # One s electron moves to the d shell in Cr, Cu and Mo; both do in Pd.
    expected = {"H": 2, "C": 3, "N": 4, "O": 3, "Cr": 7, "Fe": 5, "Cu": 2, "Mo": 7, "Pd": 1}
    assert {symbol: GROUND_STATES[symbol] for symbol in expected} == expected
