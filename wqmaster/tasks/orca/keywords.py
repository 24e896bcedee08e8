"""The words that ORCA accepts after "!".

The list is in `keywords.txt`, which names its sources. ORCA rejects an unknown word and ends with
"UNRECOGNIZED OR DUPLICATED KEYWORD(S) IN SIMPLE INPUT LINE". The list can be older than the
installed ORCA, so an unknown word causes a warning, not an error.
"""

import difflib
import re
from collections.abc import Iterable
from functools import cache
from importlib import resources

# Keywords that take arguments in parentheses: CPCM(water), Extrapolate(2/3,cc), SMD(ethanol).
_WITH_ARGUMENTS = frozenset(
    (
        *("alpb", "avas", "cosmo", "cosmors", "cpcm", "cpcmc", "cpcmx", "ddcosmo", "dock"),
        *("docker", "ecrism", "esd", "extrapolate", "extrapolateep1", "extrapolateep2"),
        *("extrapolateep3", "gcp", "optts", "smd", "smd18", "scs-mp2", "sos-mp2"),
    )
)
# Keywords that end with a number: PAL4, PAL8(2x4), ScfConv8.
_NUMBERED = re.compile(r"pal\d{1,4}(\(\d+x\d+\))?|scfconv\d{1,2}")


@cache
def sections() -> dict[str, frozenset[str]]:
    """The words in the list in lower case, by the heading of their section."""
    text = (resources.files(__package__) / "keywords.txt").read_text(encoding="utf-8")
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if line.startswith("["):
            words = found.setdefault(line.strip("[]"), set())
        elif line and not line.startswith("#"):
            words.update(line.split())
    return {kind: frozenset(words) for kind, words in found.items()}


@cache
def known_keywords() -> frozenset[str]:
    """All words in the list, in lower case."""
    return frozenset().union(*sections().values())


@cache
def basis_sets() -> frozenset[str]:
    """The words that name a basis set, in lower case."""
    return frozenset().union(*(words for kind, words in sections().items() if "basis sets" in kind))


def is_known(word: str) -> bool:
    """Whether ORCA accepts this word after "!", in upper or lower case."""
    # The prefix selects the AUTOCI module, as in AUTOCI-CCSD(T).
    word = word.lower().removeprefix("autoci-")
    if word in known_keywords() or _NUMBERED.fullmatch(word):
        return True
    head, parenthesis, rest = word.partition("(")
    return bool(parenthesis) and rest.endswith(")") and head in _WITH_ARGUMENTS


def nearest_keyword(word: str) -> str | None:
    """The known keyword most similar to `word`; None if none is similar."""
    head, parenthesis, rest = word.lower().partition("(")
    if parenthesis and rest.endswith(")"):
        near = _nearest(head, _WITH_ARGUMENTS)
        if near:
            return f"{near}({rest}"
    return _nearest(word.lower(), known_keywords())


def _nearest(word: str, words: Iterable[str]) -> str | None:
    near = difflib.get_close_matches(word, words, n=5, cutoff=0.6)
    # Transposed letters are the likeliest typing error.
    same = [other for other in near if sorted(other) == sorted(word)]
    return next(iter([*same, *near]), None)
