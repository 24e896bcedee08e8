"""The data card as Markdown."""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence

from wqmaster.datasets.card_model import Card, Distribution, LabelPart
from wqmaster.datasets.plain import code, markdown

_MOST_ROWS = 12
_BAR_CHARACTERS = 30


def text_of(card: Card) -> str:
    """The card for people to read. Markdown in the values of documents is escaped."""
    return "\n".join(line for section in _SECTIONS for line in section(card)) + "\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield a table and an empty line after it; nothing if there are no rows."""
    lines = ["| " + " | ".join(map(markdown, row)) + " |" for row in rows]
    if lines:
        yield "| " + " | ".join(heads) + " |"
        yield "| " + " | ".join("---" for _ in heads) + " |"
        yield from lines
        yield ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _head(card: Card) -> Iterator[str]:
    counts = card.counts
    yield f"# Data set {markdown(card.name)}"
    yield ""
    yield (
        f"{_count(counts.frames, 'frame')} of {_count(counts.documents, 'document')} with "
        f"{_count(counts.graphs, 'molecular graph')}, for {markdown(card.about)}."
    )
    yield (
        f"Made by wqmaster {markdown(card.wqmaster)} on {card.created:%Y-%m-%d %H:%M} UTC with"
        " this command:"
    )
    yield ""
    yield code(" ".join(map(_quoted, card.command)))
    yield ""


def _quoted(word: str) -> str:
    """A word, quoted for a shell, or as JSON if it has characters that cannot be printed."""
    return shlex.quote(word) if word.isprintable() else json.dumps(word)


def _theory(card: Card) -> Iterator[str]:
    yield "## Level of theory"
    yield ""
    yield from _table(
        ("level", "program", "recipe"),
        ((level.get("name"), level.get("program"), level.get("recipe")) for level in card.levels),
    )
    yield from _table(
        ("program and version", "frames"),
        ((name, f"{frames:,}") for name, frames in card.counts.programs.items()),
    )
    for part in card.campaigns:
        yield (
            f"Campaign {markdown(part.name)}, step {markdown(part.step)}, recipe "
            f"{markdown(part.recipe)}, {_count(part.frames, 'frame')}:"
        )
        yield ""
        yield code(json.dumps(part.asked, indent=1) if part.asked else "(recipe not recorded)")
        yield ""


def _contents(card: Card) -> Iterator[str]:
    counts = card.counts
    yield "## Contents"
    yield ""
    yield from _table(
        ("element", "atoms", "frames with it"),
        (
            (element, f"{atoms:,}", f"{counts.element_frames.get(element, 0):,}")
            for element, atoms in counts.elements.items()
        ),
    )
    yield from _table(("atoms", "frames", ""), _histogram(counts.sizes))
    for title, found in (("charge", counts.charges), ("multiplicity", counts.multiplicities)):
        yield from _table((title, "frames"), ((key, f"{one:,}") for key, one in found.items()))
    yield from _table(
        ("distribution", "smallest", "median", "95th percentile", "largest"),
        (
            ("energy per atom, eV", *_quantiles(counts.energy_per_atom_ev)),
            (
                "largest force component of a frame, eV/Angstrom",
                *_quantiles(counts.largest_force_ev_per_angstrom),
            ),
        ),
    )
    yield "Medians and 95th percentiles are accurate to within 0.2%."
    yield ""


def _quantiles(found: Distribution) -> tuple[str, ...]:
    return tuple(map(_number, (found.least, found.median, found.percentile_95, found.largest)))


