"""``jhub-kvproxy diff``: the store, the replicas and JupyterHub side by side."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web
from sqlalchemy.engine import make_url

from jhub_kvproxy import Batch
from jhub_kvproxy.cli.hub_routes import time_limits
from jhub_kvproxy.store.registry import find_backend
from servers.ports import free_port
from tests.hub import Hub, until
from tests.servers import serving, user_server
from tests.site import leave
from tests.tools import begin, database, looked_at, on_all_stores_and_deliveries, told

ALICE, BOB = "http://127.0.0.1:1001", "http://127.0.0.1:1002"


async def filled(looked):
    await begin(looked)
    await looked.proxy.add_route("/", ALICE, {"hub": True})
    await looked.proxy.add_route("/user/alice/", ALICE, {"user": "alice"})
    await looked.proxy.add_route("/user/bob/", BOB, {"user": "bob"})


async def change(site, changes):
    """Change the store as nobody should, without a hub."""
    backend = find_backend(site.store.name)(config=site.store.config, prefix=site.store.prefix)
    await backend.open()
    await backend.apply(Batch(changes))
    await backend.close()


@on_all_stores_and_deliveries
async def test_all_have_the_same(site, delivery):
    async with looked_at(site, delivery) as looked:
        await filled(looked)
        file = database(site.directory / "hub.sqlite", alice=1001, bob=1002)
        result = await looked.tell("diff", "--db", file, "--json")
        assert (result.status, result.err) == (0, ""), result.out
        assert (result.json["ok"], result.json["differences"], result.json["routes"]) == (True, [], 3)
        assert result.json["replicas"] == [{"name": looked.url or "local", "error": None}]
        shown = (await looked.tell("diff", cwd=site.directory)).out
        assert shown.splitlines()[-1] == "All have the same."
        assert "not JupyterHub, whose database is not here" in " ".join(shown.split())


@pytest.mark.parametrize("delivery", ["push", "agent"])
async def test_a_replica_differs(site, delivery):
    async with looked_at(site, delivery) as looked:
        await filled(looked)
        await leave(looked.proxy) if not looked.url else await looked.proxy.control.close()
        await change(site, {"routes/p.user.alice": None})
        result = await looked.tell("diff", "--json")
        assert result.status == 1
        [found] = result.json["differences"]
        assert (found["routespec"], found["where"]) == ("/user/alice/", looked.url or "local")
        assert (found["kind"], found["in_store"], found["there"]) == ("extra", None, ALICE)
        shown = " ".join((await looked.tell("diff")).out.split())
        assert f"/user/alice/ {looked.url or 'local'} - {ALICE}" in shown
        assert "not in the store: The store has lost the route" in shown


async def test_jupyterhub_differs(site):
    async with looked_at(site, "push") as looked:
        await filled(looked)
        file = database(site.directory / "jupyterhub.sqlite", alice=1003, carol=1004)
        result = await looked.tell("diff", "--json", cwd=site.directory)
        assert result.status == 1
        assert [(found["routespec"], found["where"], found["kind"]) for found in result.json["differences"]] == [
            ("/user/alice/", "jupyterhub", "target"),
            ("/user/bob/", "jupyterhub", "missing"),
            ("/user/carol/", "jupyterhub", "extra"),
        ]
        assert result.json["hub"] == "sqlite:///jupyterhub.sqlite"
        assert "A hub that runs deletes the route" in " ".join((await looked.tell("diff", "--db", file)).out.split())


async def test_what_cannot_be_asked(site, tmp_path):
    async with looked_at(site, "push") as looked:
        await filled(looked)
        result = await looked.tell("diff", "--db", tmp_path / "none.sqlite")
        assert (result.status, result.out) == (1, "")
        assert "none.sqlite; name JupyterHub's with --db" in result.err
        assert not (tmp_path / "none.sqlite").exists()
        (tmp_path / "no.sqlite").write_text("this is no database, but long enough to be taken for one" * 99)
        assert "cannot be read: " in (await looked.tell("diff", "--db", tmp_path / "no.sqlite")).err
        secret = await looked.tell("diff", "--db", "nonsense://a:Hush4Ever@127.0.0.1/x")
        assert secret.status == 1
        assert "Hush4Ever" not in secret.err
        port = await looked.tell("diff", "--db", "postgresql://a:Hush4Ever@127.0.0.1:x/y")
        assert (port.status, port.out) == (1, "")
        assert "JupyterHub's database cannot be read" in port.err
        assert "Hush4Ever" not in port.err
        url = f"http://127.0.0.1:{free_port()}/hub/api"
        assert "JUPYTERHUB_API_TOKEN" in (await looked.tell("diff", "--hub-api", url)).err
        away = await looked.tell("diff", "--hub-api", url, JUPYTERHUB_API_TOKEN="Hush4Ever")
        assert away.status == 1
        assert "cannot be asked" in away.err
        assert "Hush4Ever" not in away.err
        with_password = url.replace("//", "//hub:Hush4Ever@")
        wrong = await looked.tell("diff", "--hub-api", with_password, JUPYTERHUB_API_TOKEN="token")
        assert (wrong.status, "Hush4Ever" in wrong.err) == (1, False)
        for place in ("postgresql://hub:Hush4Ever@db:port/hub", "sqlite://", f"sqlite:///{'x' * 5000}"):
            wrong = await looked.tell("diff", "--db", place)
            assert wrong.status == 1
            assert wrong.err.startswith("jhub-kvproxy: ")
            assert "Hush4Ever" not in wrong.err
            assert "None" not in wrong.err
        await looked.proxy.stop()
        result = await looked.tell("diff", "--json", cwd=site.directory)
        assert result.status == 1
        assert "No Traefik of this user runs" in result.json["replicas"][0]["error"]


@pytest.mark.parametrize(
    ("url", "limited"),
    [
        ("sqlite:///x", []),  # it has a limit of its own
        ("postgresql+psycopg2://a@b/c", ["connect_timeout"]),
        ("postgresql+psycopg://a@b/c", ["connect_timeout"]),
        ("postgresql+psycopg://a@b/c?connect_timeout=3", []),
        ("postgresql+pg8000://a@b/c", ["timeout"]),
        ("mysql+pymysql://a@b/c?connect_timeout=3", ["read_timeout", "write_timeout"]),
        ("mysql+mysqldb://a@b/c", ["connect_timeout", "read_timeout", "write_timeout"]),
        ("mysql+mysqlconnector://a@b/c", ["connection_timeout"]),
    ],
)
def test_a_database_has_little_time_to_answer(url, limited):
    assert [*time_limits(make_url(url))] == limited


@pytest.mark.parametrize("answer", [{"users": []}, ["alice"], [{"servers": {"": {"ready": True}}}], "alice", 1])
async def test_another_servers_json_is_no_api(site, answer):
    async def say(request: web.Request) -> web.Response:
        return web.json_response(answer)

    async with looked_at(site, "push") as looked, serving(say) as url:
        await filled(looked)
        result = await looked.tell("diff", "--hub-api", url, JUPYTERHUB_API_TOKEN="x")
        assert (result.status, result.out) == (1, "")
        assert "is it JupyterHub's API?" in result.err
        assert "Traceback" not in result.err


async def test_wrong_usage():
    result = await told("diff", "--db", "x", "--hub-api", "y")
    assert result.status == 2
    assert "not allowed with argument" in result.err


#: Answers JupyterHub, which asks whether a user's server is up, at once; JupyterLab takes seconds to start.
SERVER = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

url = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
HTTPServer((url.hostname, url.port), Answer).serve_forever()
"""
CONFIG = """
c.Spawner.cmd = [sys.executable, os.path.abspath("server.py")]
c.Spawner.args = []
c.JupyterHub.api_page_max_limit = 1
c.JupyterHub.services = [{"name": "x", "url": "<SERVICE>", "api_token": "a-token-of-the-service"}]
c.JupyterHub.services += [{"name": "y", "api_token": "a-token-of-another"}]
c.JupyterHub.load_roles = [
    {"name": "starts", "services": ["x"], "scopes": ["admin:users", "admin:servers"]},
    {"name": "looks", "services": ["x"], "scopes": ["list:users", "read:servers", "list:services", "read:services"]},
    {"name": "sees-little", "services": ["y"], "scopes": ["list:users"]},
]
"""


