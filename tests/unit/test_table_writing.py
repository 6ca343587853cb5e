"""A tool that replaces a table in a store, or removes it: what others see of it, and what goes wrong meanwhile."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from traitlets.config import Config

from jhub_kvproxy import Batch, KVProxyError, LeaseHeld
from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.options.chosen import settings_of
from jhub_kvproxy.options.mistakes import silent_log
from jhub_kvproxy.routing.revision import Revision
from jhub_kvproxy.routing.routes import Route
from jhub_kvproxy.survey.purging import purge, remains_in
from jhub_kvproxy.survey.replacement import Replacement
from jhub_kvproxy.survey.table import read_table
from jhub_kvproxy.survey.writing import only_writer, replace_table
from jhub_kvproxy.testing import MemoryBackend, flaky, fussy, slow

TARGET = "http://127.0.0.1:1"
OLD = [Route("/user/old/", TARGET, {})]
NEW = [Route(f"/user/{number}/", TARGET, {}) for number in range(5)]


class Small(MemoryBackend):
    """Takes two routes at a time."""

    max_txn_ops = 4


@pytest.fixture
def name():
    return uuid4().hex


def backend_of(kind, name):
    return kind(name=name, prefix="hub", log=silent_log())


async def replace(kind, name, routes, **options):
    settings = settings_of(KVProxy(config=Config({"KVProxy": {"lease_seconds": 1}})))
    return await replace_table(settings, backend_of(kind, name), routes, who="A tool", log=silent_log(), **options)


async def table(name):
    return await read_table(backend_of(MemoryBackend, name))


async def routespecs(name):
    return sorted((await table(name)).routes)


ALL = [route.routespec for route in NEW]


async def test_what_was_shown_is_what_happens(name):
    await replace(Small, name, OLD)
    shown = Replacement.of(OLD, NEW)
    await replace(Small, name, [*OLD, *NEW[:1]])
    with pytest.raises(KVProxyError, match="is not as it was shown any more"):
        await replace(Small, name, NEW, shown=shown)
    assert await routespecs(name) == ["/user/0/", "/user/old/"]
    await replace(Small, name, OLD)
    assert (await replace(Small, name, NEW, shown=shown)).to_json() == shown.to_json()
    assert await routespecs(name) == ALL


async def test_the_new_revision_is_newer_than_another(name):
    far = Revision.of_term(1 << 40).text
    await replace(Small, name, NEW, above=far)
    assert (await table(name)).term > 1 << 40


@pytest.mark.parametrize("fault", ["before", "after"])
@pytest.mark.parametrize("place", [1, 2, 3])
async def test_a_store_that_fails_in_the_middle(name, fault, place):
    """The first call is the load, and three commits follow."""
    await replace(Small, name, OLD)
    kind = flaky(Small, *[""] * place, fault)
    with pytest.raises(KVProxyError, match=r"on purpose\. The table is as it was\."):
        await replace(kind, name, NEW)
    assert await routespecs(name) == ["/user/old/"]
    assert not (await table(name)).damage


async def test_a_store_that_fails_for_longer(name):
    await replace(Small, name, OLD)
    kind = flaky(Small, "", "", "", *["before"] * 9)
    with pytest.raises(KVProxyError, match="A part of the routes may be in the store: do it again"):
        await replace(kind, name, NEW)
    await replace(Small, name, NEW)
    assert await routespecs(name) == ALL


async def test_a_route_that_the_store_refuses(name):
    await replace(Small, name, OLD)
    with pytest.raises(KVProxyError, match=r"^The store refuses 1 of the routes\. The table is as it was\. "):
        await replace(fussy(Small, "/user/3/"), name, NEW)
    assert await routespecs(name) == ["/user/old/"]


async def test_who_is_cancelled_has_done_it_to_the_end(name):
    await replace(Small, name, OLD)
    replacing = asyncio.create_task(replace(slow(Small, 0.05), name, NEW))
    while await routespecs(name) == ["/user/old/"]:
        await asyncio.sleep(0.01)
    replacing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await replacing
    assert await routespecs(name) == ALL
    async with only_writer(backend_of(Small, name), 1, "Another", silent_log()):
        pass


async def test_a_tool_waits_for_the_lease_as_long_as_it_lasts(name):
    async with only_writer(backend_of(Small, name), 0.5, "A first tool", silent_log()) as lease:

        async def keep():
            while True:
                await lease.hold()
                await asyncio.sleep(0.1)

        keeping = asyncio.create_task(keep())
        with pytest.raises(
            LeaseHeld, match=r"A first tool with process \d+ .* Nothing was changed: end that one first"
        ):
            await replace(Small, name, NEW)
        keeping.cancel()
        # It renews no more, as if it had died.
        await replace(Small, name, NEW)
    assert await routespecs(name) == ALL


def test_whose_keys_they_are():
    record = Route("/user/a/", TARGET, {}).to_record()
    ours = {"routes/p.user.a": record, "check/x": "", "revision": "a-w.1", "sum": "1", "options": "", "traefik/x": ""}
    found = remains_in({**ours, "routes/x": "{", "mine": ""})
    assert found.ours == {*ours, "routes/x"}
    assert (found.foreign, found.routes) == ({"mine"}, 2)
    found = remains_in(
        {"routes/p.user.a": record, "routes/p.user.b": record, "traefik/x": "", "sum": "1", "check/x": ""}
    )
    assert found.ours == {"routes/p.user.a", "check/x"}


async def test_what_has_changed_since_it_was_shown_is_not_removed(name):
    await replace(Small, name, NEW)
    backend = backend_of(Small, name)
    shown = remains_in((await backend.load()).keys)
    await backend.apply(Batch({"mine": "1"}))
    with pytest.raises(KVProxyError, match="is not what was shown any more"):
        await purge(backend_of(Small, name), 1, shown, log=silent_log())
    assert await routespecs(name) == ALL
    shown = remains_in((await backend.load()).keys)
    await purge(backend_of(Small, name), 1, shown, log=silent_log())
    assert (await backend.load()).keys == {"mine": "1"}
