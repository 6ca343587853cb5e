"""Watches a range of keys in one etcd."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from typing import Any

from jhub_kvproxy import BackendUnavailable, cancel

from ._etcd_client import EtcdClient, revision_of


async def changes(
    client: EtcdClient, keys: Mapping[str, Any], *, without: Collection[str], interval: float
) -> AsyncGenerator[None, None]:
    """Yield once when the watch has begun, then after changes of `keys`, a range, other than those `without`.

    `client` has one server only. After `interval` seconds without news, that server is asked for a key: a stream does
    not tell when its server has died or has lost the other members. Raises BackendUnavailable when changes may be
    missed.
    """
    probe = {**keys, "limit": "1", "keys_only": True}

    async def ask() -> dict[str, Any]:
        return await client.ask("/v3/kv/range", probe, again=True, deadline=client.deadline())

    ignored = {key.encode() for key in without}
    # This also renews the token: a watch with an expired token hears nothing, and is not told why.
    revision = revision_of(await ask())
    # With fragments, no line is longer than etcd's largest request.
    message = {"create_request": {**keys, "start_revision": str(revision + 1), "fragment": True}}
    async with contextlib.aclosing(client.stream("/v3/watch", message)) as lines:
        while True:
            answer = await _next(lines, ask, interval)
            if "error" in answer or answer["result"].get("canceled"):
                raise BackendUnavailable(f"etcd at {client.url} ended the watch: {_reason(answer)}.")
            events = answer["result"].get("events", ())
            if answer["result"].get("created") or any(base64.b64decode(e["kv"]["key"]) not in ignored for e in events):
                yield


async def _next(
    lines: AsyncGenerator[bytes, None], ask: Callable[[], Awaitable[object]], interval: float
) -> dict[str, Any]:
    reading = asyncio.ensure_future(anext(lines, b""))
    try:
        while not (await asyncio.wait({reading}, timeout=interval))[0]:
            await ask()
        line = reading.result()
    finally:
        await cancel([reading])
    if not line:
        raise BackendUnavailable("etcd ended the watch, and gave no reason.")
    answer: dict[str, Any] = json.loads(line)
    return answer


def _reason(answer: Mapping[str, Any]) -> str:
    if "error" in answer:
        return str(answer["error"].get("message", answer["error"]))
    result = answer["result"]
    if int(result.get("compact_revision", 0)):
        return "it no longer has all changes since then (compaction)"
    return str(result.get("cancel_reason") or "it does not say why")
