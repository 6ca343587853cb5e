"""Connects to a PostgreSQL: to the first of several that takes changes, by all connections to the same."""

from __future__ import annotations

import asyncio
import getpass
import os
import ssl
from contextlib import suppress
from typing import Any

import asyncpg

from jhub_kvproxy import BackendError, BackendRejected, BackendUnavailable, in_thread

from ._postgres_errors import Transient, translated
from ._postgres_pooler import Session, check_lends_none, session_of
from ._postgres_url import Address

Host = tuple[str, int]

#: The part of the time limit of a call in which it may connect: if the first of several servers is silent, there must
#: be time left for what is to be done.
_CONNECT = 0.8
#: The parts of it after which the server gives up to wait for a lock, and a statement: then it says why, while we
#: still listen.
_LOCK, _STATEMENT = 0.7, 0.8
#: The part of it for which a transaction may stand still, and the most seconds. The server then ends it, and frees its
#: lock, so that who waits for the lock gets it in time.
_STANDSTILL, _LONGEST_STANDSTILL = 0.35, 3.5
#: Seconds after which the server looks whether our machine is there still.
_KEEPALIVE = 5
#: Seconds for saying good-bye.
GOODBYE = 1.0


class Client:
    """Opens connections to the PostgreSQL at `address`. :meth:`prepare` must have been called; :meth:`close` ends them.

    All that are open are to one server, since two may take changes for a while: an old primary, and a standby that was
    promoted. Whoever watches the one would not hear of changes to the other.
    """

    def __init__(self, address: Address, *, read_only: bool) -> None:
        self.place = address.place()
        self._address = address
        # Who only reads may be a role that is set to read only, but must hear of changes, as no standby tells of any.
        self._target = address.target or ("primary" if read_only else "read-write")
        self._hosts: list[Host | None] = [*address.hosts] or [None]
        #: Those that lend no session to others, as far as we know.
        self._known: set[Host | None] = set()
        self._ssl: Any = None
        self._user = ""
        #: Those that are open, and the server of each.
        self._connections: dict[asyncpg.Connection, str] = {}
        self._is_closed = False

    async def prepare(self) -> None:
        """Read the files for TLS, and find out who we are."""
        # In a thread: to read all authorities of the machine takes longer than the event loop may wait.
        self._ssl = await in_thread(tls_of, self._address)
        self._user = await in_thread(_user_of, self._address)

    async def connect(self, timeout: float) -> asyncpg.Connection:
        """A new connection, for calls that end within `timeout` seconds, as this one does.

        Whoever gets it ends it by :func:`end`, unless :meth:`close` does.
        """
        failure: BackendError | None = None
        self._check_open()
        for host in list(self._hosts):
            try:
                with translated(self._place_of(host)):
                    connection, server = await self._connect(host, timeout)
            except Transient as error:
                failure = failure or error
                self._turn_from(host)
                continue
            if self._is_closed:
                await drop(connection)
                self._check_open()
            self._leave_others(server)
            self._connections[connection] = server
            connection.add_termination_listener(self._forget)
            return connection
        assert failure, "there is a host"
        raise failure

    def turn(self) -> None:
        """Try another host first from now on."""
        self._turn_from(self._hosts[0])

    async def close(self) -> None:
        """End all connections for good. Calling it twice is harmless."""
        self._is_closed = True
        connections = list(self._connections)
        try:
            await asyncio.gather(*(end(connection) for connection in connections))
        finally:
            for connection in connections:
                connection.terminate()

    def _leave_others(self, server: str) -> None:
        for connection, other in list(self._connections.items()):
            if other != server:
                connection.terminate()

    def _forget(self, connection: asyncpg.Connection) -> None:
        self._connections.pop(connection, None)

    def _check_open(self) -> None:
        if self._is_closed:
            raise BackendUnavailable(f"The connections to PostgreSQL at {self.place} are closed.")

    def _turn_from(self, host: Host | None) -> None:
        # Who connects at the same time may have done it.
        if self._hosts[0] == host:
            self._hosts.append(self._hosts.pop(0))

    async def _connect(self, host: Host | None, timeout: float) -> tuple[asyncpg.Connection, str]:
        """A connection, and what names its server."""
        limit = timeout * _CONNECT
        async with asyncio.timeout(limit / len(self._hosts)):
            connection = await self._connect_only(host, limit)
            try:
                session = await session_of(connection)
                self._check_target(host, session)
                if host not in self._known:
                    await self._check_pooler(host, connection, session, limit)
                    self._known.add(host)
                # Not before: a pooler would lend a session with our settings to others.
                await connection.execute(_settings(timeout))
            except BaseException:
                await drop(connection)
                raise
            return connection, session.server

    async def _connect_only(self, host: Host | None, limit: float) -> asyncpg.Connection:
        address = self._address
        return await asyncpg.connect(
            host=host[0] if host else None,
            port=host[1] if host else address.port,
            user=self._user,
            password=address.password,
            database=address.database,
            passfile=address.passfile,
            ssl=self._ssl,
            timeout=limit,
            # By itself, asyncpg would leave a prepared statement in a session that may be another's soon.
            target_session_attrs="any",
            server_settings={"application_name": "jhub-kvproxy"},
        )

    def _check_target(self, host: Host | None, session: Session) -> None:
        # Whatever is wanted: a standby tells of no changes, and what it tells of the table may be older than those.
        if session.is_standby or (session.is_read_only and self._target == "read-write"):
            raise Transient(
                f"PostgreSQL at {self._place_of(host)} takes no changes now: it is a standby, or set to read only."
            )

    async def _check_pooler(
        self, host: Host | None, connection: asyncpg.Connection, session: Session, limit: float
    ) -> None:
        # A pooler tells clients a process of its own making.
        if session.pid == connection.get_server_pid():
            return
        other = await self._connect_only(host, limit)
        try:
            await check_lends_none(connection, other, self._place_of(host))
        finally:
            await drop(other)

    def _place_of(self, host: Host | None) -> str:
        return self._address.place((host,)) if host else self.place


