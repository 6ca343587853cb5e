"""The routing table with the routers that Traefik reads in the store: routes in, exact key changes out. Pure, no I/O.

Which keys a table has is a function of its routes and of :class:`Routing` alone, so every hub computes the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Self

from ..routing.changes import Changes, difference
from ..routing.names import escape_name, shortened, spread
from ..routing.records import RECORDS, TRAEFIK, TRAEFIK_REVISION, Table
from ..routing.routes import HOST_PRIORITY, Route
from .rules import prefix_rule
from .serving import PLAIN, Serving
from .tree import ROOT, Moves, Tree

ROUTERS = f"{TRAEFIK}http/routers/"
_SERVICES = f"{TRAEFIK}http/services/"
_MIDDLEWARES = f"{TRAEFIK}http/middlewares/"

#: Building a table anew takes as long as putting one in this many of its routes.
_MANY = 15

#: Below others, more than that of every route, which is a rule's length at most: a node gives back what is not its own.
_NODE_BELOW = 1_000_000

#: The parents of all routes without a host, when the tree has nodes for hosts: one at the top, one below those nodes.
_BRIDGE, _HOST_BRIDGE = "kvproxy-any-host", "kvproxy-other-paths"


class Routing(StrEnum):
    """How the routers of a table stand to each other."""

    TREE = "tree"
    FLAT = "flat"


class RoutingTable(Table):
    """A table whose routes have routers, services and middlewares for Traefik too."""

    revision_key = TRAEFIK_REVISION
    keys_per_route = 8  # and its share in those of the tree

    def __init__(self, routing: Routing, routes: Iterable[Route] = (), serving: Serving = PLAIN) -> None:
        super().__init__(routes)
        self.routing = routing
        self.serving = serving
        self.keys |= {TRAEFIK + key: value for key, value in serving.fixtures.items()}
        self._by_tree_key = {route.pattern.key: route for route in self.routes.values()}
        self._tree = Tree(self._by_tree_key) if routing is Routing.TREE else None
        for route in self.routes.values():
            self._take(self._route_keys(route))
        if self._tree:
            self._take(self._tree_keys(self._tree, self._tree.everything()))

    def with_routes(self, routes: Iterable[Route]) -> Self:
        return type(self)(self.routing, routes, self.serving)

    def router(self, route: Route) -> str:
        """The name of the router of `route`."""
        return spread(route.name) if self._tree else route.name

    def put(self, wanted: Mapping[str, Route | None]) -> Changes:
        """Give each name in `wanted` that route, or none; returns what that changes in the store."""
        if len(wanted) * _MANY > len(self.routes) or any(map(self._is_served_otherwise, filter(None, wanted.values()))):
            return self._become({**self.routes, **wanted})
        changes: Changes = {}
        for name, route in wanted.items():
            changes |= self._put(name, route)
        return changes

    def _is_served_otherwise(self, route: Route) -> bool:
        """Whether it takes the place of one that has other middlewares, at whichever routers that has."""
        old, name = self.routes.get(route.name), self.router(route)
        return old is not None and self.serving.router(old, name) != self.serving.router(route, name)

    def _become(self, routes: Mapping[str, Route | None]) -> Changes:
        new = self.with_routes(filter(None, routes.values()))
        changes = difference(self.keys, new.keys)
        vars(self).update(vars(new))
        return changes

    def _put(self, name: str, route: Route | None) -> Changes:
        old = self.routes.get(name)
        changes: Changes = dict.fromkeys(self._route_keys(old)) if old else {}
        if route:
            self.routes[name] = self._by_tree_key[route.pattern.key] = route
            changes |= self._route_keys(route)
            if self._tree and not old:
                changes |= self._tree_keys(self._tree, self._tree.add(route.pattern.key))
        elif old:
            del self.routes[name], self._by_tree_key[old.pattern.key]
            if self._tree:
                changes |= dict.fromkeys(_place_keys(self.router(old), [], 0, 0))
                changes |= dict.fromkeys(self._cover_keys(old, []))
                changes |= self._tree_keys(self._tree, self._tree.remove(old.pattern.key))
        return self._take(changes)

    def _route_keys(self, route: Route) -> Changes:
        """The record of `route`, its router but for its place in the tree, and its service."""
        router = self.router(route)
        balancer = f"{_SERVICES}{router}/loadBalancer"
        keys: Changes = {RECORDS + route.name: route.to_record(), f"{balancer}/servers/0/url": route.target}
        keys |= {f"{balancer}/{key}": value for key, value in self.serving.service(route).items()}
        keys |= {f"{_MIDDLEWARES}{router}/{key}": value for key, value in self.serving.middleware(route).items()}
        keys |= self._served_keys(router, route)
        return keys if self._tree else {**keys, f"{ROUTERS}{router}/priority": str(route.pattern.priority)}

    def _tree_keys(self, tree: Tree, moves: Moves) -> Changes:
        """What stands where after `moves`."""
        changes: Changes = {}
        bridged = self._bridged(tree)
        if bool(bridged) != (f"{ROUTERS}{_BRIDGE}/rule" in self.keys):
            top = tree.top()
            moves.routes |= top.routes
            moves.nodes |= top.nodes
            changes |= self._bridge_keys(bridged)
        elif None in moves.covers:
            changes |= self._bridge_keys(bridged)
        for key, above in moves.routes.items():
            route = self._by_tree_key[key]
            parents = self._parents(key, above, bool(bridged))
            changes |= _place_keys(self.router(route), parents, route.pattern.priority, route.pattern.priority_below)
        for node, parent in moves.nodes.items():
            router = _node_name(node)
            keys = _router_keys(router, prefix_rule(node))
            parents = self._parents(node, parent, bool(bridged)) if parent is not None else []
            keys |= _place_keys(router, parents, _prefix_priority(node), _NODE_BELOW)
            changes |= keys if parent is not None else dict.fromkeys(keys)
        for cover in moves.covers:
            if cover in self._by_tree_key:
                changes |= self._cover_keys(self._by_tree_key[cover], sorted(map(_node_name, tree.covered[cover])))
        return changes

    def _parents(self, child: str, parent: str, bridge: bool) -> list[str]:
        if parent != ROOT:
            return [_node_name(parent)]
        return [_BRIDGE, _HOST_BRIDGE] if bridge and child[:1] in ("", "/") else []

    def _cover_keys(self, route: Route, nodes: list[str]) -> Changes:
        """A second router of `route`, for the requests that it gets because nothing below `nodes` takes them."""
        router = spread(f"f.{route.name}")
        keys = self._served_keys(router, route)
        keys |= _place_keys(router, nodes, 0, route.pattern.priority_below)
        return keys if nodes else dict.fromkeys(keys)

    def _served_keys(self, router: str, route: Route) -> Changes:
        """`router` as one of `route`, but for its place."""
        name = self.router(route)
        keys = _router_keys(router, route.pattern.rule, name)
        return keys | {f"{ROUTERS}{router}/{key}": value for key, value in self.serving.router(route, name).items()}

    def _bridged(self, tree: Tree) -> list[str]:
        """The nodes below which the routes without a host must stand too, if there are any."""
        if not tree.has_paths_without_host:
            return []
        return sorted(_node_name(node) for node in tree.covered.get(None, ()) if node[:1] != "/")

    def _bridge_keys(self, nodes: list[str]) -> Changes:
        """Routers by which requests that no route of their host takes get to the routes without a host."""
        changes: Changes = {}
        for router, parents in ((_BRIDGE, []), (_HOST_BRIDGE, nodes)):
            keys = _router_keys(router, 'PathPrefix("/")') | _place_keys(router, parents, 1, 1)
            changes |= keys if nodes else dict.fromkeys(keys)
        return changes


def _router_keys(router: str, rule: str, service: str = "") -> Changes:
    keys: Changes = {f"{ROUTERS}{router}/rule": rule}
    return {**keys, f"{ROUTERS}{router}/service": service} if service else keys


def _place_keys(router: str, parents: list[str], at_top: int, below: int | None) -> Changes:
    """Where `router` stands: under `parents`, if any, and with which priority there; None: Traefik's default."""
    priority = below if parents else at_top
    return {
        f"{ROUTERS}{router}/parentRefs": ",".join(parents) or None,
        f"{ROUTERS}{router}/priority": None if priority is None else str(priority),
    }


@lru_cache(maxsize=1 << 16)
def _node_name(prefix: str) -> str:
    return spread(shortened("y", "n" + ".".join(map(escape_name, prefix.split("/")))))


def _prefix_priority(prefix: str) -> int:
    """More than that of every route that covers the node, less than that of a longer node."""
    return 1 + prefix.count("/") + (0 if prefix.startswith("/") else HOST_PRIORITY)
