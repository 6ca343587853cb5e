"""An agent that speaks TLS takes a new certificate without a restart."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

from jhub_kvproxy.agent import listening
from jhub_kvproxy.agent.server import Server
from jhub_kvproxy.agent.settings import AgentSettings
from servers.ports import free_port
from tests.hub import until
from tests.public_tls import Certificates, replace_link, served_name


async def test_a_certificate_whose_key_comes_later_does_no_harm(tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.setattr(listening, "_RELOAD_INTERVAL", 0.02)
    certificates = Certificates(tmp_path)
    files = {"tls_cert": str(certificates.cert), "tls_key": str(certificates.key)}
    settings = AgentSettings(hubs=("a",), token="a-token", port=free_port(), **files)
    server = Server(settings.token, states=None, ages=None, uses=None, metrics=lambda: b"")
    async with AsyncExitStack() as stack:
        await listening.listen(stack, server, settings, logging.getLogger("agent"))
        assert await served_name(settings.port) == "first"
        cert, key = certificates.issue("second")
        replace_link(certificates.cert, cert)
        await until(lambda: "the agent keeps what it has" in caplog.text, "nobody noticed")
        assert await served_name(settings.port) == "first"
        replace_link(certificates.key, key)
        async with asyncio.timeout(10):
            while await served_name(settings.port) != "second":
                await asyncio.sleep(0.02)
