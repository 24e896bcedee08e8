"""The names of kept files, which contain the document's `_id`."""

from itertools import combinations
from typing import Any

from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from wqmaster.run.kept_files import safe_name

OID = ObjectId("0123456789abcdef01234567")
IDS: list[Any] = [5, "5", OID, str(OID), "", "\0", "\0\0", "%00", "%C0%80", "À", 1.5, "1.5", True]
IDS += [{"a": 1}, '\0{"a": 1}', "\0" + "0" * 64, "x" * 300, "x" * 301]


def test_ids_that_print_alike_have_different_names() -> None:
    """Once, an empty id and one of a NUL character had the same name."""
    for one, other in combinations(IDS, 2):
        assert safe_name(one) != safe_name(other), (one, other)


@given(st.text(min_size=1, max_size=15))
def test_the_name_of_a_short_string_never_contains_a_quoted_nul(text: str) -> None:
    assert "%00" not in safe_name(text)
