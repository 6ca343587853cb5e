"""Where a PostgreSQL is, from a URL as libpq or SQLAlchemy have it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from jhub_kvproxy import BackendRejected

_PORT = 5432
_FORM = "postgresql://USER@HOST:PORT/DATABASE"
#: Of SQLAlchemy's names of drivers for PostgreSQL, those whose URLs have the parameters of libpq.
_SCHEMES = ("postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg", "postgresql+psycopg2")
_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SYSTEM = "system"  # libpq's name for the authorities that the machine trusts
_TARGETS = ("any", "primary", "read-write")
#: Before the host. As SQLAlchemy takes it: a password may have anything but "@".
_LOGIN = re.compile(r"(?P<user>[^:/?]*)(?P<has_password>:(?P<password>[^@]*))?@")
#: Parameters that a hub's own URL may have, and that make no difference to us.
_IGNORED = frozenset(
    {
        *("application_name", "client_encoding", "connect_timeout", "fallback_application_name", "gssencmode"),
        *("keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "options"),
        *("prepared_statement_cache_size", "prepared_statement_name_func", "tcp_user_timeout"),
    }
)
#: The variables of libpq's environment that stand in for parameters.
_VARIABLES = {
    "gssencmode": "PGGSSENCMODE",
    "host": "PGHOST",
    "port": "PGPORT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect, and as whom. What is empty or None, the client library takes from libpq's environment."""

    #: Each a name or an address, or the directory of a unix socket; with its port. Empty: where libpq looks by itself.
    hosts: tuple[tuple[str, int], ...] = ()
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    passfile: str | None = None
    #: If there are no hosts.
    port: int | None = None
    sslmode: str = "prefer"
    sslrootcert: str = ""
    sslcert: str = ""
    sslkey: str = ""
    target: str = ""

    def place(self, hosts: tuple[tuple[str, int], ...] | None = None) -> str:
        """The database, for people."""
        named = (f"{_bracketed(host)}:{port}" for host, port in self.hosts if not hosts or (host, port) in hosts)
        return f"{','.join(named) or self._here()}/{self.database or ''}"

    def _here(self) -> str:
        return f"this machine:{self.port}" if self.port else "this machine"


def is_postgres(url: object) -> bool:
    """Whether `url` is one of a PostgreSQL, in a form that :func:`parse_url` takes."""
    return isinstance(url, str) and url.partition("://")[0] in _SCHEMES and "://" in url


def parse_url(url: str, environment: Mapping[str, str]) -> Address:
    """The address in `url`. Raises BackendRejected if it is not valid; the error does not repeat the URL."""
    if not is_postgres(url):
        raise BackendRejected(f"PostgresBackend.url is not a URL of a PostgreSQL; write it like {_FORM}.")
    try:
        user, password, rest = _split_login(url.partition("://")[2])
        rest, _, text = rest.partition("?")
        place, _, database = rest.partition("/")
        given = parse_qsl(text, strict_parsing=bool(text))
        hosts = [*_hosts(unquote(place)), *(host for name, value in given if name == "host" for host in _hosts(value))]
    except ValueError:  # its text may contain a part of a password
        raise BackendRejected(
            f"PostgresBackend.url is not valid; write it like {_FORM}. In a user name or password, percent-encode what "
            "has a meaning in URLs, and @ after the host; or use PostgresBackend.password."
        ) from None
    query = {variable: environment[name] for variable, name in _VARIABLES.items() if environment.get(name)}
    hosts = hosts or list(_hosts(query.pop("host", "")))
    # asyncpg's dialect in SQLAlchemy calls it `ssl`.
    query |= {"sslmode" if name == "ssl" else name: value for name, value in given}
    query.pop("host", None)
    ports = query.pop("port", "")
    sslrootcert = query.pop("sslrootcert", "")
    address = Address(
        hosts=tuple(_with_ports(hosts, ports)),
        port=_port(ports) if ports and not hosts else None,
        user=query.pop("user", "") or user or None,
        password=query.pop("password", "") or password or None,
        database=query.pop("dbname", "") or unquote(database) or None,
        passfile=query.pop("passfile", "") or None,
        sslmode=query.pop("sslmode", "") or ("verify-full" if sslrootcert == _SYSTEM else "prefer"),
        sslrootcert=sslrootcert,
        sslcert=query.pop("sslcert", ""),
        sslkey=query.pop("sslkey", ""),
        target=query.pop("target_session_attrs", ""),
    )
    if query.get("gssencmode") == "require":
        raise BackendRejected(
            "PostgresBackend.url has gssencmode=require; this backend encrypts by TLS only (sslmode)."
        )
    if unknown := sorted(query.keys() - _IGNORED):
        raise BackendRejected(
            f"PostgresBackend.url has parameters that this backend does not know: {', '.join(unknown)}. "
            "If it is that of JupyterHub.db_url, set PostgresBackend.url to one without them."
        )
    if address.sslmode not in _MODES:
        raise BackendRejected(
            f"PostgresBackend.url has sslmode={address.sslmode}; it must be one of {', '.join(_MODES)}."
        )
    if address.target and address.target not in _TARGETS:
        raise BackendRejected(
            f"PostgresBackend.url has target_session_attrs={address.target}; it must be one of {', '.join(_TARGETS)}: "
            "a standby takes no changes, and tells nobody of any (LISTEN)."
        )
    _check_verification(address)
    if bool(address.sslcert) != bool(address.sslkey):
        raise BackendRejected("PostgresBackend.url: sslcert and sslkey belong together: give both, or neither.")
    return address


