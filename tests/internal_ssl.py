"""The certificates of a JupyterHub with ``internal_ssl``, and servers that have some of them."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import WSMsgType, web
from certipy import Certipy
from jupyterhub.app import JupyterHub
from jupyterhub.httpclient import JupyterHubHTTPClient
from jupyterhub.utils import make_ssl_context

from tests.servers import serving

PROXY, PROXY_CA, SERVERS_CA = "proxy-client", "proxy-client-ca", "notebooks-ca"


async def app_with_certificates(directory: Path, *, anew: bool = False) -> JupyterHub:
    """A JupyterHub that does not run, with its internal certificates in `directory`."""
    app = JupyterHub(internal_ssl=True, internal_certs_location=str(directory), recreate_internal_certs=anew)
    app.init_internal_ssl()
    JupyterHubHTTPClient.clear_instance()
    return app


class Authorities:
    """The certificate authorities of `app`, which sign in its name."""

    def __init__(self, app: JupyterHub) -> None:
        self._app = app
        self._certipy = Certipy(store_dir=app.internal_certs_location)

    def server(self, name: str, *alt_names: str, authority: str = SERVERS_CA) -> ssl.SSLContext:
        """For a server whose certificate is for `alt_names`, by default those that JupyterHub gives."""
        names = list(alt_names or ("DNS:localhost", "IP:127.0.0.1"))
        files = self._certipy.create_signed_pair(name, authority, alt_names=names, overwrite=True)["files"]
        trusted = self._app.internal_trust_bundles[SERVERS_CA]
        return make_ssl_context(files["key"], files["cert"], trusted, purpose=ssl.Purpose.CLIENT_AUTH)

    def renewed(self, directory: Path) -> tuple[bytes, bytes]:
        """A new certificate for the proxy, and its key."""
        new = Certipy(store_dir=str(directory))
        ca = self._certipy.store.get_record(PROXY_CA)["files"]
        new.store.add_record(PROXY_CA, is_ca=True, files=ca)
        files = new.create_signed_pair(PROXY, PROXY_CA, alt_names=["DNS:localhost"])["files"]
        return Path(files["cert"]).read_bytes(), Path(files["key"]).read_bytes()


@asynccontextmanager
async def secure_server(context: ssl.SSLContext) -> AsyncIterator[tuple[str, list[str]]]:
    """The URL of a server that is shown certificates, and the serial numbers of those, in order.

    It answers every path with the serial number; ``/.../ws`` echoes websocket messages.
    """
    seen: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        serial = request.transport.get_extra_info("peercert")["serialNumber"]
        if serial not in seen:
            seen.append(serial)
        if not request.path.endswith("/ws"):
            return web.json_response({"server": serial})
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        async for message in websocket:
            if message.type is WSMsgType.TEXT:
                await websocket.send_str(message.data)
        return websocket

    async with serving(answer, context) as url:
        yield url, seen
