"""Tests that a real Traefik serves what the driver stores."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio
import tomli_w
from traitlets.config import Config

from ..hub.proxy import KVProxy
from ..store.contract import Backend, SupportsTraefik
from ..traefik.ports import free_port
from ._data import RECORD, difficult_user_names
from ._errors import secret_traits
from ._kit import Kit, Suite, asynchronous, options_of, until
from ._web import Client, user_server

_NOT_LIVE = "When add_route() or delete_route() returns, Traefik must serve the change."


class Site:
    """A public port, proxies on the store under test that serve it, and users' servers behind them."""

    def __init__(self, backend: Backend, directory: Path, stack: AsyncExitStack, delivery: str) -> None:
        #: ``KVProxy.delivery``: how the routes get to Traefik.
        self.delivery = delivery
        self.port = free_port()
        #: A client of the public port: ``await client.server(path)`` is the name of the server that answers, or None.
        self.client = Client(self.port)
        self._backend = backend
        self._run = directory / f"run-{self.port}"
        self._stack = stack
        stack.push_async_callback(self.client.close)

    def proxy(self, prefix: str = "") -> KVProxy:
        """A proxy with the backend's class and options, on `prefix` or else on its own. It stops when the test ends."""
        config = Config()
        config[type(self._backend).__name__].update(options_of(self._backend))
        config.KVProxy.backend_class = type(self._backend)
        config.KVProxy.prefix = prefix or self._backend.prefix
        config.KVProxy.runtime_dir = str(self._run)
        config.KVProxy.delivery = self.delivery
        log = logging.getLogger(f"{__name__}.{self.port}")
        proxy = KVProxy(public_url=f"http://127.0.0.1:{self.port}/", config=config, log=log)
        self._stack.push_async_callback(proxy.stop)
        return proxy

    async def started(self, prefix: str = "") -> KVProxy:
        """A proxy whose Traefik runs; for `prefix` see :meth:`proxy`."""
        proxy = self.proxy(prefix)
        await proxy.start()
        return proxy

    async def server(self, name: str) -> str:
        """Start a user's server with this name, and return its URL."""
        return await self._stack.enter_async_context(user_server(name))

    @property
    def traefik_pid(self) -> int:
        """The process id of the running Traefik."""
        return int(json.loads((self._run / "traefik.json").read_text())["pid"])


