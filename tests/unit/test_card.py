import hashlib
import json
import math
import unicodedata
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests.unit.molecules_of_rdkit import built, frame
from wqmaster.datasets import card as card_module
from wqmaster.datasets.base import Level, Target
from wqmaster.datasets.card import file_parts, make_card, write_card
from wqmaster.datasets.card_model import Card
from wqmaster.datasets.duplicates import Duplicates
from wqmaster.datasets.plain import markdown, plain
from wqmaster.datasets.splits import Splits
from wqmaster.datasets.tally import Histogram, Tally
from wqmaster.datasets.units import EV_PER_EH

TARGET = Target(
    name="mace",
    about="MACE: extended XYZ",
    suffix=".xyz",
    modules=(),
    create=lambda *_, **__: None,
    read=lambda _: iter(()),
    keys={"energy": "REF_energy", "gradient": "REF_forces", "charge": "total_charge"},
    units={"energy": "eV", "gradient": "eV/Angstrom (forces)", "charge": "e"},
)
SECRET = "hunter2"
HOSTILE = [
    "a|b", "`code`", "```\nx", "line\nbreak", "<script>alert(1)</script>", "[x](http://y)", "*b*",
    "_i_", "\x1b[31mred", "\x00", "\u202egnirts", "\ud800", "# head", "~~x~~", "&amp;", "\\|",
    "$x$",
    "a\r\n|b", f"mongodb+srv://me:{SECRET}@host/db?x=1", f"https://me:{SECRET}@host/", "\u2028x",
    "",
]  # fmt: skip


def tokens(text):
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)


def cells(text):
    """The text of each cell of each table, as a reader sees it."""
    found = []
    parsed = tokens(text)
    for before, token in pairwise(parsed):
        if before.type in ("td_open", "th_open"):
            assert {child.type for child in token.children} <= {"text", "text_special"}
            found.append("".join(child.content for child in token.children))
    return found


def small_card(name="set", command=("wqmaster", "export"), **more):
    with Tally() as tally:
        for one in more.pop("frames", ()):
            tally.add(one)
        for reason, ids in more.pop("left_out", ()):
            tally.leave_out(reason, ids)
        return make_card(
            name, command=command, target=TARGET, tally=tally, **({"files": ()} | more)
        )


def text_with(card, folder):
    record, readable = write_card(card, folder / "set")
    assert sorted(folder.iterdir()) == [record, readable]
    assert Card.model_validate_json(record.read_bytes()) == card
    return readable.read_text(encoding="utf-8"), record.read_text(encoding="ascii")


