"""A Traefik, a store or a hub that has another table than the hub that pushes: whose table is served then."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from jhub_kvproxy import LeaseHeld, RouteNotReady, TraefikError
from jhub_kvproxy.push import plugin
from jhub_kvproxy.routing.revision import Revision
from tests.hub import until
from tests.plugin import told
from tests.site import count_commits, is_served, leave, restart_traefik


@pytest.mark.parametrize("owns", [True, False])
async def test_a_hub_whose_lease_ran_out_gives_a_traefik_without_a_table_its_own(site, monkeypatch, owns):
    """As when the store is away for longer than the lease, and Traefik dies meanwhile."""
    proxy = await site.started(delivery="push")
    await proxy.add_route("/user/a/", await site.server("a"), {})
    proxy.control.delivery._pusher._owns_replicas = owns
    monkeypatch.setattr(type(proxy.control.lease), "is_held", False)
    await restart_traefik(proxy)
    await site.client.close()
    await until(lambda: served_again(site, "/user/a/"), "its routes were lost")


async def test_a_hub_that_knows_of_another_with_the_lease_gives_no_table_to_a_traefik_that_others_start(
    site, monkeypatch
):
    proxy = await site.started(delivery="push", lease_seconds=1)
    await proxy.add_route("/user/a/", await site.server("a"), {})
    proxy.control.delivery._pusher._owns_replicas = False

    async def held(holder, ttl):
        raise LeaseHeld("Another hub has it.")

    monkeypatch.setattr(proxy.backend, "acquire_lease", held)
    await until(lambda: proxy.control.lease.is_anothers, "the other is not noticed")
    await restart_traefik(proxy)
    async with told(proxy) as tell:
        for _ in range(20):  # it is asked twice a second
            with suppress(TraefikError):  # it is just starting
                assert not (await tell()).served.revision
            await asyncio.sleep(0.1)
        monkeypatch.undo()
        await until(lambda: served_again(site, "/user/a/"), "its routes were lost")


async def served_again(site, path):
    try:
        return await is_served(site, path)
    except OSError:
        await site.client.close()
        return False


async def test_the_table_of_other_options_is_replaced_though_its_revision_is_ours(site):
    proxy = await site.started(delivery="push")
    await proxy.add_route("/user/a/", await site.server("a"), {})
    async with told(proxy) as tell:
        await tell("PUT", revision=(await tell()).served.revision, form="another", put={})
        await until(lambda: is_served(site, "/user/a/"), "its routes were lost")


async def test_the_newer_of_two_hubs_keeps_a_traefik_and_the_older_says_so(site, caplog):
    """Two hubs on two prefixes were told of the same Traefik."""
    owner = await site.started(delivery="push")
    owner.control.delivery._pusher._owns_replicas = False  # as one that others start
    supervisor = owner.control.local.supervisors[0]
    others = {
        "should_start": False,
        "traefik_api_urls": [supervisor.api.url],
        "traefik_api_password": supervisor._instance.api_password,
    }
    newer = site.proxy(delivery="push", prefix="-newer", ready_timeout=5, **others)
    await newer.control.open()
    newer.control.writer._stored.revision = Revision(newer.control.writer.revision.writer, 1, "", 1 << 40).next()
    server = await site.server("newer")
    await newer.add_route("/user/b/", server, {})
    assert await site.client.server("/user/b/") == "newer"
    owner.control.changes.timeout = 1
    with pytest.raises(RouteNotReady, match="the newer table of another hub or agent"):
        await owner.add_route("/user/a/", server, {})
    assert "has a newer table, of another hub or of an agent" in caplog.text
    assert await site.client.server("/user/b/") == "newer"
    await newer.add_route("/user/c/", server, {})
    assert await site.client.server("/user/c/") == "newer"
    told_of = f"-{owner.control.writer.revision.writer}."
    assert len([line for line in caplog.messages if told_of in line.partition("take ours")[2]]) == 1


@pytest.mark.parametrize("store", ["etcd", "consul", "redis"], indirect=True)
async def test_users_do_not_notice_that_the_store_loses_the_table(site):
    proxy = await site.started(delivery="push")
    await proxy.add_route("/user/a/", await site.server("a"), {})
    await proxy.backend.remove()
    await proxy.add_route("/user/b/", await site.server("b"), {})
    assert await site.client.server("/user/a/") == "a"
    assert await site.client.server("/user/b/") == "b"


async def test_the_next_hub_finds_the_table_there(site, monkeypatch):
    first = await site.started(delivery="push")
    await first.add_route("/user/a/", await site.server("a"), {})
    await leave(first)
    second = site.proxy(delivery="push")
    sent = []
    monkeypatch.setattr(plugin, "send", lambda *message: sent.append(message))
    batches = await count_commits(second, monkeypatch)
    await second.start()
    assert second.control.local.supervisors[0].is_adopted
    assert list(await second.get_all_routes()) == ["/user/a/"]
    assert await site.client.server("/user/a/") == "a"
    assert (sent, batches) == ([], [])


async def test_the_next_hub_with_other_options_sends_the_table_again(site):
    first = await site.started(delivery="push")
    await first.add_route("/user/a/", await site.server("a"), {})
    await leave(first)
    second = await site.started(delivery="push", change_origin=["/user/a/"])
    assert second.control.local.supervisors[0].is_adopted
    _, said = await site.client.get("/user/a/", host="hub.example")
    assert said["headers"]["Host"].startswith("127.0.0.1:")


async def test_a_hub_whose_clock_is_behind_that_of_the_one_before_is_not_refused(site, monkeypatch):
    """And whose store was emptied meanwhile, so that nothing tells it of the other's revisions."""
    first = await site.started(delivery="push")
    await first.add_route("/user/a/", await site.server("a"), {})
    async with told(first) as tell:
        await tell("PUT", revision="ffffffffffff-another.7", form="any", put={})
    await leave(first)
    second = await site.started(delivery="push")
    assert second.control.local.supervisors[0].is_adopted
    await second.add_route("/user/b/", await site.server("b"), {})
    assert await site.client.server("/user/b/") == "b"
    assert await site.client.server("/user/a/") == "a"


