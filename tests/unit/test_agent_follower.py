"""A follower keeps the last good table of its hub, whatever becomes of the store."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from jhub_kvproxy import Batch
from jhub_kvproxy.agent import follower as module
from jhub_kvproxy.agent.follower import Follower
from jhub_kvproxy.agent.hub_table import HubTable, read_table
from jhub_kvproxy.routing.hub_options import Claim, HubOptions
from jhub_kvproxy.routing.records import RECORDS, REVISION, SUM, sum_of, sum_text
from jhub_kvproxy.routing.routes import Route
from tests.agents import Writing
from tests.hub import until
from tests.hubs_in_memory import PREFIX, Store

SPEC, TARGET = "/user/a/", "http://127.0.0.1:1"


@asynccontextmanager
async def following(store: Store, cached: HubTable | None = None) -> AsyncIterator[tuple[Follower, list[Any]]]:
    """A follower of `store`, and what it has told."""
    told: list[Any] = []
    follower = Follower(
        PREFIX,
        store,
        logging.getLogger("follower"),
        lambda follower, changed, has_new_options: told.append((follower.table.revision, changed, has_new_options)),
    )
    follower.start(cached)
    try:
        yield follower, told
    finally:
        await follower.close()


async def serves(follower: Follower, revision: str) -> None:
    await until(lambda: follower.table.revision == revision, f"{revision} was not taken")


async def test_it_follows_without_reading_all_again(request) -> None:
    writing = Writing(Store(name=request.node.name, prefix=PREFIX))
    revision = await writing.put({SPEC: TARGET})
    store = Store(name=request.node.name, prefix=PREFIX)
    async with following(store) as (follower, told):
        await serves(follower, revision)
        reads = store.reads
        await serves(follower, await writing.put({"/user/b/": TARGET}))
        await serves(follower, await writing.put({SPEC: None}))
        assert [list(changed) for _, changed, _ in told] == [["p.user.a"], ["p.user.b"], ["p.user.a"]]
        assert store.reads == reads  # with a store that tells what has changed
        assert follower.trouble is None


async def test_an_empty_store_takes_nothing_away(request) -> None:
    writing = Writing(Store(name=request.node.name, prefix=PREFIX))
    revision = await writing.put({SPEC: TARGET})
    async with following(Store(name=request.node.name, prefix=PREFIX)) as (follower, told):
        await serves(follower, revision)
        await writing.backend.apply(Batch(dict.fromkeys((await writing.backend.load()).keys)))
        await until(lambda: follower.trouble, "nobody noticed")
        assert "it is empty" in follower.trouble[1]
        assert follower.table.revision == revision
        assert len(told) == 1
        await serves(follower, await writing.put({SPEC: TARGET}))
        assert follower.trouble is None


async def test_a_table_that_is_not_as_its_hub_wrote_it_takes_nothing_away(request) -> None:
    """As between two batches of a repair, or after a change of a store that was emptied meanwhile."""
    writing = Writing(Store(name=request.node.name, prefix=PREFIX))
    revision = await writing.put({SPEC: TARGET, "/user/b/": TARGET})
    async with following(Store(name=request.node.name, prefix=PREFIX)) as (follower, _):
        await serves(follower, revision)
        await writing.backend.apply(Batch({RECORDS + "p.user.b": None}))
        await until(lambda: follower.trouble, "nobody noticed")
        assert "not what its hub wrote" in follower.trouble[1]
        await writing.put({"/user/c/": TARGET})
        assert follower.table.revision == revision
        await serves(follower, await writing.put({"/user/b/": TARGET}))
        assert sorted(follower.table.routes) == ["p.user.a", "p.user.b", "p.user.c"]


async def test_a_new_table_without_a_route_takes_nothing_away(request) -> None:
    backend = Store(name=request.node.name, prefix=PREFIX)
    revision = await Writing(backend).put({SPEC: TARGET})
    async with following(Store(name=request.node.name, prefix=PREFIX)) as (follower, _):
        await serves(follower, revision)
        new = Writing(backend, term=2, writer="new")
        await new.put({SPEC: None})
        await until(lambda: follower.trouble, "nobody noticed")
        assert follower.table.revision == revision
        await serves(follower, await new.put({"/user/b/": TARGET}))
        await serves(follower, await new.put({"/user/b/": None}))  # the same writer's word for it


async def test_told_changes_count_only_for_what_was_read(request) -> None:
    """As when some were missed while the store was away, and the hub then brings an older copy up to date."""
    writing = Writing(Store(name=request.node.name, prefix=PREFIX))
    await writing.put({SPEC: TARGET})
    store = Store(name=request.node.name, prefix=PREFIX)
    async with following(store) as (follower, _):
        await serves(follower, writing.revision)
        older = (await writing.backend.load()).keys
        await serves(follower, await writing.put({"/user/b/": TARGET}))
        store.is_away = store.ends_watches = True
        await writing.put({"/user/missed/": TARGET})
        await until(lambda: follower.trouble, "nobody noticed")
        table = Store.tables[(request.node.name, PREFIX)]
        table.keys = {**older, RECORDS + "p.user.missed": table.keys[RECORDS + "p.user.missed"]}
        store.is_away = store.ends_watches = False
        await until(lambda: follower.trouble and "its hub wrote" in follower.trouble[1], "nobody noticed")
        await serves(follower, await writing.put({"/user/b/": TARGET}))
        assert sorted(follower.table.routes) == ["p.user.a", "p.user.b", "p.user.missed"]


class Differing(Store):
    """Its watch leaves out what a change has left as it was."""

    async def watch(self):
        known: dict[str, str | None] = {}
        async with aclosing(super().watch()) as watch:
            async for told in watch:
                if told is None:
                    known = dict((await super().load()).keys)
                    yield None
                elif changed := {key: value for key, value in told.items() if known.get(key) != value}:
                    known |= changed
                    yield changed


async def test_changes_of_what_was_not_taken_are_not_taken_alone(request) -> None:
    """As when somebody removes a route, the hub adds another before it has noticed, and then puts the first one back:
    the sum of all is what it was before that."""
    writing = Writing(Store(name=request.node.name, prefix=PREFIX))
    await writing.put({SPEC: TARGET})
    store = Differing(name=request.node.name, prefix=PREFIX)
    async with following(store) as (follower, _):
        await serves(follower, writing.revision)
        a, b = RECORDS + "p.user.a", RECORDS + "p.user.b"
        writing.keys[b] = _record("/user/b/")
        both = sum_text(sum_of(writing.keys))
        await writing.backend.apply(Batch({a: None, b: writing.keys[b], SUM: both, REVISION: "1-w.2"}))
        await until(lambda: follower.trouble, "nobody noticed")
        await writing.backend.apply(Batch({a: writing.keys[a], SUM: both, REVISION: "1-w.3"}))
        await serves(follower, "1-w.3")
        assert sorted(follower.table.routes) == ["p.user.a", "p.user.b"]


async def test_an_older_table_counts_once_its_writer_goes_on(request) -> None:
    backend = Store(name=request.node.name, prefix=PREFIX)
    newer, older = Writing(backend, term=2, writer="new"), Writing(backend, term=1, writer="old")
    revision = await newer.put({SPEC: TARGET})
    async with following(Store(name=request.node.name, prefix=PREFIX)) as (follower, _):
        await serves(follower, revision)
        await older.put({"/user/b/": TARGET})
        await until(lambda: follower.trouble, "nobody noticed")
        assert "older table" in follower.trouble[1]
        assert follower.table.revision == revision
        await serves(follower, await older.put({}))
        assert follower.trouble is None


async def test_it_keeps_its_table_while_the_store_is_away(request) -> None:
    writing = Writing(Store(name=request.node.name, prefix=PREFIX))
    revision = await writing.put({SPEC: TARGET})
    store = Store(name=request.node.name, prefix=PREFIX)
    async with following(store) as (follower, _):
        await serves(follower, revision)
        store.is_away = store.ends_watches = True
        later = await writing.put({"/user/b/": TARGET})
        await until(lambda: follower.trouble and follower.trouble[1] == "The store is away.", "nobody noticed")
        assert follower.table.revision == revision
        store.is_away = store.ends_watches = False
        await serves(follower, later)
        assert follower.trouble is None


async def test_it_begins_with_the_cached_table(request) -> None:
    cached = read_table({REVISION: "1-w.1", RECORDS + "p.user.a": _record()}, HubTable())
    store = Store(name=request.node.name, prefix=PREFIX)
    store.is_away = True
    async with following(store, cached) as (follower, told):
        assert told == [("1-w.1", {"p.user.a": cached.routes["p.user.a"]}, False)]
        await until(lambda: follower.trouble, "nobody noticed")
        assert not follower.has_asked


async def test_the_store_counts_as_asked_once_its_table_is_taken(request, monkeypatch) -> None:
    """A cached table that is pushed while the store's is read would be an older one."""
    writing = Writing(Store(name=request.node.name, prefix=PREFIX))
    revision = await writing.put({SPEC: TARGET})
    cached = read_table({REVISION: "1-w.0", RECORDS + "p.user.a": _record()}, HubTable())
    asked = []

    def reading(*arguments: Any) -> HubTable:
        asked.append(follower.has_asked)
        return read_table(*arguments)

    monkeypatch.setattr(module, "read_table", reading)
    async with following(Store(name=request.node.name, prefix=PREFIX), cached) as (follower, _):
        await serves(follower, revision)
        await until(lambda: follower.has_asked, "the answer is not known")
        assert asked == [False]


async def test_new_options_of_the_hub_are_told(request) -> None:
    backend = Store(name=request.node.name, prefix=PREFIX)
    await Writing(backend).put({SPEC: TARGET})
    async with following(Store(name=request.node.name, prefix=PREFIX)) as (follower, told):
        await until(lambda: told, "nothing was told")
        options = HubOptions(claim=Claim("/b/"))
        await serves(follower, await Writing(backend, term=2, options=options).put({}))
        assert told[-1][2] is True
        assert follower.table.options == options


def _record(routespec: str = SPEC) -> str:
    return Route(routespec, TARGET, {}).to_record()
