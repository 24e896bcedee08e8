"""The parts of a data set: training, validation, test.

Only a hash of the seed and the molecule's key decides which part it belongs to. So a molecule stays
in its part when documents are added, whatever the order in which they are read. Parts are intervals
of the hash, in the order given: with other fractions, only molecules between an old and a new
border move.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from wqmaster.errors import UsageError

_NAMES = ("train", "valid", "test")
_MOST_PARTS = 10
_TOLERANCE = 1e-9
# Files are named after their parts.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


@dataclass(frozen=True)
class Splits:
    """The fraction of each part, by name, and the seed.

    Raises:
        UsageError: a fraction or a name is wrong.
    """

    fractions: Mapping[str, float]
    seed: int = 0
    _borders: Sequence[tuple[str, float]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.fractions) <= _MOST_PARTS:
            raise _wrong(f"there are {len(self.fractions)} parts, not 1 to {_MOST_PARTS}")
        for name, fraction in self.fractions.items():
            if not _NAME.fullmatch(name):
                raise _wrong(
                    f"{name!r:.60} is not a name of a part (letters, digits, '-' and '_', at most "
                    "32, the first a letter or a digit)"
                )
            if not (math.isfinite(fraction) and fraction > 0):
                raise _wrong(f"the fraction of {name!r} must be above 0; it is {fraction:g}")
        folded = [name.lower() for name in self.fractions]
        for name in folded:
            if folded.count(name) > 1:
                raise _wrong(f"two parts have the name {name!r} (capitals do not count)")
        total = math.fsum(self.fractions.values())
        if abs(total - 1) > _TOLERANCE:
            raise _wrong(f"the fractions add up to {total:.10g}, not to 1")
        ends, names = [], list(self.fractions)
        for count in range(1, len(names)):
            ends.append(math.fsum(list(self.fractions.values())[:count]))
        borders = tuple(zip(names, [*ends, math.inf], strict=True))
        object.__setattr__(self, "_borders", borders)

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> "Splits":
        """The parts that `--splits` names: "0.8,0.1,0.1" or "train=0.8,valid=0.1,test=0.1".

        One to three fractions without names are those of train, valid and test.

        Raises:
            UsageError: the text is wrong.
        """
        words = [word.strip() for word in text.split(",")]
        named = [word.partition("=")[::2] for word in words if "=" in word]
        if not named:
            if len(words) > len(_NAMES):
                raise _wrong(
                    f"there are {len(words)} fractions without names; name them, such as "
                    "'train=0.7,valid=0.1,test=0.1,spare=0.1'"
                )
            named = list(zip(_NAMES, words, strict=False))
        elif len(named) < len(words):
            raise _wrong("some fractions have names and some do not; name all or none")
        fractions: dict[str, float] = {}
        for raw, number in named:
            name = raw.strip()
            try:
                fraction = float(number)
            except ValueError:
                raise _wrong(f"{number.strip()!r:.60} is not a number") from None
            if name in fractions:
                raise _wrong(f"two parts have the name {name!r:.60}")
            fractions[name] = fraction
        return cls(fractions, seed)

    def of(self, key: str) -> str:
        """The name of the part that the molecules with this key belong to (see `split_key`)."""
        digest = blake2b(f"{self.seed}\n{key}".encode(), digest_size=8).digest()
        # A float holds 53 bits exactly, so the number is never rounded up to 1.
        place = (int.from_bytes(digest, "big") >> 11) / 2**53
        return next(name for name, end in self._borders if place < end)


def split_key(graph: str, group: object = None) -> str:
    """The key that decides on the part: the group that the user's field names, or else the graph.

    `graph` is the key of the document's geometry, not of the frame's, so that all frames of an
    optimization stay together, even if bonds form or break.
    """
    return f"graph {graph}" if group is None else f"group {group}"


def _wrong(why: str) -> UsageError:
    return UsageError(f"--splits: {why}")
