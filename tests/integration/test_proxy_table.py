"""What JupyterHub asks of the table, and how calls become commits."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import ClassVar

import pytest
from traitlets import TraitError
from traitlets.config import Config

from jhub_kvproxy import BackendError, BackendUnavailable, Batch, BatchRejected, RouteNotReady
from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.routing.records import TRAEFIK_REVISION
from jhub_kvproxy.routing.routes import Route
from jhub_kvproxy_backends.toml import TomlBackend
from tests.hub import until
from tests.site import count_commits, is_served

TARGET = "http://127.0.0.1:1"


class SmallBackend(TomlBackend):
    """A store that takes few keys in one transaction."""

    max_txn_ops = 64

    async def apply(self, batch):
        assert len(batch.changes) <= self.max_txn_ops
        await super().apply(batch)


async def test_more_changes_than_a_transaction_holds(site):
    proxy = await site.started(backend_class=SmallBackend)
    server = await site.server("a")
    await asyncio.gather(*(proxy.add_route(f"/user/u{number}/", server, {}) for number in range(50)))
    for number in range(50):
        assert await site.client.server(f"/user/u{number}/") == "a"
    keys = (await proxy.backend.load()).keys
    await TomlBackend.apply(proxy.backend, Batch({key: None for key in list(keys)[:200]}))
    await until(lambda: holds(proxy.backend, keys), "what was lost is not put back")
    await asyncio.gather(*(proxy.delete_route(f"/user/u{number}/") for number in range(50)))
    assert await proxy.get_all_routes() == {}


async def holds(backend, keys):
    stored = (await backend.load()).keys
    return {**stored, TRAEFIK_REVISION: ""} == {**keys, TRAEFIK_REVISION: ""}


class FussyBackend(TomlBackend):
    """Refuses every batch that holds a word, as stores do what is too large for them."""

    async def apply(self, batch):
        if any("FORBIDDEN" in (value or "") for value in batch.changes.values()):
            raise BatchRejected("it is forbidden")
        await super().apply(batch)


async def test_one_route_that_the_store_refuses_fails_alone(site, monkeypatch):
    proxy = await site.started(backend_class=FussyBackend)
    server = await site.server("a")
    await proxy.add_route("/user/u3/", server, {"old": True})
    batches = await count_commits(proxy, monkeypatch)
    data = {number: {"FORBIDDEN": number} if number in (3, 17) else {} for number in range(40)}
    calls = (proxy.add_route(f"/user/u{number}/", server, data[number]) for number in range(40))
    results = await asyncio.gather(*calls, return_exceptions=True)
    for number, result in enumerate(results):
        assert isinstance(result, BatchRejected) == (number in (3, 17)), (number, result)
    assert len(batches) < 20
    routes = await proxy.get_all_routes()
    assert len(routes) == 39
    assert routes["/user/u3/"]["data"] == {"old": True}
    assert await site.client.server("/user/u39/") == "a"
    with pytest.raises(BatchRejected):
        await proxy.add_route("/user/u4/", server, {"FORBIDDEN": 1})
    assert await proxy.get_all_routes() == routes


async def test_a_repair_that_the_store_refuses_is_tried_again(site):
    server = await site.server("a")
    first = await site.started()
    await first.add_route("/user/a/", server, {})
    await first.stop()
    proxy = site.proxy(backend_class=FussyBackend)
    stranger = TomlBackend(path=proxy.backend.path, prefix=proxy.prefix)
    foreign = Route("/user/b/", "http://FORBIDDEN:1", {})
    await stranger.apply(Batch({f"routes/{foreign.name}": foreign.to_record()}))
    for call in (proxy.get_all_routes, lambda: proxy.add_route("/user/c/", server, {})):
        with pytest.raises(BatchRejected):
            await call()
    await stranger.apply(Batch({f"routes/{foreign.name}": None}))
    await proxy.start()
    await proxy.add_route("/user/c/", server, {})
    assert (await proxy.get_all_routes()).keys() == {"/user/a/", "/user/c/"}


class PiecemealBackend(TomlBackend):
    """Stands for a store that Traefik does not read all at once."""

    lists_at_once = False


async def test_a_commit_that_may_be_read_in_part_is_confirmed(site, monkeypatch):
    proxy = await site.started(backend_class=PiecemealBackend)
    server = await site.server("a")
    batches = await count_commits(proxy, monkeypatch)
    await proxy.add_route("/user/a/", server, {})
    assert [len(batch.changes) for batch in batches] == [6, 1]
    assert batches[1].changes.keys() == {TRAEFIK_REVISION}
    await proxy.add_route("/user/a/", server, {})  # changes nothing
    assert len(batches) == 2
    await asyncio.gather(*(proxy.add_route(f"/user/u{number}/", server, {}) for number in range(50)))
    assert len(batches) <= 7


async def test_a_deleted_table_can_be_rebuilt(site):
    proxy = await site.started()
    server = await site.server("a")
    await proxy.add_route("/user/a/", server, {})
    proxy.backend.table_file.unlink()
    proxy.backend.traefik_file.unlink()
    await until(lambda: holds(proxy.backend, proxy.control.writer.table.keys), "the table is not written again")
    await until(lambda: is_served(site, "/user/a/"), "the route is not served again")
    assert list(await proxy.get_all_routes()) == ["/user/a/"]


class FlakyBackend(TomlBackend):
    """Fails as a store does that is reached over a network: before the change, or after it."""

    failures: ClassVar[list[str]] = []

    async def apply(self, batch):
        failure = self.failures.pop(0) if self.failures else ""
        if failure == "before":
            raise BackendUnavailable("the store is away")
        await super().apply(batch)
        if failure == "after":
            raise BackendUnavailable("the answer was lost")


def url_key(proxy, routespec):
    router = proxy.control.writer.table.router(Route(routespec, TARGET, {}))
    return f"traefik/http/services/{router}/loadBalancer/servers/0/url"


@pytest.mark.parametrize("failure", ["before", "after"])
async def test_a_failed_commit_leaves_nothing_half_made(site, failure):
    proxy = await site.started(backend_class=FlakyBackend)
    one, two = await site.server("one"), await site.server("two")
    await proxy.add_route("/user/a/", one, {})
    proxy.control.changes.timeout = 0.3
    proxy.backend.failures = [failure] * 1000
    with pytest.raises(BackendUnavailable, match=r"the (store is away|answer was lost).* given up after 0\.3 s"):
        await proxy.add_route("/user/a/", two, {})
    with pytest.raises(BackendUnavailable):
        await proxy.delete_route("/user/a/")
    proxy.backend.failures, proxy.control.changes.timeout = [], 30
    routes = await proxy.get_all_routes()
    assert routes["/user/a/"]["target"] == one
    stored = json.loads(proxy.backend.table_file.read_bytes())["keys"]
    assert routes["/user/a/"]["target"] == json.loads(stored["routes/p.user.a"])["target"]
    assert routes["/user/a/"]["target"] == stored[url_key(proxy, "/user/a/")]
    await proxy.add_route("/user/a/", two, {})
    assert await site.client.server("/user/a/") == "two"
    proxy.backend.failures = [failure] * 3
    await proxy.add_route("/user/b/", one, {})
    assert await site.client.server("/user/b/") == "one"
    proxy.backend.failures = [failure]
    await proxy.delete_route("/user/b/")
    assert list(await proxy.get_all_routes()) == ["/user/a/"]
    assert await site.client.server("/user/b/") is None


async def test_one_caller_that_gives_up_does_not_stop_the_others(site):
    proxy = await site.started()
    server = await site.server("a")
    impatient = asyncio.create_task(proxy.add_route("/user/a/", server, {}))
    patient = asyncio.create_task(proxy.add_route("/user/b/", server, {}))
    await asyncio.sleep(0)
    impatient.cancel()
    await patient
    assert await site.client.server("/user/b/") == "a"


async def test_a_later_call_is_not_taken_back(site):
    proxy = await site.started(ready_timeout=1)
    one, two = await site.server("one"), await site.server("two")
    os.kill(proxy.control.local.supervisors[0]._pid, signal.SIGSTOP)
    try:
        failing = asyncio.create_task(proxy.add_route("/user/a/", one, {}))
        await until(lambda: "p.user.a" in proxy.control.writer.table.routes, "the first call was not committed")
        proxy.control.changes.timeout = 60
        later = asyncio.create_task(proxy.add_route("/user/a/", two, {}))
        with pytest.raises(RouteNotReady):
            await failing
    finally:
        os.kill(proxy.control.local.supervisors[0]._pid, signal.SIGCONT)
    await later
    assert await site.client.server("/user/a/") == "two"
    assert (await proxy.get_route("/user/a/"))["target"] == two


def test_unknown_backends_are_explained():
    with pytest.raises(TraitError) as unknown:
        KVProxy(config=Config({"KVProxy": {"backend_class": "tomll"}}))
    message = str(unknown.value)
    assert "Installed: consul, etcd, kubernetes, postgres, redis, toml." in message
    assert "; did you mean toml?" in message
    assert "pip install" in message
    for wrong, why in {"no.such.Module": "cannot be imported", "json.JSONDecoder": "no subclass"}.items():
        with pytest.raises(TraitError, match=why):
            KVProxy(config=Config({"KVProxy": {"backend_class": wrong}}))


@pytest.mark.parametrize(
    "chosen", ["toml", "jhub_kvproxy_backends.toml.TomlBackend", TomlBackend], ids=["name", "path", "class"]
)
def test_a_backend_is_chosen_by(chosen):
    proxy = KVProxy(config=Config({"KVProxy": {"backend_class": chosen}, "TomlBackend": {"path": "/x"}}))
    assert type(proxy.backend) is TomlBackend
    assert proxy.backend.path == "/x"


def test_an_empty_prefix_is_refused():
    with pytest.raises(TraitError, match="prefix"):
        KVProxy(config=Config({"KVProxy": {"prefix": "/"}}))


async def test_an_unreadable_table_is_an_error_not_an_empty_table(site):
    proxy = site.proxy()
    await proxy.add_route("/user/a/", TARGET, {})
    table = proxy.backend.table_file
    whole = table.read_bytes()
    table.write_bytes(whole[: len(whole) // 2])
    damaged = pytest.raises(BackendError, match=rf"{table}, line \d+: the routing table is damaged")
    with damaged:
        await proxy.add_route("/b/", TARGET, {})
    with damaged:
        await proxy.get_all_routes()
    await proxy.stop()
    with damaged:
        await site.proxy().get_all_routes()
    assert table.read_bytes() == whole[: len(whole) // 2]
    table.write_bytes(whole)
    proxy = site.proxy()
    assert list(await proxy.get_all_routes()) == ["/user/a/"]
