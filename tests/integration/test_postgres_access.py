"""Who may log in to a PostgreSQL, by what, and what is said to those who may not."""

from __future__ import annotations

import os
import traceback
from uuid import uuid4

import pytest
from traitlets.config import Config

from jhub_kvproxy import BackendRejected, BackendUnavailable, Batch
from jhub_kvproxy_backends._postgres_schema import Schema, quoted
from jhub_kvproxy_backends.postgres import PostgresBackend
from servers.errors import Refused
from servers.postgres import PostgresServer
from tests.drivers import drivers, keys_of
from tests.watches import told, watching

PASSWORD = "pass-word-of-the-tests"
HBA = ["host all postgres 127.0.0.1/32 trust", "host all all 127.0.0.1/32 scram-sha-256"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with PostgresServer(tmp_path_factory.mktemp("postgres"), hba=HBA) as server:
        yield server


@pytest.fixture
def role(server):
    name = f"Role {uuid4().hex[:8]}"
    server.add_role(name, f"PASSWORD '{PASSWORD}'")
    return name


@pytest.fixture
def schema():
    return f"s{uuid4().hex[:8]}"


@pytest.fixture
async def new(server, role, schema):
    async with drivers(PostgresBackend, url=server.url_of(role, PASSWORD), schema=schema, timeout=5) as new:
        yield new


async def use(backend):
    """Do everything that a hub does with its store, once."""
    await backend.open()
    await backend.acquire_lease("hub", 60)
    async with watching(backend) as watch:
        await backend.apply(Batch({"routes/a": "1", "routes/b": "1"}))
        assert await told(watch) == {"routes/a": "1", "routes/b": "1"}
    await backend.apply(Batch({"routes/b": None}))
    assert await keys_of(backend) == {"routes/a": "1"}
    assert (await backend.read_lease()).holder == "hub"


async def refused(backend):
    """What `backend` says when it may not be opened; it shows no password."""
    with pytest.raises(BackendRejected) as error:
        await backend.open()
    assert PASSWORD not in "".join(traceback.format_exception(error.value))
    return str(error.value)


async def test_who_may_make_no_schema_is_told_what_an_owner_does(server, role, schema, new):
    said = await refused(new())
    [makes] = [part for part in said.split(": ") if part.startswith("CREATE SCHEMA")]
    server.ask(makes.split(";")[0])
    await use(new())
    assert server.ask(f"SELECT count(*) FROM {schema}.keys") == "1"


async def test_who_may_make_no_tables_is_told_what_an_owner_does(server, role, schema, new):
    server.ask(f"CREATE SCHEMA {schema}")
    said = await refused(new())
    [grants] = [part for part in said.split(": ") if part.startswith("GRANT")]
    server.ask(grants.split(";")[0])
    await use(new())


async def test_an_owner_makes_the_tables_and_the_hub_uses_them_only(server, role, schema, new):
    server.ask(Schema(schema).makes())
    said = await refused(new())
    assert "USAGE on the schema, DELETE on keys" in said
    server.ask(said[said.index("GRANT") :])
    await use(new())
    for statement in (f"DROP TABLE {schema}.keys", f"TRUNCATE {schema}.keys", f"CREATE TABLE {schema}.mine ()"):
        with pytest.raises(Refused, match=r"permission denied|must be owner"):
            server.ask(f'SET ROLE "{role}"; {statement}')


async def test_an_agent_reads_only(server, role, schema, new):
    hub = new(url=server.url)
    agent = new(prefix=hub.prefix, read_only=True)
    with pytest.raises(BackendUnavailable, match="the Hub makes them when it starts"):
        await agent.open()
    await use(hub)
    said = await refused(agent)
    assert "lacks USAGE on the schema, SELECT on keys, SELECT on leases, SELECT on recent" in said
    server.ask(said[said.index("GRANT") :])
    # As an admin may set such a role.
    server.ask(f'ALTER ROLE "{role}" SET default_transaction_read_only = on')
    await agent.open()
    async with watching(agent) as watch:
        await hub.apply(Batch({"routes/c": "1"}))
        assert await told(watch) == {"routes/c": "1"}
    assert await keys_of(agent) == {"routes/a": "1", "routes/c": "1"}
    assert (await agent.read_lease()).holder == "hub"
    server.ask(f'ALTER ROLE "{role}" RESET ALL')
    assert "lacks DELETE on keys, DELETE on leases, DELETE on recent, INSERT" in await refused(new(prefix=hub.prefix))
    for table in ("keys", "leases", "recent"):
        with pytest.raises(Refused, match="permission denied"):
            server.ask(f'SET ROLE "{role}"; DELETE FROM {schema}.{table}')


@pytest.mark.parametrize("read_only", [False, True])
async def test_rows_that_row_security_may_hide_are_not_taken_for_none(server, role, schema, new, read_only):
    server.ask(Schema(schema).makes())
    server.ask(Schema(schema).grants(role, read_only=read_only))
    owner = new(url=server.url)
    await use(owner)
    backend = new(prefix=owner.prefix, read_only=read_only)
    await backend.open()
    server.ask(f"ALTER TABLE {schema}.keys ENABLE ROW LEVEL SECURITY")
    with pytest.raises(BackendRejected, match="or disable row security"):
        await backend.load()
    said = await refused(new(read_only=read_only))
    assert f"row security of keys may hide rows from the role {role!r}" in said
    server.ask(said[said.index("ALTER TABLE") :])
    assert await keys_of(backend) == {"routes/a": "1"}
    await new(read_only=read_only).open()


async def test_a_database_that_lets_nobody_in_is_no_matter_of_locks(server, role, new):
    server.ask(f'CREATE DATABASE "{role}" ALLOW_CONNECTIONS false')
    with pytest.raises(BackendUnavailable, match="not currently accepting connections; who runs it must change that"):
        await new(url=server.url_of(role, PASSWORD, role)).open()


async def test_a_wrong_password_is_refused_and_not_shown(server, role, new):
    for traits in (
        {"url": server.url_of(role, f"{PASSWORD}2")},
        {"password": f"{PASSWORD}2"},
        {"url": server.url_of(f"no {role}", PASSWORD)},
    ):
        assert "check the user and the password" in await refused(new(**traits))
    assert "create the database" in await refused(new(url=server.url_of(role, PASSWORD, "nowhere")))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://u:{}@h/d", "not a URL of a PostgreSQL"),
        ("postgresql://u:{}@[::1/d", "percent-encode"),
        ("postgresql://u:{}@h:port/d", "a port that is no port"),
        ("postgresql://u:{}@h/d?sslmode=always", "must be one of disable"),
        ("postgresql://u:{}@h/d?sslcrl=x", "does not know: sslcrl"),
        ("postgresql://u:{}@h/d?sslcert=x", "belong together"),
        ("postgresql://u:{}@h/d?sslmode=verify-full&sslrootcert=/nowhere", "/nowhere cannot be used"),
        ("postgresql://u:{}@h/d?port=1,2", "more or fewer ports"),
        ("", "JupyterHub.db_url is not that of a PostgreSQL"),
    ],
)
async def test_a_url_that_cannot_be_used_is_not_shown(new, url, words):
    assert words in await refused(new(url=url.format(PASSWORD)))


