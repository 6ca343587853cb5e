"""Where the agent listens, and the certificate that it shows there."""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import AsyncExitStack
from typing import Any

from ..aio import Tasks, in_thread
from ..errors import KVProxyError
from .server import Server
from .settings import AgentSettings

_RELOAD_INTERVAL = 10.0


async def read_tls(settings: AgentSettings) -> ssl.SSLContext | None:
    """For an agent that speaks TLS; None if it does not. Raises :class:`~jhub_kvproxy.errors.KVProxyError`."""
    try:
        return await in_thread(_tls_of, settings.tls_cert, settings.tls_key)
    except OSError as error:
        files = f"Agent.tls_cert ({settings.tls_cert}) and Agent.tls_key ({settings.tls_key})"
        raise KVProxyError(f"{files} cannot be used: {error}.") from error


async def listen(stack: AsyncExitStack, server: Server, settings: AgentSettings, log: Any) -> None:
    """Have `server` listen until `stack` is closed, with a certificate that is read again when its files change."""
    place = f"{settings.ip}:{settings.port} (Agent.ip, Agent.port)"
    seen = await in_thread(_times, settings)
    tls = await read_tls(settings)
    stack.push_async_callback(server.close)
    try:
        await server.start(settings.ip, settings.port, tls)
    except OSError as error:
        raise KVProxyError(f"The agent cannot listen at {place}: {error.strerror or error}.") from error
    if tls:
        tasks = Tasks(log)
        stack.push_async_callback(tasks.close)
        tasks.keep(lambda: _reload(tls, settings, seen, log), "watching the agent's certificate")


async def _reload(tls: ssl.SSLContext, settings: AgentSettings, seen: list[int], log: Any) -> None:
    """Load the files into `tls` whenever their times are others than those `seen` before."""
    while True:
        await asyncio.sleep(_RELOAD_INTERVAL)
        before, seen = seen, await in_thread(_times, settings)
        if seen == before:
            continue
        try:
            # On trial first: a certificate whose key does not fit takes the key away that is there.
            await in_thread(_tls_of, settings.tls_cert, settings.tls_key)
            await in_thread(tls.load_cert_chain, settings.tls_cert, settings.tls_key or None)
            log.info("The agent uses what is new in Agent.tls_cert")
        except OSError as error:
            log.error("Agent.tls_cert and Agent.tls_key cannot be used, and the agent keeps what it has: %s", error)


def _times(settings: AgentSettings) -> list[int]:
    return [_time(name) for name in (settings.tls_cert, settings.tls_key) if name]


def _time(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return 0


def _tls_of(cert: str, key: str) -> ssl.SSLContext | None:
    """For an agent that speaks TLS; None without `cert`. Raises OSError, or ssl.SSLError for files that do not fit."""
    if not cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key or None)
    return context
