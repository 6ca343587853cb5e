"""Raw writes to each store, the fastest that its own API allows: what no hub part can be faster than."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import tomli_w

from jhub_kvproxy import unflatten

Changes = Mapping[str, str | None]

_TRAEFIK = "traefik/"


class RawWriter(Protocol):
    """Writes changes below `root`."""

    most_keys: int | None
    """How many keys one write may change; None: no limit."""

    def prepare(self, changes: Changes) -> Any:
        """The payload of a write; not a part of what is measured."""

    async def write(self, payload: Any) -> None: ...

    async def close(self) -> None: ...


class RawEtcd:
    most_keys = 128

    def __init__(self, url: str, root: str) -> None:
        self._root, self._session = root, aiohttp.ClientSession(url)

    def prepare(self, changes: Changes) -> Any:
        return {"success": [self._operation(f"{self._root}/{key}", value) for key, value in changes.items()]}

    def _operation(self, key: str, value: str | None) -> dict[str, Any]:
        if value is None:
            return {"request_delete_range": {"key": _base64(key)}}
        return {"request_put": {"key": _base64(key), "value": _base64(value)}}

    async def write(self, payload: Any) -> None:
        async with self._session.post("/v3/kv/txn", json=payload, raise_for_status=True) as answer:
            await answer.read()

    async def close(self) -> None:
        await self._session.close()


class RawConsul:
    most_keys = 64

    def __init__(self, url: str, root: str) -> None:
        self._root, self._session = root, aiohttp.ClientSession(url)

    def prepare(self, changes: Changes) -> Any:
        return [self._operation(f"{self._root}/{key}", value) for key, value in changes.items()]

    def _operation(self, key: str, value: str | None) -> dict[str, Any]:
        if value is None:
            return {"KV": {"Verb": "delete", "Key": key}}
        return {"KV": {"Verb": "set", "Key": key, "Value": _base64(value)}}

    async def write(self, payload: Any) -> None:
        async with self._session.put("/v1/txn", json=payload, raise_for_status=True) as answer:
            await answer.read()

    async def close(self) -> None:
        await self._session.close()


class RawRedis:
    """Redis tells Traefik of each key, and Traefik lists all keys each time; so it is told once, at the end."""

    most_keys = None
    _events = "notify-keyspace-events"

    def __init__(self, url: str, root: str) -> None:
        from redis.asyncio import Redis

        self._root, self._redis = root, Redis.from_url(url)

    def prepare(self, changes: Changes) -> Any:
        there = {f"{self._root}/{key}": value for key, value in changes.items() if value is not None}
        return there, [f"{self._root}/{key}" for key, value in changes.items() if value is None]

    async def write(self, payload: Any) -> None:
        there, gone = payload
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.config_set(self._events, "")
            if there:
                pipeline.mset(there)
            if gone:
                pipeline.delete(*gone)
            pipeline.config_set(self._events, "KEA")
            pipeline.hset(f"{self._root}/traefik-changes", "", "")
            await pipeline.execute()

    async def close(self) -> None:
        await self._redis.aclose()


class RawFile:
    """The file that Traefik reads, without the table beside it."""

    most_keys = None

    def __init__(self, url: str, root: str) -> None:
        self._file = Path(url) / root / "traefik" / "routes.toml"
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._new = self._file.parents[1] / "routes.toml.new"
        self._keys: dict[str, str] = {}

    def prepare(self, changes: Changes) -> Any:
        for key, value in changes.items():
            if value is None:
                self._keys.pop(key, None)
            elif key.startswith(_TRAEFIK):
                self._keys[key] = value
        return tomli_w.dumps(unflatten({key.removeprefix(_TRAEFIK): value for key, value in self._keys.items()}))

    async def write(self, payload: Any) -> None:
        self._new.write_text(payload)
        os.replace(self._new, self._file)

    async def close(self) -> None:
        pass


RAW_WRITERS: dict[str, type[Any]] = {"toml": RawFile, "etcd": RawEtcd, "consul": RawConsul, "redis": RawRedis}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
