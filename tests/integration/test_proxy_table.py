"""What JupyterHub asks of the table, and how calls become commits."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import ClassVar

import pytest
from hypothesis import given, settings
from traitlets import TraitError
from traitlets.config import Config

from jhub_kvproxy import BackendError, BackendUnavailable, Batch, BatchRejected, RouteNotReady
from jhub_kvproxy.proxy import KVProxy
from jhub_kvproxy.table import REVISION_KEY
from jhub_kvproxy_backends.toml import TomlBackend
from tests.hub import until
from tests.strategies import data

TARGET = "http://127.0.0.1:1"


async def count_commits(proxy, monkeypatch):
    batches = []
    apply = proxy._backend.apply

    async def counted(batch):
        batches.append(batch)
        await apply(batch)

    monkeypatch.setattr(proxy._backend, "apply", counted)
    return batches


async def test_what_goes_in_comes_out(site):
    """Every JSON value as data, and the routespec byte for byte."""
    proxy = await site.started()
    loop = asyncio.get_running_loop()

    @settings(max_examples=60)
    @given(data)
    def for_all(value):
        async def check():
            await proxy.add_route("/user/has%40%C3%A9/", TARGET, value)
            wanted = {"routespec": "/user/has%40%C3%A9/", "target": TARGET, "data": value}
            assert repr(await proxy.get_route("/user/has%40%C3%A9")) == repr(wanted)
            assert repr(await proxy.get_all_routes()) == repr({"/user/has%40%C3%A9/": wanted})

        asyncio.run_coroutine_threadsafe(check(), loop).result()

    await asyncio.to_thread(for_all)
    nested = {"": {"a/b": [None, {}, [], {"0": [True, 1, 1.5, "1"]}]}, "list": list(range(20))}
    await proxy.add_route("/x/", TARGET, nested)
    (await proxy.get_route("/x/"))["data"]["list"].clear()
    assert (await proxy.get_all_routes())["/x/"]["data"] == nested


async def test_absent_routes(site):
    proxy = await site.started()
    assert await proxy.get_route("/absent/") is None
    await proxy.delete_route("/absent/")
    assert await proxy.get_all_routes() == {}


async def test_another_spelling_is_the_same_route(site):
    proxy = await site.started()
    await proxy.add_route("/user/a/", TARGET, {})
    await proxy.add_route("/user/%61/", TARGET, {"n": 2})
    assert list(await proxy.get_all_routes()) == ["/user/%61/"]
    await proxy.delete_route("/user/a/")
    assert await proxy.get_all_routes() == {}


async def test_concurrent_calls_share_commits(site, monkeypatch):
    proxy = await site.started()
    batches = await count_commits(proxy, monkeypatch)
    server = await site.server("a")
    await asyncio.gather(*(proxy.add_route(f"/user/u{number}/", server, {}) for number in range(200)))
    assert len(batches) <= 5
    for number in range(200):
        assert await site.client.server(f"/user/u{number}/") == "a"
    await asyncio.gather(*(proxy.delete_route(f"/user/u{number}/") for number in range(200)))
    assert len(batches) <= 10
    assert await site.client.server("/user/u7/") is None


class SmallBackend(TomlBackend):
    """A store that takes few keys in one transaction."""

    max_txn_ops = 16

    async def apply(self, batch):
        assert len(batch.changes) <= self.max_txn_ops
        await super().apply(batch)


async def test_more_changes_than_a_transaction_holds(site):
    proxy = await site.started(backend_class=SmallBackend)
    server = await site.server("a")
    await asyncio.gather(*(proxy.add_route(f"/user/u{number}/", server, {}) for number in range(50)))
    for number in range(50):
        assert await site.client.server(f"/user/u{number}/") == "a"
    keys = (await proxy._backend.load()).keys
    await proxy._backend.apply(Batch({key: None for key in list(keys)[:10]}))
    lost = 50 - len(await proxy.get_all_routes())
    assert 0 < lost <= 10
    await asyncio.gather(*(proxy.delete_route(f"/user/u{number}/") for number in range(50)))
    assert await proxy.get_all_routes() == {}


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


class PiecemealBackend(TomlBackend):
    """Stands for a store that Traefik does not read all at once."""

    lists_at_once = False


async def test_a_commit_that_may_be_read_in_part_is_confirmed(site, monkeypatch):
    proxy = await site.started(backend_class=PiecemealBackend)
    server = await site.server("a")
    batches = await count_commits(proxy, monkeypatch)
    await proxy.add_route("/user/a/", server, {})
    assert [len(batch.changes) for batch in batches] == [6, 1]
    assert batches[1].changes.keys() == {REVISION_KEY}
    await proxy.add_route("/user/a/", server, {})  # changes nothing
    assert len(batches) == 2
    await asyncio.gather(*(proxy.add_route(f"/user/u{number}/", server, {}) for number in range(50)))
    assert len(batches) <= 7


async def test_the_last_call_for_a_route_wins(site):
    proxy = await site.started()
    servers = [await site.server(str(number)) for number in range(4)]
    for last in (0, 1, 2, 3, None):
        calls = [proxy.add_route("/user/a/", server, {}) for server in servers]
        calls.append(proxy.delete_route("/user/a/"))
        if last is not None:
            calls.append(proxy.add_route("/user/a/", servers[last], {}))
        await asyncio.gather(*calls)
        assert await site.client.server("/user/a/") == (None if last is None else str(last))


async def test_what_is_there_already_is_not_written_again(site, monkeypatch):
    proxy = await site.started()
    await proxy.add_route("/extra/", TARGET, {"extra": True})
    batches = await count_commits(proxy, monkeypatch)
    await proxy.add_route("/extra/", TARGET, {"extra": True})
    await proxy.delete_route("/absent/")
    await proxy.get_all_routes()
    assert batches == []


async def test_a_table_found_at_start_is_served_and_not_rewritten(site, monkeypatch):
    first = await site.started()
    await first.add_route("/user/a/", await site.server("a"), {"user": "a"})
    before = first._backend.table_file.read_bytes()
    await first.stop()
    second = site.proxy()
    batches = await count_commits(second, monkeypatch)
    await second.start()
    assert await site.client.server("/user/a/") == "a"
    assert (await second.get_all_routes())["/user/a/"]["data"] == {"user": "a"}
    assert batches == []
    assert second._backend.table_file.read_bytes() == before


async def test_routes_may_change_before_and_while_it_starts(site):
    proxy = site.proxy()
    await proxy.delete_route("/user/absent/")
    server = await site.server("a")
    await proxy.add_route("/user/early/", server, {})
    starting = asyncio.create_task(proxy.start())
    await asyncio.gather(
        proxy.delete_route("/user/early/"), *(proxy.add_route(f"/user/u{n}/", server, {}) for n in range(20)), starting
    )
    assert await site.client.server("/user/early/") is None
    for number in range(20):
        assert await site.client.server(f"/user/u{number}/") == "a"


async def test_get_all_routes_reflects_the_store(site):
    """So that JupyterHub's check_routes repairs what was lost, and what others wrote is seen."""
    proxy = await site.started()
    server = await site.server("a")
    for name in "abc":
        await proxy.add_route(f"/user/{name}/", server, {"user": name})
    other = TomlBackend(path=str(site.directory / "table"), prefix="jupyterhub")
    await other.open()
    keys = (await other.load()).keys
    await other.apply(Batch({key: None for key in keys if "p.user.a" in key}))
    # half of b, and nonsense for c
    await other.apply(Batch({"traefik/http/routers/p.user.b/rule": None, "routes/p.user.c": "{"}))
    assert list(await proxy.get_all_routes()) == ["/user/b/"]
    await until(lambda: is_served(site, "/user/b/"), "the half-lost route is not repaired")
    assert (await other.load()).keys.keys() == proxy._writer.table.keys.keys() | {k for k in keys if "revision" in k}
    await proxy.add_route("/user/a/", server, {"user": "a"})
    assert await site.client.server("/user/a/") == "a"
    assert await site.client.server("/user/c/") is None


