"""The note that a submit file was written, since it makes copies of the password elsewhere."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from wqmaster.system.files import replacing

_NOTE = "submit-file.json"


@dataclass(frozen=True)
class Noted:
    """A submit file that was written for the workers of a campaign."""

    file: Path  # its absolute path
    written: float  # seconds since 1970


def note_submit_file(workforce_folder: Path, file: Path) -> None:
    """Note that `file` was written now."""
    path = workforce_folder / "factory" / _NOTE
    with replacing(path) as part:
        part.write_text(json.dumps({"file": str(file.absolute()), "written": time.time()}) + "\n")


def noted_submit_file(workforce_folder: Path) -> Noted | None:
    """The submit file that was written last; None if none was, or the note cannot be read."""
    try:
        found = json.loads((workforce_folder / "factory" / _NOTE).read_text())
        return Noted(Path(found["file"]), float(found["written"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
