"""A PostgreSQL that is changed by others, dies, hands over to a standby, or is locked."""

from __future__ import annotations

import asyncio
import subprocess
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress

import asyncpg
import pytest

from jhub_kvproxy import BackendRejected, BackendUnavailable, Batch, BatchRejected, LeaseHeld, LeaseLost
from jhub_kvproxy.testing import in_time, longest_block
from jhub_kvproxy_backends import _postgres_client
from jhub_kvproxy_backends._postgres_client import Client
from jhub_kvproxy_backends._postgres_pooler import session_of
from jhub_kvproxy_backends._postgres_schema import Schema, lock_of
from jhub_kvproxy_backends._postgres_session import Session
from jhub_kvproxy_backends._postgres_url import parse_url
from jhub_kvproxy_backends.postgres import PostgresBackend
from servers.errors import Refused
from servers.ports import free_port
from servers.postgres import Pgbouncer, PostgresPair, PostgresServer
from servers.process import freeze
from tests.drivers import drivers, keys_of, numbered
from tests.hub import until
from tests.watches import told, watching

SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'jhub-kvproxy'"


#: The columns that go with the function `digest`.
DIGESTS = ["keys.digest", "leases.digest", "recent.digest"]


@pytest.fixture
def server(tmp_path):
    """One that a test may kill, or whose settings it may change."""
    with PostgresServer(tmp_path / "postgres") as server:
        yield server


@pytest.fixture
async def new():
    async with drivers(PostgresBackend, prefix="hub", timeout=3) as new:

        async def opened(server, **traits):
            backend = new(**{**server.traits, **traits})
            await backend.open()
            return backend

        yield opened


@asynccontextmanager
async def line(ports, bits_per_second):
    """The port of a line, whose connections go to these ports in turn; it carries so much there, and back at once."""
    chunk, targets = 4096, iter(ports)

    async def carry(reader, writer, pause):
        with suppress(ConnectionError):
            while data := await reader.read(chunk):
                writer.write(data)
                await writer.drain()
                await asyncio.sleep(pause * len(data))
        writer.close()

    async def serve(reader, writer):
        back, forth = await asyncio.open_connection("127.0.0.1", next(targets))
        await asyncio.gather(carry(reader, forth, 8 / bits_per_second), carry(back, writer, 0))

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()  # its connections end with those of the driver


#: The sessions of :func:`psql`.
SLEEPS = "query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()"