@pytest.mark.parametrize("deliveries", [("store", "push"), ("push", "store")], ids="-to-".join)
async def test_another_delivery_takes_over(site, deliveries):
    first = await site.started(delivery=deliveries[0])
    await first.add_route("/user/a/", await site.server("a"), {})
    await leave(first)
    second = await site.started(delivery=deliveries[1])
    assert not second.control.local.supervisors[0].is_adopted
    await site.client.close()
    assert await site.client.server("/user/a/") == "a"


async def test_a_traefik_that_another_hub_has_left_is_ours_when_it_was_started_again(site):
    """The other hub's table was newer; with it, Traefik has lost it."""
    owner = await site.started(delivery="push")
    await owner.add_route("/user/a/", await site.server("a"), {})
    async with told(owner) as tell:
        served = (await tell()).served
        owner.control.delivery._pusher._owns_replicas = False  # as of a Traefik that others start
        await tell("PUT", revision="ffffffffffff-another.7", form=served.form, put={})
        await until(lambda: owner.control.readiness.replicas[0].refusal, "the other table is not noticed")
    await restart_traefik(owner)
    await site.client.close()
    await until(lambda: served_again(site, "/user/a/"), "it is not given our table")


@pytest.mark.parametrize("term", ["f" * 15, "f" * 16, "f" * 17, "f" * 1000])
async def test_a_stranger_who_wrote_a_revision_of_the_far_future_stops_no_change(site, term):
    """The plugin reads terms of 64 bits; ours comes after what is found in the store."""
    proxy = await site.started(delivery="push")
    await proxy.add_route("/user/a/", await site.server("a"), {})
    stored = proxy.control.writer._stored
    stored.revision = stored.revision.found(f"{term}-stranger.7")
    await proxy.add_route("/user/b/", await site.server("b"), {})
    assert await site.client.server("/user/b/") == "b"


async def test_a_store_that_has_lost_the_last_changes_is_brought_past_them(site):
    """As after a power cut of a store that writes to its disk each second: Traefik serves more than the store has."""
    owner = await site.started(delivery="push")
    await owner.add_route("/user/a/", await site.server("a"), {})
    owner.control.delivery._pusher._owns_replicas = False
    async with told(owner) as tell:
        served = (await tell()).served
        later = Revision.read(served.revision).next(3).text
        await tell("PUT", revision=later, form=served.form, put={"/user/lost": {"t": "http://127.0.0.1:1"}})
        await until(lambda: is_served(site, "/user/a/"), "Traefik keeps what the store has lost")
        assert Revision.read((await tell()).served.revision).rank > Revision.read(later).rank