async def is_served(site, path):
    return await site.client.server(path) is not None


async def test_a_deleted_table_can_be_rebuilt(site):
    proxy = await site.started()
    server = await site.server("a")
    await proxy.add_route("/user/a/", server, {})
    proxy._backend.table_file.unlink()
    proxy._backend.traefik_file.unlink()
    assert await proxy.get_all_routes() == {}
    await proxy.add_route("/user/a/", server, {})
    assert await site.client.server("/user/a/") == "a"
    assert list(await proxy.get_all_routes()) == ["/user/a/"]


async def test_prefixes_are_separate(site):
    proxies = [site.proxy(prefix=prefix) for prefix in ("hub", "hub2", "hub/", "hub/traefik", "..", "*", "h?b")]
    for number, proxy in enumerate(proxies):
        await proxy.add_route(f"/{number}/", TARGET, {})
    for number, proxy in enumerate(proxies):
        assert list(await proxy.get_all_routes()) == [f"/{number}/"]
        files = list(proxy._backend.traefik_file.parent.rglob("*"))
        assert files == [proxy._backend.traefik_file]


async def test_two_hubs_in_one_process(tmp_path, site):
    """Two proxies, two Traefiks, one table directory: each has its own routes."""
    other_site = type(site)(tmp_path, site._stack)
    one = await site.started(prefix="one", runtime_dir=str(tmp_path / "one"))
    two = await other_site.started(prefix="two", runtime_dir=str(tmp_path / "two"))
    a, b = await site.server("a"), await site.server("b")
    await asyncio.gather(
        *(one.add_route(f"/user/{n}/", a, {}) for n in range(20)),
        *(two.add_route(f"/user/{n}/", b, {}) for n in range(20)),
    )
    for number in range(20):
        assert await site.client.server(f"/user/{number}/") == "a"
        assert await other_site.client.server(f"/user/{number}/") == "b"
    await other_site.client.close()


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


