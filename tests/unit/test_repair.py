"""What somebody else changes in the store is noticed and changed back, with few reads."""

from __future__ import annotations

import pytest

from jhub_kvproxy.routing.routes import Route
from tests.hub import until
from tests.hubs_in_memory import TARGET, is_quiet, names, revision_key, wake


def emptied(keys, backup):
    keys.clear()


def emptied_by_hand(keys, backup):
    for key in list(keys):
        if key.startswith("routes/"):
            del keys[key]


def restored(keys, backup):
    keys.clear()
    keys.update(backup)


def restored_from_another_life(keys, backup):
    keys.clear()
    keys.update(backup | {revision_key(backup): "1-someone.7"})


def with_a_stranger(keys, backup):
    stranger = Route("/user/stranger/", TARGET, {})
    keys[f"routes/{stranger.name}"] = stranger.to_record()
    keys["traefik/http/routers/stranger/rule"] = "PathPrefix(`/`)"


def with_another_revision(keys, backup):
    keys[revision_key(keys)] = "nonsense"


@pytest.mark.parametrize("takes_lease", [False, True], ids=["", "and_lease"])
@pytest.mark.parametrize(
    "change", [emptied, emptied_by_hand, restored, restored_from_another_life, with_a_stranger, with_another_revision]
)
async def test_what_somebody_else_changes_is_changed_back(hubs, change, takes_lease, caplog):
    hub = hubs.new()
    await hub.add_route("/user/a/", TARGET, {})
    backup = dict(hubs.table.keys)
    await hub.add_route("/user/b/", TARGET, {})
    await until(lambda: is_quiet(hub), "it has no rest")
    ours = dict(hubs.table.keys)
    key = revision_key(ours)
    change(hubs.table.keys, backup)
    if takes_lease:
        hubs.table.lease = None
    for watcher in hubs.table.watchers:
        watcher.set()
    await until(
        lambda: hubs.table.keys.keys() == ours.keys() and hubs.table.keys.get(key) != ours[key],
        "",
    )
    assert {**hubs.table.keys, key: ""} == {**ours, key: ""}
    assert (await hub.get_all_routes()).keys() == {"/user/a/", "/user/b/"}
    if change is emptied:
        assert "puts back 2 routes (p.user.a, p.user.b)" in caplog.text
    if change is with_a_stranger:
        assert "removes 1 route (p.user.stranger)" in caplog.text
    await hub.add_route("/user/c/", TARGET, {})
    assert hub.control.writer.table.drift(hubs.table.keys) == {}


async def test_at_the_start_the_store_is_the_truth(hubs):
    first = hubs.new()
    await first.add_route("/user/a/", TARGET, {})
    await first.stop()
    stranger = Route("/user/b/", TARGET, {"n": 1})
    hubs.table.keys[f"routes/{stranger.name}"] = stranger.to_record()
    second = hubs.new()
    assert (await second.get_route("/user/b/"))["data"] == {"n": 1}
    await second.stop()
    assert (await first.get_all_routes()).keys() == {"/user/a/", "/user/b/"}


async def test_nothing_is_read_while_nothing_changes(hubs):
    hub = hubs.new()
    await hub.add_route("/user/a/", TARGET, {})
    await until(lambda: is_quiet(hub), "it has no rest")
    reads = hub.backend.reads
    for _ in range(10):
        await hub.get_all_routes()
        await hub.get_route("/user/a/")
    assert hub.backend.reads == reads


async def test_a_comparison_follows_many_changes_of_its_own(hubs):
    hub = hubs.new()
    await hub.get_all_routes()
    reads = hub.backend.reads
    for number in range(200):
        await hub.add_route(f"/user/{number}/", TARGET, {})
    assert hub.backend.reads < reads + 20
    await until(lambda: is_quiet(hub), "it has no rest")
    assert hub.backend.reads > reads


async def test_a_watch_that_ended_begins_anew_and_nothing_is_missed(hubs):
    hub = hubs.new()
    await hub.add_route("/user/a/", TARGET, {})
    await until(lambda: is_quiet(hub), "it has no rest")
    hub.backend.ends_watches = True
    wake(hubs.table)
    await until(lambda: not hub.control.guard._is_watching, "the end of the watch is not noticed")
    hubs.table.keys.clear()
    reads = hub.backend.reads
    hub.backend.ends_watches = False
    await until(lambda: names(hubs.table) == {"user.a"}, "what happened meanwhile is not repaired")
    assert hub.backend.reads > reads