def _check_verification(address: Address) -> None:
    """Raise BackendRejected if the certificate of any stranger would do, against what `address` looks like."""
    if address.sslrootcert == _SYSTEM and address.sslmode != "verify-full":
        raise BackendRejected(
            f"PostgresBackend.url: sslrootcert=system with sslmode={address.sslmode} would trust whoever has a "
            "certificate of a public authority; use sslmode=verify-full."
        )
    if address.sslmode == "verify-ca" and not address.sslrootcert:
        raise BackendRejected(
            "PostgresBackend.url: sslmode=verify-ca without sslrootcert would trust whoever has a certificate "
            "of a public authority; give the file of your authority, or use sslmode=verify-full."
        )


def _split_login(text: str) -> tuple[str, str, str]:
    """User, password and the rest of `text`, a URL without scheme. ValueError if the password's end is not clear."""
    found = _LOGIN.match(text)
    if not found:
        return "", "", text
    user, password, rest = found["user"], found["password"] or "", text[found.end() :]
    if found["has_password"]:
        # Up to here, an "@" can only be the password's.
        more, at, _ = re.split("[/?]", rest, maxsplit=1)[0].rpartition("@")
        password, rest = password + "@" * len(at) + more, rest[len(more + at) :]
        if "@" in rest:
            raise ValueError
    return unquote(user), unquote(password), rest


def _hosts(text: str) -> Iterator[tuple[str, str]]:
    """The hosts in `text`, a list with commas, each with its port, or without: ""."""
    for part in text.split(",") if text else ():
        if part.startswith("/"):
            yield part, ""
        elif part.startswith("["):
            host, end, rest = part[1:].partition("]")
            if not (host and end) or (rest and not rest.startswith(":")):
                raise ValueError
            yield host, rest[1:]
        else:
            host, _, port = part.partition(":")
            yield host or "localhost", port


def _with_ports(hosts: list[tuple[str, str]], ports: str) -> Iterator[tuple[str, int]]:
    """The `hosts`; those without a port get theirs from `ports`, one for all or as many as there are hosts."""
    given = ports.split(",") if ports else []
    if len(given) not in (0, 1, len(hosts)):
        raise BackendRejected("PostgresBackend.url has more or fewer ports than hosts.")
    for number, (host, port) in enumerate(hosts):
        yield host, _port(port or (given[number if len(given) > 1 else 0] if given else "") or str(_PORT))


def _port(text: str) -> int:
    # Not shown: of a URL that is not right, it may be a part of a password.
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 0 < int(text) < 65536):
        raise BackendRejected("PostgresBackend.url has a port that is no port.")
    return int(text)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