def _histogram(sizes: Mapping[int, int]) -> Iterator[tuple[str, str, str]]:
    """Yield at most 12 ranges of sizes, each with its number of frames and a bar."""
    if not sizes:
        return
    width = -(-(max(sizes) - min(sizes) + 1) // _MOST_ROWS)
    bins: dict[int, int] = {}
    for size, frames in sizes.items():
        start = min(sizes) + (size - min(sizes)) // width * width
        bins[start] = bins.get(start, 0) + frames
    for start, frames in sorted(bins.items()):
        bar = "#" * max(1, round(_BAR_CHARACTERS * frames / max(bins.values())))
        name = str(start) if width == 1 else f"{start} to {start + width - 1}"
        yield name, f"{frames:,}", bar


def _quantity(label: LabelPart) -> str:
    """The quantity's name in the file.

    A gradient keeps its name, and its unit shows that the file holds forces.
    """
    is_negative = label.name == "gradient" and "(forces)" in (label.unit or "")
    return "forces (the negative gradient)" if is_negative else label.name


def _labels(card: Card) -> Iterator[str]:
    yield "## Quantities"
    yield ""
    yield from _table(
        ("quantity", "key in the file", "unit", "frames with it", "what it is"),
        (
            (_quantity(one), one.key or "", one.unit or "", f"{one.frames:,}", one.meaning)
            for one in card.labels
        ),
    )
    constants = card.constants
    yield (
        f"Units were converted with 1 Eh = {constants.ev_per_eh!r} eV and 1 Bohr = "
        f"{constants.angstrom_per_bohr!r} Angstrom ({markdown(constants.source)})."
    )
    yield ""
    if card.reference_atoms:
        yield "Energies of isolated atoms, with the same recipe:"
        yield ""
        yield from _table(
            ("atom", "charge", "multiplicity", "energy (Eh)", "energy (eV)"),
            (
                (symbol, one.charge, one.multiplicity, repr(one.energy_eh), repr(one.energy_ev))
                for symbol, one in card.reference_atoms.items()
            ),
        )
        missing = card.counts.elements.keys() - card.reference_atoms.keys()
        if missing:
            yield f"There is no reference atom of {', '.join(sorted(missing))}."
            yield ""


def _splits(card: Card) -> Iterator[str]:
    if not card.splits:
        return
    yield "## Splits"
    yield ""
    yield f"By molecular graph, charge and multiplicity, with seed {card.seed}."
    if card.divided_graphs:
        divided = _count(card.divided_graphs, "graph is", "graphs are")
        yield f"{divided} in more than one part, because groups decide on the part."
    yield ""
    yield from _table(
        ("part", "asked for", "share of the frames", "frames", "documents", "graphs"),
        (
            (
                *(one.name, f"{one.fraction:.4g}", _number(one.share)),
                *(f"{number:,}" for number in (one.frames, one.documents, one.graphs)),
            )
            for one in card.splits
        ),
    )


def _quality(card: Card) -> Iterator[str]:
    yield "## Quality of the labels"
    yield ""
    yield from _table(
        (
            *("check", "unit", "warns at", "refuses at"),
            *("median", "95th percentile", "largest", "warned"),
        ),
        (
            (
                *(one.name, one.unit or "", _number(one.warn), _number(one.refuse)),
                *(*_quantiles(one.values)[1:], f"{one.warned:,}"),
            )
            for one in card.checks
        ),
    )
    if not card.checks:
        yield "No checks were applied."
        yield ""
    if card.noise is None:
        yield "The noise of the labels was not measured (`wqmaster audit`)."
        yield ""
    else:
        yield "Noise of the labels, as measured by `wqmaster audit`:"
        yield ""
        rows = ((name, _flat(value)) for name, value in card.noise.items())
        yield from _table(("quantity", "value"), rows)
    yield from _duplicates(card)


def _flat(value: object) -> str:
    if isinstance(value, Mapping) and value.keys() == {"value", "low", "high"}:
        value, low, high = (_number(value[key]) for key in ("value", "low", "high"))
        return f"{value} (95% confidence: {low} to {high})"
    return (
        _number(value)
        if isinstance(value, float)
        else (value if isinstance(value, str) else json.dumps(value))
    )


def _duplicates(card: Card) -> Iterator[str]:
    found = card.duplicates
    if found is None:
        yield "Duplicates were not looked for."
        yield ""
        return
    bound = f"(RMSD up to {found.bound_angstrom:g} Angstrom)"
    if not found.found:
        yield f"No frame has the structure of an earlier one {bound}."
    else:
        were = "left out" if found.were_dropped else "kept"
        yield (
            f"{_count(found.found, 'frame has', 'frames have')} the structure of an earlier one "
            f"{bound}; {found.of_one_document:,} of them belong to the same document. "
            f"These frames were {were}."
        )
    if found.limited:
        were = _count(found.limited, "frame was", "frames were")
        yield f"{were} compared with the nearest candidates only, so there may be more."
    yield ""
    if found.conflicts:
        yield (
            f"**{_count(found.conflicts, 'pair')} of the same structure and recipe differ in energy"
            f" by more than {found.energy_tolerance_eh:g} Eh, so that one label of each is wrong:**"
        )
        yield ""
        yield from _table(
            ("earlier", "later", "difference (Eh)"),
            (
                (one.earlier, one.later, f"{one.difference_eh:.3e}")
                for one in found.largest_conflicts
            ),
        )


def _left_out(card: Card) -> Iterator[str]:
    yield "## What was left out"
    yield ""
    if not card.left_out:
        yield "Nothing."
        yield ""
    yield from _table(
        ("reason", "number", "for example"),
        ((one.reason, f"{one.count:,}", ", ".join(one.ids)) for one in card.left_out),
    )


def _files(card: Card) -> Iterator[str]:
    yield "## Files"
    yield ""
    yield from _table(
        ("file", "part", "frames", "bytes", "sha256", "read back by", "frames that agree"),
        (
            (
                *(one.name, one.split or "", f"{one.frames:,}", f"{one.bytes:,}", one.sha256),
                *(
                    one.reader or "(not verified)",
                    "" if one.verified is None else f"{one.verified:,}",
                ),
            )
            for one in card.files
        ),
    )


def _cite(card: Card) -> Iterator[str]:
    yield "## How to cite"
    yield ""
    yield "Cite these in publications, with the references that their authors ask for:"
    yield ""
    for one in card.cite:
        yield f"- {markdown(one)}"


_SECTIONS = (_head, _theory, _contents, _labels, _splits, _quality, _left_out, _files, _cite)
