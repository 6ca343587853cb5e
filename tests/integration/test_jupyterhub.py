"""JupyterHub as a whole: hub, Traefik, JupyterLab, and people who use them."""

from __future__ import annotations

import os
import signal

from servers.ports import free_port
from servers.traefik import Traefik
from tests.hub import Hub, browsing, until
from tests.servers import user_server
from tests.stores import on_every_store

LEAVE_ALL = ("--JupyterHub.cleanup_servers=False", "--JupyterHub.cleanup_proxy=False")


@on_every_store
async def test_users_work_on_while_the_hub_is_away_and_nothing_but_the_table_is_left(tmp_path, store):
    async with Hub(tmp_path, store.config_lines) as hub:
        await hub.start(*LEAVE_ALL)
        async with browsing(hub.url, "alice") as alice:
            await alice.spawn()
            async with alice.kernel() as kernel:
                assert await kernel.execute("x = 40; x") == "40"
                assert len(hub.processes()) >= 4, "hub, Traefik, JupyterLab, kernel"
                traefik = hub.traefik_pid
                for times, (end, next_start) in enumerate([(Hub.kill, LEAVE_ALL), (Hub.stop, ())], 1):
                    await end(hub)
                    assert await kernel.execute(f"x + {times}") == str(40 + times)
                    await hub.start(*next_start)
                    assert hub.traefik_pid == traefik
                    assert hub.log.count(f"Adopting the running Traefik with pid {traefik}") == times
                    assert await kernel.execute(f"x - {times}") == str(40 - times)
                    assert await alice.server_answers()
        async with browsing(hub.url, "bob") as bob:
            await bob.spawn()
            assert await bob.server_answers()
        await hub.stop()
        await until(lambda: not hub.processes(), "the hub left processes behind")
        assert not (tmp_path / "kvproxy-run").exists()
        left = sorted(path.name for path in (tmp_path / "table").rglob("*") if path.is_file())
        assert left == (["lock", "table.json"] if store.name == "toml" else [])
        assert "Unclosed" not in hub.log


async def test_a_killed_traefik_is_replaced(tmp_path):
    async with Hub(tmp_path) as hub:
        await hub.start()
        async with browsing(hub.url, "alice") as alice:
            await alice.spawn()
            killed = hub.traefik_pid
            os.kill(killed, signal.SIGKILL)
            await until(lambda: hub.traefik_pid != killed, "Traefik was not started again")
            await until(alice.server_answers, "the user's server is out of reach")
            async with alice.kernel() as kernel:
                assert await kernel.execute("6 * 7") == "42"


HOST_ROUTING = """
c.JupyterHub.subdomain_host = "http://localhost.jovyan.org:<PORT>"
"""


async def test_each_user_on_a_host_of_their_own(tmp_path):
    async with Hub(tmp_path, HOST_ROUTING) as hub:
        await hub.start()
        async with browsing(f"http://localhost.jovyan.org:{hub.port}", "alice") as alice:
            await alice.spawn()
            assert alice.server_url == f"http://alice.localhost.jovyan.org:{hub.port}/user/alice/"
            async with alice.kernel() as kernel:
                assert await kernel.execute("1 + 1") == "2"


EXTERNAL = """
c.KVProxy.should_start = False
c.KVProxy.traefik_api_urls = ["http://127.0.0.1:<API_PORT>"]
c.KVProxy.traefik_api_username = "admin"
c.KVProxy.traefik_api_password = "pass"
"""
EXTERNAL_STATIC = """
providers.file.directory = "<TABLE>"
providers.providersThrottleDuration = "0s"
entryPoints.public = {address = "127.0.0.1:<PORT>", asDefault = true}
entryPoints.api.address = "127.0.0.1:<API_PORT>"
api.dashboard = false
"""
# The user is admin, the password pass.
EXTERNAL_DYNAMIC = """
[http.routers.api]
rule = "PathPrefix(`/api`)"
entryPoints = ["api"]
service = "api@internal"
middlewares = ["auth"]

[http.middlewares.auth.basicAuth]
users = ["admin:{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ="]
"""


async def test_a_traefik_that_the_admin_runs(tmp_path):
    api_port = free_port()
    async with Hub(tmp_path, EXTERNAL.replace("<API_PORT>", str(api_port))) as hub:
        traefik = start_traefik(tmp_path, hub.port, api_port)
        try:
            await hub.start()
            async with browsing(hub.url, "alice") as alice:
                await alice.spawn()
                async with alice.kernel() as kernel:
                    assert await kernel.execute("1 + 1") == "2"
            await hub.stop()
            await until(lambda: list(hub.processes()) == [traefik.pid], "not Traefik alone is left")
        finally:
            traefik.kill()


def start_traefik(directory, port, api_port):
    table = directory / "kvproxy-table" / "jupyterhub" / "traefik"
    table.mkdir(parents=True)
    (table / "api.toml").write_text(EXTERNAL_DYNAMIC)
    static = EXTERNAL_STATIC
    for name, value in (("TABLE", table), ("PORT", port), ("API_PORT", api_port)):
        static = static.replace(f"<{name}>", str(value))
    (directory / "traefik.toml").write_text(static)
    traefik = Traefik(directory / "traefik.toml")
    traefik.launch()
    return traefik


async def test_an_unknown_backend_ends_the_hub(tmp_path):
    async with Hub(tmp_path, "c.KVProxy.backend_class = 'tomll'") as hub:
        assert await hub.start_in_vain() == 1
        assert "There is no backend 'tomll' for KVProxy.backend_class; did you mean toml? Installed: consul," in hub.log


async def test_a_taken_port_ends_the_hub(tmp_path):
    async with user_server("stranger") as url, Hub(tmp_path, f"c.JupyterHub.bind_url = '{url}'") as hub:
        assert await hub.start_in_vain() == 1
        port = url.rpartition(":")[2]
        assert f"Traefik cannot listen on port {port} of 127.0.0.1: another program listens there" in hub.log


async def test_a_damaged_table_ends_the_hub(tmp_path):
    table = tmp_path / "kvproxy-table" / "jupyterhub" / "table.json"
    table.parent.mkdir(parents=True)
    table.write_text('{"format": 1, "keys": {')
    async with Hub(tmp_path) as hub:
        assert await hub.start_in_vain() == 1
        assert f"{table}, line 1: the routing table is damaged" in hub.log
        assert table.read_text() == '{"format": 1, "keys": {'
