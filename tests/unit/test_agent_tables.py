"""What an agent makes of the tables of one hub or several: pure parts."""

from __future__ import annotations

import pytest

from jhub_kvproxy.agent.fleet import Fleet, Marks
from jhub_kvproxy.agent.hub_table import HubTable, NoTable, changed_routes, read_table
from jhub_kvproxy.routing.hub_options import HUB_OPTIONS, Claim, HubOptions
from jhub_kvproxy.routing.policy import Policy
from jhub_kvproxy.routing.records import RECORDS, REVISION, SUM, sum_of, sum_text
from jhub_kvproxy.routing.routes import Route


def route(spec: str, target: str = "http://127.0.0.1:1") -> Route:
    return Route(spec, target, {})


def keys(revision: str, *routes: Route) -> dict[str, str]:
    return {REVISION: revision} | {RECORDS + each.name: each.to_record() for each in routes}


A, B = route("/user/a/"), route("/user/b/")


def test_told_changes_make_the_table_that_a_load_makes() -> None:
    table = read_table(keys("1-w.1", A), HubTable())
    after = keys("1-w.2", B)
    changed = table.take({REVISION: "1-w.2", RECORDS + A.name: None, RECORDS + B.name: B.to_record()})
    assert changed == {A.name: None, B.name: B}
    assert (table.keys, table.routes, table.revision) == (after, {B.name: B}, "1-w.2")


@pytest.mark.parametrize(
    "told",
    [
        {RECORDS + B.name: B.to_record()},
        {REVISION: "1-w.1", RECORDS + B.name: B.to_record()},
        {REVISION: "1-w.0", RECORDS + B.name: B.to_record()},
        {REVISION: "2-other.9", RECORDS + B.name: B.to_record()},
        {REVISION: None},
        {REVISION: "1-w.2", HUB_OPTIONS: HubOptions().to_record()},
        {REVISION: "1-w.2", RECORDS + B.name: "damaged"},
    ],
    ids=["no revision", "the same", "an older one", "another writer", "emptied", "options", "damaged"],
)
def test_what_is_no_step_of_the_same_writer_leads_to_a_load(told: dict[str, str | None]) -> None:
    table = read_table(keys("1-w.1", A), HubTable())
    assert table.take(told) is None
    assert (table.keys, table.routes) == (keys("1-w.1", A), {A.name: A})


def test_a_change_that_leaves_the_sum_alone_is_checked_too() -> None:
    """As when the store has an older copy with the same sum, and a watch tells what is different there."""
    first = keys("1-w.1", A)
    table = read_table(first | {SUM: sum_text(sum_of(first))}, HubTable())
    assert table.take({REVISION: "1-w.2", RECORDS + B.name: B.to_record()}) is None
    assert table.take({REVISION: "1-w.2"}) == {}


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ({}, "it is empty, until its hub writes it"),
        ({RECORDS + A.name: A.to_record()}, "no revision"),
        (keys("1-w.1", A) | {HUB_OPTIONS: "x"}, "'options' cannot be read"),
    ],
)
def test_an_empty_or_damaged_store_is_no_table(found: dict[str, str], why: str) -> None:
    with pytest.raises(NoTable, match=why):
        read_table(found, HubTable())


def test_the_good_route_stays_where_a_record_is_damaged() -> None:
    before = read_table(keys("1-w.1", A), HubTable())
    after = read_table(keys("1-w.2", A, B) | {RECORDS + A.name: "{}", RECORDS + "p.x": "?"}, before)
    assert after.routes == {A.name: A, B.name: B}
    assert set(after.damaged) == {RECORDS + A.name, RECORDS + "p.x"}
    assert changed_routes(before, after) == {B.name: B}


def test_a_route_that_stays_is_the_same_object() -> None:
    before = read_table(keys("1-w.1", A, B), HubTable())
    after = read_table(keys("1-w.2", A), before)
    assert after.routes[A.name] is before.routes[A.name]
    assert changed_routes(before, after) == {B.name: None}


def test_marks_know_what_a_number_of_ours_has_of_each_hub() -> None:
    marks = Marks()
    marks.add(1, "a", "1-w.1", "f")
    marks.add(2, "b", "1-v.1", "g")
    marks.add(3, "a", "1-w.2", "f")
    assert marks.at(0) == {}
    assert marks.at(2) == {"a": ("1-w.1", "f"), "b": ("1-v.1", "g")}
    assert marks.at(3) == marks.at(9) == {"a": ("1-w.2", "f"), "b": ("1-v.1", "g")}


