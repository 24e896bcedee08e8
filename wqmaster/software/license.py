"""Recognize public places, in which some licenses forbid putting software."""

import re

_MAX_PATH_CHARACTERS = 4096
# Words in a path or URL that suggest a public place.
_PUBLIC = re.compile(
    r"(?:^|[/.@])(public|public_html|htdocs|www|wwwroot|github|githubusercontent|gitlab|zenodo"
    r"|figshare|dropbox|huggingface|osf)(?:[/.]|$)",
    re.IGNORECASE,
)


def looks_public(place: str) -> str | None:
    """The word in a path or URL that suggests a public place, or None if there is none."""
    found = _PUBLIC.search(place[:_MAX_PATH_CHARACTERS])
    return found[1] if found else None
