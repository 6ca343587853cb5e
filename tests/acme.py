"""A real ACME server, Pebble, which Let's Encrypt makes for tests, with a DNS server that knows this machine only."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.hub import until
from tests.servers import free_port
from tests.stores.certificates import Authority


@dataclass(frozen=True)
class Acme:
    """The server, as clients see it: its directory, the authority of its own TLS, and the root of what it issues."""

    directory_url: str
    ca_file: str
    root: str


@asynccontextmanager
async def acme_server(directory: Path, *, tls_port: int, http_port: int) -> AsyncIterator[Acme]:
    """It validates names by TLS-ALPN and by HTTP on these ports of this machine."""
    commands = [shutil.which(name) for name in ("pebble", "pebble-challtestsrv")]
    if not all(commands):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("There is no pebble; on Debian: apt-get install pebble")
    authority = Authority(directory)
    cert, key = authority.issue("server")
    acme, management, dns, dns_management = (free_port() for _ in range(4))
    config = directory / "pebble.json"
    settings = {
        "listenAddress": f"127.0.0.1:{acme}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": cert,
        "privateKey": key,
        "httpPort": http_port,
        "tlsPort": tls_port,
    }
    config.write_text(json.dumps({"pebble": settings}))
    others = ("-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", "")
    dns_words = ("-dns01", f"127.0.0.1:{dns}", "-management", f"127.0.0.1:{dns_management}", *others)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_running(commands[1], *dns_words))
        await stack.enter_async_context(
            _running(commands[0], "-config", str(config), "-dnsserver", f"127.0.0.1:{dns}", "-strict", "false")
        )
        for port in (dns, acme, management):
            await until(lambda port=port: _listens(port), "pebble does not start")
        context = ssl.create_default_context(cafile=authority.ca_file)
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"https://127.0.0.1:{management}/roots/0", ssl=context) as answer,
        ):
            root = await answer.text()
        yield Acme(f"https://127.0.0.1:{acme}/dir", authority.ca_file, root)


@asynccontextmanager
async def _running(command: str | None, *words: str) -> AsyncIterator[None]:
    assert command
    environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
    process = await asyncio.create_subprocess_exec(
        command, *words, env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