def test_marks_that_nobody_asks_for_do_not_gather() -> None:
    marks = Marks()
    marks.add(1, "b", "1-v.1", "g")
    for number in range(2, 5000):
        marks.add(number, "a", f"1-w.{number}", "f")
    assert marks.at(2) == {"b": ("1-v.1", "g")}
    assert marks.at(4999) == {"a": ("1-w.4999", "f"), "b": ("1-v.1", "g")}


def table_of(*specs: str) -> dict[str, Route]:
    return {each.name: each for each in map(route, specs)}


ROOT, BELOW = HubOptions(claim=Claim("/")), HubOptions(Policy(change_origin=True), Claim("/b/"))


def test_hubs_with_places_of_their_own_do_not_disturb_each_other() -> None:
    fleet = Fleet(["a", "b"])
    a, b = table_of("/", "/user/x/"), table_of("/b/", "/b/user/x/")
    fleet.change("a", a, a, ROOT)
    fleet.change("b", b, b, BELOW)
    assert fleet.all() == a | b
    assert fleet.refused("a") == fleet.refused("b") == {}
    assert [fleet.policy_of(each).change_origin for each in (*a.values(), *b.values())] == [False, False, True, True]


def test_a_route_at_the_place_of_another_hub_is_refused_by_name() -> None:
    fleet = Fleet(["a", "b"])
    a, b = table_of("/", "/b/user/x/"), table_of("/b/", "/user/y/")
    fleet.change("a", a, a, ROOT)
    assert fleet.refused("a") == {}  # nobody else claims it yet
    changes = fleet.change("b", b, b, BELOW)
    assert changes[route("/b/user/x/").name] is None
    assert fleet.all() == table_of("/", "/b/")
    assert fleet.refused("a") == {"/b/user/x/": "its place belongs to the hub 'b', which claims all paths below /b/"}
    assert fleet.refused("b") == {"/user/y/": "its place belongs to the hub 'a', which claims all paths below /"}


def test_what_two_hubs_claim_alike_belongs_to_the_first() -> None:
    fleet = Fleet(["a", "b"])
    a, b = table_of("/", "/user/x/"), table_of("/", "/user/y/")
    fleet.change("b", b, b, ROOT)
    assert fleet.all() == b
    fleet.change("a", a, a, ROOT)
    assert fleet.all() == a | table_of("/user/y/")
    assert fleet.refused("a") == {}
    assert fleet.refused("b") == {
        "/": "the hub 'a' claims the same place, all paths below /, and comes first in Agent.hubs"
    }
    changes = fleet.change("a", a, {}, ROOT)
    assert changes == {route("/").name: b[route("/").name], route("/user/x/").name: None}
    assert fleet.refused("b") == {}


def test_a_hub_owns_its_domain() -> None:
    fleet = Fleet(["a", "b"])
    a, b = table_of("hub.example.org/", "x.hub.example.org/user/x/", "/all/"), table_of("other.example.org/")
    fleet.change("a", a, a, HubOptions(claim=Claim(domain="hub.example.org")))
    fleet.change("b", b, b, HubOptions(claim=Claim(domain="other.example.org")))
    assert fleet.all() == a | b


def test_what_two_hubs_have_and_none_claims_belongs_to_the_first() -> None:
    fleet = Fleet(["a", "b"])
    a, b = table_of("/all/"), table_of("/all/")
    fleet.change("a", a, a, HubOptions(claim=Claim(domain="hub.example.org")))
    fleet.change("b", b, b, HubOptions(claim=Claim(domain="other.example.org")))
    assert fleet.all() == a
    assert fleet.refused("b") == {"/all/": "the hub 'a' has it too, and comes first in Agent.hubs; no hub claims it"}


def test_a_refused_route_may_go_by_a_told_change() -> None:
    """The table is changed in place, and only then is the fleet told of it."""
    fleet, b = Fleet(["a", "b"]), read_table(keys("1-w.1", route("/"), A), HubTable())
    fleet.change("a", table_of("/"), table_of("/"), ROOT)
    fleet.change("b", b.routes, b.routes, ROOT)
    changed = b.take({REVISION: "1-w.2", RECORDS + route("/").name: None})
    assert changed is not None
    assert list(fleet.refused("b")) == ["/"]
    assert fleet.change("b", changed, b.routes, ROOT) == {route("/").name: table_of("/")[route("/").name]}
    assert fleet.refused("b") == {}
