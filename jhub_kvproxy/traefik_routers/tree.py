"""The routing tree: which parent router each route stands under, so that no level has many. Pure, no I/O.

Traefik tries the routers of a level one after another. So routes that begin alike stand under a
parent router, a *node*, that matches what they have in common (Traefik docs, "Multi-Layer Routing").

A route is a string here, its *key*, such that a prefix of the key matches more requests than the
key, and none that another prefix of the same length matches (:attr:`~jhub_kvproxy.routing.routes.Pattern.key`).
A node is such a prefix. Which nodes there are follows from the set of keys alone.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from os.path import commonprefix  # of text, character by character

#: A node with more routes than this, at any depth, has nodes below it.
SPLIT = 20
#: A node has at least this many routes.
GROUP = 4

#: Where what has no parent stands.
ROOT = ""

_Around = dict[tuple[str, bool], str]


@dataclass(slots=True)
class Moves:
    """What a change of the tree has touched; the rest stands where it stood."""

    #: Routes and their parents; a route that has gone is not among them.
    routes: dict[str, str] = field(default_factory=dict)
    #: Nodes and their parents; None: the node has gone.
    nodes: dict[str, str | None] = field(default_factory=dict)
    #: Routes whose covered nodes are others now.
    covers: set[str | None] = field(default_factory=set)


class Tree:
    """The keys of all routes in order, and what follows from them."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._keys = sorted(keys)
        self._present = set(self._keys)
        self._cover_of: dict[str, str | None] = {}
        #: By route, the nodes it covers: it gets those of their requests that nothing below them takes.
        #: By None, the nodes that no route covers.
        self.covered: dict[str | None, set[str]] = {}
        for node in self.everything().nodes:
            self._set_cover(node, self._find_cover(node))

    def everything(self) -> Moves:
        """Where everything stands."""
        moves = Moves(covers={cover for cover, nodes in self.covered.items() if nodes})
        below = [(ROOT, 0, len(self._keys))]
        while below:
            parent, low, high = below.pop()
            for child, child_low, child_high in self._children(parent, low, high):
                if child_high:
                    moves.nodes[child] = parent
                    below.append((child, child_low, child_high))
                else:
                    moves.routes[child] = parent
        return moves

    @property
    def has_paths_without_host(self) -> bool:
        # The key of the path / is empty, and hosts may begin with characters before and after the slash.
        at = bisect_left(self._keys, "/")
        return self._keys[:1] == [""] or (self._keys[at : at + 1] != [] and self._keys[at].startswith("/"))

    def top(self) -> Moves:
        """Where that stands which has no parent."""
        moves = Moves()
        for child, _, high in self._children(ROOT, 0, len(self._keys)):
            if high:
                moves.nodes[child] = ROOT
            else:
                moves.routes[child] = ROOT
        return moves

    def parent(self, key: str) -> str:
        """The node that the route `key` stands under."""
        path = self._path(key)
        return path[-1][0]

    def add(self, key: str) -> Moves:
        """Add a route that is not there."""
        uncovered = {node for node in self.covered.get(self._find_cover(key + "/"), ()) if node.startswith(key + "/")}
        before = self._around(key)
        insort(self._keys, key)
        self._present.add(key)
        moves = self._moves(before, self._around(key), uncovered)
        moves.routes[key] = self.parent(key)
        return moves

    def remove(self, key: str) -> Moves:
        """Remove a route that is there."""
        uncovered = self.covered.get(key, set())
        before = self._around(key)
        self._keys.pop(bisect_left(self._keys, key))
        self._present.remove(key)
        return self._moves(before, self._around(key), uncovered)

    def _moves(self, before: _Around, after: _Around, uncovered: set[str]) -> Moves:
        moves = Moves()
        if before != after:
            for child, is_node in before.keys() | after.keys():
                if is_node:
                    moves.nodes[child] = self._parent_of_node(child)
                else:
                    moves.routes[child] = self.parent(child)
        for node in uncovered | moves.nodes.keys():
            is_there = node not in moves.nodes or moves.nodes[node] is not None
            cover = self._find_cover(node) if is_there else None
            moves.covers |= {self._cover_of.get(node), cover}
            self._set_cover(node, cover, is_there)
        return moves

    def _set_cover(self, node: str, cover: str | None, is_there: bool = True) -> None:
        if node in self._cover_of:
            self.covered[self._cover_of.pop(node)].discard(node)
        if is_there:
            self._cover_of[node] = cover
            self.covered.setdefault(cover, set()).add(node)

    def _around(self, key: str) -> _Around:
        """Where the siblings of `key` stand, and those of each node above it; the flag tells nodes from routes."""
        return {
            (child, high > 0): node
            for node, node_low, node_high in self._path(key)
            for child, _, high in self._children(node, node_low, node_high)
            if high or child != key
        }

    def _path(self, key: str) -> list[tuple[str, int, int]]:
        """The nodes above `key`, topmost first, with the ranges of their routes."""
        node, low, high = ROOT, 0, len(self._keys)
        path = [(node, low, high)]
        while high - low > SPLIT and len(key) > len(node):
            low, high = self._range(key[: len(node) + 1], low, high)
            if high - low < GROUP:
                break
            node = commonprefix([self._keys[low], self._keys[high - 1]])  # noqa: RUF071
            if not key.startswith(node):
                break
            path.append((node, low, high))
        return path

    def _children(self, node: str, low: int, high: int) -> Iterator[tuple[str, int, int]]:
        """What stands directly under `node`: nodes with their ranges; routes, with (0, 0)."""
        keys = self._keys
        if high - low <= SPLIT:
            for key in keys[low:high]:
                yield key, 0, 0
            return
        while low < high:
            key = keys[low]
            end = low + 1 if key == node else self._range(key[: len(node) + 1], low, high)[1]
            if end - low < GROUP:
                for route in keys[low:end]:
                    yield route, 0, 0
            else:
                yield commonprefix([key, keys[end - 1]]), low, end  # noqa: RUF071
            low = end

    def _range(self, prefix: str, low: int, high: int) -> tuple[int, int]:
        keys, length = self._keys, len(prefix)
        low = bisect_left(keys, prefix, low, high)
        return low, bisect_right(keys, prefix, low, high, key=lambda key: key[:length])

    def _parent_of_node(self, node: str) -> str | None:
        """The parent of `node`; None: it is no node."""
        low = bisect_left(self._keys, node)
        if low == len(self._keys):
            return None
        path = [above for above, _, _ in self._path(self._keys[low])]
        # The first key under a node may be the node itself, which goes through it too.
        return path[path.index(node) - 1] if node in path[1:] else None

    def _find_cover(self, node: str) -> str | None:
        """The longest route that all requests of `node` match."""
        end = len(node)
        while (end := node.rfind("/", 0, end)) >= 0:
            if node[:end] in self._present:
                return node[:end]
        return None
