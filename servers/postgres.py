"""Real PostgreSQLs, alone or with a standby, and pgbouncer; what they hold, without the driver."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .cluster import Cluster
from .errors import Refused, Unavailable
from .ports import free_port
from .process import Process, freeze, tied
from .programs import find

#: PostgreSQL does not run as root. Who is root runs it as this user ("nobody").
_UID = 65534
#: Of the databases here, who may do everything.
OWNER = "postgres"
_STOPS_WITHIN = 10.0  # seconds
_DROP = "DROP SCHEMA IF EXISTS kvproxy CASCADE"


class PostgresServer(Process):
    """A PostgreSQL that keeps its files in `directory`, and lets everybody in on 127.0.0.1 unless `hba` says otherwise.

    What it acknowledges need not be on the disk yet, and it takes more connections and less memory, unless it is
    `durable`: then it has PostgreSQL's defaults. `settings` are lines of its configuration file, `hba` lines of
    pg_hba.conf. With `certificate` (certificate and key) it speaks TLS. With `follows` it is a standby of that server.
    """

    def __init__(
        self,
        directory: Path,
        *settings: str,
        name: str = "postgres",
        durable: bool = False,
        hba: Sequence[str] = ("host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"),
        certificate: tuple[str, str] | None = None,
        client_ca: str = "",
        follows: PostgresServer | None = None,
        socket_directory: str = "",
    ) -> None:
        port = free_port()
        self.data = directory / "data"
        self._follows = follows
        self._hba = hba
        self._password_file = directory / "password"
        lines = [
            "listen_addresses = '127.0.0.1'",
            f"port = {port}",
            f"unix_socket_directories = '{socket_directory}'",
            *([] if durable else ["fsync = off", "max_connections = 200", "shared_buffers = 32MB"]),
            *settings,
        ]
        if certificate:
            lines += ["ssl = on", f"ssl_cert_file = '{certificate[0]}'", f"ssl_key_file = '{certificate[1]}'"]
        if client_ca:
            lines.append(f"ssl_ca_file = '{client_ca}'")
        self._settings = lines
        super().__init__(
            name, _as_nobody([_program("postgres"), "-D", str(self.data)]), directory / f"{name}.log", port=port
        )
        self.url = self.url_of("postgres")
        self.traits: dict[str, Any] = {"url": self.url}

    def url_of(self, user: str, password: str = "", database: str = "postgres") -> str:
        login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
        return f"postgresql://{login}@127.0.0.1:{self.port}/{database}"

    def launch(self) -> None:
        if self.data and not self.data.exists():
            self._make(self.data)
        super().launch()

    def is_ready(self) -> bool:
        return self.ask("SELECT 1") == "1"

    def kill(self) -> None:
        """End it as a crash would, but let it give its shared memory back. Harmless without a start, or twice."""
        if self.is_running:
            os.kill(self.pid, signal.SIGQUIT)
            self.thaw()
            self._wait_for_end()
        super().kill()

    def stop(self) -> None:
        """End it cleanly, though clients are connected."""
        if self.is_running:
            os.kill(self.pid, signal.SIGINT)
            self.thaw()
            self._wait_for_end()
        self.kill()

    def freeze(self) -> None:
        for pid in self.pids:
            with suppress(ProcessLookupError):
                freeze(pid)

    def thaw(self) -> None:
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def ask(self, sql: str, *, user: str = OWNER, database: str = "postgres") -> str:
        """What psql prints for `sql`: a line for each row, with "|" between its columns. Refused with psql's words."""
        command = [_program("psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port)]
        command += ["-U", user, "-d", database, "-f", "-"]
        done = subprocess.run(command, input=sql, capture_output=True, text=True, env=self._environment(), check=False)
        if done.returncode:
            raise Refused(done.stderr.strip(), done.returncode)
        return done.stdout.removesuffix("\n")

    def add_role(self, name: str, *options: str) -> None:
        self.ask(f'CREATE ROLE "{name}" LOGIN {" ".join(options)}')

    def promote(self) -> None:
        """Make a primary of a standby, and wait until it is one."""
        self.ask("SELECT pg_promote(true)")

    def _make(self, data: Path) -> None:
        data.mkdir(parents=True, mode=0o700)
        if os.geteuid() == 0:
            os.chown(data, _UID, _UID)
        if self._follows:
            source = f"host=127.0.0.1 port={self._follows.port} user={OWNER} application_name={self.name}"
            _run(
                "pg_basebackup", "--pgdata", str(data), "--dbname", source, "--write-recovery-conf", "--checkpoint=fast"
            )
        else:
            _run("initdb", "--pgdata", str(data), "--username", OWNER, "--encoding=UTF8", "--locale=C", "--no-sync")
        (data / "postgresql.conf").write_text("\n".join([*self._settings, ""]))
        (data / "pg_hba.conf").write_text("\n".join([*self._hba, ""]))

    def _wait_for_end(self) -> None:
        assert self._process
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOPS_WITHIN)

    def _environment(self) -> Mapping[str, str]:
        return {"PATH": os.environ["PATH"], "PGCONNECT_TIMEOUT": "5", "LC_ALL": "C.UTF-8"}

    @property
    def pids(self) -> list[int]:
        """Its own, and those of its children: one for each client, among others."""
        found = [self.pid]
        for name in os.listdir("/proc"):
            if name.isdigit() and _parent(name) == self.pid:
                found.append(int(name))
        return found


class PostgresCluster(Cluster):
    """One PostgreSQL, with PostgreSQL's defaults, as a store that may be killed, emptied and wiped."""

    def __init__(self, directory: Path) -> None:
        self._server = PostgresServer(directory / "postgres", durable=True)
        super().__init__([self._server])
        self.traits = self._server.traits

    def is_ready(self) -> bool:
        return self._server.is_ready()

    def empty(self) -> None:
        self._server.ask(_DROP)

    def leader(self) -> Process:
        raise Unavailable("there is one PostgreSQL")


class PostgresPair(Cluster):
    """A primary and a standby, which copies each commit before it is acknowledged, and which takes over."""

    def __init__(self, directory: Path) -> None:
        settings = ["wal_level = replica", "hot_standby = on", "wal_receiver_timeout = 2s", "wal_sender_timeout = 2s"]
        self.primary = PostgresServer(directory / "postgres-1", *settings, name="postgres-1")
        self.standby = PostgresServer(directory / "postgres-2", *settings, name="postgres-2", follows=self.primary)
        super().__init__([self.primary, self.standby])
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in (self.primary, self.standby))
        self.traits = {"url": f"postgresql://{OWNER}@{hosts}/postgres"}

    def launch(self) -> None:
        if not self.primary.is_running:
            self.primary.start()
            self.primary.ask("ALTER SYSTEM SET synchronous_standby_names = '\"postgres-2\"'; SELECT pg_reload_conf()")
        super().launch()

    def is_ready(self) -> bool:
        return self.primary.ask("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == "1"

    def take_over(self) -> None:
        """The primary dies, and the standby is the primary from now on, without a standby of its own."""
        self.primary.kill()
        # A standby has no such setting of its own, except what it copied.
        self.standby.promote()
        self.standby.ask("ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf()")

    def empty(self) -> None:
        self.leader().ask(_DROP)

    def leader(self) -> PostgresServer:
        for server in (self.primary, self.standby):
            if server.is_running and server.ask("SELECT pg_is_in_recovery()") == "f":
                return server
        raise Unavailable("there is no primary")


class Pgbouncer(Process):
    """A pgbouncer before `server`, with a pool in this `mode`: "session", "transaction" or "statement".

    It is the server's owner for whoever comes. `databases` are lines of its configuration file, for other databases.
    """

    def __init__(self, directory: Path, server: PostgresServer, mode: str, *, databases: Sequence[str] = ()) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        port = free_port()
        file = directory / "pgbouncer.ini"
        users = directory / "users.txt"
        users.write_text("")
        lines = [
            "[databases]",
            *(f"{line} user={OWNER}" for line in databases),
            f"* = host=127.0.0.1 port={server.port} user={OWNER}",
            "[pgbouncer]",
            "listen_addr = 127.0.0.1",
            f"listen_port = {port}",
            "unix_socket_dir =",
            "auth_type = any",
            f"auth_file = {users}",
            f"pool_mode = {mode}",
        ]
        file.write_text("\n".join([*lines, ""]))
        command = _as_nobody([find("pgbouncer"), str(file)])
        super().__init__("pgbouncer", command, directory / "pgbouncer.log", port=port)
        self.url = f"postgresql://{OWNER}@127.0.0.1:{port}/postgres"
        self.traits: dict[str, Any] = {"url": self.url}


def _program(name: str) -> str:
    # Debian's psql on PATH is a script that looks for the clusters of the machine.
    return str(Path(find("postgres")).resolve().with_name(name))


def _run(name: str, *arguments: str) -> None:
    done = subprocess.run(_as_nobody([_program(name), *arguments]), capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{name}: {done.stderr.strip()}")


def _as_nobody(command: Sequence[str]) -> list[str]:
    """`command` for a user that is not root, but may go through root's directories as we may."""
    if os.geteuid() != 0:
        return list(command)
    caps = "+dac_override"
    setpriv = [find("setpriv"), f"--reuid={_UID}", f"--regid={_UID}", "--clear-groups"]
    return [*setpriv, f"--inh-caps={caps}", f"--ambient-caps={caps}", "--", *tied(command)]


def _parent(pid: str) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
