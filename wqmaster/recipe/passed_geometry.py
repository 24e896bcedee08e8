"""Check the geometry that a step passes to another one (`geometry: STEP`). A pure function.

Programs read an XYZ file without asking whose it is: xtb and ORCA would compute other atoms, or the
same ones in another order, and their gradients would be stored for the document's atoms.
"""

import math
from itertools import islice

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import Failure, FailureClass
from wqmaster.jobs.job import Asked, StepOutcome
from wqmaster.jobs.molecule import SYMBOLS, elements_hash
from wqmaster.parsers.xyz import frames

_NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS) if symbol}


def passed_geometry_failure(step: StepOutcome, file: str, asked: Asked) -> Failure | None:
    """Why the final geometry of `step`, in `file`, is not one of the document's molecule.

    None if it is one: a single structure with the document's atoms in the document's order and
    finite coordinates. The case of the symbols, the comment and further columns do not matter.
    """
    if file not in step.files:
        why = f"{file} is missing: a later step starts from the geometry in it"
        return Failure(FailureClass.MISSING_OUTPUT, why)
    text = step.files[file].decode("utf-8", errors="replace")
    if not text.endswith("\n"):
        why = f"{file} does not end with a newline, so it may be truncated"
        return Failure(FailureClass.PARSE_ERROR, why)
    try:
        found = list(islice(frames(text, file), 2))
    except ParseError as error:
        return Failure(FailureClass.PARSE_ERROR, error.message)
    if len(found) != 1:
        said = "several structures" if found else "no structure"
        why = f"{file} has {said}; the geometry for a later step must be a single one"
        return Failure(FailureClass.PARSE_ERROR, why)
    [frame] = found
    if not asked.natoms:
        return None  # the document has no molecule to compare with
    if len(frame.symbols) != asked.natoms:
        why = f"{file} has {len(frame.symbols)} atoms, but the document has {asked.natoms}"
        return Failure(FailureClass.ATOM_COUNT, why)
    numbers = tuple(_NUMBERS.get(symbol.capitalize(), 0) for symbol in frame.symbols)
    if asked.computed and elements_hash(numbers) != asked.computed["elements"]:
        why = f"the atoms in {file} are not those of the document, or are in another order"
        return Failure(FailureClass.ATOM_COUNT, why)
    if not all(math.isfinite(value) for row in frame.coordinates for value in row):
        return Failure(FailureClass.NOT_FINITE, f"{file} has a coordinate that is not finite")
    return None