def _settings(timeout: float) -> str:
    """The statements that set the time limits of a session whose calls end within `timeout` seconds."""
    milliseconds = {
        "lock_timeout": timeout * _LOCK * 1000,
        "statement_timeout": timeout * _STATEMENT * 1000,
        "idle_in_transaction_session_timeout": min(timeout * _STANDSTILL, _LONGEST_STANDSTILL) * 1000,
    }
    return f"""
        {" ".join(f"SET {name} = {max(1, int(value))};" for name, value in milliseconds.items())}
        SET search_path = pg_catalog; -- others may make functions elsewhere
        SET row_security = off; -- rows that a policy hides are an error, and not missing
        SET tcp_keepalives_idle = {_KEEPALIVE};
        SET tcp_keepalives_interval = {_KEEPALIVE};
        SET tcp_keepalives_count = 3;
        SET default_transaction_isolation = 'read committed';
        SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
    """


async def end(connection: asyncpg.Connection) -> None:
    """End `connection` cleanly, or as it is possible."""
    try:
        with suppress(Exception):
            async with asyncio.timeout(GOODBYE):
                await connection.close()
    finally:
        await drop(connection)


async def drop(connection: asyncpg.Connection) -> None:
    """End `connection` now: what was not committed is rolled back."""
    connection.terminate()
    # asyncpg has a task that asks the server to give up what was cancelled, and has cancelled it now.
    await asyncio.sleep(0)


def _user_of(address: Address) -> str:
    """Whom to log in as. Raises BackendRejected when nobody says."""
    try:
        return address.user or os.environ.get("PGUSER") or getpass.getuser()
    except (KeyError, OSError) as error:
        raise BackendRejected(
            "PostgresBackend.url names no user, PGUSER is not set, and the user of this process has no name."
        ) from error


def tls_of(address: Address) -> ssl.SSLContext | str | bool:
    """What asyncpg takes for TLS. Raises BackendRejected when a file cannot be used."""
    if address.sslmode == "disable":
        return False
    # Who has files for TLS means it.
    if address.sslmode in ("allow", "prefer") and not (address.sslcert or address.sslrootcert):
        return address.sslmode
    try:
        # A name of libpq for the authorities that the machine trusts.
        ca_file = "" if address.sslrootcert == "system" else address.sslrootcert
        context = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:  # ssl.SSLError is one
        raise BackendRejected(
            f"PostgresBackend.url: sslrootcert={address.sslrootcert} cannot be used: {error}."
        ) from error
    if address.sslmode != "verify-full":
        context.check_hostname = False
    # With an authority, libpq's "require" means "verify-ca".
    if not (address.sslmode.startswith("verify") or address.sslrootcert):
        context.verify_mode = ssl.CERT_NONE
    if address.sslcert:
        try:
            context.load_cert_chain(address.sslcert, address.sslkey, password=_no_passphrase)
        except OSError as error:
            raise BackendRejected(
                f"PostgresBackend.url: sslcert={address.sslcert} with sslkey={address.sslkey} cannot be used: {error}."
            ) from error
    return context


def _no_passphrase() -> str:
    # Without this, OpenSSL would ask on the terminal.
    raise OSError("the key needs a passphrase, which nobody can type")
