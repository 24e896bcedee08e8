"""The files of one run: a printed output, and the files beside it that belong to it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from wqmaster.offline.adopting import orca, xtb
from wqmaster.offline.adopting.base import Found
from wqmaster.offline.adopting.content import Content, content_of
from wqmaster.recipe.recipe import StepRecipe

# The endings that are removed from the name of a printed output to find the files beside it.
_PRINTED = (".out", ".log", ".txt", ".output", ".stdout")
# Files that the diagnosis of xtb or the molecule may need, whether or not a parser does.
_OF_XTB = ("xtbout.json", "xtbopt.xyz", "xtbopt.log", "gfnff_charges", "molecule.engrad")


@dataclass
class Run:
    """The files of one run, by the names that parsers use."""

    main: Content
    files: dict[str, bytes]
    sums: dict[str, str] = field(default_factory=dict)  # name on disk -> SHA-256 on disk

    def add(self, folder: str, ways: Sequence[str], name: str, most_bytes: int) -> None:
        """Add the first file in `folder` that exists under one of the names `ways`, as `name`.

        Raises:
            Unfit: it cannot be read, or is too large.
        """
        for way in (other for one in ways for other in (one, f"{one}.gz")):
            path = os.path.join(folder, way)  # noqa: PTH118  # paths may hold any bytes
            if os.path.isfile(path) and not os.path.islink(path):  # noqa: PTH113, PTH114
                content = content_of(path, most_bytes)
                self.files[name] = content.data
                self.sums[way] = content.sha256
                return


def files_of(found: Found, main: Content, step: StepRecipe, most_bytes: int) -> Run:
    """The files of the run that printed `main`, as far as the parsers of `step` read them.

    ORCA's files are named after its input (STEM.engrad), whose name it echoes, or after the output.
    xtb's have fixed names, so they belong to the output only if it is the only one in its folder.
    Only NAME.engrad is named after the coordinate file.

    Raises:
        Unfit: a file cannot be read, or is too large.
    """
    run = Run(main, {"stdout": main.data})
    folder, name = os.path.split(found.path)
    text = main.data.decode("utf-8", errors="replace")
    needed = {call.file for call in step.parsers}
    needed |= {file for call in step.parsers for file in getattr(call.function, "files", ())}
    if step.function.program is not None and step.function.program.name == "orca":
        stem = name.removesuffix(".gz")
        stem = next((stem.removesuffix(end) for end in _PRINTED if stem.endswith(end)), stem)
        bases = dict.fromkeys((stem, orca.base_name(text) or stem))
        for file in sorted(one for one in needed if one.startswith("orca.")):
            ways = [base + file.removeprefix("orca") for base in bases]
            run.add(folder, ways, file, most_bytes)
        return run
    given = xtb.coordinate_file(text) or "molecule"
    for file in sorted({*needed, *_OF_XTB} - {"stdout", "stderr"}):
        if file == "molecule.engrad":
            run.add(folder, [f"{given.rpartition('.')[0] or given}.engrad"], file, most_bytes)
        elif found.alone:
            run.add(folder, [file], file, most_bytes)
    for file in xtb.further_files(text):
        run.add(folder, [file], file, most_bytes)
    return run
