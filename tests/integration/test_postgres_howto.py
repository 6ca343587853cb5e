"""What the page about PostgreSQL shows, with a real server and psql: statements, roles, options and commands."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from jhub_kvproxy import BackendRejected, Batch
from jhub_kvproxy_backends._postgres_schema import Schema
from jhub_kvproxy_backends._postgres_url import parse_url
from jhub_kvproxy_backends.postgres import PostgresBackend
from servers.errors import Refused
from servers.postgres import Pgbouncer, PostgresServer
from tests.drivers import keys_of
from tests.pages import HOW_TO, load, texts
from tests.watches import told, watching

PAGE = HOW_TO / "postgres.md"
HBA = ["host all postgres 127.0.0.1/32 trust", "host all all 127.0.0.1/32 scram-sha-256"]


def statements(name):
    """The block of the page that is the file `name`, without its name."""
    [block] = [text for text in texts(PAGE, "postgresql") if text.startswith(f"-- {name}\n")]
    return block.split("\n", 1)[1]


def test_the_file_makes_what_a_hub_makes():
    assert statements("kvproxy.sql") == Schema("kvproxy").makes()


@pytest.mark.parametrize(("role", "file", "read_only"), [("kvproxy", "hub.sql", False), ("agent", "agent.sql", True)])
def test_roles_get_what_the_driver_asks_for(role, file, read_only):
    grants = Schema("kvproxy").grants(role, read_only=read_only).replace('"', "").replace("; ", ";\n")
    assert statements(file).split("\n", 1)[1].strip() == grants


def test_the_options_of_the_page_can_be_read(tmp_path):
    hub, *others = texts(PAGE, "python")
    config = load(hub, tmp_path)
    assert config.KVProxy.backend_class == "postgres"
    assert PostgresBackend(config=config).url == config.JupyterHub.db_url
    urls = [config.JupyterHub.db_url, *(load(text, tmp_path).PostgresBackend.url for text in others)]
    addresses = [parse_url(url, {}) for url in urls]
    assert [address.user for address in addresses] == ["hub", *["kvproxy"] * 4]
    assert addresses[3].sslrootcert == "/etc/jupyterhub/db-ca.pem"
    assert [host for host, _ in addresses[4].hosts] == ["db-1.example.org", "db-2.example.org"]


async def test_the_users_of_the_page_may_do_what_they_need_and_no_more(tmp_path):
    with PostgresServer(tmp_path / "postgres", hba=HBA) as server:
        server.ask("CREATE DATABASE jupyterhub")
        server.add_role("hub")
        for file in ("kvproxy.sql", "hub.sql", "agent.sql", "connect.sql"):
            server.ask(statements(file), database="jupyterhub")
        server.add_role("stranger", "PASSWORD 'STRANGERS-PASSWORD'")
        stranger = PostgresBackend(url=server.url_of("stranger", "STRANGERS-PASSWORD", "jupyterhub"), read_only=True)
        with pytest.raises(BackendRejected, match="permission denied for database"):
            await stranger.open()
        url = server.url_of("kvproxy", database="jupyterhub")
        hub = PostgresBackend(url=url, password="HUBS-PASSWORD", prefix="jupyterhub")
        await hub.open()
        await hub.acquire_lease("hub", 60)
        agent = PostgresBackend(
            url=server.url_of("agent", "AGENTS-PASSWORD", "jupyterhub"), prefix="jupyterhub", read_only=True
        )
        await agent.open()
        async with watching(agent) as watch:
            await hub.apply(Batch({"routes/p.user.a": "the route"}))
            assert await told(watch) == {"routes/p.user.a": "the route"}
        assert await keys_of(agent) == {"routes/p.user.a": "the route"}
        with pytest.raises(BackendRejected, match="lacks DELETE on keys"):
            await PostgresBackend(url=agent.url, prefix="jupyterhub").open()
        for role, denied in {
            "kvproxy": ("TRUNCATE kvproxy.keys", "DROP SCHEMA kvproxy CASCADE", "CREATE TABLE kvproxy.mine ()"),
            "agent": ("DELETE FROM kvproxy.keys", "UPDATE kvproxy.leases SET token = ''", "TRUNCATE kvproxy.keys"),
        }.items():
            for statement in denied:
                with pytest.raises(Refused, match=r"permission denied|must be owner"):
                    server.ask(f"SET ROLE {role}; {statement}", database="jupyterhub")
        look = next(text for text in texts(PAGE, "console") if text.startswith("$ psql") and "SELECT" in text)
        assert "the route" in shown(look, server)
        await hub.remove()
        await hub.close()
        assert server.ask("TABLE kvproxy.keys; TABLE kvproxy.leases; TABLE kvproxy.recent", database="jupyterhub") == ""
        await agent.close()


def shown(command, server):
    """What `command` of the page prints, with the hub's password."""
    words = shlex.split(command.removeprefix("$ ").replace("@db.example.org/", f"@127.0.0.1:{server.port}/"))
    environment = {"PATH": str(Path(server.command[-3]).parent), "PGPASSWORD": "HUBS-PASSWORD"}
    return subprocess.run(words, check=True, capture_output=True, text=True, env=environment).stdout


async def test_the_pooler_of_the_page(tmp_path):
    section = texts(PAGE, "ini")[0]
    [database] = [line for line in section.splitlines() if line.startswith("jupyterhub = ")]
    with (
        PostgresServer(tmp_path / "postgres") as server,
        Pgbouncer(
            tmp_path / "pgbouncer", server, "transaction", databases=[f"{database} port={server.port}"]
        ) as pooler,
    ):
        server.ask("CREATE DATABASE jupyterhub")
        backend = PostgresBackend(url=f"{pooler.url.removesuffix('postgres')}jupyterhub", prefix="jupyterhub")
        await backend.open()
        async with watching(backend) as watch:
            await backend.apply(Batch({"routes/a": "1"}))
            assert await told(watch) == {"routes/a": "1"}
        await backend.close()