async def test_a_schema_that_is_no_name(new):
    assert "PostgresBackend.schema" in await refused(new(schema="a; DROP"))


@pytest.mark.parametrize("name", ["public", "information_schema", "pg_catalog"])
async def test_a_schema_of_others_is_refused(new, name):
    assert "Name a schema for hubs alone" in await refused(new(schema=name))


def test_the_help_of_the_schema_names_those_that_are_refused():
    for words in ("`public`", "`information_schema`", "`pg_`", "lower-case letters, digits and underscores"):
        assert words in PostgresBackend.schema.help


async def test_a_role_with_a_quote_in_its_name(server, schema):
    name = f'a"{uuid4().hex[:8]}'
    server.add_role(name.replace('"', '""'))
    server.ask(f"CREATE SCHEMA {schema}; ALTER ROLE {quoted(name)} PASSWORD '{PASSWORD}'")
    async with drivers(PostgresBackend, url=server.url_of(name, PASSWORD), schema=schema, timeout=5) as new:
        said = await refused(new())
        server.ask(said[said.index("GRANT") :].split(";")[0])
        await use(new())


async def test_functions_that_not_everybody_may_use(server, role, schema, new):
    server.ask(f"ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC; {Schema(schema).makes()}")
    server.ask("ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC")
    said = await refused(new())
    assert "EXECUTE on digest()" in said
    server.ask(said[said.index("GRANT") :])
    await use(new())
    server.ask(f'REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM "{role}"')
    await new(read_only=True).open()