class TraefikSuite(Suite):
    """Tests that a real Traefik serves what the driver stores, through a real KVProxy.

    With ``delivery = "push"``, and also with ``"store"`` if the backend SupportsTraefik.
    They need Traefik beside Python or on PATH; ``jhub-kvproxy[testing]`` installs one.
    """

    @pytest_asyncio.fixture(loop_scope="function", params=["push", "store"])
    async def site(self, backend: Backend, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
        """A public port for proxies on the store of ``backend``."""
        if request.param == "store":
            _require_traefik(backend)
        async with AsyncExitStack() as stack:
            yield Site(backend, tmp_path, stack, request.param)

    @asynchronous
    async def test_the_provider_config_names_the_provider_and_no_secret(self, kit: Kit) -> None:
        markers = {name: f"marker-{name}" for name in secret_traits(kit.backend)}
        backend = _require_traefik(kit.new(**markers))
        config, secrets = backend.traefik_provider_config(), backend.traefik_provider_secrets()
        for what in (config, secrets):
            tomli_w.dumps(what)
            assert json.loads(json.dumps(what)) == what, "Provider configuration may have types of JSON and TOML only."
        assert backend.provider in config, (
            "traefik_provider_config() must configure the provider that `provider` names."
        )
        shown = json.dumps(config)
        for secret in markers.values():
            assert secret not in shown, "Secrets belong in traefik_provider_secrets(), which is written to no file."

    @asynchronous
    async def test_changes_are_served_when_the_call_returns(self, site: Site) -> None:
        proxy = await site.started()
        one, two = await site.server("one"), await site.server("two")
        for _ in range(5):
            await proxy.add_route("/user/a/", one, {})
            assert await site.client.server("/user/a/x") == "one", _NOT_LIVE
            await proxy.add_route("/user/a/", two, {})
            assert await site.client.server("/user/a/x") == "two", _NOT_LIVE
            await proxy.delete_route("/user/a/")
            assert (await site.client.get("/user/a/x")).status == 404, _NOT_LIVE
        assert await proxy.get_all_routes() == {}

    @asynchronous
    async def test_no_request_reaches_an_old_target(self, site: Site) -> None:
        proxy = await site.started()
        servers = [(name, await site.server(name)) for name in ("one", "two", "three")]
        await asyncio.gather(*(proxy.add_route(f"/user/{number}/", servers[0][1], {}) for number in range(20)))
        for number in range(100):
            name, url = servers[number % 3]
            await proxy.add_route("/user/a/", url, {"number": number})
            assert await site.client.server("/user/a/x") == name, f"{_NOT_LIVE} (change {number} of the target)"

    @asynchronous
    async def test_many_at_once(self, site: Site) -> None:
        proxy = await site.started()
        server = await site.server("a")
        await asyncio.gather(*(proxy.add_route(f"/user/{n}/", f"{server}/{n}", {"n": n}) for n in range(200)))
        for number in range(200):
            assert (await site.client.get(f"/user/{number}/x")).path == f"/{number}/user/{number}/x", _NOT_LIVE
        assert {route["data"]["n"] for route in (await proxy.get_all_routes()).values()} == set(range(200))
        await asyncio.gather(*(proxy.delete_route(f"/user/{number}/") for number in range(200)))
        for number in (0, 100, 199):
            assert await site.client.server(f"/user/{number}/") is None, _NOT_LIVE

    @asynchronous
    async def test_difficult_user_names(self, site: Site) -> None:
        proxy = await site.started()
        server = await site.server("a")
        await proxy.add_route("/", await site.server("hub"), {})
        paths = {name: f"/user/{quote(name, safe='@~')}/" for name in difficult_user_names()}
        add = (proxy.add_route(path, f"{server}/{n}", {"name": name}) for n, (name, path) in enumerate(paths.items()))
        await asyncio.gather(*add)
        for number, path in enumerate(paths.values()):
            assert (await site.client.get(path)).path == f"/{number}{path}", _NOT_LIVE
        for path in ("/hub/login", "/user/", "/user/nobody/", "/"):
            assert await site.client.server(path) == "hub", "The route of a user must match that user's path only."
        routes = await proxy.get_all_routes()
        assert {route["data"].get("name") for route in routes.values()} == {None, *paths}

    @asynchronous
    async def test_data_comes_back_with_its_types(self, site: Site) -> None:
        proxy = await site.started()
        server, data = await site.server("a"), RECORD["data"]
        assert isinstance(data, dict)
        await asyncio.gather(*(proxy.add_route(f"/user/{number}/", server, data) for number in range(12)))
        assert repr((await proxy.get_route("/user/3/") or {})["data"]) == repr(data)
        await proxy.add_route("/user/3/", server, {})
        assert (await proxy.get_route("/user/3/") or {})["data"] == {}
        before = await proxy.get_all_routes()
        await proxy.stop()
        routes = await site.proxy().get_all_routes()
        assert routes == before, "After a restart of the hub, the routes must be as they were."
        assert len(routes) == 12
        assert repr(routes["/user/11/"]["data"]) == repr(data)

    @asynchronous
    async def test_a_new_hub_serves_the_table_that_it_finds(self, site: Site) -> None:
        first = await site.started()
        await first.add_route("/user/a/", await site.server("a"), {"user": "a"})
        await first.stop()
        with pytest.raises((OSError, EOFError)):
            await site.client.get("/user/a/")
        second = await site.started()
        assert await site.client.server("/user/a/") == "a", "When start() returns, Traefik must serve the stored table."
        assert (await second.get_all_routes())["/user/a/"]["data"] == {"user": "a"}
        await second.add_route("/user/b/", await site.server("b"), {})
        assert await site.client.server("/user/b/") == "b", _NOT_LIVE

    @asynchronous
    async def test_a_traefik_that_was_killed_serves_the_same_again(self, site: Site) -> None:
        proxy = await site.started()
        server = await site.server("a")
        await proxy.add_route("/user/a/", server, {})
        os.kill(site.traefik_pid, signal.SIGKILL)
        await until(lambda: _is_served(site, "/user/a/"), "A restarted Traefik must read the whole table.")
        await proxy.add_route("/user/b/", server, {})
        assert await site.client.server("/user/b/") == "a", _NOT_LIVE

    @asynchronous
    async def test_each_prefix_has_a_traefik_of_its_own(self, site: Site, backend: Backend, tmp_path: Path) -> None:
        """Also a prefix inside another one, and a prefix that looks like a pattern."""
        ends = ("/traefik", "*")
        async with AsyncExitStack() as stack:
            sites = {"": site} | {end: Site(backend, tmp_path, stack, site.delivery) for end in ends}
            proxies = {end: await sites[end].started(backend.prefix + end) for end in sites}
            for end, proxy in proxies.items():
                await proxy.add_route("/user/a/", await site.server(f"server {end}"), {})
            for end, other in sites.items():
                assert await other.client.server("/user/a/") == f"server {end}", "Each prefix has routes of its own."
            await proxies[""].delete_route("/user/a/")
            for end, other in sites.items():
                expected = f"server {end}" if end else None
                assert await other.client.server("/user/a/") == expected, "Each prefix has routes of its own."


def _require_traefik(backend: Backend) -> SupportsTraefik:
    if not isinstance(backend, SupportsTraefik):
        pytest.skip(f"Traefik does not read the store of {type(backend).__name__} by itself.")
    return backend


async def _is_served(site: Site, path: str) -> bool:
    with suppress(OSError, EOFError):
        return await site.client.server(path) is not None
    return False
