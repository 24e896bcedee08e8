"""Export the results of campaigns to files, with a proof and a data card."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from wqmaster.datasets import card, summary
from wqmaster.datasets.base import Target, Unfit, Writer
from wqmaster.datasets.card_model import FilePart
from wqmaster.datasets.duplicates import Duplicates
from wqmaster.datasets.expected import Expected
from wqmaster.datasets.frame import Frame
from wqmaster.datasets.graphs import graph_key
from wqmaster.datasets.outliers import Outliers
from wqmaster.datasets.placing import Placing
from wqmaster.datasets.source import Source
from wqmaster.datasets.splits import Splits, split_key
from wqmaster.datasets.tally import Tally
from wqmaster.datasets.verify import Proof, prove
from wqmaster.errors import NothingMatches, ProofError
from wqmaster.system.this_command import this_command

# How many frames are written between two calls of `show`.
_SHOWN_EVERY_FRAMES = 100
_DUPLICATE = "duplicate of an earlier frame"


@dataclass(frozen=True)
class Order:
    """What to write, and how."""

    target: Target
    path: Path
    command: Sequence[str] = ()  # the words of the command line, for the data card
    splits: Splits | None = None
    dedupe: bool = False
    # The number of frames that the proof compares. None: all; 0: no proof.
    verify: int | None = 1000
    limit: int | None = None  # the largest number of frames
    force: bool = False  # whether existing files are replaced


@dataclass
class Account:
    """What an export did."""

    frames: int = 0
    documents: int = 0
    files: dict[Path, int] = field(default_factory=dict)  # rows, including reference atoms
    others: list[Path] = field(default_factory=list)  # reference atoms, data card
    left_out: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    warned: dict[str, int] = field(default_factory=dict)  # number of frames, by check
    duplicates: int = 0
    conflicts: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)  # symbols of the reference atoms
    proofs: dict[Path, Proof] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


@dataclass
class _Part:
    """One file that is being written."""

    path: Path  # its final place
    draft: Path  # where it is until the export is complete
    writer: Writer
    expected: Expected | None
    frames: int = 0


class Export:
    """One export. Its memory does not grow with the number of frames."""

    def __init__(
        self, sources: Sequence[Source], order: Order, show: Callable[[int], None]
    ) -> None:
        self._sources = sources
        self._order = order
        self._show = show
        self._level = summary.common_level(sources)
        self._labels = summary.common_labels(sources, order.target)
        self._account = Account(remarks=[one for it in sources for one in it.labels.remarks])
        self._parts: dict[str, _Part] = {}
        self._references: dict[str, Frame] = {}
        self._beside: list[FilePart] = []  # files of reference atoms
        self._ungrouped = 0  # frames without the field that names groups

    def run(self) -> Account:
        """Write all files, and move them to their places once all are complete and proved.

        Raises:
            WqmasterError: no frame can be exported, or the files cannot be written, exist already,
                or do not pass the proof.
        """
        order = self._order
        names = [""] if order.splits is None else list(order.splits.fractions)
        placing = Placing(order.path, names, force=order.force, suffix=order.target.suffix)
        with contextlib.ExitStack() as stack:
            stack.enter_context(placing)
            tally = stack.enter_context(Tally(placing.folder))
            duplicates = stack.enter_context(Duplicates(folder=placing.folder))
            for name in names:
                self._parts[name] = self._begin(placing, name)
                stack.callback(self._parts[name].writer.abandon)
            self._read_references(tally)
            if self._references and order.target.atoms_suffix:
                first = next(iter(self._parts.values())).draft
                placing.check_beside(first.with_suffix(order.target.atoms_suffix).name)
            self._write(tally, duplicates)
            references = self._references_as_frames()
            self._drop_empty(placing)
            for part in self._parts.values():
                part.writer.close()
            self._write_references(references, placing)
            for part in self._parts.values():
                try:
                    self._prove(part)
                except ProofError as error:
                    raise ProofError(placing.worded(error.message), code=error.code) from error
            written = self._card(tally, duplicates, placing)
            for removed in placing.place():
                self._account.remarks.append(f"{removed} of the earlier export was removed")
            self._account.others += written
        return self._account

    def _begin(self, placing: Placing, name: str) -> _Part:
        draft = placing.draft(name)
        writer = self._order.target.create(draft, self._level, self._labels)
        expected = None if self._order.verify == 0 else Expected(self._order.verify)
        return _Part(placing.final(name), draft, writer, expected)

    def _read_references(self, tally: Tally) -> None:
        for source in self._sources:
            for frame in source.reference_atoms():
                self._reference(source, frame, tally)

    def _write(self, tally: Tally, duplicates: Duplicates) -> None:
        account, order = self._account, self._order
        outliers = Outliers(self._sources)
        for source in self._sources:
            has_frames = False
            for frame in source.frames():
                has_frames = True
                if order.limit is not None and account.frames >= order.limit:
                    break
                self._one(source, frame, outliers, tally, duplicates)
                if account.frames % _SHOWN_EVERY_FRAMES == 0:
                    self._show(account.frames)
            if not has_frames and not source.left_out.counts and len(self._sources) > 1:
                account.remarks.append(f"{source.name}: no results; it contributes no frames")
            source.count_failures()
            for reason, count in source.left_out.counts.items():
                tally.leave_out(reason, source.left_out.examples[reason], count)
        self._check_groups()
        self._remark_on_missing_atoms(tally)
        without_forces = account.frames - tally.labels["gradient"]
        if without_forces:
            account.remarks.append(
                f"{without_forces:,} of {account.frames:,} frames have no forces, because the step "
                "has no parser 'gradient' or its program printed none"
            )
        account.documents = tally.distinct("document")
        account.left_out = dict(tally.left_out)
        account.warned = dict(tally.warned)
        account.duplicates = duplicates.found
        account.conflicts = [
            f"{one.earlier} and {one.later}: energies differ by {one.difference:.6f} Eh"
            for one in duplicates.conflicts(5)
        ]
        if not account.frames:
            reasons = "; ".join(f"{why} ({count})" for why, (count, _) in tally.left_out.items())
            raise NothingMatches(f"no frame can be exported: {reasons or 'there are no results'}")

    def _one(
        self,
        source: Source,
        frame: Frame,
        outliers: Outliers,
        tally: Tally,
        duplicates: Duplicates,
    ) -> None:
        """Write a frame, or count the reason why it is left out."""
        frame = self._named(frame)
        frame, why = outliers.judged(source, frame)
        if why is not None:
            tally.leave_out(why, [frame.id])
            return
        start = frame.coordinates if frame.start is None else frame.start
        graph = graph_key(frame.numbers, start, frame.charge, frame.multiplicity, frame.smiles)
        split = ""
        if self._order.splits is not None:
            split = self._order.splits.of(split_key(graph, frame.group))
        frame = replace(frame, graph=graph, split=split)
        earlier = duplicates.add(frame)
        if earlier is not None and self._order.dedupe:
            tally.leave_out(_DUPLICATE, [f"{frame.id} of {earlier}"])
            return
        part = self._parts[split]
        try:
            part.writer.add(frame)
        except Unfit as error:
            duplicates.forget_last()
            tally.leave_out(f"{self._order.target.name}: {error}", [frame.id])
            return
        if part.expected is not None:
            part.expected.add(frame)
        part.frames += 1
        self._ungrouped += frame.group is None
        self._account.frames += 1
        tally.add(frame)

    def _check_groups(self) -> None:
        """Check that the documents have the field that names their groups, if the user gave one.

        Raises:
            NothingMatches: no document has the field.
        """
        group = self._sources[0].group
        if group is None or not self._ungrouped:
            return
        if self._ungrouped == self._account.frames:
            raise NothingMatches(
                f"--group {group}: no document that would be exported has this field"
            )
        self._account.remarks.append(
            f"--group {group}: {self._ungrouped:,} frames are of documents without this field; "
            "their molecular graphs decided on the parts"
        )

    def _remark_on_missing_atoms(self, tally: Tally) -> None:
        """Report the elements without a reference atom, if the campaigns compute such atoms."""
        asking = [one for one in self._sources if one.recipe.loaded.campaign.reference_atoms]
        missing = sorted(tally.elements.keys() - self._references.keys())
        if asking and missing:
            path = asking[0].recipe.loaded.typed
            self._account.remarks.append(
                f"no reference atom is exported for {', '.join(missing)}, because none has a "
                f"result; compute it with '{this_command()} run {path}', or see why it failed with "
                f"'{this_command()} failures {path}'"
            )

    def _named(self, frame: Frame) -> Frame:
        if len(self._sources) == 1:
            return frame
        return replace(frame, id=f"{frame.campaign}/{frame.id}")

    def _reference(self, source: Source, frame: Frame, tally: Tally) -> None:
        """Keep a reference atom if its recipe is that of the first one that was kept."""
        first = next(iter(self._references.values()), frame)
        if frame.recipe != first.recipe:
            remark = (
                f"the reference atoms of {source.name} are left out: their recipe is not that of "
                f"{first.campaign}, whose are written"
            )
            if remark not in self._account.remarks:
                self._account.remarks.append(remark)
            return
        frame = self._named(frame)
        if self._references.setdefault(frame.symbols[0], frame) is frame:
            tally.add(frame)

    def _references_as_frames(self) -> list[Frame]:
        """Write the reference atoms to the first file; returns them if they may not be frames."""
        frames = list(self._references.values())
        self._account.references = [frame.symbols[0] for frame in frames]
        if self._order.target.atoms is not None:
            return frames
        part = next(iter(self._parts.values()))
        for frame in frames:
            part.writer.add(frame)
            part.frames += 1
            if part.expected is not None:
                part.expected.add(frame)
        return []

    def _drop_empty(self, placing: Placing) -> None:
        """Drop the parts that have no frame, since trainers cannot read empty files."""
        for name in [name for name, part in self._parts.items() if not part.frames]:
            part = self._parts.pop(name)
            placing.drop(part.draft)
            self._account.remarks.append(
                f"no molecule belongs to the part '{name}', so {part.path} was not written"
            )

    def _write_references(self, frames: Sequence[Frame], placing: Placing) -> None:
        """Write the energies of reference atoms beside the first file, or into all files."""
        first = next(iter(self._parts.values()))
        if frames and self._order.target.atoms is not None:
            written = self._order.target.atoms(first.draft, frames)
            if written != first.draft:
                self._account.others.append(placing.beside(written))
                self._beside += card.file_parts(written, len(frames))
                return
            for part in self._parts.values():
                if part is not first:
                    self._order.target.atoms(part.draft, frames)

    def _prove(self, part: _Part) -> None:
        self._account.files[part.path] = part.frames
        if part.expected is None:
            return
        self._account.proofs[part.path] = prove(
            part.draft, self._order.target, part.expected, labels=part.writer.labels
        )

    def _card(self, tally: Tally, duplicates: Duplicates, placing: Placing) -> list[Path]:
        """Write the data card; return the paths that its files will have."""
        order, account = self._order, self._account
        files: list[FilePart] = []
        for name, part in self._parts.items():
            proof = account.proofs.get(part.path)
            files += card.file_parts(
                part.draft,
                part.frames,
                name or None,
                proof.reader if proof is not None else None,
                proof.compared if proof is not None else None,
            )
        files += self._beside
        recipes = {
            recipe: source.asked(recipe) or {}
            for source in self._sources
            for recipe, _ in source.recipes()
            if recipe is not None
        }
        written = {recipe for _, _, recipe in tally.recipes}
        levels = [one for it in self._sources for one in it.levels() if one.recipe in written]
        made = card.make_card(
            order.path.name,
            command=order.command,
            target=order.target,
            tally=tally,
            files=files,
            labels=next(iter(self._parts.values())).writer.labels,
            levels=levels,
            recipes=recipes,
            meanings=summary.meanings(self._sources),
            limits=summary.limits(self._sources),
            noise=summary.noise(self._sources),
            splits=order.splits,
            duplicates=duplicates,
            were_dropped=order.dedupe,
        )
        drafts = card.write_card(made, placing.folder / order.path.name)
        return [placing.beside(draft) for draft in drafts]
