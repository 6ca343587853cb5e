"""What plugins are told: keys and lines of routes, whole tables and changes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhub_kvproxy.push.journal import _MOST_CHANGES, _MOST_COMMITS, Journal
from jhub_kvproxy.push.wire import Served, form_of, key_of, line_of, pattern_of
from jhub_kvproxy.routing.policy import Policy
from jhub_kvproxy.routing.revision import Revision
from jhub_kvproxy.routing.routes import Pattern, Route

PLAIN = Policy()
FORM = form_of(PLAIN)
NAMES = [f"/user/{name}/" for name in "abc"]


def route(spec, target="http://127.0.0.1:1", data=None):
    return Route(spec, target, data or {})


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        ("/", ""),
        ("/user/alice/", "/user/alice"),
        ("/user/a%2Fb/", "/user/a%2Fb"),
        ("/user/%25%3f%23%40%20é/", "/user/%25%3F%23@ é"),
        ("Host.Example.org./", "host.example.org"),
        ("host.example.org:8000/user/x/", "host.example.org/user/x"),
        ("[::1]/a/", "::1/a"),
    ],
)
def test_keys_of_routes(spec, key):
    assert key_of(Pattern.parse(spec)) == key


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\ufffd"), min_size=1), max_size=3), st.data())
def test_different_routes_have_different_keys_for_the_plugin(segments, data):
    one = Pattern(data.draw(st.sampled_from([None, "a.example"])), tuple(segments))
    joined = Pattern(one.host, tuple("/".join(segments).split("/"))) if segments else one
    assert (key_of(one) == key_of(joined)) == (one == joined)


@given(
    st.sampled_from([None, "a.example", "::1"]),
    st.lists(st.one_of(st.sampled_from(["%", "%2F", "a/b", "", "é?#"]), st.text(st.characters(codec="utf-8")))),
)
def test_a_key_tells_the_pattern_that_it_was_made_of(host, segments):
    pattern = Pattern(host, tuple(segments))
    assert pattern_of(key_of(pattern)) == pattern


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"hub": True}, "hub"),
        ({"user": "a", "server_name": ""}, "user"),
        ({"service": "x"}, "service"),
        ({"extra": True}, "other"),
        ({"hub": 1}, "other"),
    ],
)
def test_kinds_of_routes(data, kind):
    assert line_of(route("/a/", data=data), PLAIN)["k"] == kind


def test_lines_say_what_options_make_of_a_route():
    there = route("/a/b/", "http://127.0.0.1:1/path")
    chosen = frozenset([there.pattern])
    assert line_of(there, PLAIN) == {"t": there.target, "k": "other"}
    policy = Policy(strip_prefix=chosen, change_origin=chosen, prepend_path=False)
    assert line_of(there, policy) == {"t": there.target, "k": "other", "s": 2, "o": True, "b": True}
    assert line_of(route("/", "http://127.0.0.1:1"), Policy(strip_prefix=True, prepend_path=False)) == {
        "t": "http://127.0.0.1:1",
        "k": "other",
    }


def test_other_options_have_another_form():
    some = frozenset([Pattern.parse("/a/")])
    policies = [
        PLAIN,
        Policy(strip_prefix=True),
        Policy(change_origin=True),
        Policy(prepend_path=False),
        Policy(change_origin=some),
        Policy(strip_prefix=some),
    ]
    assert len({form_of(policy) for policy in policies}) == len(policies)
    assert form_of(Policy(error_target="http://a/")) == FORM


class Plugin:
    """A plugin's table, as the protocol has it."""

    def __init__(self):
        self.served, self.table = Served(), {}

    def take(self, journal):
        """Take in what `journal` has for it; returns the method."""
        message = journal.message(self.served)
        if message is None:
            return None
        body = json.loads(message.body(lambda _: PLAIN))
        if message.method == "PUT":
            self.table = {}
        else:
            assert body["from"] == self.served.revision
        self.table |= {key: line["t"] for key, line in body["put"].items()}
        for key in body.get("delete", ()):
            self.table.pop(key, None)
        self.served = Served(body["revision"], body["form"])
        return message.method


class Hub:
    def __init__(self):
        self.journal, self.revision, self.routes = Journal(FORM), Revision.first(), {}

    def commit(self, *routes, gone=()):
        changed = {r.name: r for r in routes} | {Pattern.parse(spec).name: None for spec in gone}
        self.routes = {name: r for name, r in (self.routes | changed).items() if r}
        self.revision = self.revision.next()
        self.journal.record(self.revision, changed, is_whole=False)

    def replace(self, *routes):
        self.routes = {r.name: r for r in routes}
        self.revision = self.revision.next()
        self.journal.record(self.revision, self.routes, is_whole=True)

    @property
    def table(self):
        return {key_of(r.pattern): r.target for r in self.routes.values()}


def test_nothing_is_told_before_there_is_a_revision():
    assert Plugin().take(Journal(FORM)) is None


