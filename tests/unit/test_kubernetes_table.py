"""What the driver for Kubernetes computes: names, heads, bases, and what a watch tells of them."""

from __future__ import annotations

import json
import re
import secrets
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhub_kvproxy_backends import _kubernetes_head as head_module
from jhub_kvproxy_backends._kubernetes_head import (
    BASE_BYTES,
    JOURNAL_BYTES,
    NOTHING,
    Base,
    Head,
    body_of,
    head_in,
    news,
    pack,
    pack_bases,
    table,
    unpack,
)
from jhub_kvproxy_backends._kubernetes_names import SLOTS, agent_rules, hub_rules, name_of, slot_name

DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
TABLES = st.dictionaries(st.text(), st.text())
CHANGES = st.dictionaries(st.sampled_from("abcde"), st.none() | st.text(max_size=3), min_size=1)


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("jupyterhub", "kvproxy-jupyterhub"),
        ("hub-1", "kvproxy-hub-1"),
        ("a" * 40, "kvproxy-" + "a" * 40),
        ("Hub/1", "kvproxy-hub-1-226202e0"),
        ("/", "kvproxy-8a5edab2"),
        ("a" * 41, "kvproxy-" + "a" * 31 + "-c0f8bd4d"),
    ],
)
def test_a_prefix_has_a_name(prefix, name):
    assert name_of(prefix) == name


@given(st.text())
def test_a_name_is_one_that_kubernetes_takes(prefix):
    name = slot_name(name_of(prefix), SLOTS - 1)
    assert DNS_SUBDOMAIN.fullmatch(name)
    assert len(name) <= 63


def test_no_base_has_the_name_of_another_table():
    assert slot_name(name_of("hub"), 1) not in {name_of("hub-1"), name_of("hub.1")}


def test_an_agent_may_do_less_than_a_hub():
    verbs = {verb for rule in agent_rules("n") for verb in rule["verbs"]}
    assert verbs == {"get", "list", "watch"}
    assert all("resourceNames" in rule or rule["verbs"] == ["create"] for rule in hub_rules("n"))
    assert all("resourceNames" in rule for rule in agent_rules("n"))


def stored(head):
    """`head` as it comes back from Kubernetes."""
    body = json.loads(json.dumps(body_of("n", head)))
    body["metadata"] |= {"uid": head.uid, "resourceVersion": head.version}
    return head_in(body)


def test_a_head_comes_back_as_it_was():
    head = Head("u", "7", "3-ab", 2, (Base(0, "x"), Base(15, "y")), {1: pack({"a": "1"}), 2: pack({"a": None})})
    assert stored(head) == head
    assert head.turn == 3
    assert stored(Head("u", "7")).turn == 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda body: body.pop("data"),
        lambda body: body.update(data=None),
        lambda body: body["data"].pop("fence"),
        lambda body: body["data"].update(format="2"),
        lambda body: body["data"].update(sequence="x"),
        lambda body: body["data"].update(sequence="0"),
        lambda body: body["data"].update(bases="1"),
        lambda body: body["binaryData"].update({"commit-1": "%"}),
        lambda body: body["binaryData"].update({"x": ""}),
        lambda body: body.pop("metadata"),
    ],
)
def test_a_head_that_cannot_be_read_is_an_error(damage):
    body = body_of("n", Head("u", "7", "3-ab", 1, (), {1: pack({"a": "1"})}))
    body["metadata"] |= {"uid": "u"}
    damage(body)
    with pytest.raises(ValueError, match=r"."):
        head_in(body)


@given(TABLES)
def test_what_is_packed_comes_back(keys):
    assert unpack(pack(keys)) == keys


@given(TABLES)
def test_a_part_of_what_was_packed_is_an_error(keys):
    packed = pack(keys)
    for end in range(1, len(packed)):
        try:
            assert unpack(packed[:end]).items() <= keys.items()  # whole pieces
        except ValueError:
            continue


@pytest.mark.parametrize(
    "packed", [b"x", pack({"a": "1"})[:-1], b"\x78\x9c", zlib.compress(b"[]7"), zlib.compress(b"7")]
)
def test_what_was_not_packed_is_an_error(packed):
    with pytest.raises(ValueError, match=r"."):
        unpack(packed)


def test_a_large_table_has_bases_of_bounded_size_and_pieces():
    keys = {f"routes/{number}": secrets.token_hex(2000) for number in range(1000)}
    bases = pack_bases(keys)
    assert len(bases) > 1
    assert all(len(base) <= BASE_BYTES for base in bases)
    assert {key: value for base in bases for key, value in unpack(base).items()} == keys
    assert max(len(piece) for piece in head_module._pieces(keys.items())) < 200_000


@given(st.lists(CHANGES))
def test_a_journal_is_a_table(commits):
    head, expected = Head("u", "1"), {"a": "0"}
    for changes in commits:
        head = head.with_commit(pack(changes), "")
        expected |= changes
    assert table({"a": "0"}, head) == {key: value for key, value in expected.items() if value is not None}


@given(st.lists(CHANGES, min_size=1, max_size=8), st.data())
def test_a_watch_is_told_what_came_between(commits, data):
    heads = [Head("u", "1")]
    for changes in commits:
        heads.append(heads[-1].with_commit(pack(changes), ""))
    first = data.draw(st.integers(0, len(commits)))
    told = {}
    for changes in commits[first:]:
        told |= changes
    assert news(heads[first], heads[-1]) == told


COMMIT = pack({"a": "1"})
ONE = Head("u", "1", "", 1, (), {1: COMMIT})


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (NOTHING, ONE, {"a": "1"}),
        (NOTHING, Head("u", "1"), {}),
        (NOTHING, NOTHING, {}),
        (Head("u", "1"), NOTHING, {}),
        (ONE, NOTHING, None),
        (ONE, replace(ONE, version="2", fence="2-x"), {}),
        (ONE, replace(ONE, uid="v"), None),
        (ONE, replace(ONE, journal={}), None),
        (ONE, replace(ONE, bases=(Base(1, "x"),)), None),
        (ONE, Head("u", "2", "", 2, (Base(1, "x"),), {2: COMMIT}), {"a": "1"}),
        (ONE, Head("u", "2", "", 2, (Base(1, "x"),), {}), None),
        (ONE, Head("u", "2", "", 3, (Base(1, "x"),), {3: COMMIT}), None),
        (ONE, Head("u", "2", "", 2, (), {1: COMMIT, 2: b"x"}), None),
        (Head("u", "2", "", 9, (), {}), ONE, None),
        (ONE, Head("u", "2", "", 10**12, (), {1: COMMIT}), None),
    ],
)
def test_what_a_watch_is_told(before, after, told):
    assert news(before, after) == told


def test_a_journal_is_full_by_the_bytes_that_are_sent():
    head = Head("u", "1").with_commit(secrets.token_bytes(JOURNAL_BYTES * 3 // 4), "")
    assert not head.is_full
    assert head.with_commit(b"x", "").is_full