def test_the_card_counts_what_was_exported(tmp_path):
    water, (shape, *_) = built("O")
    ethanol, conformers = built("CCO", 3)
    splits = Splits.parse("0.5,0.5", seed=4)
    frames = [
        frame("w", water, shape, -76.0, gradient=shape * 0.1, graph="1", program="ORCA 6.0.1",
              split="train", checks={"net_force": 0.5}, step="sp", recipe="abc"),
        frame("w+", water, shape, -75.0, charge=1, multiplicity=2, graph="2", program="ORCA 6.0.0",
              split="train", checks={"net_force": 2.0}, warned=("net_force",), step="sp",
              recipe="abc"),
        *(
            frame(f"e-{n}", ethanol, one, -155.0, document="e", graph="3", program="ORCA 6.0.1",
                  split="valid", step="sp", recipe="abc")
            for n, one in enumerate(conformers)
        ),
        frame("reference-atom-H", [1], [(0, 0, 0)], -0.5, multiplicity=2, isolated=True,
              program="ORCA 6.0.1"),
    ]  # fmt: skip
    with Duplicates() as duplicates:
        for one in [*frames, frame("w again", water, shape, -76.1, recipe="abc")]:
            duplicates.add(one)
        card = small_card(
            frames=frames,
            left_out=[("stale", ["a", 7]), ("stale", ["c"]), ("no energy", [])],
            labels=["gradient"],
            levels=[Level("wB97X-D3BJ/def2-SVP", "ORCA 6.0.1", {"basis": "def2-SVP"}, "abc")],
            recipes={"abc": {"function": "orca", "options": {"route": "! wB97X"}}},
            meanings={"gradient": "analytic gradient"},
            limits={"net_force": {"unit": "meV/Angstrom", "warn": 1.0, "refuse": 10.0}},
            splits=splits,
            duplicates=duplicates,
            noise={"force components": {"mean": 0.26}, "sample": 50},
        )
    counts = card.counts
    assert (counts.frames, counts.documents, counts.graphs) == (5, 3, 3)
    assert counts.atoms == 2 * 3 + 3 * 9
    assert counts.elements == {"C": 6, "H": 4 + 18, "O": 5}
    assert counts.element_frames == {"C": 3, "H": 5, "O": 5}
    assert counts.sizes == {3: 2, 9: 3}
    assert (counts.charges, counts.multiplicities) == ({0: 4, 1: 1}, {1: 4, 2: 1})
    assert counts.programs == {"ORCA 6.0.0": 1, "ORCA 6.0.1": 4}
    assert counts.energy_per_atom_ev.least == pytest.approx(-76 / 3 * EV_PER_EH)
    assert [(one.reason, one.count, one.ids) for one in card.left_out] == [
        ("stale", 2, ["a", "7", "c"]),
        ("no energy", 1, []),
    ]
    assert [(one.name, one.key, one.frames) for one in card.labels] == [
        ("energy", "REF_energy", 5),
        ("gradient", "REF_forces", 1),
        ("charge", "total_charge", 5),
    ]
    assert [(one.name, one.frames, one.documents, one.graphs) for one in card.splits] == [
        ("train", 2, 2, 2),
        ("valid", 3, 1, 1),
    ]
    assert (card.seed, card.divided_graphs) == (4, 0)
    check = card.checks[0]
    assert (check.name, check.refuse, check.warned) == ("net_force", 10.0, 1)
    assert (check.values.least, check.values.largest, check.values.count) == (0.5, 2.0, 2)
    assert card.reference_atoms["H"].energy_ev == pytest.approx(-0.5 * EV_PER_EH)
    assert card.duplicates.conflicts == 1
    assert card.campaigns[0].asked["options"] == {"route": "! wB97X"}
    text, _ = text_with(card, tmp_path)
    for wanted in ("wB97X-D3BJ/def2-SVP", "ORCA 6.0.0", "27.211386024367243", "w again", "seed 4"):
        assert wanted in text
    assert {"stale", "analytic gradient", "net_force", "REF_forces"} <= set(cells(text))


def test_groups_can_divide_a_graph_and_the_card_says_so(tmp_path):
    numbers, (places, *_) = built("O")
    frames = [frame(name, numbers, places, split=name) for name in ("train", "valid")]
    card = small_card(frames=frames, splits=Splits.parse("0.5,0.5"))
    assert card.divided_graphs == 1
    assert "1 graph is in more than one part" in text_with(card, tmp_path)[0]


def test_no_value_of_a_document_breaks_the_card_and_no_secret_is_in_it(tmp_path):
    numbers, (places, *_) = built("O")
    quantities = {f"q{number}": one for number, one in enumerate(HOSTILE)}
    frames = [
        frame(one, numbers, places, graph=one, program=one, campaign=one, step=one, recipe="r",
              document=one, checks={one: 1.0}, warned=(one,))
        for one in HOSTILE
        if "\ud800" not in one
    ]  # fmt: skip
    card = small_card(
        name=HOSTILE[0],
        command=["wqmaster", *HOSTILE],
        frames=frames,
        left_out=[(one, [one]) for one in HOSTILE],
        levels=[Level(one, one, {one: one}) for one in HOSTILE],
        recipes={"r": {"options": quantities, "password": SECRET, "nested": [{"api_key": SECRET}]}},
        noise=quantities,
    )
    text, record = text_with(card, tmp_path)
    assert SECRET not in text + record
    assert "mongodb+srv://me" not in text + record
    assert not [
        sign
        for sign in text + record
        if sign != "\n" and unicodedata.category(sign).startswith("C")
    ]
    kinds = {token.type for token in tokens(text)}
    kinds |= {child.type for token in tokens(text) for child in token.children or ()}
    assert not kinds & {"html_block", "html_inline", "link_open", "em_open", "s_open", "image"}
    assert "a|b" in cells(text)
    assert "<script>alert(1)</script>" in cells(text)
    rows = [one for one in card.left_out if one.reason]
    assert len(rows) == len({plain(one) for one in HOSTILE} - {""})
    heads = [token for token in tokens(text) if token.type == "heading_open"]
    assert len(heads) == 8  # a value makes no heading


