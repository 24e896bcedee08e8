"""A seeded sample of documents, stratified by the number of atoms.

Which documents are drawn depends on the seed and on their ids, but not on the order in which they
come: the rank of a document is a hash of the seed and its id.
"""

import hashlib
import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from wqmaster.database.attempts import key_of

# Strata are quantiles of the number of atoms, each with about equally many documents.
MAX_STRATA = 5


@dataclass(frozen=True)
class Stratum:
    """Documents of similar size, and those of them that were drawn."""

    smallest: int  # number of atoms
    largest: int
    documents: int  # number of documents of these sizes
    drawn: tuple[tuple[Any, int], ...]  # (`_id`, number of atoms)


def draw(sizes: Iterable[tuple[Any, int]], number: int, seed: int) -> list[Stratum]:
    """Draw `number` documents (all, if there are fewer) from pairs (`_id`, number of atoms).

    Each stratum gets a share in proportion to its documents, and at least one. The memory used
    grows with the number of different sizes times `number`, not with the number of documents.
    """
    counts: dict[int, int] = {}
    # For each number of atoms, the `number` documents with the smallest ranks.
    best: dict[int, list[tuple[int, str, Any]]] = {}
    for document, natoms in sizes:
        counts[natoms] = counts.get(natoms, 0) + 1
        key = key_of(document)
        # heapq removes the smallest entry, so ranks are negative.
        entry = (-_rank(key, seed), key, document)
        heap = best.setdefault(natoms, [])
        if len(heap) < number:
            heapq.heappush(heap, entry)
        elif entry > heap[0]:
            heapq.heapreplace(heap, entry)
    groups = _strata(counts, min(MAX_STRATA, number))
    shares = _shares([sum(counts[size] for size in group) for group in groups], number)
    found = []
    for group, share in zip(groups, shares, strict=True):
        ranked = sorted(
            ((rank, key, document, size) for size in group for rank, key, document in best[size]),
            key=lambda entry: (-entry[0], entry[1]),
        )
        drawn = sorted(ranked[:share], key=lambda entry: (entry[3], entry[1]))
        found.append(
            Stratum(
                smallest=group[0],
                largest=group[-1],
                documents=sum(counts[size] for size in group),
                drawn=tuple((document, size) for _, _, document, size in drawn),
            )
        )
    return found


def _rank(key: str, seed: int) -> int:
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:8])


def _strata(counts: dict[int, int], number: int) -> list[list[int]]:
    """The numbers of atoms in each of at most `number` strata, in increasing order."""
    total = sum(counts.values())
    groups: dict[int, list[int]] = {}
    before = 0
    for size in sorted(counts):
        middle = before + counts[size] / 2
        groups.setdefault(int(number * middle / total), []).append(size)
        before += counts[size]
    return list(groups.values())


def _shares(counts: list[int], number: int) -> list[int]:
    """How many documents to draw from strata with these numbers of documents."""
    total = sum(counts)
    if number >= total:
        return counts
    shares = [max(1, number * count // total) for count in counts]
    while sum(shares) > number:
        shares[max(range(len(shares)), key=lambda place: shares[place])] -= 1
    # The largest remainders get the rest; a share never exceeds its stratum, since number < total.
    rests = sorted(
        range(len(counts)),
        key=lambda place: number * counts[place] / total - shares[place],
        reverse=True,
    )
    for place in rests[: number - sum(shares)]:
        shares[place] += 1
    return shares
