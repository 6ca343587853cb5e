"""Which revision comes after which, and who wrote it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import jhub_kvproxy
from jhub_kvproxy.routing.revision import Revision


def test_a_replica_reaches_a_revision():
    first = Revision.first()
    second = first.next()
    assert second.is_reached_by(second.text)
    assert first.is_reached_by(second.text)
    assert not second.is_reached_by(first.text)
    assert not first.is_reached_by(Revision.first().next().text)
    found = second.found("somebody.7")
    assert found.is_reached_by("somebody.7")
    assert found.is_reached_by(found.next().text)
    assert second.is_reached_by(found.next().text), "the same writer, in a later term"


def test_who_found_a_revision_comes_after_who_wrote_it():
    old = Revision.first().next()
    new = Revision.first().found(old.text)
    assert not new.is_followed_by(old.text)
    assert not new.next().is_followed_by(old.text), "as in a backup"
    assert old.is_followed_by(new.next().text)
    assert not old.is_followed_by(old.next().text)
    for _ in range(3):
        new = new.next()
        old, new = new, old.found(new.text)
        assert old.is_followed_by(new.next().text)
        assert not new.is_followed_by(old.text)


def test_who_is_found_at_work_may_go_on():
    other = Revision.first().next()
    found = Revision.first().found(other.text)
    assert not found.is_followed_by(other.text)
    assert found.is_followed_by(other.next().text)
    assert not found.next().is_followed_by(other.next().text)
    assert not Revision.first().found(other.next().text).is_followed_by(other.text), "as in a backup"


@pytest.mark.parametrize("text", ["", ".", "-", "-.", "1b2c3d4e.5", "x-y.z", "a-b-c.1", "...", "kvproxy", "5-x.-"])
def test_what_others_write_there_is_nobodys_successor(text):
    revision = Revision.first().next()
    assert not revision.is_reached_by(text)
    assert not revision.is_followed_by(text)
    assert revision.found(text).is_reached_by(text)


def test_revisions_are_in_the_order_in_which_the_plugin_has_them():
    """What the hub takes for newer, and the plugin for older, is never served."""
    plugin = Path(jhub_kvproxy.__file__).parent / "traefik" / "plugin" / "revision_test.go"
    rows = re.findall(r"^\t\t\{(\".*\")\},$", plugin.read_text(), re.MULTILINE)
    order = [[Revision.read(text).rank for text in json.loads(f"[{row}]")] for row in rows]
    assert len(order) > 10
    assert all(len(set(equal)) == 1 for equal in order)
    assert [ranks[0] for ranks in order] == sorted({ranks[0] for ranks in order})


def test_a_term_can_be_outdone():
    ours = Revision.first().next()
    assert Revision.of_term(ours.term - 1).rank < ours.rank
    assert Revision.of_term(ours.term).rank < ours.rank
    later = Revision.of_term(ours.term + 10**6)
    assert Revision.read(later.text).rank == later.rank > ours.rank
    assert ours.found(later.text).next().term > later.term
