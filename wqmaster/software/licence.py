"""What a licence says of where software may be put."""

import re

_MAX_PATH_CHARACTERS = 4096
# Words of a path or URL of a place that is seen by all.
_PUBLIC = re.compile(
    r"(?:^|[/.@])(public|public_html|htdocs|www|wwwroot|github|githubusercontent|gitlab|zenodo"
    r"|figshare|dropbox|huggingface|osf)(?:[/.]|$)",
    re.IGNORECASE,
)


def looks_public(place: str) -> str | None:
    """The word by which a path or URL is known to be seen by all; None if there is none."""
    found = _PUBLIC.search(place[:_MAX_PATH_CHARACTERS])
    return found[1] if found else None
