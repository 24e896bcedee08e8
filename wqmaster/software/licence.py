"""What a licence says of where software may be put."""

import re

_LONGEST = 4096
# ORCA's own programs: orca, orca_scf, orca_leanscf_mpi, ...
_ORCA = re.compile(r"orca(_[a-z0-9_]+)?")
# Words of a path or URL of a place that is seen by all.
_PUBLIC = re.compile(
    r"(?:^|[/.@])(public|public_html|htdocs|www|wwwroot|github|githubusercontent|gitlab|zenodo"
    r"|figshare|dropbox|huggingface|osf)(?:[/.]|$)",
    re.IGNORECASE,
)


def is_orca(program: str) -> bool:
    """Whether a program of this name is one of ORCA's."""
    return bool(_ORCA.fullmatch(program))


def looks_public(place: str) -> str | None:
    """The word by which a path or URL is known to be seen by all; None if there is none."""
    found = _PUBLIC.search(place[:_LONGEST])
    return found[1] if found else None
