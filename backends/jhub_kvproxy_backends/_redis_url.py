"""The address of a Redis, from the options of RedisBackend."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from jhub_kvproxy import BackendRejected

_PORT, _SENTINEL_PORT = 6379, 26379
_FORMS = "redis://HOST:PORT/DATABASE, rediss://HOST:PORT/DATABASE (TLS) or unix:///PATH?db=DATABASE"


@dataclass(frozen=True, slots=True)
class Address:
    """Address and login of a server. `path` is that of a unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False

    @property
    def endpoint(self) -> str:
        """The address for Traefik: ``host:port``, or the path of a unix socket."""
        return self.path or f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def parse_url(url: str) -> Address:
    """The address in `url`. Raises BackendRejected if it is not valid. The error does not repeat the URL."""
    try:
        parts = urlsplit(url)
        options = parse_qs(parts.query, strict_parsing=bool(parts.query))
        database = options.pop("db", [])
        if parts.scheme != "unix" and parts.path.strip("/"):
            database.append(parts.path.strip("/"))
        if parts.scheme not in ("redis", "rediss", "unix") or options or parts.fragment or len(database) > 1:
            raise ValueError
        if parts.scheme == "unix" and (parts.hostname or not parts.path.strip("/")):
            raise ValueError
        db = database[0] if database else "0"
        if not (db.isascii() and db.isdecimal()):
            raise ValueError
        port = parts.port or _PORT
    except ValueError:  # its text may contain a part of a password
        raise BackendRejected(
            f"RedisBackend.url is not a URL of a Redis; write it like {_FORMS}. "
            "In a user name or password, percent-encode what has a meaning in URLs, or use RedisBackend.password."
        ) from None
    is_unix = parts.scheme == "unix"
    return Address(
        host="" if is_unix else parts.hostname or "localhost",
        port=0 if is_unix else port,
        path=unquote(parts.path) if is_unix else "",
        db=int(db),
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls=parts.scheme == "rediss",
    )


def parse_sentinel(text: str) -> Address:
    """The address of a Sentinel, given as ``host:port``. Raises BackendRejected if it is not valid."""
    try:
        parts = urlsplit(f"//{text}")
        if not parts.hostname or parts.netloc != text or "@" in text:
            raise ValueError
        return Address(parts.hostname, parts.port or _SENTINEL_PORT)
    except ValueError:
        raise BackendRejected(
            "RedisBackend.sentinels: write each as HOST:PORT; user name and password go into "
            "RedisBackend.sentinel_username and RedisBackend.sentinel_password."
        ) from None
