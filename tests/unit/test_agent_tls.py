"""The agent's certificate is exchanged while it runs."""

from __future__ import annotations

import asyncio
import logging
import ssl
from contextlib import AsyncExitStack

import pytest

from jhub_kvproxy.agent import agent
from jhub_kvproxy.agent.gauges import Gauges
from jhub_kvproxy.agent.server import Server
from jhub_kvproxy.agent.settings import AgentSettings
from jhub_kvproxy.traefik.certificate import self_signed
from servers.ports import free_port
from tests.hub import until


@pytest.mark.parametrize("broken", ["a key of another certificate", "no certificate", "nothing"])
async def test_files_that_do_not_fit_change_nothing(tmp_path, monkeypatch, caplog, broken):
    monkeypatch.setattr(agent, "_RELOAD_INTERVAL", 0.02)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    first, second = self_signed(), self_signed()
    cert.write_bytes(first[0])
    key.write_bytes(first[1])
    settings = AgentSettings(hubs=("h",), token="t", port=free_port(), tls_cert=str(cert), tls_key=str(key))
    server = Server("t", states=None, ages=None, uses=None, metrics=Gauges(None).text)
    async with AsyncExitStack() as stack:
        await agent.listen(stack, server, settings, logging.getLogger("agent"))
        await until(lambda: _presented(settings.port), "it does not answer")
        match broken:
            case "nothing":
                cert.unlink()
            case "no certificate":
                cert.write_bytes(b"-----BEGIN CERTIFICATE-----\nAA==\n")
            case _:
                cert.write_bytes(second[0])
        await until(lambda: "cannot be read again" in caplog.text, "nobody noticed")
        assert await _presented(settings.port) == ssl.PEM_cert_to_DER_cert(first[0].decode())
        cert.write_bytes(second[0])
        key.write_bytes(second[1])

        async def is_new() -> bool:
            return await _presented(settings.port) == ssl.PEM_cert_to_DER_cert(second[0].decode())

        await until(is_new, "the new one is not used")


async def _presented(port: int) -> bytes:
    """The certificate that it shows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        return writer.get_extra_info("ssl_object").getpeercert(True)
    finally:
        writer.close()
