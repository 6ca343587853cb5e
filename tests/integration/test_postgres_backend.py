"""A hub whose table is in PostgreSQL, and what the command line says of it."""

from __future__ import annotations

import pytest

from servers.ports import free_port
from servers.postgres import PostgresServer
from tests.command import GOOD, USES_KVPROXY, run
from tests.hub import until
from tests.site import is_served
from tests.stores import Store

SECRET = "a-password-of-the-tests"


@pytest.fixture
def store(postgres):
    return Store("postgres", postgres.traits)


async def test_what_psql_removes_from_the_table_of_a_hub_is_there_again(site, postgres):
    proxy = await site.started(delivery="push")
    await proxy.add_route("/user/a/", await site.server("a"), {"user": "a"})
    assert await site.client.server("/user/a/") == "a"
    mine = f"FROM kvproxy.keys WHERE prefix = '{site.store.prefix}'"
    keys = postgres.ask(f"SELECT count(*) {mine}")
    postgres.ask(f"DELETE {mine}")
    await until(lambda: postgres.ask(f"SELECT count(*) {mine}") == keys, "the hub does not restore its routes")
    assert await is_served(site, "/user/a/")


async def test_a_schema_that_is_dropped_under_a_hub_is_there_again(tmp_path, site):
    with PostgresServer(tmp_path / "postgres") as server:
        site.store = Store("postgres", server.traits)
        proxy = await site.started(delivery="push")
        await proxy.add_route("/user/a/", await site.server("a"), {"user": "a"})
        server.ask("DROP SCHEMA kvproxy CASCADE")
        await proxy.add_route("/user/b/", await site.server("b"), {"user": "b"})
        for name in "ab":
            assert await site.client.server(f"/user/{name}/") == name
        written = "SELECT count(*) FROM kvproxy.keys WHERE key IN ('routes/p.user.a', 'routes/p.user.b')"
        await until(lambda: server.ask(written) == "2", "the hub does not restore its routes")
        await proxy.stop()


def test_a_check_of_the_hubs_own_database(tmp_path, store):
    file = tmp_path / "jupyterhub_config.py"
    url = store.traits["url"].replace("postgresql", "postgresql+psycopg2")
    lines = ["c.KVProxy.backend_class = 'postgres'", f"c.KVProxy.prefix = {store.prefix!r}"]
    lines.append(f"c.JupyterHub.bind_url = 'http://127.0.0.1:{free_port()}'")
    file.write_text("\n".join([USES_KVPROXY, f"c.JupyterHub.db_url = {url!r}", *lines, ""]))
    result = run("check", "--config", file)
    assert (result.status, result.err) == (0, ""), result.out
    assert [step for step in result.steps if not step.startswith("note")] == GOOD


def test_no_secret_is_shown(tmp_path):
    hba = ["host all postgres 127.0.0.1/32 trust", "host all all 127.0.0.1/32 scram-sha-256"]
    with PostgresServer(tmp_path / "postgres", hba=hba) as server:
        server.add_role("hub", "PASSWORD 'another'")
        url = server.url_of("hub", SECRET)
        for lines in (
            [f"c.PostgresBackend.url = {url!r}"],
            [f"c.JupyterHub.db_url = {url!r}"],
            [f"c.PostgresBackend.url = {server.url_of('hub')!r}", f"c.PostgresBackend.password = {SECRET!r}"],
            [f"c.PostgresBackend.url = {url.replace('127.0.0.1', '[::1')!r}"],
            [f"c.PostgresBackend.url = {url.replace('postgresql', 'mysql')!r}"],
        ):
            file = tmp_path / "jupyterhub_config.py"
            more = ["c.KVProxy.backend_class = 'postgres'", "c.PostgresBackend.timeout = 2", *lines, ""]
            file.write_text("\n".join([USES_KVPROXY, *more]))
            for words in (["check", "--debug"], ["check", "--json"], ["status"], ["options", "postgres"]):
                config = [] if words[0] == "options" else ["--config", file]
                result = run(*words, *config)
                assert SECRET not in result.out + result.err
                assert "Traceback" not in result.out + result.err
                assert (result.status == 0) == (words[0] == "options")
