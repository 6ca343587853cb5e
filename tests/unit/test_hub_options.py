"""What a hub tells the agents beside its routes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhub_kvproxy.routing.hub_options import Claim, HubOptions
from jhub_kvproxy.routing.policy import Policy
from jhub_kvproxy.routing.routes import Pattern
from tests.strategies import hosts, paths


@given(st.builds(Pattern, hosts, paths))
def test_a_pattern_has_a_routespec(pattern: Pattern) -> None:
    assert Pattern.parse(pattern.routespec) == pattern


def test_the_record_holds_all_options() -> None:
    policy = Policy(change_origin=True, strip_prefix=frozenset([Pattern.parse("/services/a%2Fb/")]), prepend_path=False)
    options = HubOptions(policy, Claim("/b/", "hub.example.org"))
    assert HubOptions.from_record(options.to_record()) == options


@pytest.mark.parametrize("text", ["", "{}", "[]", "1", '{"version": 1}', "[" * 100000])
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no record of a hub's options|Expecting value"):
        HubOptions.from_record(text)


def test_a_newer_record_is_refused() -> None:
    record = json.loads(HubOptions().to_record()) | {"version": 2}
    with pytest.raises(ValueError, match="version 2, and this jhub-kvproxy knows 1"):
        HubOptions.from_record(json.dumps(record))


@pytest.mark.parametrize(
    ("claim", "inside", "outside"),
    [
        (Claim("/"), ["/", "/user/a/", "/b/c/"], ["a.example.org/"]),
        (Claim("/b/"), ["/b/", "/b/user/x/"], ["/", "/bc/", "h/b/"]),
        (Claim("/", "example.org"), ["example.org/", "a.example.org/user/"], ["/", "badexample.org/"]),
    ],
)
def test_a_claim_covers_its_places(claim: Claim, inside: list[str], outside: list[str]) -> None:
    assert all(claim.covers(Pattern.parse(spec)) for spec in inside)
    assert not any(claim.covers(Pattern.parse(spec)) for spec in outside)