async def test_a_real_hub_and_its_api(tmp_path):
    """With a service and a user's server. Another token has not all scopes, and a third is none."""
    (tmp_path / "server.py").write_text(SERVER)
    async with user_server("x") as service, Hub(tmp_path, CONFIG.replace("<SERVICE>", service)) as hub:
        await hub.start()
        api, file = f"http://127.0.0.1:{hub.hub_port}/hub/api", tmp_path / "jupyterhub_config.py"
        headers = {"Authorization": "token a-token-of-the-service"}
        async with aiohttp.ClientSession(api + "/", headers=headers) as session:
            for user in ("alice", "bob"):
                assert (await session.post(f"users/{user}")).status == 201
                assert (await session.post(f"users/{user}/server")).status in (201, 202)

            async def are_ready():
                async with session.get("users?state=ready&offset=1") as answer:
                    return len(await answer.json()) == 1

            await until(are_ready, "the servers do not start")
        token = {"JUPYTERHUB_API_TOKEN": "a-token-of-the-service"}
        same = await told("diff", "--config", file, "--hub-api", api, "--json", cwd=tmp_path, **token)
        assert same.status == 0, same.out + same.err
        assert same.json["routes"] == 4
        by_database = await told("diff", "--config", file, "--json", cwd=tmp_path)
        assert by_database.status == 0, by_database.out + by_database.err
        little = {"JUPYTERHUB_API_TOKEN": "a-token-of-another"}
        refused = await told("diff", "--config", file, "--hub-api", api, cwd=tmp_path, **little)
        assert refused.status == 1
        assert "read:servers" in refused.err
        wrong = await told("diff", "--config", file, "--hub-api", api, cwd=tmp_path, JUPYTERHUB_API_TOKEN="x")
        assert "refuses the token" in wrong.err
        assert wrong.status == 1
        other = await told("diff", "--config", file, "--hub-api", hub.url, cwd=tmp_path, **token)
        assert "is it JupyterHub's API?" in other.err or "cannot be asked" in other.err
