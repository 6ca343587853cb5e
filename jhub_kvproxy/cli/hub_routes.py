"""The servers that JupyterHub has, by its database or its API."""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from ..aio import in_thread
from ..errors import KVProxyError

TOKEN = "JUPYTERHUB_API_TOKEN"
_DEFAULT_DB = "sqlite:///jupyterhub.sqlite"
_SECONDS = 10
_LIMIT = aiohttp.ClientTimeout(total=_SECONDS)
#: What drivers of databases call the seconds for which they wait for an answer, to the connection or to a question.
_TIME_LIMITS = {
    **dict.fromkeys(("psycopg2", "psycopg"), ("connect_timeout",)),
    "pg8000": ("timeout",),
    **dict.fromkeys(("mysqldb", "pymysql"), ("connect_timeout", "read_timeout", "write_timeout")),
    "mysqlconnector": ("connection_timeout",),
}
#: JupyterHub's answer in pages, each of which says where the next begins.
_PAGES = "application/jupyterhub-pagination+json"
_OTHER = "{} answers {}; is it JupyterHub's API?"
_SCOPES = "The token needs these of JupyterHub's scopes: list:users, read:servers, list:services, read:services."
#: Servers of users that run, or start, and those of services.
_QUERIES = (
    "SELECT servers.proto, servers.ip, servers.port, servers.base_url FROM servers "
    "JOIN spawners ON spawners.server_id = servers.id",
    "SELECT servers.proto, servers.ip, servers.port, servers.base_url FROM servers "
    "JOIN services ON services._server_id = servers.id",
)


@dataclass(frozen=True, slots=True)
class HubServers:
    """The targets by the paths of servers; None: the target is not known. `source` says where it was read."""

    source: str
    servers: dict[str, str | None]


async def from_database(url: str) -> HubServers | None:
    """By the database at `url`; empty: that in the working directory, if it is there; otherwise None.

    Raises :class:`~jhub_kvproxy.errors.KVProxyError`.
    """
    return await in_thread(_read_database, url)


def _read_database(url: str) -> HubServers | None:
    try:
        parsed = make_url(url if "://" in url else f"sqlite:///{url}" if url else _DEFAULT_DB)
        if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
            if url:
                raise KVProxyError(f"There is no database {parsed.database or url}; name JupyterHub's with --db.")
            return None  # to connect would make one
        engine = create_engine(parsed, connect_args=time_limits(parsed))
        try:
            with engine.connect() as connection:
                rows = [row for query in _QUERIES for row in connection.execute(text(query))]
        finally:
            engine.dispose()
    except (SQLAlchemyError, ImportError, ValueError, OSError) as error:  # ValueError: a port that is no number
        raise KVProxyError(f"JupyterHub's database cannot be read: {str(error).splitlines()[0]}.") from error
    return HubServers(
        parsed.render_as_string(),
        {str(base): _target(str(proto), str(ip), int(port)) for proto, ip, port, base in rows},
    )


def time_limits(url: URL) -> dict[str, int]:
    """How long the driver of a database waits for it, as arguments that `url` does not have. Pure."""
    return {name: _SECONDS for name in _TIME_LIMITS.get(url.get_driver_name(), ()) if name not in url.query}


def _target(proto: str, ip: str, port: int) -> str | None:
    """The URL by which JupyterHub reaches a server (``jupyterhub.objects.Server``); None: by its machine's name."""
    if not ip or _is_every_address(ip):
        return None
    return f"{proto}://{f'[{ip}]' if ':' in ip else ip}:{port}"


def _is_every_address(ip: str) -> bool:
    try:
        return ipaddress.ip_address(ip).is_unspecified
    except ValueError:  # a name
        return False


async def from_api(url: str) -> HubServers:
    """By the API at `url`, such as ``http://127.0.0.1:8081/hub/api``, with the token in the environment.

    The API does not tell targets. Raises :class:`~jhub_kvproxy.errors.KVProxyError`.
    """
    token = os.environ.get(TOKEN, "")
    if not token:
        raise KVProxyError(f"JupyterHub's API needs a token, in the environment variable {TOKEN}.")
    if "@" in url:
        raise KVProxyError(f"JupyterHub's API takes no user and password in its URL: the token is in {TOKEN}.")
    root, headers = url.rstrip("/"), {"Authorization": f"token {token}"}
    async with aiohttp.ClientSession(timeout=_LIMIT, headers=headers) as session:
        try:
            servers = {str(server["url"]) async for server in _servers(session, root) if server.get("ready")}
            services = list((await _get(session, f"{root}/services")).values())
            if any("url" not in service for service in services):
                raise KVProxyError(_SCOPES)
            servers |= {str(each["prefix"]) for each in services if each["url"] and each["prefix"]}
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise KVProxyError(_OTHER.format(url, f"what is unknown here ({error!r})")) from error
    return HubServers(url, dict.fromkeys(servers))


async def _servers(session: aiohttp.ClientSession, root: str) -> AsyncIterator[Mapping[str, Any]]:
    """Those of users who have one that is ready, as the API has them. JupyterHub chooses how long a page is."""
    offset: int | None = 0
    while offset is not None:
        page = await _get(session, f"{root}/users?state=ready&offset={offset}", {"Accept": _PAGES})
        for user in page["items"]:
            if user.get("servers") is None:
                raise KVProxyError(_SCOPES)
            for server in user["servers"].values():
                yield server
        following = page["_pagination"]["next"]
        offset = following and int(following["offset"])


async def _get(session: aiohttp.ClientSession, url: str, headers: Mapping[str, str] | None = None) -> Any:
    try:
        async with session.get(url, headers=headers) as answer:
            if answer.status in (401, 403):
                raise KVProxyError(f"JupyterHub's API at {url} refuses the token in {TOKEN} ({answer.status}).")
            if answer.status != 200:
                raise KVProxyError(_OTHER.format(url, answer.status))
            return await answer.json()
    except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
        if isinstance(error, asyncio.TimeoutError):
            raise KVProxyError(f"JupyterHub's API at {url} does not answer in time.") from error
        raise KVProxyError(f"JupyterHub's API at {url} cannot be asked: {error}.") from error