async def test_a_database_that_cannot_hold_all_characters_is_refused(server, role, new):
    server.ask("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0")
    said = await refused(new(url=server.url_of(role, PASSWORD, "ascii")))
    assert "has the encoding SQL_ASCII" in said


async def test_who_has_no_name_is_told_to_give_one(new, monkeypatch):
    """As a process in a container, whose user is in no list of users."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "PGUSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    assert "names no user" in await refused(new(url="postgresql://127.0.0.1/postgres"))


async def test_where_a_password_may_be(server, role, schema, new, tmp_path, monkeypatch):
    server.ask(f'CREATE SCHEMA {schema} AUTHORIZATION "{role}"')
    url = server.url_of(role)
    file = tmp_path / "passwords"
    file.write_text(f"127.0.0.1:{server.port}:postgres:{role}:{PASSWORD}\n")
    file.chmod(0o600)
    await use(new(url=f"{url}?passfile={file}"))
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    await use(new(url=url))
    monkeypatch.setenv("PGPASSWORD", "another")
    monkeypatch.setenv("KVPROXY_POSTGRES_PASSWORD", PASSWORD)
    await use(new(url=url))


@pytest.mark.parametrize("driver", ["", "+psycopg2", "+psycopg", "+asyncpg"])
async def test_the_url_is_that_of_the_hubs_own_database(server, role, schema, driver):
    server.ask(f'CREATE SCHEMA {schema} AUTHORIZATION "{role}"')
    config = Config()
    config.JupyterHub.db_url = server.url_of(role, PASSWORD).replace("postgresql", f"postgresql{driver}", 1)
    backend = PostgresBackend(config=config, prefix="hub", schema=schema)
    await use(backend)
    await backend.close()
    config.JupyterHub.db_url = "sqlite:///jupyterhub.sqlite"
    assert "JupyterHub.db_url" in await refused(PostgresBackend(config=config, prefix="hub"))


async def test_tls(tmp_path, authority, monkeypatch):
    own = authority.issue("server"), authority.issue("hub", common_name="hub")
    hba = ["hostssl all postgres 127.0.0.1/32 trust", "hostssl all hub 127.0.0.1/32 cert"]
    with PostgresServer(tmp_path / "postgres", hba=hba, certificate=own[0], client_ca=authority.ca_file) as server:
        monkeypatch.setenv("PGSSLMODE", "require")
        server.add_role("hub")
        server.ask("CREATE SCHEMA kvproxy AUTHORIZATION hub")
        url, trusted = server.url_of("hub"), f"sslrootcert={authority.ca_file}"
        login = f"sslcert={own[1][0]}&sslkey={own[1][1]}"
        async with drivers(PostgresBackend, timeout=5) as new:
            for mode in ("prefer", "require", "verify-ca", "verify-full"):
                await use(new(url=f"{url}?sslmode={mode}&{login}&{trusted}"))
            assert "is not accepted" in await refused(new(url=f"{url}?sslmode=verify-full&{login}"))
            assert "pg_hba.conf" in await refused(new(url=f"{url}?sslmode=disable"))
            assert "check the user" in await refused(new(url=f"{url}?sslmode=verify-full&{trusted}"))


async def test_a_server_without_tls_is_refused_if_tls_is_wanted(server, role, new):
    said = await refused(new(url=f"{server.url_of(role, PASSWORD)}?sslmode=require"))
    assert "does not speak TLS" in said
