from collections import Counter

import numpy as np
import pytest

from tests.unit.molecules_of_rdkit import built
from wqmaster.datasets.graphs import graph_key
from wqmaster.datasets.splits import Splits, split_key
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import WqmasterError

PARTS = ("C1CC1", "CC(C)C", "OC", "N#CC", "OC(=O)C")
ENDS = ("C", "N", "O", "F", "CC", "OC", "C#N")


def test_no_graph_is_in_two_parts_and_none_moves_when_documents_are_added():
    splits = Splits.parse("0.8,0.1,0.1", seed=3)
    part_of: dict[str, str] = {}
    smiles = dict.fromkeys(one + middle + end for one in PARTS for middle in "CN" for end in ENDS)
    few = list(smiles)[:20]
    before = {}
    for group in (few, smiles):  # the second time, documents were added
        for one in group:
            numbers, conformers = built(one, 3)
            random = np.random.default_rng(len(one))
            for places in conformers:
                order = random.permutation(len(numbers))
                key = graph_key(numbers[order], places[order], 0, 1)
                part = splits.of(split_key(key))
                assert part_of.setdefault(key, part) == part
                assert part_of.setdefault(one, part) == part
        before = before or dict(part_of)
    assert before.items() <= part_of.items()
    assert len(set(part_of.values())) == 3


def test_shares_approach_the_fractions():
    splits = Splits({"a": 0.5, "b": 0.3, "c": 0.2}, seed=1)
    found = Counter(splits.of(str(number)) for number in range(20_000))
    # Four standard deviations of a binomial distribution.
    for name, fraction in splits.fractions.items():
        assert (
            abs(found[name] / 20_000 - fraction) < 4 * (fraction * (1 - fraction) / 20_000) ** 0.5
        )


def test_the_seed_decides_and_parts_do_not_change_between_versions():
    keys = [f"key {number}" for number in range(200)]
    one, other = (Splits.parse("0.5,0.5", seed) for seed in (0, 1))
    assert [one.of(key) for key in keys] != [other.of(key) for key in keys]
    few = [Splits.parse("0.8,0.1,0.1", 0).of(key) for key in keys[:12]]
    assert few == [
        "train",
        "train",
        "train",
        "train",
        "train",
        "train",
        "train",
        "train",
        "train",
        "test",
        "train",
        "train",
    ]


def test_with_other_fractions_only_what_lies_between_the_borders_moves():
    one, other = Splits.parse("0.8,0.1,0.1"), Splits.parse("0.6,0.3,0.1")
    for number in range(2000):
        before, after = one.of(str(number)), other.of(str(number))
        assert before == after or (before, after) == ("train", "valid")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0.8,0.1,0.1", {"train": 0.8, "valid": 0.1, "test": 0.1}),
        ("0.9, 0.1", {"train": 0.9, "valid": 0.1}),
        ("1", {"train": 1.0}),
        ("1/3,1/3,1/3", {"train": 1 / 3, "valid": 1 / 3, "test": 1 / 3}),
        ("fit=0.25,hold-out=0.75", {"fit": 0.25, "hold-out": 0.75}),
        (",".join(f"p{number}=0.1" for number in range(10)), {f"p{n}": 0.1 for n in range(10)}),
    ],
)
def test_fractions_are_read_with_names_or_without(text, wanted):
    assert Splits.parse(text).fractions == wanted


@pytest.mark.parametrize(
    "text",
    [
        *("", "0.8,0.1", "0.8,0.3", "0.8,0.2,0", "1.5,-0.5", "nan", "inf", "0.8,x", "0.8,,0.2"),
        *("a=0.5,0.5", "a=0.5,a=0.5", "a=0.5,A=0.5", "../x=1", "=1", "a b=1", ".a=1", "a=1e400"),
        *("0.25,0.25,0.25,0.25", ",".join(f"p{number}={1 / 11!r}" for number in range(11))),
        *("0.8,0.1,0.1000001", "1/0,1/2", "1/,1/2", "1/2/1,1/2", "inf/inf,1"),
    ],
)
def test_wrong_fractions_are_refused(text):
    with pytest.raises(WqmasterError) as caught:
        Splits.parse(text)
    assert caught.value.code == ErrorCode.USAGE
    assert "\n" not in str(caught.value)


def test_every_key_has_a_part_although_fractions_are_not_exact():
    splits = Splits({f"p{number}": 0.1 for number in range(10)})
    assert {splits.of(str(number)) for number in range(1000)} == set(splits.fractions)


def test_a_group_decides_instead_of_the_graph():
    splits = Splits.parse("0.5,0.5")
    parts = {splits.of(split_key(f"graph {number}", "protein 7")) for number in range(50)}
    assert len(parts) == 1
    assert len({splits.of(split_key(f"graph {number}")) for number in range(50)}) == 2
    # A group that is named like a graph is something else, and 0 is a group.
    assert split_key("7") != split_key("", "7") != split_key("", 0) != split_key("")