@given(st.text())
def test_text_in_a_cell_is_shown_as_it_is(text):
    shown = cells(f"| a | b |\n| --- | --- |\n| {markdown(text)} | end |\n")
    assert len(shown) == 4
    assert shown[3] == "end"
    visible = all(unicodedata.category(sign)[0] not in "CZ" for sign in text)
    if visible and "://" not in text:
        assert shown[2] == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_value_becomes_json(value):
    json.loads(json.dumps(plain(value), allow_nan=False))


def test_values_of_numpy_and_of_mongodb_become_plain():
    from bson import ObjectId

    found = plain(
        {"a": np.float32(0.5), "b": np.arange(3), "c": math.inf, "d": ObjectId(b"x" * 12), 1: {2}}
    )
    assert found == {"a": 0.5, "b": [0, 1, 2], "c": None, "d": "78" * 12, "1": [2]}


def test_an_interrupted_card_leaves_the_former_one(tmp_path, monkeypatch):
    write_card(small_card("first"), tmp_path / "set")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(card):
        raise KeyboardInterrupt

    monkeypatch.setattr(card_module, "text_of", fail)
    with pytest.raises(KeyboardInterrupt):
        write_card(small_card("second"), tmp_path / "set")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_empty_data_set_has_a_card(tmp_path):
    text, record = text_with(small_card(), tmp_path)
    assert "0 frames" in text
    assert json.loads(record)["counts"]["energy_per_atom_ev"]["median"] is None


def test_files_are_listed_with_their_hashes(tmp_path):
    (tmp_path / "set").mkdir()
    for name in ("b", "a"):
        (tmp_path / "set" / name).write_bytes(name.encode() * 10)
    parts = list(file_parts(tmp_path / "set", 3, "train", "mace 0.3.16", 2))
    assert [(one.name, one.bytes, one.verified) for one in parts] == [
        ("set/a", 10, 2),
        ("set/b", 10, 2),
    ]
    assert parts[0].sha256 == hashlib.sha256(b"a" * 10).hexdigest()
    assert next(file_parts(tmp_path / "set" / "a", 3)).reader is None


def test_the_citation_is_that_of_the_file_for_citations():
    file = yaml.safe_load((Path(__file__).parents[2] / "CITATION.cff").read_text())
    cited = small_card().cite[0]
    assert file["authors"][0]["name"] in cited
    assert f"{file['title']} {file['version']}" in cited


def test_reasons_and_ids_that_are_listed_are_limited():
    with Tally() as tally:
        for number in range(300):
            tally.leave_out(f"reason {number}", range(100))
            tally.leave_out("stale", [number], count=2)
        assert len(tally.left_out) <= 101
        assert sum(count for count, _ in tally.left_out.values()) == 900
        assert max(len(ids) for _, ids in tally.left_out.values()) == 5


def test_a_histogram_has_bins_for_all_numbers():
    values = [0.0, 1.0, -1.0, 1e-300, 1e300, -1e300, 5e-324, 2.0, 1000.0, -0.3]
    histogram = Histogram()
    for value in [*values, math.nan, math.inf]:
        histogram.add(value)
    assert (histogram.count, histogram.not_finite) == (len(values), 2)
    bins = histogram.bins()
    assert sum(number for *_, number in bins) == len(values)
    assert bins == sorted(bins)
    assert histogram.quantile(1) == 1e300
    many = Histogram()
    sample = np.random.default_rng(1).lognormal(size=5000)
    for value in sample.tolist():
        many.add(value)
    for fraction in (0.05, 0.5, 0.95):
        assert many.quantile(fraction) == pytest.approx(np.quantile(sample, fraction), rel=0.01)
    assert all(low < high and number for low, high, number in many.bins())


def test_the_noise_of_labels_is_stated_with_its_interval(tmp_path):
    mean = {"value": 0.013030386644096635, "low": 0.003586935, "high": 0.017301885}
    text, record = text_with(small_card(noise={"force component, mean": mean}), tmp_path)
    assert "0.01303 (95% confidence: 0.003587 to 0.0173)" in cells(text)
    assert json.loads(record)["noise"]["force component, mean"] == mean
