"""A proxy, its Traefik and its users' servers, in a thread: a test drives them without a loop of its own."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from jhub_kvproxy.hub.proxy import KVProxy
from tests.hostile.actor import Act, Actor, acting
from tests.hostile.echo import Echo, echoing
from tests.http2 import Fields, Http2, ask, pour
from tests.public_tls import Certificates, started_with_tls
from tests.site import Site
from tests.stores import Store
from tests.wire import Reply, Wire, converse, tunnel

T = TypeVar("T")


class Scene:
    """What strangers meet. All methods may be called from the test's thread."""

    def __init__(self, directory: Path, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._stack = AsyncExitStack()
        self.site = Site(directory, store, self._stack)
        self._wire = Wire(self.site.port)
        self._context: ssl.SSLContext | None = None
        self.echoes: dict[str, Echo] = {}
        self.proxy: KVProxy

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def start(self, routes: Mapping[str, str], certificates: Certificates | None, **traits: Any) -> None:
        """Start a proxy with `routes`: the name of the server that gets it, by routespec.

        With `certificates` it speaks TLS, and is spoken to over HTTP/2 only.
        """
        traits = {"delivery": "push", "host_routing": True, **traits}
        if certificates:
            self._context = certificates.trust()
            self._context.set_alpn_protocols(["h2"])
            self.proxy = await started_with_tls(self.site, certificates, **traits)
        else:
            self.proxy = await self.site.started(**traits)
        # JupyterHub's check keeps routes with and without hosts apart; the table need not.
        self.proxy.validate_routespec = lambda routespec: routespec
        for name in set(routes.values()):
            await self.echo(name)
        await asyncio.gather(*(self.proxy.add_route(spec, self.echoes[name].url, {}) for spec, name in routes.items()))

    async def echo(self, name: str) -> Echo:
        """The server `name`, started if need be."""
        if name not in self.echoes:
            self.echoes[name] = await self._stack.enter_async_context(echoing(name))
        return self.echoes[name]

    def play(self, routespec: str, act: Act, scheme: str = "http") -> Actor:
        """A server that does as `act` tells, behind `routespec`."""
        return self.run(self._play(routespec, act, scheme))

    async def _play(self, routespec: str, act: Act, scheme: str) -> Actor:
        actor = await self._stack.enter_async_context(acting(act))
        await self.proxy.add_route(routespec, f"{scheme}://127.0.0.1:{actor.port}", {})
        return actor

    def ask2(self, fields: Fields, body: bytes | None = None, trailers: Fields = ()) -> Reply:
        """The reply to a request over HTTP/2, on a connection of its own; :meth:`seen` tells what it made."""
        self.forget()
        return self.run(ask(self.site.port, fields, body, trailers, context=self._context))

    def pour(self, raw: bytes) -> None:
        """Send these bytes on a connection of their own; :meth:`seen` tells what they made."""
        self.forget()
        self.run(pour(self.site.port, raw, context=self._context))

    def http2(self) -> Http2:
        """A connection of HTTP/2 that is closed with the scene; what is to be awaited goes through :meth:`run`."""
        connection = self.run(Http2.connected(self.site.port))
        self._stack.callback(connection.close)
        return connection

    def ask(self, *raws: bytes) -> list[Reply]:
        """The reply to each of these requests, sent one after another on a connection that is kept."""
        return self.run(self._ask(raws))

    async def _ask(self, raws: tuple[bytes, ...]) -> list[Reply]:
        return [await self._wire.ask(raw) for raw in raws]

    def converse(self, raw: bytes) -> tuple[list[Reply], list[tuple[str, str]]]:
        """The replies to these bytes, and the requests (head, body) that they made on all servers."""
        self.forget()
        replies = self.run(converse(self.site.port, raw))
        return replies, self.seen(raw)

    def forget(self) -> None:
        """Let :meth:`seen` tell what comes from now on."""
        for echo in self.echoes.values():
            echo.seen.clear()

    def seen(self, sent: object = "what was sent") -> list[tuple[str, str]]:
        """The requests (head, body) that reached the servers, but for those that play a part."""
        garbage = [head for echo in self.echoes.values() for head in echo.garbage]
        assert not garbage, f"a server got what can be read in two ways: {garbage} for {sent!r}"
        return [seen for echo in self.echoes.values() for seen in echo.seen]

    async def tunnel(self, raw: bytes, then: bytes) -> bytes:
        """All that comes back to `raw` and, once the head of an answer is there, `then`."""
        return await tunnel(self.site.port, raw, then)

    async def close(self) -> None:
        await self._wire.close()
        await self._stack.aclose()


@contextmanager
def scene(
    directory: Path, store: Store, routes: Mapping[str, str], certificates: Certificates | None = None, **traits: Any
) -> Iterator[Scene]:
    """A :class:`Scene` that plays, with these routes and traits of KVProxy; with `certificates`, over TLS."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    play = Scene(directory, store, loop)
    try:
        play.run(play.start(routes, certificates, **traits))
        yield play
    finally:
        play.run(play.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