def test_the_first_table_is_whole_and_the_next_ones_are_changes():
    hub, plugin = Hub(), Plugin()
    hub.replace(*map(route, NAMES))
    assert plugin.take(hub.journal) == "PUT"
    hub.commit(route("/user/d/"))
    hub.commit(route("/user/d/", "http://127.0.0.1:2"), gone=["/user/a/"])
    assert plugin.take(hub.journal) == "PATCH"
    assert plugin.table == hub.table
    assert plugin.take(hub.journal) is None
    assert plugin.served == hub.journal.goal


def test_an_empty_table_is_one():
    hub, plugin = Hub(), Plugin()
    hub.replace()
    assert plugin.take(hub.journal) == "PUT"
    assert plugin.served.revision == hub.revision.text


def test_who_lacks_too_much_is_told_all():
    hub, plugin = Hub(), Plugin()
    hub.replace(*map(route, NAMES))
    plugin.take(hub.journal)
    for number in range(_MOST_COMMITS + 1):
        hub.commit(route("/user/a/", f"http://127.0.0.1:{number + 1}"))
    late = Plugin()
    late.served, late.table = plugin.served, dict(plugin.table)
    assert late.take(hub.journal) == "PUT"
    assert late.table == hub.table


def test_large_changes_are_not_kept_for_long():
    hub, plugin = Hub(), Plugin()
    hub.replace()
    plugin.take(hub.journal)
    for number in range(4):
        hub.commit(*(route(f"/user/{name}/", f"http://127.0.0.1:{number + 1}") for name in range(_MOST_CHANGES // 2)))
    kept = [changes for _, changes in hub.journal._changes]
    assert sum(map(len, kept)) == hub.journal._count <= _MOST_CHANGES
    assert plugin.take(hub.journal) == "PUT"
    hub.commit(*(route(f"/user/{name}/", "http://127.0.0.1:9") for name in range(_MOST_CHANGES + 1)))
    assert not hub.journal._changes
    assert plugin.take(hub.journal) == "PUT"
    assert plugin.table == hub.table


def test_a_table_by_other_options_or_of_another_writer_is_told_anew():
    hub, plugin = Hub(), Plugin()
    hub.replace(*map(route, NAMES))
    for served in (Served(hub.revision.text, "another"), Served("1-another.7", FORM), Served("nonsense", FORM)):
        plugin.served, plugin.table = served, {"/stranger": "http://127.0.0.1:9"}
        assert plugin.take(hub.journal) == "PUT"
        assert plugin.table == hub.table


def test_a_route_that_a_plugin_refuses_is_left_out_until_it_changes():
    hub, plugin, late = Hub(), Plugin(), Plugin()
    hub.replace(*map(route, NAMES))
    plugin.take(hub.journal)
    bad = route("/user/a/", "http://127.0.0.1:2")
    hub.commit(bad, route("/user/d/"))
    assert hub.journal.refuse("/user/a", "why")
    assert not hub.journal.refuse("/user/a", "why")
    assert not hub.journal.refuse("/user/nobody", "why")
    assert [hub.journal.leaves_out(key) for key in ("/user/a", "/user/nobody")] == [True, False]
    assert hub.journal.refusal(bad) == "why"
    left = {key: target for key, target in hub.table.items() if key != "/user/a"}
    assert (plugin.take(hub.journal), plugin.table) == ("PATCH", left)
    assert (late.take(hub.journal), late.table) == ("PUT", left)
    hub.commit(route("/user/a/", "http://127.0.0.1:3"))
    assert plugin.take(hub.journal) == "PATCH"
    assert plugin.table == hub.table
    assert not hub.journal.refusal(bad)
    assert not hub.journal.leaves_out("/user/a")


def test_a_route_that_is_left_out_is_so_too_when_it_is_added_again_as_it_was():
    hub = Hub()
    hub.replace(route("/user/a/", data={"n": 1}))
    hub.journal.refuse("/user/a", "why")
    assert hub.journal.refusal(route("/user/a/", data={"n": 1})) == "why"
    assert not hub.journal.refusal(route("/user/a/", data={"n": 2}))


def test_news_are_told():
    hub = Hub()
    before = hub.journal.news
    hub.commit(route("/user/a/"))
    assert before.is_set()
    assert not hub.journal.news.is_set()


changes = st.dictionaries(st.sampled_from(NAMES), st.one_of(st.none(), st.integers(1, 3)))


@given(st.lists(st.tuples(changes, st.booleans(), st.booleans())))
def test_plugins_have_the_table_whenever_they_are_told(steps):
    hub, often, seldom = Hub(), Plugin(), Plugin()
    hub.replace()
    for changed, is_whole, tells_both in steps:
        routes = [route(spec, f"http://127.0.0.1:{port}") for spec, port in changed.items() if port]
        if is_whole:
            hub.replace(*routes)
        else:
            hub.commit(*routes, gone=[spec for spec, port in changed.items() if not port])
        for plugin in (often, seldom) if tells_both else (often,):
            plugin.take(hub.journal)
            assert plugin.table == hub.table
            assert plugin.served == hub.journal.goal
