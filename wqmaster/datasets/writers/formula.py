"""Molecular formulas, for the names of groups."""

from collections import Counter
from collections.abc import Iterable

from wqmaster.jobs.molecule import SYMBOLS


def formula(numbers: Iterable[int]) -> str:
    """The formula in Hill's order (carbon, hydrogen, then alphabetically), such as `C2H6O`.

    Without carbon, all elements are in alphabetical order.
    """
    counts = Counter(SYMBOLS[number] for number in numbers)
    first = ("C", "H") if "C" in counts else ()
    rest = sorted(set(counts) - set(first))
    symbols = [*(symbol for symbol in first if symbol in counts), *rest]
    return "".join(f"{symbol}{counts[symbol] if counts[symbol] > 1 else ''}" for symbol in symbols)
