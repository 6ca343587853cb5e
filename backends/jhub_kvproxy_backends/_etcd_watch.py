"""Watches a range of keys in one etcd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from jhub_kvproxy import BackendUnavailable, cancel

from ._etcd_client import EtcdClient, revision_of
from ._etcd_news import Changed, News, joined, news_in


async def changes(client: EtcdClient, keys: Mapping[str, Any], *, patience: float) -> AsyncGenerator[Changed | None]:
    """Yield None when the watch has begun, then what has changed of `keys`, a range: whole commits.

    A later None means that changes may have been missed. `client` has one server only. Raises BackendUnavailable when
    that server, or its connection, is dead, or when its revision has gone back: it was emptied, or restored.
    """
    # This also renews the token: a watch with an expired token hears nothing, and is not told why.
    revision = await _revision(client, keys)
    has_begun = False
    while True:
        async with aclosing(_stream(client, keys, revision, patience)) as stream:
            async for news in stream:
                if news.is_compacted:
                    revision = await _revision(client, keys)
                    yield None
                    break
                revision = max(revision, news.revision)
                if not has_begun:
                    has_begun = True
                    yield None
                if news.changed:
                    yield news.changed


async def _stream(
    client: EtcdClient, keys: Mapping[str, Any], revision: int, patience: float
) -> AsyncGenerator[News, None]:
    """The news after `revision` from one stream. It ends when another stream must take its place.

    A stream does not tell that its connection has died, or that its server has, or has lost the other members. So after
    `patience` seconds without news, the server is asked for its revision. If that is not the one which the stream told
    of last, the stream may be deaf.
    """
    # With fragments, no line is longer than etcd's largest request.
    message = {"create_request": {**keys, "start_revision": str(revision + 1), "fragment": True}}
    news: News | None = None
    async with aclosing(client.stream("/v3/watch", message)) as lines:
        while True:
            reading = asyncio.ensure_future(anext(lines, b""))
            try:
                while not (await asyncio.wait({reading}, timeout=patience))[0]:
                    now = await _revision(client, keys)
                    _check_not_back(client, now, revision)
                    if news is None or now != revision:
                        return
                line = reading.result()
            finally:
                await cancel([reading])
            news = _read(client, line) if not (news and news.has_more) else joined(news, _read(client, line))
            if news.is_compacted:
                yield news
                return
            if news.end:
                raise BackendUnavailable(f"etcd at {client.url} ended the watch: {news.end}.")
            _check_not_back(client, news.now, revision)
            if not news.has_more:
                revision = max(revision, news.revision)
                yield news


def _read(client: EtcdClient, line: bytes) -> News:
    if not line:
        raise BackendUnavailable(f"etcd at {client.url} ended the watch, and gave no reason.")
    try:
        return news_in(line)
    except ValueError as error:
        raise BackendUnavailable(f"etcd at {client.url} ended the watch: it sent {error}.") from error


def _check_not_back(client: EtcdClient, now: int, revision: int) -> None:
    if now < revision:
        raise BackendUnavailable(
            f"etcd at {client.url} has gone back from revision {revision} to {now}: it was emptied, or restored."
        )


async def _revision(client: EtcdClient, keys: Mapping[str, Any]) -> int:
    probe = {**keys, "limit": "1", "keys_only": True}
    return revision_of(await client.ask("/v3/kv/range", probe, again=True, deadline=client.deadline()))
