"""JupyterHub.internal_ssl: Traefik and the servers behind it show each other certificates."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import tomli_w

from jhub_kvproxy.errors import RouteNotReady
from jhub_kvproxy.files import write_atomically
from servers.ports import free_port
from tests import shell
from tests.hub import Hub, browsing, until
from tests.internal_ssl import Authorities, app_with_certificates, secure_server
from tests.others_traefik import PASSWORD, others_traefik
from tests.pages import HOW_TO, texts
from tests.servers import Client
from tests.site import Site, leave
from tests.stores import on_every_store

PAGE = HOW_TO / "internal-ssl.md"
INTERNAL_SSL = "c.JupyterHub.internal_ssl = True\n"
PATH = "/user/alice/"
SERVICE = """
import os
from aiohttp import ClientSession, web
from jupyterhub.utils import make_ssl_context
import ssl
from urllib.parse import urlsplit

files = [os.environ[f"JUPYTERHUB_SSL_{name}"] for name in ("KEYFILE", "CERTFILE", "CLIENT_CA")]

async def answer(request):
    url, token = os.environ["JUPYTERHUB_API_URL"], os.environ["JUPYTERHUB_API_TOKEN"]
    async with ClientSession(headers={"Authorization": f"token {token}"}) as session:
        async with session.get(url + "/", ssl=make_ssl_context(*files)) as said:
            return web.json_response({"server": "notes", "hub": await said.json()})

