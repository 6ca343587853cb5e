"""Watches the head of a table in Kubernetes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from jhub_kvproxy import BackendUnavailable, Backoff, Told, cancel

from ._kubernetes_api import KubernetesAPI
from ._kubernetes_errors import Gone
from ._kubernetes_head import NOTHING, Head, head_in, news


@dataclass
class _Seen:
    """What a watch has told so far. `version` is that of the store, `head_version` that of the head: "" if none."""

    version: str
    head_version: str
    #: None if it cannot be read.
    head: Head | None


async def changes(api: KubernetesAPI, name: str, *, patience: float) -> AsyncGenerator[Told | None]:
    """Yield None when the watch of the table `name` has begun, then what has changed; None if that is not known.

    Raises BackendUnavailable when Kubernetes is away.
    """
    backoff = Backoff(0.05, 1.0, spread=0.5)
    while True:
        version, found = await api.listed(name, api.deadline())
        seen = _Seen(version, _version(found) if found else "", _parsed(found) if found else NOTHING)
        # The watch tells of all that comes after this version, so it has begun.
        yield None
        try:
            while True:
                async with aclosing(_news(api, name, seen, patience)) as all_news:
                    async for news_ in all_news:
                        backoff.reset()
                        yield news_
                # Kubernetes ends each watch after some minutes.
                await backoff.rest()
        except Gone:
            await backoff.rest()


async def _news(api: KubernetesAPI, name: str, seen: _Seen, patience: float) -> AsyncGenerator[Told | None]:
    """What is new since `seen`, which this keeps up to date. It ends when another must take its place.

    A watch does not tell that its connection has died, or that its version is still to come, as after a backup of etcd
    was restored. So after `patience` seconds without news, the head is asked for. Raises Gone if it has changed.
    """
    async with aclosing(api.watch(name, seen.version)) as lines:
        while True:
            reading = asyncio.ensure_future(anext(lines, b""))
            try:
                while not (await asyncio.wait({reading}, timeout=patience))[0]:
                    meta = await api.metadata(name, api.deadline())
                    if (meta["resourceVersion"] if meta else "") != seen.head_version and not reading.done():
                        raise Gone(f"Kubernetes at {api.url} does not tell of changes in this watch.")
                line = reading.result()
            finally:
                await cancel([reading])
            if not line:
                return
            kind, found = _event(api, line)
            seen.version = _version(found)
            if kind == "BOOKMARK":
                continue
            before = seen.head
            seen.head = NOTHING if kind == "DELETED" else _parsed(found)
            seen.head_version = "" if kind == "DELETED" else seen.version
            told = news(before, seen.head) if before and seen.head else None
            if told != {}:
                yield told


def _event(api: KubernetesAPI, line: bytes) -> tuple[str, dict[str, Any]]:
    """The kind of an event, and its object. Raises Gone or BackendUnavailable for one that ends the watch."""
    try:
        event = json.loads(line)
        kind, found = str(event["type"]), dict(event["object"])
        if kind != "ERROR":
            _version(found)
            return kind, found
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise BackendUnavailable(f"Kubernetes at {api.url} sent what is no event of a watch.") from error
    words = f"Kubernetes at {api.url} ended the watch: {found.get('message', 'it gives no reason')}."
    raise Gone(words) if found.get("code") == 410 else BackendUnavailable(words)


def _version(found: Mapping[str, Any]) -> str:
    return str(found["metadata"]["resourceVersion"])


def _parsed(found: Mapping[str, Any]) -> Head | None:
    try:
        return head_in(found)
    except ValueError:  # load() says so
        return None