@pytest.mark.parametrize("failure", ["before", "after"])
async def test_a_failed_commit_leaves_nothing_half_made(site, failure):
    proxy = await site.started(backend_class=FlakyBackend)
    one, two = await site.server("one"), await site.server("two")
    await proxy.add_route("/user/a/", one, {})
    proxy._backend.failures = [failure]
    with pytest.raises(BackendUnavailable):
        await proxy.add_route("/user/a/", two, {})
    routes = await proxy.get_all_routes()
    stored = json.loads(proxy._backend.table_file.read_bytes())["keys"]
    assert routes["/user/a/"]["target"] == json.loads(stored["routes/p.user.a"])["target"]
    assert routes["/user/a/"]["target"] == stored["traefik/http/services/p.user.a/loadBalancer/servers/0/url"]
    await proxy.add_route("/user/a/", two, {})
    assert await site.client.server("/user/a/") == "two"
    proxy._backend.failures = [failure]
    with pytest.raises(BackendUnavailable):
        await proxy.add_route("/user/b/", one, {})
    await proxy.delete_route("/user/b/")  # which may be there, though its add failed
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


async def test_a_router_that_traefik_refuses_is_named_and_taken_back(site):
    proxy = await site.started()
    server = await site.server("a")
    refused = "http://%zz:1"  # a URL to Python, but not to Go
    with pytest.raises(RouteNotReady, match=r"p\.user\.a@file: .*%zz"):
        await proxy.add_route("/user/a/", refused, {})
    assert await proxy.get_all_routes() == {}
    await proxy.add_route("/user/a/", server, {})
    with pytest.raises(RouteNotReady):
        await proxy.add_route("/user/a/", refused, {"n": 2})
    assert (await proxy.get_route("/user/a/"))["target"] == server
    await until(lambda: is_served(site, "/user/a/"), "the route was not put back")
    await proxy.add_route("/user/b/", server, {})
    assert await site.client.server("/user/b/") == "a"


async def test_a_later_call_is_not_taken_back(site):
    proxy = await site.started(ready_timeout=1)
    one, two = await site.server("one"), await site.server("two")
    os.kill(proxy._supervisor._pid, signal.SIGSTOP)
    try:
        failing = asyncio.create_task(proxy.add_route("/user/a/", one, {}))
        await until(lambda: "p.user.a" in proxy._writer.table.routes, "the first call was not committed")
        proxy.ready_timeout = 60
        later = asyncio.create_task(proxy.add_route("/user/a/", two, {}))
        with pytest.raises(RouteNotReady):
            await failing
    finally:
        os.kill(proxy._supervisor._pid, signal.SIGCONT)
    await later
    assert await site.client.server("/user/a/") == "two"
    assert (await proxy.get_route("/user/a/"))["target"] == two


def test_unknown_backends_are_explained():
    with pytest.raises(TraitError) as unknown:
        KVProxy(config=Config({"KVProxy": {"backend_class": "tomll"}}))
    message = str(unknown.value)
    assert "Installed: toml." in message
    assert "Did you mean 'toml'?" in message
    assert "pip install" in message
    for wrong, why in {"no.such.Module": "cannot be imported", "json.JSONDecoder": "no subclass"}.items():
        with pytest.raises(TraitError, match=why):
            KVProxy(config=Config({"KVProxy": {"backend_class": wrong}}))


@pytest.mark.parametrize(
    "chosen", ["toml", "jhub_kvproxy_backends.toml.TomlBackend", TomlBackend], ids=["name", "path", "class"]
)
def test_a_backend_is_chosen_by(chosen):
    proxy = KVProxy(config=Config({"KVProxy": {"backend_class": chosen}, "TomlBackend": {"path": "/x"}}))
    assert type(proxy._backend) is TomlBackend
    assert proxy._backend.path == "/x"


def test_an_empty_prefix_is_refused():
    with pytest.raises(TraitError, match="prefix"):
        KVProxy(config=Config({"KVProxy": {"prefix": "/"}}))


async def test_an_unreadable_table_is_an_error_not_an_empty_table(site):
    proxy = site.proxy()
    await proxy.add_route("/user/a/", TARGET, {})
    table = proxy._backend.table_file
    whole = table.read_bytes()
    table.write_bytes(whole[: len(whole) // 2])
    for call in (proxy.get_all_routes, lambda: proxy.add_route("/b/", TARGET, {}), site.proxy().get_all_routes):
        with pytest.raises(BackendError, match=rf"{table}, line \d+: the routing table is damaged"):
            await call()
    assert table.read_bytes() == whole[: len(whole) // 2]
    table.write_bytes(whole)
    assert list(await proxy.get_all_routes()) == ["/user/a/"]
