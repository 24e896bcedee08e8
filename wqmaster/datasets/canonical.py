"""The canonical form of a labeled graph: equal for two graphs if and only if they are the same.

RDKit has canonical SMILES, but splits depend on this form, so it must not change with the version
of a library. A molecule is a tree of ring systems and of atoms outside rings, which is encoded from
its ends inward (Aho, Hopcroft and Ullman, The Design and Analysis of Computer Algorithms, 1974,
section 3.2). The atoms of a ring system are numbered by refinement and individualization with
pruning by automorphisms (McKay and Piperno, J. Symb. Comput. 60, 94 (2014)), since refinement alone
does not distinguish all graphs: two separate triangles and a hexagon look the same to it.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

# The graphs of molecules need at most a few hundred nodes of the search tree.
_MOST_NODES = 5000

_Trace = tuple[tuple[tuple[int, ...], ...], ...]
_Form = tuple[tuple[int, ...], ...]


def digest(*parts: object) -> str:
    """A hash of the parts: 20 hexadecimal digits.

    The probability that any two of 10^7 hashes are equal is 4e-11.
    """
    return blake2b(repr(parts).encode(), digest_size=10).hexdigest()


def canonical(labels: Sequence[int], bonds: Iterable[tuple[int, int]]) -> str:
    """A hash of the graph that does not depend on the order of its vertices.

    If the search for the canonical numbering takes too long, which no known molecule causes, the
    hash still does not depend on the order, but another graph could have the same one.

    Args:
        labels: of the vertices, shape (n,)
        bonds: pairs of vertices, which are counted from 0
    """
    neighbors: list[set[int]] = [set() for _ in labels]
    for one, other in bonds:
        neighbors[one].add(other)
        neighbors[other].add(one)
    return digest(sorted(_encoded(part, labels, neighbors) for part in _components(neighbors)))


def _components(neighbors: Sequence[set[int]]) -> list[list[int]]:
    seen: set[int] = set()
    found = []
    for start in range(len(neighbors)):
        if start in seen:
            continue
        part = [start]
        seen.add(start)
        for vertex in part:
            new = neighbors[vertex] - seen
            seen |= new
            part.extend(new)
        found.append(part)
    return found


def _blocks(part: list[int], neighbors: Sequence[set[int]]) -> dict[int, int]:
    """The block of each vertex of a connected part.

    Blocks are what the part falls into without its bridges: ring systems and single vertices. Each
    is named by one of its vertices. The algorithm is Tarjan's, Inf. Process. Lett. 2, 160 (1974),
    without recursion, since a chain can be longer than Python's stack.
    """
    start = part[0]
    number = {start: 0}
    low = {start: 0}
    above = {start: start}
    stack = [(start, iter(neighbors[start]))]
    while stack:
        vertex, waiting = stack[-1]
        for other in waiting:
            if other not in number:
                number[other] = low[other] = len(number)
                above[other] = vertex
                stack.append((other, iter(neighbors[other])))
                break
            if other != above[vertex]:
                low[vertex] = min(low[vertex], number[other])
        else:
            stack.pop()
            if low[vertex] < number[vertex]:
                low[above[vertex]] = min(low[above[vertex]], low[vertex])
    blocks: dict[int, int] = {}
    for vertex in number:  # in the order of the search, so `above[vertex]` has its block already
        is_first = low[vertex] == number[vertex]
        blocks[vertex] = vertex if is_first else blocks[above[vertex]]
    return blocks


def _encoded(part: list[int], labels: Sequence[int], neighbors: Sequence[set[int]]) -> str:
    """The code of a connected part: a tree of blocks, encoded from its ends to its middle."""
    block_of = _blocks(part, neighbors)
    members: dict[int, list[int]] = {}
    bridges: dict[int, dict[int, tuple[int, int]]] = {}  # block -> other block -> bridge's ends
    for vertex, block in block_of.items():
        members.setdefault(block, []).append(vertex)
        near = bridges.setdefault(block, {})
        for other in neighbors[vertex]:
            if block_of[other] != block:
                near[block_of[other]] = (vertex, other)
    branches: dict[int, list[str]] = {vertex: [] for vertex in part}

    def code(block: int, root: int | None = None) -> str:
        inside = members[block]
        codes = [digest(labels[one], sorted(branches[one]), one == root) for one in inside]
        if len(inside) == 1:
            return codes[0]
        place = {vertex: number for number, vertex in enumerate(inside)}
        edges = [[place[other] for other in neighbors[one] if other in place] for one in inside]
        ranks = {name: rank for rank, name in enumerate(sorted(set(codes)))}
        form = _Search(edges).run([ranks[name] for name in codes])
        return digest("block", sorted(codes), form)

    ends = [block for block, near in bridges.items() if len(near) == 1]
    while ends:
        # All ends of a round are removed together, so that the middle does not depend on the order
        # of the vertices.
        found = [(block, *bridges[block].popitem()) for block in ends]
        names = [code(block, vertex) for block, _, (vertex, _) in found]
        if len(bridges) == 2:  # the middle is a bridge
            return digest("bridge", sorted(names))
        inner = {}
        for name, (block, beyond, (_, vertex)) in zip(names, found, strict=True):
            branches[vertex].append(name)
            del bridges[block], bridges[beyond][block]
            inner[beyond] = bridges[beyond]
        ends = [block for block, near in inner.items() if len(near) == 1]
    (middle,) = bridges
    return code(middle)


def _refined(colors: list[int], neighbors: list[list[int]]) -> tuple[list[int], _Form]:
    """The coarsest stable refinement of a coloring, and its form, the same for all orders."""
    classes = len(set(colors))
    while True:
        seen = [
            (color, *sorted([colors[other] for other in near]))
            for color, near in zip(colors, neighbors, strict=True)
        ]
        looks = sorted(set(seen))
        ranks = {look: rank for rank, look in enumerate(looks)}
        colors = [ranks[look] for look in seen]
        if len(looks) == classes:
            return colors, tuple(looks)
        classes = len(looks)


class _Search:
    """The search for the canonical numbering of a graph, given as lists of neighbors."""

    def __init__(self, neighbors: list[list[int]]) -> None:
        self._neighbors = neighbors
        self._nodes = 0
        self._best: _Form | None = None
        self._best_trace: _Trace = ()
        self._best_path: list[int] = []
        self._best_order: list[int] = []  # the vertex of each number
        self._automorphisms: list[list[int]] = []

    def run(self, colors: list[int]) -> _Form:
        """The edges of the graph in the canonical numbering.

        If the search took too long, only what refinement distinguishes.
        """
        colors, look = _refined(colors, self._neighbors)
        sizes = _sizes(colors)
        self._visit(colors, [], ())
        if self._best is None or self._nodes > _MOST_NODES:
            return (*look, tuple(sizes))
        return self._best

    def _visit(self, colors: list[int], path: list[int], trace: _Trace) -> int:
        """Search below a node; returns the depth at which to continue (-1: stop searching)."""
        depth = len(path)
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            return -1
        sizes = _sizes(colors)
        if len(sizes) == len(colors):
            return self._leaf(colors, path, trace)
        _, target = min((size, color) for color, size in enumerate(sizes) if size > 1)
        done: list[int] = []
        for vertex in [place for place, color in enumerate(colors) if color == target]:
            if done and self._orbit(vertex, path) & set(done):
                continue
            done.append(vertex)
            split = [2 * color for color in colors]
            split[vertex] -= 1
            finer, look = _refined(split, self._neighbors)
            longer = (*trace, look)
            if self._best is not None and longer > self._best_trace[: depth + 1]:
                continue
            back = self._visit(finer, [*path, vertex], longer)
            if back < depth:
                return back
        return depth

    def _leaf(self, colors: list[int], path: list[int], trace: _Trace) -> int:
        order = sorted(range(len(colors)), key=colors.__getitem__)
        form = tuple(
            tuple(sorted([colors[other] for other in self._neighbors[vertex]])) for vertex in order
        )
        if self._best is None or (trace, form) < (self._best_trace, self._best):
            self._best, self._best_trace = form, trace
            self._best_path, self._best_order = path, order
        elif (trace, form) == (self._best_trace, self._best):
            image = [0] * len(order)
            for vertex, other in zip(self._best_order, order, strict=True):
                image[vertex] = other
            self._automorphisms.append(image)
            # Everything below the node where the two paths branch is an image of what was searched.
            pairs = zip(path, self._best_path, strict=True)
            return next(depth for depth, (one, other) in enumerate(pairs) if one != other)
        return len(path)

    def _orbit(self, vertex: int, path: list[int]) -> set[int]:
        """The orbit of `vertex` under the known automorphisms that fix all vertices of the path."""
        fixing = [
            image for image in self._automorphisms if all(image[fixed] == fixed for fixed in path)
        ]
        orbit = {vertex}
        waiting = [vertex]
        while waiting:
            here = waiting.pop()
            for image in fixing:
                # The powers of an automorphism include its inverse, so images reach all vertices.
                if image[here] not in orbit:
                    orbit.add(image[here])
                    waiting.append(image[here])
        return orbit


def _sizes(colors: list[int]) -> list[int]:
    sizes = [0] * (max(colors) + 1)
    for color in colors:
        sizes[color] += 1
    return sizes
