"""A real ACME server, Pebble, which Let's Encrypt makes for tests, with a DNS server that knows this machine only."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from servers.certificates import Authority
from servers.ports import free_port, takes_connections
from servers.process import Process
from servers.programs import find
from tests.hub import until


@dataclass(frozen=True)
class Acme:
    """The server, as clients see it: its directory, the authority of its own TLS, and the root of what it issues."""

    directory_url: str
    ca_file: str
    root: str


@asynccontextmanager
async def acme_server(directory: Path, *, tls_port: int, http_port: int) -> AsyncIterator[Acme]:
    """It validates names by TLS-ALPN and by HTTP on these ports of this machine."""
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
    environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
    dns_words = ["-dns01", f"127.0.0.1:{dns}", "-management", f"127.0.0.1:{dns_management}", *others]
    words = ["-config", str(config), "-dnsserver", f"127.0.0.1:{dns}", "-strict", "false"]
    with (
        Process("the DNS", [find("pebble-challtestsrv"), *dns_words], directory / "dns.log", port=dns),
        Process("pebble", [find("pebble"), *words], directory / "pebble.log", port=management, env=environment),
    ):
        await until(lambda: takes_connections(acme), "pebble does not start")
        context = ssl.create_default_context(cafile=authority.ca_file)
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"https://127.0.0.1:{management}/roots/0", ssl=context) as answer,
        ):
            root = await answer.text()
        yield Acme(f"https://127.0.0.1:{acme}/dir", authority.ca_file, root)