app = web.Application()
app.router.add_get("/services/notes/", answer)
context = make_ssl_context(*files, purpose=ssl.Purpose.CLIENT_AUTH)
web.run_app(app, host="127.0.0.1", port=urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"]).port, ssl_context=context)
"""
INTERNAL = """
c.JupyterHub.internal_ssl = True
# Users' servers are started elsewhere.
c.JupyterHub.internal_certs_location = os.path.abspath("internal-ssl")
notes = [sys.executable, os.path.abspath("notes.py")]
c.JupyterHub.services = [{"name": "notes", "url": "https://127.0.0.1:<SERVICE_PORT>", "command": notes}]

# JupyterHub 6.1 asks a service whether it is up with a TLS context for servers, which fails, and then ends.
from jupyterhub.app import JupyterHub
start_service = JupyterHub.start_service
JupyterHub.start_service = lambda self, name, service, ssl_context=None: start_service(self, name, service)
"""
REQUESTS, WEBSOCKETS, AT_ONCE = 1000, 50, 10
#: What the hub, Traefik and JupyterLab write about TLS only when something is wrong with it.
TROUBLE = ("SSL Error", "SSLError", "SSLCertVerificationError", "tls:", "x509:", "bad certificate", "Unclosed")


async def test_hub_service_and_jupyterlab_speak_tls_with_traefik(tmp_path):
    (tmp_path / "notes.py").write_text(SERVICE)
    async with Hub(tmp_path, INTERNAL.replace("<SERVICE_PORT>", str(free_port()))) as hub:
        await hub.start()
        async with browsing(hub.url, "alice") as alice:
            await alice.spawn()
            urls = [f"{alice.server_url}api/me", f"{hub.url}/hub/api/", f"{hub.url}/services/notes/"]
            statuses = set()

            async def ask(number: int) -> None:
                for turn in range(REQUESTS // AT_ONCE):
                    # Mostly JupyterLab, as with users.
                    url = urls[0] if (number + turn) % 10 else urls[turn // 10 % 3]
                    statuses.add((await alice.get(url))[0])

            async with alice.kernel() as kernel, websockets(alice, WEBSOCKETS) as opened:
                await asyncio.gather(*map(ask, range(AT_ONCE)))
                assert statuses == {200}
                for websocket in opened:
                    await websocket.ping(b"still there")
                    assert (await websocket.receive()).data == b"still there"
                assert await kernel.execute("1 + 1") == "2"
        await hub.stop()
        assert [word for word in TROUBLE if word in hub.log] == []


@asynccontextmanager
async def websockets(user, number: int) -> AsyncIterator[list[aiohttp.ClientWebSocketResponse]]:
    url = f"{user.server_url}api/events/subscribe"
    opened = [await user._session.ws_connect(url, autoping=False) for _ in range(number)]
    try:
        yield opened
    finally:
        for websocket in opened:
            await websocket.close()


@pytest.fixture(scope="module")
def unchanged_app(tmp_path_factory):
    return asyncio.run(app_with_certificates(tmp_path_factory.mktemp("internal-ssl")))


@on_every_store
async def test_a_server_is_reached_by_tls_with_a_certificate_shown(site, unchanged_app):
    proxy = await site.started(app=unchanged_app)
    async with secure_server(Authorities(unchanged_app).server("user-alice")) as (url, seen):
        await proxy.add_route(PATH, url, {})
        assert await site.client.server(PATH) == seen[0]
        plain = await site.server("plain")
        await proxy.add_route("/user/bob/", plain, {})
        assert await site.client.server("/user/bob/") == "plain"


@pytest.mark.parametrize(
    ("names", "authority"),
    [(["DNS:elsewhere.example.org"], "notebooks-ca"), (["DNS:localhost", "IP:127.0.0.1"], "services-ca")],
    ids=["of another name", "of an authority that is not trusted"],
)
async def test_no_request_reaches_a_server(site, unchanged_app, names, authority):
    proxy = await site.started(app=unchanged_app, delivery="push")
    context = Authorities(unchanged_app).server("user-mallory", *names, authority=authority)
    async with secure_server(context) as (url, seen):
        await proxy.add_route(PATH, url, {})
        status, said = await site.client.get(PATH)
        assert (status >= 500, said, seen) == (True, None, [])


@pytest.mark.parametrize("delivery", ["push", "store"])
async def test_a_renewed_certificate_is_shown_and_no_request_fails(site, tmp_path, delivery, caplog):
    app = await app_with_certificates(tmp_path / "certificates")
    authorities = Authorities(app)
    cert, key = authorities.renewed(tmp_path / "renewed")
    files = app.internal_proxy_certs["proxy-client"]
    proxy = await site.started(app=app, delivery=delivery)
    async with (
        secure_server(authorities.server("user-alice")) as (url, seen),
        Requests(site.port, PATH) as requests,
        aiohttp.ClientSession() as session,
    ):
        await proxy.add_route(PATH, url, {})
        requests.start()
        async with session.ws_connect(f"http://127.0.0.1:{site.port}{PATH}ws") as websocket:
            await until(lambda: seen, "there is no request")
            write_atomically(Path(files["certfile"]), cert)
            await until(
                lambda: "is not the key of the first certificate" in caplog.text,
                "half of a pair is taken for a whole one",
            )
            write_atomically(Path(files["keyfile"]), key)
            await until(lambda: len(seen) == 2, "the new certificate is not shown")
            await websocket.send_str("still there")
            assert (await websocket.receive(30)).data == "still there"
        await requests.stop()
        assert requests.statuses == {200}


async def test_the_next_hub_brings_new_authorities_to_the_traefik_that_it_finds(site, tmp_path):
    app = await app_with_certificates(tmp_path / "certificates")
    proxy = await site.started(app=app, delivery="push")
    async with secure_server(Authorities(app).server("user-alice")) as (url, _):
        await proxy.add_route(PATH, url, {})
        assert await site.client.server(PATH)
    pid = proxy.control.local.supervisors[0]._pid
    await leave(proxy)
    app = await app_with_certificates(tmp_path / "certificates", anew=True)
    proxy = await site.started(app=app, delivery="push")
    assert proxy.control.local.supervisors[0]._pid == pid
    async with secure_server(Authorities(app).server("user-alice")) as (url, seen):
        await proxy.add_route(PATH, url, {})
        await until(lambda: site.client.server(PATH), "the server that trusts the new authorities is out of reach")
        assert len(seen) == 1


async def test_a_hub_without_internal_ssl_takes_over_and_back(site, unchanged_app):
    """The routes of the first one refer to a transport that the second one's Traefik does not have."""
    async with secure_server(Authorities(unchanged_app).server("user-alice")) as (url, _):
        for app in (unchanged_app, None, unchanged_app):
            proxy = await site.started(app=app)
            await proxy.add_route(PATH, url, {})
            assert (await site.client.server(PATH) is not None) == bool(app)
            plain = await site.server("plain")
            await proxy.add_route("/user/bob/", plain, {})
            assert await site.client.server("/user/bob/") == "plain"
            await proxy.stop()
            await site.client.close()


@pytest.mark.parametrize("delivery", ["push", "store"])
async def test_the_printed_configuration_serves_a_traefik_that_others_start(site, unchanged_app, tmp_path, delivery):
    directory = tmp_path / "traefik"
    blocks = shown_commands(Path(unchanged_app.internal_certs_location), directory)
    copy, renew = blocks[:2] if delivery == "push" else blocks[2:]
    directory.mkdir()
    shell.run("sh", "-e", "-c", copy)
    others = others_traefik(site, directory, delivery, INTERNAL_SSL)
    with others.traefik:
        renew = renew.replace(str(directory / "dynamic" / "jupyterhub.toml"), str(others.dynamic))
        proxy = site.proxy(
            app=unchanged_app,
            should_start=False,
            delivery=delivery,
            traefik_api_urls=[others.api_url],
            traefik_api_password=PASSWORD,
        )
        async with secure_server(Authorities(unchanged_app).server("user-alice")) as (url, seen):
            await proxy.add_route(PATH, url, {})
            assert await site.client.server(PATH) == seen[0]
            new = Authorities(unchanged_app).renewed(tmp_path / "renewed")
            if delivery == "push":
                trusted = Path(unchanged_app.internal_trust_bundles["proxy-client-ca"]).read_bytes()
                write_atomically(directory / "internal-identity.pem", b"".join([*new, trusted]))
            else:
                for name, content in zip(("crt", "key"), new, strict=True):
                    write_atomically(directory / f"proxy-client.{name}", content)
            shell.run("sh", "-e", "-c", renew)
            await until(lambda: is_changed(site, seen[0]), "the new certificate is not shown")
        await proxy.stop()


async def test_a_traefik_without_the_transport_is_explained(site, unchanged_app, tmp_path):
    directory = tmp_path / "traefik"
    directory.mkdir()
    shell.run("sh", "-e", "-c", shown_commands(Path(unchanged_app.internal_certs_location), directory)[2])
    others = others_traefik(site, directory, "store", INTERNAL_SSL)
    dynamic = others.dynamic
    with others.traefik:
        whole = dynamic.read_text()
        other = tomllib.loads(whole)
        del other["http"]["serversTransports"]
        dynamic.write_text(tomli_w.dumps(other))
        proxy = site.proxy(
            app=unchanged_app,
            should_start=False,
            delivery="store",
            traefik_api_urls=[others.api_url],
            traefik_api_password=PASSWORD,
            ready_timeout=2,
        )
        async with secure_server(Authorities(unchanged_app).server("user-alice")) as (url, seen):
            with pytest.raises(RouteNotReady, match="transport not found kvproxy@file"):
                await proxy.add_route(PATH, url, {})
            dynamic.write_text(whole)
            await proxy.add_route(PATH, url, {})
            assert await site.client.server(PATH) == seen[0]
        await proxy.stop()


def shown_commands(certificates: Path, traefik: Path) -> list[str]:
    """Those of the page, for other directories and this user."""
    blocks = texts(PAGE, "console")
    other = {
        "/srv/jupyterhub/internal-ssl": str(certificates),
        "/etc/traefik": str(traefik),
        "-o traefik ": "",
        "chown traefik": "chown $(id -u)",
    }
    for old, new in other.items():
        blocks = [block.replace(old, new) for block in blocks]
    return [re.sub("^# ", "", block, flags=re.MULTILINE) for block in blocks]


async def is_changed(site: Site, serial: str) -> bool:
    return await site.client.server(PATH) != serial


class Requests:
    """One request after another, from :meth:`start` to :meth:`stop`, and with what status they were answered."""

    def __init__(self, port: int, path: str) -> None:
        self.statuses: set[int] = set()
        self._path = path
        self._client = Client(port)
        self._goes_on = True
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Requests:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task:
            self._task.cancel()
        await self._client.close()

    def start(self) -> None:
        self._task = asyncio.create_task(self._ask())

    async def stop(self) -> None:
        assert self._task
        self._goes_on = False
        await self._task

    async def _ask(self) -> None:
        while self._goes_on:
            status, _ = await self._client.get(self._path)
            self.statuses.add(status)
