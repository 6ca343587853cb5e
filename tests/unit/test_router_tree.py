"""The routing tree: the same for the same routes, small at every level, changed in few places."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jhub_kvproxy.routing.routes import Pattern
from jhub_kvproxy.traefik_routers import tree
from jhub_kvproxy.traefik_routers.rules import tree_key
from jhub_kvproxy.traefik_routers.tree import Tree
from tests.strategies import hosts, paths, routespec

keys = st.one_of(
    st.builds(Pattern, hosts, paths).map(tree_key),
    st.text("ab/", max_size=6).map(lambda text: "/" + text.strip("/") if text.strip("/") else ""),
)


@pytest.fixture(autouse=True, params=[(20, 4), (2, 2), (5, 3)], ids=str)
def small_nodes(request, monkeypatch):
    """Also with nodes that a few routes suffice for."""
    monkeypatch.setattr(tree, "SPLIT", request.param[0])
    monkeypatch.setattr(tree, "GROUP", request.param[1])


@settings(max_examples=150)
@given(st.lists(keys, max_size=60))
def test_changes_one_by_one_lead_to_the_same_tree(changed):
    """A key that comes again is removed."""
    grown, present = Tree(), set()
    routes, nodes = {}, {}
    for key in changed:
        present ^= {key}
        moves = grown.add(key) if key in present else grown.remove(key)
        routes |= moves.routes
        routes = {route: parent for route, parent in routes.items() if route in present}
        nodes = {node: parent for node, parent in (nodes | moves.nodes).items() if parent is not None}
        fresh = Tree(present)
        everything = fresh.everything()
        assert (routes, nodes) == (everything.routes, everything.nodes)
        covered = {cover: nodes for cover, nodes in fresh.covered.items() if nodes}
        assert {cover: nodes for cover, nodes in grown.covered.items() if nodes} == covered


@given(st.lists(keys, max_size=60))
def test_a_route_stands_under_prefixes_of_itself_only(present):
    for children in (Tree(present).everything().routes, Tree(present).everything().nodes):
        for child, parent in children.items():
            assert child.startswith(parent)


@given(hosts, paths, hosts, paths)
def test_different_patterns_have_different_keys(host, path, other_host, other_path):
    one, other = Pattern.parse(routespec(host, path)), Pattern.parse(routespec(other_host, other_path))
    assert (tree_key(one) == tree_key(other)) == (one == other)
