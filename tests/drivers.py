"""Drivers on real servers, without a hub, and batches for them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from jhub_kvproxy import Backend, Batch
from jhub_kvproxy_backends.etcd import EtcdBackend
from jhub_kvproxy_backends.redis import RedisBackend

B = TypeVar("B", bound=Backend)


@asynccontextmanager
async def drivers(kind: type[B], **traits: Any) -> AsyncIterator[Callable[..., B]]:
    """A function that makes drivers with these traits and others, each on a prefix of its own, closed at the end."""
    async with AsyncExitStack() as stack:

        def new(**others: Any) -> B:
            backend = kind(**{"prefix": f"hub-{uuid.uuid4().hex}", **traits, **others})
            stack.push_async_callback(backend.close)
            return backend

        yield new


@asynccontextmanager
async def opened(*urls: str, **traits: Any) -> AsyncIterator[EtcdBackend]:
    """An etcd driver on `urls`, opened."""
    async with drivers(EtcdBackend, urls=list(urls)) as new:
        backend = new(**traits)
        await backend.open()
        yield backend


async def use_redis(**traits: Any) -> None:
    """Do everything that the driver can do, once, on a prefix where nothing is."""
    async with drivers(RedisBackend, prefix="jupyterhub") as new:
        backend = new(**traits)
        await backend.open()
        await backend.acquire_lease("me", 60)
        await backend.apply(Batch({"routes/a": "1", "traefik/http/routers/a/rule": "1"}))
        assert len((await backend.load()).keys) == 2
        watch = backend.watch()
        await anext(watch)
        await watch.aclose()
        await backend.remove()


def numbered(count: int, value: str = "1") -> Batch:
    """A batch that writes `value` to this many keys."""
    return Batch({f"routes/{number}": value for number in range(count)})


async def keys_of(backend: Backend) -> dict[str, str]:
    return dict((await backend.load()).keys)