@contextmanager
def psql(server, sql):
    """A psql that makes `sql`, which sleeps for 600 seconds, and is ended with its session."""
    command = ["psql", "-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres", "-c", sql]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()
            server.ask(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {SLEEPS}")


# What others change


async def test_whatever_psql_changes_is_told(server, new):
    backend, other = await new(server), await new(server, prefix="other")
    await backend.apply(Batch({"routes/a": "1"}))
    async with watching(backend) as watch, watching(other) as others:
        for statement, table in (
            ("INSERT INTO kvproxy.keys (prefix, key, value) VALUES ('hub', 'routes/b', '2')", {"a": "1", "b": "2"}),
            ("UPDATE kvproxy.keys SET value = '3' WHERE key = 'routes/b'", {"a": "1", "b": "3"}),
            ("UPDATE kvproxy.keys SET prefix = 'elsewhere' WHERE key = 'routes/b'", {"a": "1"}),
            ("DELETE FROM kvproxy.keys WHERE key = 'routes/a'", {}),
            ("COPY kvproxy.keys (prefix, key, value) FROM stdin;\nhub\troutes/c\t1\n\\.\n", {"c": "1"}),
            ("TRUNCATE kvproxy.keys", {}),
        ):
            server.ask(statement)
            assert await told(watch) is None, statement
            assert await keys_of(backend) == {f"routes/{key}": value for key, value in table.items()}
        await other.apply(Batch({"routes/b": "1"}))
        assert await told(others) == {"routes/b": "1"}, "nothing of another hub's was told before"


@pytest.mark.parametrize("payload", ["", '{"routes/a": "forged"}', '{"routes/a": null}', "x" * 7900])
async def test_a_notification_that_anybody_sends_changes_nothing(server, new, payload):
    """PostgreSQL has no rights for NOTIFY: who may connect may send any."""
    backend, reader = await new(server), await new(server, read_only=True)
    await backend.apply(Batch({"routes/a": "1"}))
    server.add_role("stranger")
    forged = f"SELECT pg_notify('{Schema('kvproxy').channel('hub')}', '{payload}')"
    async with watching(reader) as watch:
        for _ in range(3):
            server.ask(forged, user="stranger")
        await backend.apply(Batch({"routes/b": "1"}))
        assert await told(watch) == {"routes/b": "1"}, "nothing was told before"
        server.ask(forged, user="stranger")
        server.ask("DELETE FROM kvproxy.keys WHERE key = 'routes/b'")
        assert await told(watch) is None
        await backend.apply(Batch({"routes/c": "1"}))
        assert await told(watch) == {"routes/c": "1"}
    for table in ("keys", "leases", "recent"):
        with pytest.raises(Refused, match="permission denied"):
            server.ask(f"TABLE kvproxy.{table}", user="stranger")


async def test_functions_that_others_make_are_not_called(server, new):
    """Before PostgreSQL 15, who may connect may make some in the schema `public`, where each session looks."""
    server.ask(
        "CREATE TABLE called (name text); GRANT ALL ON called TO PUBLIC;"
        "CREATE FUNCTION unnest(text[]) RETURNS SETOF text LANGUAGE sql AS "
        "$$ INSERT INTO public.called VALUES ('unnest'); SELECT pg_catalog.unnest($1) $$;"
        "CREATE FUNCTION added(text[], text) RETURNS text[] LANGUAGE sql AS "
        "$$ INSERT INTO public.called VALUES ('||'); SELECT pg_catalog.array_append($1, $2) $$;"
        "CREATE OPERATOR || (LEFTARG = text[], RIGHTARG = text, FUNCTION = added)"
    )
    backend = await new(server)
    async with watching(backend) as watch:
        for changes in ({"routes/a": "1"}, {"routes/a": None}):
            await backend.apply(Batch(changes))
            assert await told(watch) == changes
    assert server.ask("TABLE called") == ""


async def test_a_watch_whose_rows_others_remove_has_the_table_read(server, new):
    backend, reader = await new(server), await new(server, read_only=True)
    await backend.apply(Batch({"routes/a": "1"}))
    async with watching(reader) as watch:
        server.ask("BEGIN; TRUNCATE kvproxy.recent; TRUNCATE kvproxy.keys; TRUNCATE kvproxy.recent; COMMIT")
        await backend.apply(Batch({"routes/b": "1"}))
        assert await told(watch) is None
        await backend.apply(Batch({"routes/c": "1"}))
        while (news := await told(watch)) != {"routes/c": "1"}:
            assert news is None


async def test_what_is_told_stays_small(server, new):
    backend = await new(server)
    for number in range(300):
        await backend.apply(Batch({f"routes/{number}": "x" * (number % 7) * 2000}))
    assert int(server.ask("SELECT octet_length(commits::text) FROM kvproxy.recent WHERE who = 'hubs'")) < 20_000


async def test_who_has_changed_rows_and_has_not_committed_keeps_no_hub_waiting(server, new):
    backend = await new(server)
    await backend.apply(Batch({"routes/a": "1"}))
    with psql(server, "BEGIN; UPDATE kvproxy.keys SET value = '2'; SELECT pg_sleep(600)"):
        await until(lambda: server.ask(f"SELECT count(*) FROM pg_stat_activity WHERE {SLEEPS}") == "1", "psql is slow")
        await backend.apply(Batch({"routes/b": "1"}))
    assert await keys_of(backend) == {"routes/a": "1", "routes/b": "1"}


async def test_what_is_no_text_is_refused(server, new):
    backend = await new(server)
    for changes in ({"routes/x": "\ud800"}, {"routes/\ud800": "x"}, {"routes/\ud800": None}):
        with pytest.raises(BatchRejected):
            await backend.apply(Batch(changes))
    await backend.apply(Batch({"routes/a": "1"}))


async def test_tables_that_were_dropped_are_made_anew(server, new):
    backend, reader = await new(server), await new(server, read_only=True)
    await backend.apply(Batch({"routes/a": "1"}))
    async with watching(backend) as watch:
        server.ask("DROP SCHEMA kvproxy CASCADE")
        with pytest.raises(BackendUnavailable, match="makes them anew"):
            await told(watch)
    with pytest.raises(BackendUnavailable, match="tables"):
        await reader.load()
    assert await keys_of(backend) == {}
    await backend.apply(Batch({"routes/b": "1"}))
    assert await keys_of(reader) == {"routes/b": "1"}


@pytest.mark.parametrize(
    "dropped",
    [
        "TABLE kvproxy.leases",
        "TABLE kvproxy.keys",
        "TABLE kvproxy.recent",
        "TABLE kvproxy.keys, kvproxy.leases, kvproxy.recent",
        "FUNCTION kvproxy.tell() CASCADE",
        "TRIGGER tell_updates ON kvproxy.keys",
        "TABLE kvproxy.keys, kvproxy.leases, kvproxy.recent; DROP FUNCTION kvproxy.digest(text, text)",
    ],
)
async def test_a_part_that_was_dropped_is_made_anew(server, new, dropped):
    backend = await new(server)
    await backend.apply(Batch({"routes/a": "1"}))
    server.ask(f"DROP {dropped}")
    await backend.open()
    await backend.acquire_lease("hub", 60)
    await backend.apply(Batch({"routes/a": "2"}))
    async with watching(backend) as watch:
        server.ask("UPDATE kvproxy.keys SET value = '3'")
        assert await told(watch) is None
    assert await keys_of(backend) == {"routes/a": "3"}


async def test_a_watch_notices_that_only_the_table_of_keys_was_dropped(server, new):
    backend = await new(server)
    await backend.apply(Batch({"routes/a": "1"}))
    async with watching(backend) as watch:
        server.ask("DROP TABLE kvproxy.keys")
        with pytest.raises(BackendUnavailable, match="made anew"):
            await told(watch)


async def test_a_part_that_was_dropped_is_made_anew_by_its_owner_only(server, new):
    server.ask(Schema("kvproxy").makes())
    server.add_role("hub")
    server.ask(Schema("kvproxy").grants("hub", read_only=False))
    backend = await new(server, url=server.url_of("hub"))
    await backend.apply(Batch({"routes/a": "1"}))
    server.ask("DROP FUNCTION kvproxy.tell() CASCADE")
    with pytest.raises(BackendRejected, match=r"lost tell\(\), tell_inserts, .* does not own digest\(\), keys, leases"):
        await backend.open()
    server.ask(Schema("kvproxy").makes())
    await backend.open()
    assert await keys_of(backend) == {"routes/a": "1"}


def columns(server):
    names = "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'kvproxy'"
    return server.ask(f"{names} ORDER BY 1").split()


async def test_columns_that_were_dropped_are_named(server, new):
    server.ask(Schema("kvproxy").makes())
    for column in columns(server):
        table, _, name = column.partition(".")
        server.ask(f"ALTER TABLE kvproxy.{table} DROP COLUMN {name} CASCADE")
        for read_only in (False, True):
            with pytest.raises(BackendRejected, match=rf"gone: .*\b{table}\.{name}\b.*: DROP TABLE .*\.{table};"):
                await new(server, read_only=read_only)
        server.ask(f"DROP TABLE kvproxy.{table}")
        await new(server)


@pytest.mark.parametrize(
    ("dropped", "lost"),
    [
        ("TABLE kvproxy.keys DROP COLUMN value", ["keys.value"]),
        ("TABLE kvproxy.keys DROP COLUMN digest", ["keys.digest"]),
        ("TABLE kvproxy.recent DROP COLUMN digest", ["recent.digest"]),
        ("TABLE kvproxy.recent DROP COLUMN number", ["recent.number"]),
        ("TABLE kvproxy.leases DROP COLUMN digest, DROP COLUMN token", ["leases.digest", "leases.token"]),
        ("FUNCTION kvproxy.digest RENAME TO other; DROP FUNCTION kvproxy.other CASCADE", DIGESTS),
    ],
)
async def test_a_hub_that_runs_is_told_which_columns_were_dropped(server, new, dropped, lost):
    backend = await new(server)
    await backend.acquire_lease("hub", 60)
    await backend.apply(Batch({"routes/a": "1"}))
    server.ask(f"ALTER {dropped}")
    words = rf"columns are gone: {', '.join(lost)}\. As .*; the hub then makes and fills them again"
    with pytest.raises(BackendRejected, match=words) as error:
        await backend.apply(Batch({"routes/a": "2"}))
    server.ask(str(error.value).partition("As the owner of the tables: ")[2].partition(";")[0])
    await backend.acquire_lease("hub", 60)
    await backend.apply(Batch({"routes/a": "3"}))
    assert (await keys_of(backend))["routes/a"] == "3"


async def test_an_agent_that_watches_is_told_which_column_was_dropped(server, new):
    backend, reader = await new(server), await new(server, read_only=True)
    await backend.apply(Batch({"routes/a": "1"}))
    async with watching(reader) as watch:
        server.ask("ALTER TABLE kvproxy.recent DROP COLUMN commits")
        with pytest.raises(BackendUnavailable, match="column"):
            await told(watch)
    with pytest.raises(BackendRejected, match=r"columns are gone: recent\.commits"):
        async with watching(reader):
            pass


async def test_an_index_that_was_dropped_is_named(server, new):
    backend = await new(server)
    server.ask("ALTER TABLE kvproxy.keys DROP CONSTRAINT keys_pkey")
    with pytest.raises(BackendRejected, match="an index of the hubs' tables is gone"):
        await backend.apply(Batch({"routes/a": "1"}))
    server.ask("DROP TABLE kvproxy.keys, kvproxy.leases, kvproxy.recent")
    await backend.apply(Batch({"routes/a": "1"}))


@pytest.mark.parametrize("disabled", ["DISABLE TRIGGER USER", "ENABLE REPLICA TRIGGER tell_deletes"])
async def test_triggers_that_a_restore_left_disabled_are_enabled(server, new, disabled):
    backend = await new(server)
    await backend.apply(Batch({"routes/a": "1"}))
    server.ask(f"ALTER TABLE kvproxy.keys {disabled}")
    await backend.open()
    async with watching(backend) as watch:
        server.ask("DELETE FROM kvproxy.keys")
        assert await told(watch) is None


async def test_tables_of_a_later_layout_are_left_alone(server, new):
    server.ask(Schema("kvproxy").makes().replace("layout 1", "layout 2"))
    with pytest.raises(BackendRejected, match="upgrade jhub-kvproxy"):
        await new(server)


@pytest.mark.parametrize(
    ("made", "named"),
    [
        ("CREATE TABLE s.keys (mine text); CREATE TABLE s.leases ()", "keys, leases is there"),
        ("CREATE TABLE s.keys (mine text)", "keys is there"),
        ("CREATE VIEW s.leases AS SELECT 1", "leases is there"),
        ("CREATE EXTENSION pgcrypto SCHEMA s", r"digest\(\) is there"),
        ("CREATE PROCEDURE s.tell() LANGUAGE sql AS 'SELECT 1'", r"tell\(\) is there"),
        ("CREATE TYPE s.keys AS ENUM ()", '"keys" already exists'),
    ],
)
async def test_what_somebody_else_has_made_is_left_alone(server, new, made, named):
    server.ask(f"CREATE SCHEMA s; {made}")
    objects = (
        "SELECT count(*) FROM pg_depend WHERE refclassid = 'pg_namespace'::regclass AND refobjid = 's'::regnamespace"
    )
    before = server.ask(objects)
    with pytest.raises(BackendRejected, match=rf"{named}.*; choose another PostgresBackend\.schema"):
        await new(server, schema="s")
    assert server.ask(objects) == before


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
async def test_hubs_that_start_at_once_make_one_schema(server, new, isolation):
    server.ask(f"ALTER ROLE postgres SET default_transaction_isolation = '{isolation}'")
    backends = await asyncio.gather(*(new(server, prefix=f"hub-{number}") for number in range(5)))
    for backend in backends:
        await backend.apply(Batch({"routes/a": backend.prefix}))
    assert server.ask("SELECT count(*) FROM kvproxy.keys") == "5"


async def test_a_second_hub_is_told_who_has_the_lease(server, new):
    first, second = await new(server), await new(server)
    await first.acquire_lease("The hub with process 1 on a", 60)
    with pytest.raises(
        LeaseHeld, match=r"The hub with process 1 on a .since 20.* UTC.* holds the lease of 'hub'"
    ) as held:
        await second.acquire_lease("The hub with process 2 on b", 30)
    assert held.value.seconds == 60


@pytest.mark.parametrize(("hours", "is_held"), [(0, True), (3, False)])
async def test_a_lease_from_before_the_clock_was_set_back_lasts_no_longer(server, new, hours, is_held):
    first, second = await new(server), await new(server)
    await first.acquire_lease("the first hub", 60)
    # What the row looks like when the server's clock was set back.
    server.ask(
        f"UPDATE kvproxy.leases SET since = since + interval '{hours} h', expiry = expiry + interval '{hours} h'"
    )
    assert (await second.read_lease() is not None) == is_held
    if is_held:
        await first.apply(Batch({"routes/a": "1"}))
        with pytest.raises(LeaseHeld):
            await second.acquire_lease("the second hub", 60)
        return
    with pytest.raises(LeaseLost, match="expired"):
        await first.apply(Batch({"routes/a": "1"}))
    await second.acquire_lease("the second hub", 60)
    with pytest.raises(LeaseHeld, match="the second hub"):
        await first.acquire_lease("the first hub", 60)
    await second.apply(Batch({"routes/a": "2"}))
    with pytest.raises(LeaseLost, match=r"the second hub \(.*\) has it now"):
        await first.apply(Batch({"routes/a": "1"}))


async def test_a_lock_that_somebody_else_keeps_is_named(server, new):
    backend = await new(server, timeout=1)
    await backend.apply(Batch({"routes/a": "1"}))
    with psql(server, "BEGIN; LOCK TABLE kvproxy.keys IN EXCLUSIVE MODE; SELECT pg_sleep(600)"):
        locks = "SELECT count(*) FROM pg_locks WHERE mode = 'ExclusiveLock' AND relation = 'kvproxy.keys'::regclass"
        await until(lambda: server.ask(locks) == "1", "psql locks nothing")
        with pytest.raises(BackendUnavailable, match=r"another session has locked .* pg_locks and pg_stat_activity"):
            await backend.apply(Batch({"routes/a": "2"}))
        assert await keys_of(backend) == {"routes/a": "1"}, "who reads waits for no lock"
    await backend.apply(Batch({"routes/a": "3"}))
    assert await keys_of(backend) == {"routes/a": "3"}


async def test_every_call_that_waits_for_a_psql_that_has_not_committed_says_so(server, new):
    """Also those that get their turn late."""
    backend = await new(server, timeout=2)
    await backend.acquire_lease("hub", 600)
    await backend.apply(Batch({"routes/a": "1"}))
    changes = "UPDATE kvproxy.keys SET value = '2'; UPDATE kvproxy.leases SET since = now()"
    with psql(server, f"BEGIN; {changes}; SELECT pg_sleep(600)"):
        await until(lambda: server.ask(f"SELECT count(*) FROM pg_stat_activity WHERE {SLEEPS}") == "1", "psql is slow")
        calls = [lambda: backend.apply(Batch({"routes/a": "3"}))] * 3 + [lambda: backend.acquire_lease("hub", 600)] * 2
        failures = []

        async def late(number, call):
            await asyncio.sleep(0.4 * number)
            with pytest.raises(BackendUnavailable) as error:
                await call()
            failures.append(str(error.value))

        await asyncio.gather(*(late(number, call) for number, call in enumerate(calls)))
    assert len(failures) == 5
    for failure in failures:
        assert "another session has locked" in failure
    await backend.apply(Batch({"routes/a": "3"}))
    server.freeze()
    with pytest.raises(BackendUnavailable, match="did not answer"):
        await backend.apply(Batch({"routes/a": "4"}))
    server.thaw()


async def test_a_watch_that_waits_for_a_lock_says_so(server, new):
    backend = await new(server, timeout=3)
    async with watching(backend) as watch:
        with (
            psql(server, "BEGIN; LOCK TABLE kvproxy.recent; SELECT pg_sleep(600)"),
            pytest.raises(BackendUnavailable, match="another session has locked"),
        ):
            await told(watch)


async def test_a_hub_that_starts_waits_for_what_it_committed_before(server, new):
    """Its COMMIT may be on its way still: it was cancelled, say, and the hub closed its store, or was started anew."""
    backend, reader = await new(server), await new(server, read_only=True)
    await backend.close()
    async with locked(server, lock_of("kvproxy/hub")) as session:
        await session.execute("INSERT INTO kvproxy.keys (prefix, key, value) VALUES ('hub', 'routes/a', '1')")
        await backend.open()
        loading = asyncio.create_task(keys_of(backend))
        await until(lambda: server.ask(WAITING) == "1", "the hub does not wait")
        assert await keys_of(reader) == {}, "who only reads has committed nothing"
    assert await loading == {"routes/a": "1"}


async def test_a_call_that_waits_for_its_turn_ends_in_time(server, new):
    backend = await new(server, timeout=1)
    async with backend._store._session._one_at_a_time:
        with pytest.raises(BackendUnavailable, match="Tried for 1 s"):
            await in_time(backend.load(), "it ends")


async def test_a_lease_that_nobody_gets_is_tried_for_in_time(server, new):
    backend = await new(server, timeout=1)
    never = "CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
    server.ask(f"{never}; CREATE TRIGGER never BEFORE INSERT ON kvproxy.leases FOR EACH ROW EXECUTE FUNCTION never()")
    with pytest.raises(BackendUnavailable, match="Tried for 1 s"):
        await in_time(backend.acquire_lease("hub", 60), "it ends")


async def test_a_change_that_is_refused_leaves_no_transaction(server, new):
    backend, thief = await new(server), await new(server)
    await backend.acquire_lease("hub", 60)
    server.ask("DELETE FROM kvproxy.leases")
    await thief.acquire_lease("thief", 60)
    with pytest.raises(LeaseLost):
        await backend.apply(Batch({"routes/a": "1"}))
    idle = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
    await until(lambda: server.ask(idle) == "0", "a transaction is left")
    await thief.apply(Batch({"routes/a": "2"}))
    assert await keys_of(backend) == {"routes/a": "2"}


# What servers do


async def test_a_commit_is_durable_though_the_database_says_otherwise(server, new):
    server.ask("ALTER SYSTEM SET synchronous_commit = off; SELECT pg_reload_conf()")
    server.ask("ALTER SYSTEM SET wal_writer_delay = '10s'; SELECT pg_reload_conf()")
    backend = await new(server)
    for number in range(5):
        await backend.apply(Batch({"routes/a": str(number)}))
    server.kill()
    server.start()
    assert await keys_of(backend) == {"routes/a": "4"}


async def test_a_server_that_ends_idle_sessions_is_no_trouble(server, new):
    server.ask("ALTER SYSTEM SET idle_session_timeout = 200; SELECT pg_reload_conf()")
    backend = await new(server)
    for number in range(3):
        await backend.apply(Batch({"routes/a": str(number)}))
        await until(lambda: server.ask(SESSIONS) == "0", "PostgreSQL ends no session")
    assert await keys_of(backend) == {"routes/a": "2"}


async def test_a_server_that_restarts_is_waited_for(server, new):
    backend = await new(server, timeout=30)
    await backend.apply(Batch({"routes/a": "1"}))
    await backend.acquire_lease("hub", 600)
    async with watching(backend) as watch:
        server.stop()
        applying = asyncio.create_task(backend.apply(Batch({"routes/a": "2"})))
        with pytest.raises(BackendUnavailable):
            await told(watch)
        server.start()
        await in_time(applying, "a change is made when the server is back")
    assert await keys_of(backend) == {"routes/a": "2"}


@pytest.mark.parametrize("hears", [True, False])
async def test_a_hub_that_stands_still_before_it_commits_commits_the_next_time(server, new, monkeypatch, hears):
    """The server has ended the transaction meanwhile, and told the hub so, which may not have heard it yet."""
    backend, times = await new(server, timeout=5), iter(range(9))
    commit = Session._commit

    async def late(session, connection):
        if next(times) == 0:
            if hears:
                await asyncio.sleep(2)
            else:
                time.sleep(2)
        await commit(session, connection)

    monkeypatch.setattr(Session, "_commit", late)
    await backend.apply(Batch({"routes/a": "1"}))
    assert next(times) == 2
    assert await keys_of(backend) == {"routes/a": "1"}


async def test_a_server_that_is_full_says_so(server, new):
    server.ask("ALTER SYSTEM SET max_connections = 8; ALTER SYSTEM SET superuser_reserved_connections = 3")
    server.stop()
    text = server.data / "postgresql.conf"
    text.write_text(text.read_text().replace("max_connections = 200", "max_connections = 8"))
    server.start()
    server.add_role("hub")
    server.ask("CREATE SCHEMA kvproxy AUTHORIZATION hub")
    backends = [new(server, url=server.url_of("hub"), prefix=f"hub-{number}", timeout=1) for number in range(6)]
    with pytest.raises(BackendUnavailable, match="raise its max_connections"):
        await asyncio.gather(*backends)


async def test_a_frozen_server_ends_calls_and_watches_in_time(server, new):
    backend = await new(server, timeout=1)
    await backend.apply(Batch({"routes/a": "1"}))
    async with watching(backend) as watch:
        server.freeze()
        for call in (backend.load(), backend.apply(Batch({"routes/a": "2"})), told(watch)):
            with pytest.raises(BackendUnavailable):
                await in_time(call, "it ends")
        server.thaw()
    await until_loaded(backend)
    await backend.apply(Batch({"routes/a": "3"}))
    assert await keys_of(backend) == {"routes/a": "3"}


async def test_a_watch_says_no_good_bye_to_a_frozen_server(server, new, monkeypatch):
    monkeypatch.setattr(_postgres_client, "GOODBYE", 600)
    backend = await new(server, timeout=1)
    async with watching(backend) as watch:
        server.freeze()
        with pytest.raises(BackendUnavailable):
            await in_time(told(watch), "it ends")
        server.thaw()


async def test_a_notification_that_got_lost_is_made_up_for(server, new):
    backend, reader = await new(server), await new(server, read_only=True)
    await backend.apply(Batch({"routes/a": "1"}))
    async with watching(reader) as watch:
        server.ask('UPDATE kvproxy.recent SET number = number + 1, commits = commits || \'{"routes/a":"2"}\'::text')
        assert await told(watch) == {"routes/a": "2"}


async def test_a_server_that_freezes_while_tables_are_made_ends_the_call_in_time(server, new):
    async with locked(server, Schema("kvproxy").lock):
        opening = asyncio.create_task(new(server, timeout=5))
        await until(lambda: server.ask(WAITING) == "1", "the hub does not wait for who makes the tables")
        server.freeze()
        try:
            with pytest.raises(BackendUnavailable):
                await in_time(opening, "it ends")
        finally:
            server.thaw()
    await new(server)


WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


@asynccontextmanager
async def locked(server, lock):
    """A transaction of another session, which has this advisory lock, and is committed at last."""
    connection = await asyncpg.connect(server.url)
    try:
        async with connection.transaction():
            await connection.execute(f"SELECT pg_advisory_xact_lock({lock})")
            yield connection
    finally:
        await connection.close()


async def test_a_good_bye_that_is_cancelled_leaves_no_session(server, new):
    backend = await new(server)
    await backend.apply(Batch({"routes/a": "1"}))
    async with watching(backend):
        server.freeze()
        closing = asyncio.create_task(backend.close())
        await asyncio.sleep(0.2)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        server.thaw()
        await until(lambda: server.ask(SESSIONS) == "0", "a session is left")


async def test_a_frozen_server_does_not_keep_a_hub_from_closing(server, new):
    """Though another call is before the release of the lease."""
    backend = await new(server, timeout=5)
    await backend.acquire_lease("hub", 600)
    async with watching(backend):
        server.freeze()
        applying = asyncio.create_task(backend.apply(Batch({"routes/a": "1"})))
        await asyncio.sleep(0.2)
        closing = asyncio.create_task(backend.close())
        with pytest.raises(BackendUnavailable):
            await in_time(applying, "it ends")
        await in_time(closing, "it ends")
        server.thaw()
    await until(lambda: server.ask(SESSIONS) == "0", "a session is left")


async def test_a_call_in_flight_ends_with_the_driver(server, new):
    backend = await new(server, timeout=60)
    await backend.apply(Batch({"routes/a": "1"}))
    server.stop()
    applying = asyncio.create_task(backend.apply(Batch({"routes/a": "2"})))
    await asyncio.sleep(0.5)
    assert not applying.done()
    await backend.close()
    with pytest.raises(BackendUnavailable, match=r"closed\.$"):
        await in_time(applying, "it ends")


async def until_loaded(backend):
    async def is_loaded():
        try:
            return (await backend.load()).keys
        except BackendUnavailable:
            return False

    await until(is_loaded, "the table cannot be loaded")


async def test_a_standby_that_takes_over_has_all_that_was_acknowledged(tmp_path, new):
    with PostgresPair(tmp_path) as pair:
        backend, reader = await new(pair), await new(pair, read_only=True)
        await backend.acquire_lease("hub", 600)
        number = 0
        for number in range(20):
            await backend.apply(Batch({"routes/a": str(number)}))
        async with watching(reader) as watch:
            pair.primary.kill()
            with pytest.raises(BackendUnavailable, match=r"standby|cannot be reached|ended"):
                await backend.apply(Batch({"routes/b": "1"}))
            with pytest.raises(BackendUnavailable):
                await told(watch)
        pair.take_over()
        await until_loaded(backend)
        assert await keys_of(backend) == {"routes/a": str(number)}
        assert (await reader.read_lease()).holder == "hub"
        await backend.apply(Batch({"routes/b": "2"}))
        async with watching(reader) as watch:
            await backend.apply(Batch({"routes/b": "3"}))
            assert await told(watch) == {"routes/b": "3"}


async def test_a_standby_alone_takes_no_changes(tmp_path, new):
    with PostgresPair(tmp_path) as pair:
        with pytest.raises(BackendUnavailable, match="it is a standby, or set to read only"):
            await new(pair.standby, timeout=1)
        url = pair.traits["url"]
        backend = await new(pair, url=f"{url}?target_session_attrs=primary")
        await backend.apply(Batch({"routes/a": "1"}))


@pytest.mark.parametrize("target", ["any", "primary", "read-write"])
async def test_a_server_that_takes_changes_is_found_behind_one_that_does_not(tmp_path, new, target):
    with PostgresPair(tmp_path) as pair:
        hosts = f"127.0.0.1:{pair.standby.port},127.0.0.1:{pair.primary.port}"
        backend = await new(pair, url=f"postgresql://postgres@{hosts}/postgres?target_session_attrs={target}")
        async with watching(backend) as watch:
            await backend.apply(Batch({"routes/a": "1"}))
            assert await told(watch) == {"routes/a": "1"}
        assert pair.primary.ask("SELECT value FROM kvproxy.keys") == "1"


async def test_the_files_for_tls_are_read_once(postgres, new, monkeypatch):
    read, tls_of = [], _postgres_client.tls_of
    monkeypatch.setattr(_postgres_client, "tls_of", lambda address: read.append(address) or tls_of(address))
    async with watching(await new(postgres)):
        assert len(read) == 1


async def test_connections_that_are_made_at_once_leave_the_same_host_behind(postgres):
    address = parse_url(f"postgresql://postgres@127.0.0.1:{free_port()},127.0.0.1:{postgres.port}/postgres", {})
    client = Client(address, read_only=False)
    await client.prepare()
    try:
        await asyncio.gather(client.connect(10), client.connect(10))
        assert client._hosts[0] == ("127.0.0.1", postgres.port)
    finally:
        await client.close()


async def test_a_primary_that_is_set_to_read_only_is_left_for_another(tmp_path, new):
    with PostgresServer(tmp_path / "1") as first, PostgresServer(tmp_path / "2") as second:
        hosts = f"127.0.0.1:{first.port},127.0.0.1:{second.port}"
        backend = await new(first, url=f"postgresql://postgres@{hosts}/postgres?target_session_attrs=primary")
        await backend.apply(Batch({"routes/a": "1"}))
        assert first.ask("SELECT value FROM kvproxy.keys") == "1"
        first.ask("ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()")
        await until(lambda: first.ask("SHOW transaction_read_only") == "on", "the setting is not read")
        await backend.apply(Batch({"routes/a": "2"}))
        assert second.ask("SELECT value FROM kvproxy.keys") == "2"


@pytest.mark.parametrize("hosts", [1, 2])
async def test_a_watch_and_changes_are_at_the_same_of_two_primaries(tmp_path, new, hosts):
    """Also behind one address, as of a load balancer."""
    with PostgresServer(tmp_path / "1") as first, PostgresServer(tmp_path / "2") as second:
        moved = line([first.port, *[second.port] * 9], 1_000_000_000)
        async with moved as port:
            ports = [port] if hosts == 1 else [first.port, second.port]
            places = ",".join(f"127.0.0.1:{port}" for port in ports)
            backend = await new(first, url=f"postgresql://postgres@{places}/postgres", timeout=6)
            await backend.apply(Batch({"routes/a": "1"}))
            assert first.ask("SELECT value FROM kvproxy.keys") == "1"
            # Who is connected stays so, and nobody else is let in.
            freeze(first.pid)
            try:
                async with watching(backend) as watch:
                    await backend.apply(Batch({"routes/b": "1"}))
                    assert await told(watch) == {"routes/b": "1"}
            finally:
                first.thaw()
            assert second.ask("SELECT key FROM kvproxy.keys") == "routes/b"


# Poolers


@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
async def test_pgbouncer(server, tmp_path, new, mode):
    direct = await new(server)
    with Pgbouncer(tmp_path / "pgbouncer", server, mode) as pooler:
        if mode != "session":
            with pytest.raises(BackendRejected, match="Use pool_mode = session"):
                await new(pooler)
            return
        backend = await new(pooler)
        await backend.acquire_lease("hub", 60)
        async with watching(backend) as watch:
            await direct.apply(Batch({"routes/a": "1"}))
            assert await told(watch) == {"routes/a": "1"}
            await backend.apply(Batch({"routes/b": "1"}))
            assert await told(watch) == {"routes/b": "1"}
            server.ask("UPDATE kvproxy.keys SET value = '2'")
            assert await told(watch) is None
        assert await keys_of(backend) == {"routes/a": "2", "routes/b": "2"}


@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_a_pooler_that_is_refused_lends_sessions_as_they_were(server, tmp_path, new, mode):
    with Pgbouncer(tmp_path / "pgbouncer", server, mode) as pooler:
        with pytest.raises(BackendRejected, match="Use pool_mode = session"):
            await new(pooler)
        sessions = server.ask("SELECT pid FROM pg_stat_activity WHERE application_name = 'jhub-kvproxy'").split()
        assert sessions, "the pooler keeps what it has opened"
        ours = "SELECT name FROM pg_settings WHERE source = 'session' AND name NOT IN "
        ours += "('application_name', 'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings')"
        left = f"{ours} UNION ALL SELECT statement FROM pg_prepared_statements"
        async with AsyncExitStack() as stack:
            lent = []
            for _ in sessions if mode == "transaction" else sessions[:1]:
                other = await asyncpg.connect(pooler.url)
                stack.push_async_callback(other.close)
                if mode == "transaction":
                    await other.execute("BEGIN")
                lent.append(str((await session_of(other)).pid))
                # A simple query, since another would itself be prepared.
                assert await other.execute(left) == "SELECT 0"
            assert set(lent) <= set(sessions), "these are the sessions that the hub had"
        assert server.ask("SELECT count(*) FROM pg_namespace WHERE nspname = 'kvproxy'") == "0"


# Size


async def test_the_largest_change_comes_through_a_slow_line(postgres, new):
    """Before the server gives up to wait for the rest of it."""
    async with line([postgres.port] * 9, 2_000_000) as port:
        url = postgres.url.replace(str(postgres.port), str(port))
        backend = await new(postgres, url=url, prefix="hub-on-a-slow-line", timeout=10)
        keys = {f"routes/{number}": "x" * 1000 for number in range(backend.max_txn_bytes // 1012)}
        await backend.apply(Batch(keys))
        assert await keys_of(backend) == keys
        await backend.remove()


async def test_forty_thousand_routes(postgres, new):
    backend = await new(postgres, prefix="hub-of-many")
    routes = {f"routes/p.user.{number:05}": "x" * 150 for number in range(40_000)}
    with longest_block() as block:
        for start in range(0, len(routes), 6000):
            await backend.apply(Batch(dict(list(routes.items())[start : start + 6000])))
        assert await keys_of(backend) == routes
    print(f"The event loop was blocked for {block.seconds:.3f} s at most.")
    await backend.remove()
    assert await keys_of(backend) == {}
    await backend.apply(numbered(3))
